"""What a worker does for what has been released: it watches it, and starts the runs of gates over it.

A run of a gate asks hundreds of cases and judges them, so it is a process of its own, the command that an
operator would type: requests are not slowed down by it, and a fault in it ends nothing but itself.
"""

import asyncio
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from interlock.errors import StoreError
from interlock.release.afterwards import Afterwards, Duty
from interlock.rollout.plan import microseconds
from interlock.server.gateway import Gateway
from interlock.store import rollouts, watches
from interlock.store.watches import Again

LOOK_S: Final = 2.0
AGAIN_AFTER_S: Final = 600.0
"""How long after a run that could not even be begun the next is tried."""
_STOP_S: Final = 5.0
_MOST_SAID: Final = 500
_NO: Final = 1


async def follow_releases(gateway: Gateway, path: Path, look_s: float = LOOK_S) -> None:
    """Run until it is cancelled. `path` is the config's file."""
    afterwards = Afterwards(gateway.store, gateway.controller.holder, gateway.say)
    gates = Gates(gateway, path)
    try:
        while True:
            try:
                duties = await afterwards.look(gateway.state.config)
                await gates.look(duties)
            except StoreError as error:
                gateway.say("store", error=error.problem)
            except Exception as error:  # noqa: BLE001 - a fault in one look must not end all of them
                gateway.fault("afterwards", error)
            await asyncio.sleep(look_s)
    finally:
        await gates.stop()


def is_due(duty: Duty, last: Again | None, now: int) -> bool:
    """Whether the gate of an alias should run again. Instants are microseconds, by the store's clock.

    What it would wait from lies ahead where that clock was set back since: then it does not wait.
    """
    gate = duty.written.gate
    if gate is None:
        return False
    if last is None or last.version != duty.release.version:
        return not 0 <= now - duty.release.at < microseconds(gate.every)
    return last.ended is None or not 0 <= now - last.began < microseconds(gate.every)


class Gates:
    """Mutable: the run that this process has started, one at a time."""

    def __init__(self, gateway: Gateway, path: Path) -> None:
        self._gateway = gateway
        self._path = path
        self._running: asyncio.Task[None] | None = None
        self._not_before: dict[str, float] = {}

    def command(self, alias: str) -> Sequence[str]:
        """What runs the gate of an alias over what is active."""
        own = [sys.executable, "-m", "interlock.cli", "gate", "--again", alias]
        return [*own, "--config", str(self._path), "--json"]

    async def look(self, duties: Iterable[Duty]) -> None:
        """Start the first run that is due, unless one is under way. Raises StoreError."""
        if self._running is not None and not self._running.done():
            return
        store, clock = self._gateway.store, asyncio.get_running_loop().time
        for duty in duties:
            last = store.read(partial(watches.again, alias=duty.alias))
            if clock() < self._not_before.get(duty.alias, 0.0):
                continue
            if is_due(duty, last, store.read(rollouts.instant)):
                self._running = asyncio.create_task(self._run(duty.alias))
                return

    async def stop(self) -> None:
        """End what is under way; the next run goes on with what it has."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running

    async def _run(self, alias: str) -> None:
        self._gateway.say("gate_again", alias=alias)
        process = await asyncio.create_subprocess_exec(
            *self.command(alias),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=dict(os.environ),
        )
        try:
            _, said = await process.communicate()
        except asyncio.CancelledError:
            with suppress(ProcessLookupError):
                process.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _STOP_S)
            if process.returncode is None:
                process.kill()
            raise
        if process.returncode not in (0, _NO):
            self._not_before[alias] = asyncio.get_running_loop().time() + AGAIN_AFTER_S
            why = said.decode("utf-8", "replace").strip()[-_MOST_SAID:]
            self._gateway.say("gate_again_failed", alias=alias, status=process.returncode, why=why)
