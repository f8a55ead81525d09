"""The HTTP protocol of uvicorn, with a bound on how slowly a request's head may come, and answers in JSON.

ASGI has no words for some things that uvicorn can do; the functions here are such words. On another
server they do nothing, and their callers have another way.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from interlock.server.asgi import Receive, Send

HEAD_S: Final = 10.0
_TELL: Final = "interlock_tell"

_REFUSAL: Final = (
    b'{"error":{"message":"the request is not valid HTTP/1.1","type":"invalid_request_error",'
    b'"param":null,"code":"invalid_request","decision_id":null,"hint":""}}'
)


class Protocol(HttpToolsProtocol):
    """One connection. A head that takes longer than HEAD_S closes it: it holds a socket for nothing."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
            # An event must never wait for the acknowledgement of the one before it.
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)
        cycle = getattr(self, "cycle", None)  # none before the first request
        tell = cycle.__dict__.pop(_TELL, None) if cycle is not None else None
        if tell is not None:
            tell()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._head_timer is None:
            self._expect_head()

    def on_headers_complete(self) -> None:
        self._stop_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the parser's words are for us
        head = (
            b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
            b"connection: close\r\n\r\n" % len(_REFUSAL)
        )
        self.transport.write(head + _REFUSAL)
        self.transport.close()

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_S, self._head_too_slow)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_too_slow(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


def _cycle(method: Receive | Send) -> RequestResponseCycle | None:
    """What uvicorn knows of a request: the `receive` and `send` that it hands out are its methods."""
    found = getattr(method, "__self__", None)
    return found if isinstance(found, RequestResponseCycle) else None


def has_arrived(receive: Receive) -> bool:
    """Whether a request's whole body is here already, so that `receive` will not wait. False if unknown."""
    cycle = _cycle(receive)
    return cycle is not None and not cycle.more_body


def on_disconnect(receive: Receive, tell: Callable[[], None] | None) -> bool:
    """Have `tell` called once when the caller leaves (None: no longer); False where that cannot be had."""
    cycle = _cycle(receive)
    if cycle is None:
        return False
    cycle.__dict__[_TELL] = tell
    if tell is not None and cycle.disconnected:
        tell()
    return True


def close_after_answer(send: Send) -> None:
    """Close the connection once the answer being sent is complete."""
    cycle = _cycle(send)
    if cycle is not None:
        cycle.keep_alive = False


def abort(send: Send) -> None:
    """Close the connection at once, whatever is still to be read from it."""
    cycle = _cycle(send)
    if cycle is not None:
        cycle.transport.abort()
