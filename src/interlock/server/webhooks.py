"""Telling webhooks what has happened: at least once, in order, by one worker at a time.

Events lie in the store from the moment in which they happen; this sends them. One that is not taken is
sent again, later and later, and holds up those behind it for the same webhook only; given up after some
hours, it is counted and said in the log. Only addresses of the config are called, no redirect is followed,
and nothing of an answer but its status is looked at.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import msgspec

from interlock import __version__
from interlock.errors import StoreError
from interlock.live.exposition import WEBHOOKS, series
from interlock.server.gateway import Gateway
from interlock.server.ids import fresh_name
from interlock.server.state import Hook
from interlock.store import events, rollouts
from interlock.store.aliases import rfc3339
from interlock.store.events import Event, Told
from interlock.store.releasing import lease
from interlock.transport import TransportError
from interlock.wire import webhook

LOOK_S: Final = 0.5
LEASE: Final = "webhooks"
LEASE_US: Final = 15_000_000
"""Longer than a try takes, so that nobody else begins before it is over."""
CONNECT_S: Final = 3.0
ANSWER_S: Final = 10.0
PAGE: Final = 50
MOST_TRIES: Final = 15
"""With these waits the last one is some four hours after the first."""
FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 3600.0
_AGENT: Final = ("user-agent", f"interlock/{__version__}")
_encode: Final = msgspec.json.Encoder().encode


class Teller:
    """Mutable: the webhooks that this process is telling something at the moment."""

    def __init__(self, gateway: Gateway, first_wait_s: float = FIRST_WAIT_S) -> None:
        self._gateway = gateway
        self._first_wait_s = first_wait_s
        self._holder = fresh_name()
        self._telling: dict[str, asyncio.Task[None]] = {}
        self._led = False

    async def look(self) -> None:
        """Begin to tell every webhook for which something is due. Raises StoreError."""
        hooks, store = self._gateway.state.hooks, self._gateway.store
        if not hooks:
            return
        told = store.read(events.told)
        new = [hook.name for hook in hooks if hook.name not in told]
        if new:
            await store.writer.call(lambda db: events.begin(db, new))
            told = store.read(events.told)
        newest, now = store.read(events.newest), store.read(rollouts.instant)
        due = [
            hook
            for hook in hooks
            if hook.name not in self._telling
            and told[hook.name].seq < newest
            and is_due(told[hook.name], now)
        ]
        if due and await self._leads():
            for hook in due:
                task = asyncio.ensure_future(self._tell(hook, told[hook.name]))
                self._telling[hook.name] = task
                task.add_done_callback(partial(self._ended, hook.name))

    async def close(self) -> None:
        """Stop telling. What was under way is told again by whoever comes next, who need not wait."""
        running = list(self._telling.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if self._led:
            with suppress(StoreError):
                await lease(self._gateway.store, LEASE, self._holder, 0)

    async def _leads(self) -> bool:
        token = await lease(self._gateway.store, LEASE, self._holder, LEASE_US)
        self._led = token is not None
        return self._led

    def _ended(self, name: str, task: "asyncio.Task[None]") -> None:
        self._telling.pop(name, None)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, StoreError):
            self._gateway.say("store", error=error.problem)
        elif isinstance(error, Exception):
            self._gateway.fault("webhooks", error)

    async def _tell(self, hook: Hook, at: Told) -> None:
        """Everything that a webhook has not been told, up to the first that it does not take."""
        for event in self._gateway.store.read(partial(events.after, seq=at.seq, most=PAGE)):
            wanted = not hook.events or event.kind in hook.events
            if wanted and not await self._leads():
                return
            why = await self._send(hook, event) if wanted else None
            to = Told(event.seq) if why is None else self._again(hook, event, at, why)
            if not await self._move(hook, at, to):
                return
            if wanted:
                await self._count(hook, "delivered" if why is None else "failed")
            if to.seq == at.seq:
                return
            at = to

    async def _move(self, hook: Hook, at: Told, to: Told) -> bool:
        return await self._gateway.store.writer.call(lambda db: events.move(db, hook.name, at, to))

    def _again(self, hook: Hook, event: Event, at: Told, why: str) -> Told:
        """When an event that was not taken is told again; past the last try, the next one's turn."""
        tries = at.tries + 1
        say = partial(self._gateway.say, webhook=hook.name, id=event.id, kind=event.kind, why=why)
        if tries >= MOST_TRIES:
            say("webhook_given_up", tries=tries)
            return Told(event.seq)
        say("webhook_failed", tries=tries)
        draw = self._gateway.services.draw()
        wait_s = min(LONGEST_WAIT_S, self._first_wait_s * 2.0**at.tries) * (0.5 + draw / 2)
        return Told(at.seq, tries, self._gateway.store.read(rollouts.instant) + int(wait_s * 1e6))

    async def _send(self, hook: Hook, event: Event) -> str | None:
        """Post an event; None, or why it was not taken."""
        body = _encode(
            {
                "id": event.id,
                "type": event.kind,
                "timestamp": rfc3339(event.at),
                "data": msgspec.Raw(event.data.encode()),
            }
        )
        headers = (_AGENT, *webhook.headers(hook.key, event.id, self._gateway.services.epoch_s(), body))
        try:
            status = await self._post(hook.url, headers, body)
        except TransportError as error:
            return error.outcome
        except ValueError as error:
            return str(error)
        return None if 200 <= status < 300 else f"status {status}"

    async def _post(self, url: str, headers: Sequence[tuple[str, str]], body: bytes) -> int:
        now = asyncio.get_running_loop().time()
        response = await self._gateway.services.transport.send(
            url, headers, body, connect_by=now + CONNECT_S, first_byte_by=now + ANSWER_S
        )
        response.close()
        return response.status

    async def _count(self, hook: Hook, result: str) -> None:
        name = series(WEBHOOKS, {"webhook": hook.name, "result": result})
        await self._gateway.store.counts.add({name: 1.0})


def is_due(at: Told, now: int) -> bool:
    """Whether what follows is to be told now, in microseconds. No wait is longer than the longest: the clock
    was set back since.
    """
    return not now < at.next_at <= now + int(LONGEST_WAIT_S * 1e6)


async def tell(gateway: Gateway) -> None:
    """Run until it is cancelled."""
    teller = Teller(gateway)
    try:
        while True:
            try:
                await teller.look()
            except StoreError as error:
                gateway.say("store", error=error.problem)
            except Exception as error:  # noqa: BLE001 - a fault in one look must not end all of them
                gateway.fault("webhooks", error)
            await asyncio.sleep(LOOK_S)
    finally:
        await teller.close()
