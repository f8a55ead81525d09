"""What one server process holds: the state in force, the store, the services, the log.

`state` is replaced whole, never changed; requests under way keep the one they began with.
"""

import traceback
from asyncio import get_running_loop
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from interlock.config.loading import Loaded
from interlock.errors import ApiError, StoreError
from interlock.execute.executor import Execution, Services
from interlock.server.case import Case
from interlock.server.content import content_of
from interlock.server.exchange import Exchange
from interlock.server.ids import Clock, fresh_nonce
from interlock.server.latency import Latencies
from interlock.server.log import Log
from interlock.server.records import to_row
from interlock.server.state import State, make_state, with_world
from interlock.server.watch import Watch
from interlock.store.sqlite import DAY_US, Store
from interlock.types.record import Status
from interlock.wiring import KEYS_SECRET, now_us, open_store, put_world, services, world_of

RETRY_S: Final = 5
WRITE_S: Final = 30.0
"""How long a caller may leave a piece of its stream unread."""


class Writing(Protocol):
    """A stream, and since when its caller has not taken what was sent (None: it has)."""

    since: float | None

    def abort(self) -> None: ...


class Gateway:
    def __init__(self, state: State, store: Store, services: Services, clock: Clock, log: Log) -> None:
        self.state = state
        self.store = store
        self.services = services
        self.clock = clock
        self.log = log
        self.draining = False
        self.reloads = 0
        self.reloads_failed = 0
        self.latencies = Latencies()
        self._writing: dict[Writing, Watch] = {}

    def say(self, event: str, **fields: Any) -> None:
        """One line about the server itself."""
        self.log.line({"at": self.clock.now(), "event": event, **fields})

    def refresh_world(self) -> None:
        """Take aliases and latencies as they are now. Requests that have begun keep theirs."""
        world = world_of(self.store, self.latencies.bands())
        if world != self.state.setting.world:
            self.state = with_world(self.state, world)
            put_world(self.store, self.state.world_hash, world)

    async def record(
        self, case: Case, status: Status, execution: Execution | None = None, *, durable: bool = False
    ) -> None:
        """Commit the record of a request. Raises ApiError: overloaded, where the store cannot."""
        logging = case.decision.policy.logging
        text = execution.text if execution is not None else ""
        content = content_of(self.state.config, logging, case.body, text)
        row = to_row(case.decision, status, execution, content)
        for attempt in execution.attempts if execution is not None else ():
            if attempt.outcome == "ok":
                self.latencies.note(attempt.model, attempt.latency_ms)
        try:
            await self.store.put_record(row, durable=durable or logging == "strict")
        except StoreError as error:
            raise self.store_failed(error) from None

    def fault(self, during: str, error: Exception) -> ApiError:
        """Log a fault of ours, and give what callers are told: where it was, never its words."""
        frames = traceback.extract_tb(error.__traceback__)
        where = [f"{frame.filename.rpartition('interlock/')[2]}:{frame.lineno}" for frame in frames[-4:]]
        self.say("fault", during=during, error=type(error).__name__, where=where)
        return ApiError("internal", "something went wrong on our side")

    @contextmanager
    def watched(self, stream: Writing, watch: Watch) -> Iterator[None]:
        """While this lasts, a caller that stops reading is taken for gone."""
        self._writing[stream] = watch
        try:
            yield
        finally:
            del self._writing[stream]

    def cut_idle_readers(self, now: float) -> None:
        """Give up streams whose callers have not read for WRITE_S. Called a few times a second."""
        for stream, watch in list(self._writing.items()):
            if stream.since is not None and now - stream.since > WRITE_S:
                watch.leave()
                stream.abort()

    def store_failed(self, error: StoreError) -> ApiError:
        """Log that the store cannot be used. What callers are told: without a record nothing is served."""
        self.say("store", error=error.problem)
        return ApiError("overloaded", "the store cannot be used at the moment", retry_after_s=RETRY_S)

    async def expire(self) -> None:
        """Delete records that are older than the config keeps them."""
        kept_us = self.state.config.telemetry.retention_days * DAY_US
        try:
            await self.store.expire(now_us() - kept_us)
        except StoreError as error:
            self.say("store", error=error.problem)

    def log_request(self, exchange: Exchange) -> None:
        """One line for one request: never content, never keys."""
        self.say(
            "request",
            request=f"req_{exchange.name}",
            method=exchange.method,
            route=exchange.route,
            status=exchange.status,
            latency_ms=round((get_running_loop().time() - exchange.began) * 1000, 3),
            tenant=exchange.caller.tenant,
            key=exchange.caller.key,
            **exchange.facts,
        )

    async def close(self) -> None:
        """Let go of upstreams and store. Nothing may be served any more."""
        await self.services.transport.close()
        self.store.close()


def make_gateway(loaded: Loaded, log: Log) -> Gateway:
    """A gateway for a config that has just been loaded. Raises StoreError."""
    store = open_store(loaded)
    clock = Clock()
    state = make_state(loaded.config, loaded.secrets, world_of(store), store.secret(KEYS_SECRET))
    put_world(store, state.world_hash, state.setting.world)
    return Gateway(state, store, services(now=clock.now, fresh=fresh_nonce), clock, log)
