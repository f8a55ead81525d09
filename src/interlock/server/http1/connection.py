"""One socket of a caller: feeds the parser, judges sizes, keeps the order of pipelined requests.

A connection has one `due` instant, for whatever it waits for; `Listener` looks at it a few times a second.
A timer per request would cost more than all of its parsing.
"""

import asyncio
from math import inf
from typing import Any, Final, Literal, cast

import httptools

from interlock.errors import ApiError
from interlock.server.http1.call import App, Call
from interlock.server.http1.desk import Desk
from interlock.server.http1.doubts import declared, doubt, expects, too_large, too_slow, unread
from interlock.server.http1.heads import NAMES, Head, head_of
from interlock.server.http1.rest import Rest
from interlock.server.http1.sockets import with_the_end
from interlock.transport.outbox import Outbox

HEAD_S: Final = 10.0
"""How long a head may take, from its first byte (from the connection's first moment, for the first)."""
BODY_S: Final = 30.0
"""How long a caller may pause while it sends its body, and how long a short body may take."""
SLOWEST_BODY: Final = 500
"""Bytes that have to come each second beyond that: a byte now and then holds no connection for hours."""
KEEP_ALIVE_S: Final = 75.0
WRITE_S: Final = 30.0
"""How long a caller may leave what it was sent unread."""
LINGER_S: Final = 1.0
"""How long a refused caller, that is still sending, has to read why before the connection closes."""
MOST_HEAD: Final = 128 * 1024
MOST_WAITING: Final = 64
"""How many pipelined requests may wait for the one before them."""
SMALL_BODY: Final = 64 * 1024
"""The most of a body that is read for a refused request, and for one that needs none."""
MOST_TRIES: Final = 16
"""So often in a row a connection may send another head before none of them is remembered any more."""

_METHODS: Final = {b"GET": "GET", b"POST": "POST"}

Stage = Literal["idle", "head", "body", "work", "write", "linger"]


class Connection(asyncio.Protocol):
    """`stage` is what it waits for, until `due` (of the loop's clock)."""

    __slots__ = (
        "_active",
        "_app",
        "_arriving",
        "_body_from",
        "_connections",
        "_deaf",
        "_desk",
        "_drained",
        "_expected",
        "_head",
        "_head_bytes",
        "_in_head",
        "_lost",
        "_outbox",
        "_parser",
        "_pieces",
        "_size",
        "_transport",
        "_tries",
        "_unsent",
        "_waiting",
        "closing",
        "due",
        "loop",
        "stage",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, app: App, connections: "set[Connection]", outbox: Outbox
    ) -> None:
        self.loop = loop
        self._outbox = outbox
        self._unsent = b""
        self.stage: Stage = "head"
        self.due = inf
        self.closing = False
        self._app = app
        self._desk = Desk(loop, app)
        self._connections = connections
        self._parser: Any = None
        self._lost = False
        self._active: Call | None = None
        self._waiting: list[Call] = []
        self._arriving: Call | None = None
        self._pieces: list[bytes] = []
        self._size, self._body_from = 0, 0.0
        self._expected = False
        """Whether a caller waits for a word before it sends the body that is to come."""
        self._head_bytes = 0
        self._in_head = True
        self._deaf = False
        self._drained: asyncio.Future[None] | None = None
        self._head: Head | None = None
        self._tries = 0

    @property
    def active(self) -> Call | None:
        """The call that is being answered."""
        return self._active

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        self._wait("head", HEAD_S)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._arriving is not None or self._active is not None:
            self._feed(data)
        elif self._head is None or not self._serve_again(self._head, data):
            self._feed(data)
            self._remember(data)

    def eof_received(self) -> None:
        """Whoever has closed its side is taken for gone: None closes the transport."""
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - gone is gone
        self._connections.discard(self)
        self._parser = None  # it holds us, and we hold it
        self._lost = True
        self._deaf = True
        self.resume_writing()
        arriving, self._arriving = self._arriving, None
        if arriving is not None and not self._in_head and arriving.error is None:
            self._app.lost(arriving)
        for call in self._waiting:
            self._app.lost(call)
        self._waiting.clear()
        if self._active is not None:
            self._active.leave()
        self._desk.close()

    def pause_writing(self) -> None:
        if self._drained is None:
            self._drained = self.loop.create_future()
            self._wait("write", WRITE_S)

    def resume_writing(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None:
            self._settle()
            if not drained.done():
                drained.set_result(None)

    # What the listener calls.

    def look(self, now: float) -> None:
        """Act if the wait is overdue."""
        if self.stage == "idle" and self.due == inf:
            self.due = now + KEEP_ALIVE_S
        if now < self.due:
            return
        self.due = inf
        if self.stage == "body":
            call = self._arriving
            assert call is not None, "a body belongs to a call"
            self._refuse(call, too_slow(BODY_S))
        elif self.stage == "write":
            if self._active is not None:
                self._active.leave()
            self._transport.abort()
        elif not self._transport.is_closing():
            self._close()

    def drain(self) -> None:
        """Close when nothing is left to answer."""
        self.closing = True
        if self._active is not None:
            self._active.keep_alive = False
        elif self._arriving is None or self._in_head:
            self._close()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    def hear_no_more(self) -> None:
        """Read no further request."""
        self._deaf = True

    # What a call calls.

    def send(self, data: bytes) -> None:
        """Send at once, behind whatever waits; nothing to a caller that is gone."""
        if self._unsent:
            self._flush()
        if not self._lost:  # uvloop would raise
            self._transport.write(data)

    def send_soon(self, data: bytes) -> None:
        """Send at the end of this turn of the loop, together with what others send."""
        if self._unsent:
            self._unsent += data
        else:
            self._unsent = data
            self._outbox.add(self._flush)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, b""
        if unsent and not self._lost:
            self._transport.write(unsent)

    def _close(self) -> None:
        """Close when everything is sent."""
        self._flush()
        self._transport.close()

    def understood(self, call: Call) -> None:
        """Let go of what has read a request, until there is another to read: its answer may take long."""
        if self._arriving is None and call.keep_alive:  # else more may come that is no request
            self._parser = None

    def end_with_next(self) -> None:
        """What is sent next is the last: have the end of the connection leave with it."""
        if not self._lost:
            with_the_end(self._transport)

    async def drained(self) -> None:
        """Return when what was sent is on its way, bar a bounded rest."""
        if self._drained is not None:
            await self._drained

    def answered(self, call: Call) -> None:
        """A call has its answer: on to the next, or close."""
        if call is not self._active:
            return  # its connection is gone
        self._active = None
        if self._transport.is_closing():
            return
        if not call.keep_alive:
            self._deaf = True
            if self._arriving is call:
                self._wait("linger", LINGER_S)
            else:
                self._close()
        elif self._waiting:
            self._serve(self._waiting.pop(0))
            if not self._waiting:
                self._transport.resume_reading()
        else:
            self._settle()

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._deaf:
            return
        self._arriving = Call(self)
        self._in_head = True
        self._head_bytes = 0
        self._size = 0
        if self._active is None and self.stage == "idle":
            self._wait("head", HEAD_S)

    def on_url(self, url: bytes) -> None:
        call = self._arriving
        if call is not None:
            call.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        call = self._arriving
        if call is None or not self._in_head:
            return  # deaf, or a trailer: nobody may decide by those
        known = NAMES.get(name)
        if known is None:
            lower = name.lower()
            known = NAMES.get(lower) or lower.decode("latin-1")
        text = value.decode("latin-1")
        if call.headers.setdefault(known, text) != text:
            call.doubled = (*call.doubled, known)

    def on_headers_complete(self) -> None:
        call, parser = self._arriving, self._parser
        if call is None or self._deaf:
            return
        self._in_head = False
        method = parser.get_method()
        call.method = _METHODS.get(method) or method.decode("ascii")
        version = parser.get_http_version()
        call.http10 = version == "1.0"
        call.keep_alive = parser.should_keep_alive() and not call.http10 and not self.closing
        call.error = doubt(call, version)
        if call.error is not None:
            call.keep_alive = False
        else:
            try:
                self._app.admit(call)
            except ApiError as error:
                call.error = error
        self._expected = expects(call)
        self._judge_length(call)

    def on_body(self, body: bytes) -> None:
        call = self._arriving
        if call is None or self._deaf:
            return
        self._size += len(body)
        self._expected = False  # a caller that sends it waits for no word
        if self._size > (call.limit if call.error is None else SMALL_BODY):
            self._refuse(call, call.error or too_large(call))
            return
        self._pieces.append(body)
        if self._size > call.room and not self._grow(call):
            return
        if self.stage == "body":
            self._wait("body", BODY_S)
            self.due = min(self.due, self._body_from + BODY_S + self._size / SLOWEST_BODY)

    def on_message_complete(self) -> None:
        call = self._arriving
        if call is None or self._deaf:
            return
        pieces = self._pieces
        if not pieces and "upgrade" in call.headers and self._lacks_body(call):
            return
        self._arriving = None
        self._in_head = True  # whatever comes next is a head
        self._head_bytes = 0
        if pieces:
            call.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self._pieces = []
        if self._active is None:
            self._serve(call)
            return
        self._transport.pause_reading()
        self._waiting.append(call)
        if len(self._waiting) > MOST_WAITING:
            self._refuse_bytes(ApiError("invalid_request", "too many requests wait on this connection"))

    # Our own.

    def _feed(self, data: bytes) -> None:
        if self._parser is None:
            self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as ended:
            if not self._deaf:  # else it is refused already
                self._ignore_upgrade(data[ended.args[0] :])
        except httptools.HttpParserError as fault:
            if not self._deaf:  # else it is refused already
                self._refuse_bytes(unread(fault))
        # Blank lines before a head count as well, though they begin no request.
        if self._in_head and not self._deaf and (self._arriving is not None or data.isspace()):
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD:
                error = f"the head of the request is larger than {MOST_HEAD} bytes"
                self._refuse_bytes(ApiError("invalid_request", error, status=431))

    def _wait(self, stage: Stage, seconds: float) -> None:
        self.stage = stage
        self.due = self.loop.time() + seconds

    def _settle(self) -> None:
        """Wait for whatever has to come next. What was sent has to be read, before all."""
        if self._drained is not None:
            self._wait("write", WRITE_S)
        elif self._active is not None:
            self.stage, self.due = "work", inf
        elif self._arriving is None:
            self.stage, self.due = "idle", inf  # since when, the listener's next look says
        elif self._in_head:
            self._wait("head", HEAD_S)
        else:
            self._await_body()

    def _serve(self, call: Call) -> None:
        self._active = call
        self._settle()
        if call.error is not None:
            self._app.refuse(call, call.error)
        else:
            self._desk.serve(call)

    def _serve_again(self, head: Head, data: bytes) -> bool:
        """Serve what is just another request with a head that is known; False: it has to be parsed."""
        body = head.body_of(data)
        if body is None:
            return False
        call = Call(self)
        call.method, call.target = "POST", head.target
        call.headers = head.headers
        call.body, call.again = body, data
        call.keep_alive = not self.closing
        if not self._app.admit_again(call, head.again):
            return False
        self._tries = 0
        self._serve(call)
        return True

    def _remember(self, data: bytes) -> None:
        """Remember the head of the one request that `data` was, unless it is a first: many send no second."""
        call = self._active
        if call is None or call.error is not None or self._arriving is not None or self._waiting:
            return
        self._tries += 1
        if 1 < self._tries <= MOST_TRIES:
            again = self._app.again(call)
            if again is not None:
                self._head = head_of(data, call, again) or self._head

    def _grow(self, call: Call) -> bool:
        """Ask for more room for a body of unknown length; without any the call is refused."""
        try:
            self._app.grow(call, self._size)
        except ApiError as error:
            self._refuse(call, error)
            return False
        # What comes in many small pieces must not take many times what it counts.
        self._pieces = [b"".join(self._pieces)]
        return True

    def _judge_length(self, call: Call) -> None:
        """A body that is declared too large, or that a refused request need not send, is not waited for."""
        size = declared(call)
        if size == 0:
            return
        most = call.limit if call.error is None else 0 if self._expected else SMALL_BODY
        if (size is None and call.error is not None) or (size or 0) > most:
            self._refuse(call, call.error or too_large(call))
            return
        if self._active is None:
            self._await_body()

    def _await_body(self) -> None:
        self._wait("body", BODY_S)
        self._body_from = self.due - BODY_S
        if self._expected:
            self._expected = False
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _refuse(self, call: Call, error: ApiError) -> None:
        """Answer a request that has not come whole, then close. What it still sends is thrown away.

        Closing under unread bytes would take our answer with it, so the caller is given time to read it.
        """
        call.error = error
        call.keep_alive = False
        self._deaf = True
        self._pieces = []
        if self._active is None:
            self._serve(call)
        else:
            self._waiting.append(call)

    def _refuse_bytes(self, error: ApiError) -> None:
        """Answer what is no request."""
        call = self._arriving or Call(self)
        self._arriving = call
        self._refuse(call, error)

    def _lacks_body(self, call: Call) -> bool:
        """Whether the parser has ended at a request to upgrade, and passed over its body."""
        if not self._parser.should_upgrade():
            return False
        call.keep_alive = False
        if "transfer-encoding" in call.headers:
            problem = "a request with `upgrade` cannot have a body in chunks"
            hint = "leave `upgrade` out: nothing is upgraded here"
            self._refuse(call, ApiError("invalid_request", problem, hint=hint))
            return True
        return int(call.headers.get("content-length", "0")) > 0

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Nothing is upgraded here: the request is answered as if it had not asked. The parser has ended.

        `rest` is what has come behind the head. Behind the request nothing is read.
        """
        call = self._arriving
        if call is not None:
            self._parser = Rest(self, int(call.headers["content-length"]))
            self._parser.feed_data(rest)
            return
        self._deaf = True
        last = self._waiting[-1] if self._waiting else self._active
        if last is not None and not last.complete:
            last.keep_alive = False
        elif not self._transport.is_closing():
            self._close()
