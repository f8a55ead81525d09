"""Going over the latest request again, while the next one may be about to come.

On a server with time between two requests each finds the processor's caches taken by others: what it reads,
some ten thousand lines of memory, comes at twenty times the price. So while requests come every few
milliseconds the latest is gone over again in between, by the same code, in a gateway of its own in which
nothing is real: no caller, no upstream, no store, no log, a health of its own. The next one finds everything
warm.

It costs nothing where there is no time between requests, nor where there is much; in between up to a fifth of
a core. `server.keep_warm: false` turns it off. Where none follows, all that is held for it is let go of.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Final

from msgspec.structs import replace

from interlock.resilience.health import Health
from interlock.server.app import Application
from interlock.server.case import Case
from interlock.server.gateway import Gateway
from interlock.server.http1.connection import Connection
from interlock.server.log import Log
from interlock.server.noticing import Noticer
from interlock.server.state import State
from interlock.store.shapes import Shape
from interlock.store.sqlite import Store
from interlock.store.write import Write
from interlock.store.writer import Writer
from interlock.transport.connection import Connection as Upstream
from interlock.transport.outbox import Outbox
from interlock.transport.request import Origin, begin_head
from interlock.transport.response import Http1Response
from interlock.types.proxy import Proxy
from interlock.types.record import Status
from interlock.wiring import with_own_health

EVERY_S: Final = 0.001
"""In so short a time next to nothing leaves the cache; after five times as much, half of it has."""
WITHIN_S: Final = 0.025
"""Only where one follows another so soon, and for so long: who comes now and then is not waited for."""
LONGEST_S: Final = 0.003
"""What takes longer is not gone over again: a dear request, or a server that has enough to do."""
REST: Final = 4
"""So many times as long as one took none is begun: at most a fifth of a core, however dear they are."""
_OK: Final = b"HTTP/1.1 200 "


class Rehearsal:
    """Mutable: keeps one gateway warm, on the running loop, until `close`.

    `count` is how many requests were gone over to their end.
    """

    def __init__(self, live: Gateway) -> None:
        self.count = 0
        self._live = live
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._came = -inf
        self._played = self._due = 0.0
        self._stage: Stage | None = None
        live.lately.wanted, live.lately.taken = True, self._begin

    def close(self) -> None:
        """End it, for good."""
        self._live.lately.wanted, self._live.lately.taken = False, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._let_go()

    def _begin(self) -> None:
        """A request was kept."""
        if self._timer is None:
            self._timer = self._loop.call_later(EVERY_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        live, now = self._live, self._loop.time()
        lately, going = live.lately, True
        if not lately.wanted:  # there was a real one since, and it has warmed what this would
            before, self._came, lately.wanted = self._came, now, True
            going = now - before <= WITHIN_S
        elif now - self._came > WITHIN_S or lately.setting is not live.state.setting:
            going = False  # nobody follows; or another config or world would have it end elsewhere
        elif lately.request and time.perf_counter() >= self._due:
            self._go_over(lately.request, lately.answer)
        if going:
            rest_s = max(EVERY_S, self._due - time.perf_counter())
            self._timer = self._loop.call_later(min(rest_s, WITHIN_S), self._tick)
        else:
            self._let_go()

    def _go_over(self, request: tuple[bytes, ...], answer: bytes) -> None:
        if self._stage is None or self._stage.closing:
            self._leave()
            self._stage = Stage(self._live, self._loop, self._ended, self._failed)
        if not self._stage.busy:
            self._played = time.perf_counter()
            self._stage.play(self._live.state, request, answer)

    def _ended(self, answer: bytes) -> None:
        """One has got its answer. Where that is none of a model, something has changed since the real one."""
        well, now = answer.startswith(_OK), time.perf_counter()
        took_s = now - self._played
        self._due = now + took_s * REST
        self.count += well
        if not well or took_s > LONGEST_S:
            self._live.lately.forget()

    def _failed(self, what: dict[str, Any]) -> None:
        """A fault that only a rehearsal has must cost nobody more than this line."""
        self.close()
        self._live.say(
            "rehearsal_failed", **{name: what[name] for name in what if name not in ("at", "event")}
        )

    def _let_go(self) -> None:
        """Hold nothing of any request: a key, an answer, a config that is not in force any more."""
        self._live.lately.forget()
        self._leave()

    def _leave(self) -> None:
        stage, self._stage = self._stage, None
        if stage is not None:
            stage.close()


class Stage:
    """Mutable: a gateway in which nothing is real, its one caller, and its upstream.

    `ended` is given each answer as a caller would get it, `failed` is told of faults as the log would be.
    """

    def __init__(
        self,
        live: Gateway,
        loop: asyncio.AbstractEventLoop,
        ended: Callable[[bytes], object],
        failed: Callable[[dict[str, Any]], object],
    ) -> None:
        self._loop = loop
        self._of: State | None = None
        self._health = Health()
        self._upstream = Prompter(loop)
        self._gateway = Gateway(
            live.state,
            Nowhere(),
            replace(live.services, transport=self._upstream),
            live.clock,
            Hushed(failed),
            self._health,
            live.folder,
        )
        self._gateway.noticer = Unheard(self._gateway.store, self._gateway.came_late)
        self._caller = Pipe(ended)
        self._connection = Connection(loop, Application(self._gateway), set(), Outbox(loop))
        self._connection.connection_made(self._caller)

    @property
    def closing(self) -> bool:
        """Whether its caller was sent away, and it is of no more use."""
        return self._caller.is_closing()

    @property
    def busy(self) -> bool:
        """Whether a request is still under way, and another one has to wait."""
        return self._gateway.load.in_flight > 0

    def play(self, state: State, request: tuple[bytes, ...], answer: bytes) -> None:
        """Have a request served under a state, and answered upstream with these bytes; not while `busy`."""
        if self._of is not state:
            self._of = state
            setting = with_own_health(state.setting, self._health, state.config.resilience)
            self._gateway.state = replace(state, setting=setting)
        self._upstream.answer = answer
        for read in request:
            self._connection.data_received(read)

    def close(self) -> None:
        """End what is under way."""
        self._connection.connection_lost(None)
        self._upstream.end()


class Prompter:
    """Implements `transport.Transport`: whoever calls is told at once what `answer` is. Nobody is called."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.answer = b""
        self.busy = 0
        self.looks_at = inf  # never
        self._loop = loop
        self._idle: list[Upstream] = []
        self._all: set[Upstream] = set()

    async def send(
        self,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        connect_by: float,  # noqa: ARG002 - there is nothing to connect to
        first_byte_by: float,
        proxy: Proxy | None = None,
    ) -> Http1Response:
        """See `transport.Transport`."""
        origin, begun = begin_head(url, tuple(headers), proxy)
        connection = self._idle.pop() if self._idle else self._open(origin)
        response = connection.start(begun, body, first_byte_by)
        await response.waiter
        return response

    async def close(self) -> None:
        self.end()

    def end(self) -> None:
        """Close what is open, idle or not: each has a timer."""
        self._idle.clear()
        for connection in tuple(self._all):
            connection.connection_lost(None)

    def _open(self, origin: Origin) -> Upstream:
        connection = Upstream(self._loop, origin, self, Outbox(self._loop))

        def asked(_: bytes) -> None:
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
            self._loop.call_soon(connection.data_received, head % len(self.answer) + self.answer)

        connection.connection_made(Pipe(asked))
        self._all.add(connection)
        return connection

    # For its connections.

    def finished(self, connection: Upstream, headers: dict[str, str]) -> None:  # noqa: ARG002 - all are kept
        self._idle.append(connection)

    def lost(self, connection: Upstream) -> None:
        self._all.discard(connection)


class Pipe(asyncio.Transport):
    """What a connection takes for its socket; `heard` is given what it sends."""

    def __init__(self, heard: Callable[[bytes], object]) -> None:
        super().__init__()
        self._heard = heard
        self._closing = False

    def write(self, data: Any) -> None:
        self._heard(data)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    abort = close

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        """Nobody writes."""

    resume_reading = pause_reading


class Nowhere(Store):
    """Keeps nothing. It has what a plain request asks of a store, and nothing else: no file, no thread."""

    def __init__(self) -> None:
        self.writer = NoWriter()

    def note_row(self, row: tuple[Any, ...], *, since: float) -> bool:  # noqa: ARG002 - it goes nowhere
        return True

    def put_shape(self, shape: Shape) -> Write[None]:  # noqa: ARG002 - it goes nowhere
        return Write(None)


class NoWriter(Writer):
    """Writes nothing."""

    def __init__(self) -> None:
        """Without a file."""

    def probe(self, since: float) -> None:
        """There is no other process at it."""


class Hushed(Log):
    """Says nothing of requests; of a fault to `failed`, not to the log."""

    def __init__(self, failed: Callable[[dict[str, Any]], object]) -> None:
        self._failed = failed

    def line(self, fields: dict[str, Any]) -> None:
        self._failed(fields)

    def requests(self, lines: Any) -> None:
        """They are not real."""


class Unheard(Noticer):
    """Notices nothing: who asks in a rehearsal has not asked again."""

    def note(self, case: Case, status: Status) -> None:
        """It was not asked."""
