"""One socket to an upstream: sends a request, feeds the parser, keeps a timer for a wait that ends soon.

It serves one request at a time and never decides to retry. `pool` decides how long it lives idle.
"""

import asyncio
from typing import Final, Protocol, cast

from interlock.transport import TransportError
from interlock.transport.outbox import Outbox
from interlock.transport.parser import MalformedError, ResponseParser
from interlock.transport.request import Origin
from interlock.transport.response import Http1Response

_SMALL_BODY: Final = 64 * 1024
"""Up to here one copy of the body is cheaper than a second write."""
_TIMER_SLACK_S: Final = 0.002
"""uvloop rounds to milliseconds, so a timer may ring a little before its instant."""


class ClosedEarlyError(TransportError):
    """The upstream hung up before it sent a single byte of an answer."""


class Owner(Protocol):
    """Who is told what becomes of a connection (the pool). `busy` counts those that serve a request.

    At the instant `looks_at` it calls `look` of each.
    """

    busy: int
    looks_at: float

    def finished(self, connection: "Connection", headers: dict[str, str]) -> None: ...
    def lost(self, connection: "Connection") -> None: ...


class Connection(asyncio.Protocol):
    """`response` is the answer being received, None while idle; `expires` is the pool's own note.

    `reused_at` is when the pool last gave it away: an instant of its loop.
    """

    __slots__ = (
        "_deadline",
        "_heard",
        "_outbox",
        "_owner",
        "_parser",
        "_paused",
        "_rings_at",
        "_timer",
        "_unsent",
        "expires",
        "loop",
        "origin",
        "response",
        "reused_at",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, origin: Origin, owner: Owner, outbox: Outbox) -> None:
        self.loop = loop
        self._outbox = outbox
        self._unsent = b""
        self.origin = origin
        self.response: Http1Response | None = None
        self.expires = self.reused_at = 0.0
        self._owner = owner
        self._parser = ResponseParser()
        self._heard = False
        self._paused = False
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = 0.0

    def start(self, begun: bytes, body: bytes, by: float) -> Http1Response:
        """Send a request; the answer will come into what is returned, its head until `by` at the latest.

        `begun` is its head up to the length of its body.
        """
        assert self.response is None, "one request at a time"
        self._parser.reset()
        self._heard = False
        self.response = response = Http1Response(self, self.loop.create_future())
        self._owner.busy += 1
        self.watch(by)
        size = len(body)
        if size > _SMALL_BODY:
            self.transport.write(b"%b%d\r\n\r\n" % (begun, size))
            self.transport.write(body)
            return response
        data = b"%b%d\r\n\r\n%b" % (begun, size, body)
        if self._owner.busy == 1:  # it would leave alone, and need not wait for that
            self.transport.write(data)
        else:
            self._unsent = data
            self._outbox.add(self._send)
        return response

    def _send(self) -> None:
        unsent, self._unsent = self._unsent, b""
        if unsent and not self.transport.is_closing():
            self.transport.write(unsent)

    def fail(self, error: TransportError) -> None:
        """End the answer with `error` and close the socket at once."""
        response, self.response = self.response, None
        if response is not None:
            self._owner.busy -= 1
            response.end(error)
        self.transport.abort()

    def drop(self) -> None:
        """Close an idle connection at once."""
        assert self.response is None, "only an idle connection is dropped"
        self.transport.abort()

    def resume(self) -> None:
        """Read on, now that the reader has taken what there was."""
        if self._paused:
            self._paused = False
            self.transport.resume_reading()

    # The timer. A stream waits thousands of times, each time with a later deadline: the timer stays where
    # it is and moves on only when it rings too early. Setting one costs more than all the rest of a wait, and
    # half a kilobyte: for a wait that will not end before the owner looks there is none yet.

    def watch(self, by: float | None) -> None:
        """The reader now waits, until `by` at the latest."""
        self._deadline = by
        if by is not None and by < self._owner.looks_at and (self._timer is None or by < self._rings_at):
            self._set_timer(by)

    def look(self) -> None:
        """Set a timer for a wait that will end before the owner looks again."""
        if self.response is not None:
            self.watch(self._deadline)

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = at
        self._timer = self.loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        response, deadline = self.response, self._deadline
        if response is None or deadline is None or not response.waiting:
            return  # the next wait sets it again
        if deadline > self.loop.time() + _TIMER_SLACK_S:
            self.watch(deadline)
            return
        self.fail(TransportError("timeout", "stalled" if response.status else "no answer in time"))

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Both loops have set TCP_NODELAY by now.
        self.transport = cast("asyncio.Transport", transport)  # uvloop's has the methods, not the ancestry

    def data_received(self, data: bytes) -> None:
        response = self.response
        if response is None:
            self.drop()  # nobody asked: a 408 before closing, or something worse
            return
        self._heard = True
        parser, broken = self._parser, None
        try:
            parser.feed(data)
        except MalformedError as error:
            broken = str(error)
        if parser.begun:  # the reader is given the head once, and the body of this read as one piece
            if response.status == 0:
                response.status, response.headers = parser.status, parser.headers
            parts = parser.parts
            if parts:
                response.put(parts[0] if len(parts) == 1 else b"".join(parts))
                parts.clear()
        if broken is not None:
            self.fail(TransportError("malformed", broken))
        elif parser.complete:
            self._finish(response, reusable=parser.keep_alive)
        elif parser.begun:
            if response.full and not self._paused:
                self._paused = True
                self.transport.pause_reading()
            response.wake()

    def _finish(self, response: Http1Response, *, reusable: bool) -> None:
        self.response = None
        self._owner.busy -= 1
        response.end(None)
        # An answer that came before the request was out leaves the rest of it in the socket.
        if reusable and not self._unsent and not self.transport.get_write_buffer_size():
            self._owner.finished(self, response.headers)
        else:
            self.transport.abort()

    def eof_received(self) -> None:
        """The upstream sent its last byte. Whether it still listens is of no use: None closes the transport.

        But that waits for a request that is still being written, so the answer is ended here.
        """
        self._ended(clean=True)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._owner.lost(self)
        self._ended(clean=exc is None)

    def _ended(self, *, clean: bool) -> None:
        response = self.response
        if response is None:
            return
        parser = self._parser
        if clean and parser.begun and parser.until_eof:
            self._finish(response, reusable=False)
        elif not self._heard:
            self.fail(ClosedEarlyError("upstream_error", "closed before an answer"))
        else:
            self.fail(TransportError("upstream_error", "cut" if parser.begun else "cut in the head"))
