"""What one server process holds: the state in force, the store, the services, the log.

`state` is replaced whole, never changed; requests under way keep the one they began with.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol

from interlock.errors import ApiError, StoreError
from interlock.execute.executor import Execution, Services
from interlock.server.content import content_of
from interlock.server.exchange import Exchange
from interlock.server.ids import Clock
from interlock.server.judge import Case
from interlock.server.log import Log
from interlock.server.state import State
from interlock.server.watch import Watch
from interlock.store import Store
from interlock.types.decision import Decision
from interlock.types.record import Record, Status

WRITE_S: Final = 30.0
"""How long a caller may leave a piece of its stream unread."""


class Writing(Protocol):
    """A stream, and since when its caller has not taken what was sent (None: it has)."""

    since: float | None


class Gateway:
    def __init__(self, state: State, store: Store, services: Services, clock: Clock, log: Log) -> None:
        self.state = state
        self.store = store
        self.services = services
        self.clock = clock
        self.log = log
        self.draining = False
        self.reloads_failed = 0
        self._writing: dict[Writing, Watch] = {}

    async def record(
        self, case: Case, status: Status, execution: Execution | None = None, *, durable: bool = False
    ) -> None:
        """Commit the record of a request. Raises ApiError: overloaded, where the store cannot."""
        record = record_of(case, status, execution, case.content(execution))
        try:
            await self.store.put_record(record, durable=durable)
        except StoreError as error:
            self.log.line({"at": self.clock.now(), "event": "store", "error": error.problem})
            raise ApiError(
                "overloaded", "the record of this request could not be written", retry_after_s=5
            ) from None

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

    def log_request(self, exchange: Exchange) -> None:
        """One line for one request: never content, never keys."""
        latency_ms = (self.clock_now() - exchange.began) * 1000
        self.log.line(
            {
                "at": self.clock.now(),
                "event": "request",
                "request": f"req_{exchange.name}",
                "method": exchange.method,
                "route": exchange.route,
                "status": exchange.status,
                "latency_ms": round(latency_ms, 3),
                "tenant": exchange.caller.tenant,
                "key": exchange.caller.key,
                **exchange.facts,
            }
        )
