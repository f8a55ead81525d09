"""One request of a caller and the way back to it."""

import asyncio
import time
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from sys import maxsize
from typing import Any, Final, Protocol

from interlock.errors import ApiError

_ONE_WRITE: Final = 64 * 1024
"""Up to here one copy of a body is cheaper than a second write."""
_CLOSE: Final = "connection: close\r\n"
_LINE: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_LINE[499] = "HTTP/1.1 499 Client Closed Request\r\n"
_NO_HEADERS: Final[dict[str, str]] = {}


class _Date:
    """The `date` header, made once a second."""

    __slots__ = ("_begins", "_ends", "_line")

    def __init__(self) -> None:
        self._begins = self._ends = 0.0
        self._line = ""

    def line(self) -> str:
        now = time.time()
        if not self._begins <= now < self._ends:
            self._begins = now // 1
            self._ends = self._begins + 1
            self._line = f"date: {formatdate(self._begins, usegmt=True)}\r\n"
        return self._line


_date: Final = _Date()


class Wire(Protocol):
    """The connection, as a call needs it."""

    def send(self, data: bytes) -> None: ...
    def send_soon(self, data: bytes) -> None: ...
    def understood(self, call: "Call") -> None: ...
    def end_with_next(self) -> None: ...
    async def drained(self) -> None: ...
    def answered(self, call: "Call") -> None: ...
    def abort(self) -> None: ...


class Call:
    """Mutable: what has come of one request, and how far its answer has got.

    `headers` have lower-case names and the first value of each; `doubled` names those that came again
    with another value. `body` is whole before the call is served; `again` are all bytes of a request whose
    head its connection knew. `held` is the application's. Of the `limit`
    of its body there is `room` for so much; for more, `App.grow` is asked. While it is `exposed` its work is
    cancelled when the caller leaves (`gone`) or the server must end; else never: the commit of a record must
    not be.
    Answer with `respond`, or with `begin`, `write`…, `finish`.
    """

    __slots__ = (
        "_chunked",
        "_head",
        "_wire",
        "again",
        "begun",
        "body",
        "complete",
        "doubled",
        "error",
        "exposed",
        "gone",
        "headers",
        "held",
        "http10",
        "keep_alive",
        "limit",
        "method",
        "room",
        "target",
        "task",
    )

    def __init__(self, wire: Wire) -> None:
        self.method = ""
        self.target = b""
        self.headers: dict[str, str] = {}
        self.doubled: tuple[str, ...] = ()
        self.body = b""
        self.again = b""
        self.limit = 0
        self.room = maxsize
        self.keep_alive = True
        self.http10 = False
        self.held: Any = None
        self.error: ApiError | None = None
        self.exposed = False
        self.gone = False
        self.begun = False
        self.complete = False
        self._wire = wire
        self._head = b""
        self._chunked = False
        self.task: asyncio.Task[None] | None = None

    def reads(self) -> tuple[bytes, ...]:
        """The whole request as it came, or might have come to the same effect, read by read.

        None where that takes more than a head and a body.
        """
        if self.again:
            return (self.again,)
        headers = self.headers
        if "content-length" not in headers or "expect" in headers or "upgrade" in headers:
            return ()
        lines = "".join([f"{name}: {text}\r\n" for name, text in headers.items() if name != "connection"])
        head = b"%b %b HTTP/1.1\r\n%b\r\n" % (self.method.encode(), self.target, lines.encode("latin-1"))
        return (head, self.body) if self.body else (head,)

    # The work on a call, and its end before its time.

    def go_on(self) -> None:
        """Whoever was cancelled has heard it, and has more to do."""
        if self.task is not None:
            self.task.uncancel()

    def understood(self) -> None:
        """Let go of the request's bytes, which nobody reads any more: its answer may take long."""
        self.body = self.again = b""
        self.headers = _NO_HEADERS
        self._wire.understood(self)

    def forget(self) -> None:
        """Let go of what knows this call: in a circle they would all wait for the garbage collector.

        Memory that is free at once is used again while it is in the cache.
        """
        self.held = None
        self.task = None

    def interrupt(self) -> None:
        """Cancel what may be cancelled."""
        if self.exposed and self.task is not None:
            self.exposed = False
            self.task.cancel()

    def leave(self) -> None:
        """The caller is gone, or as good as gone: it does not read what it is sent."""
        self.gone = True
        self.interrupt()

    # The answer.

    def respond(self, status: int, fields: str, body: bytes, *, alone: bool = False) -> None:
        """Send a whole answer. `fields` are header lines (`field`), each ended by CRLF.

        One that is `alone` does not wait for others to leave with.
        """
        self.begun = True
        close = "" if self.keep_alive else _CLOSE
        line = f"{_LINE[status]}{_date.line()}{fields}content-length: {len(body)}\r\n{close}\r\n"
        head = line.encode()
        if self.method == "HEAD":
            body = b""
        if len(body) > _ONE_WRITE:
            self._wire.send(head)
            self._wire.send(body)
        elif alone:
            self._wire.send(head + body)
        else:
            self._wire.send_soon(head + body)
        self.complete = True
        self._wire.answered(self)

    def begin(self, status: int, fields: str) -> None:
        """Begin an answer of unknown length. Its head leaves with the first piece of its body."""
        self.begun = True
        self._chunked = not self.http10
        coding = "transfer-encoding: chunked\r\n" if self._chunked else ""
        close = "" if self.keep_alive else _CLOSE
        self._head = f"{_LINE[status]}{_date.line()}{fields}{coding}{close}\r\n".encode()

    async def write(self, data: bytes) -> None:
        """Send a piece of the body; wait while the caller does not read. `data` is not empty."""
        self._send_piece(data)
        await self._wire.drained()

    def finish(self, data: bytes) -> None:
        """Send the last piece of the body; may be none."""
        if not self.keep_alive:
            self._wire.end_with_next()
        if data:
            self._send_piece(data, last=True)
        else:
            self._wire.send(self._head + (b"0\r\n\r\n" if self._chunked else b""))
        self.complete = True
        self._wire.answered(self)

    def abort(self) -> None:
        """Close the connection at once: in the middle of an answer there is nothing that could be said."""
        self.complete = True
        self._wire.abort()

    def _send_piece(self, data: bytes, *, last: bool = False) -> None:
        head, self._head = self._head, b""
        if self._chunked:
            data = b"%b%x\r\n%b\r\n%b" % (head, len(data), data, b"0\r\n\r\n" if last else b"")
        elif head:
            data = head + data
        self._wire.send(data)


class App(Protocol):
    """What serves calls."""

    def admit(self, call: Call) -> None:
        """A head is here: set `call.limit`, the most bytes of its body. Raises ApiError to refuse it."""

    def again(self, call: Call) -> Any:
        """With what `admit_again` may admit the head of a call that was admitted; None: with nothing."""

    def admit_again(self, call: Call, again: Any) -> bool:
        """Admit a whole call whose head is, but for its length, the one that `again` was given for.

        False: what was true of it may be so no more, or not of this length; it is judged anew.
        """

    def grow(self, call: Call, size: int) -> None:
        """So much of a body has come: set `call.room` to as much or more. Raises ApiError to refuse it."""

    async def serve(self, call: Call) -> None:
        """Answer a call whose body is whole. Raises nothing."""

    def refuse(self, call: Call, error: ApiError) -> None:
        """Answer a call that will not be served."""

    def lost(self, call: Call) -> None:
        """The caller left before its request was whole."""


@lru_cache(maxsize=1024)
def field(name: str, value: str) -> str:
    """A header line, all ASCII. What no header can hold is written as an escape."""
    shown = value.encode("unicode_escape").decode("ascii") if not value.isprintable() else value
    return f"{name}: {shown.encode('ascii', 'backslashreplace').decode('ascii')}\r\n"
