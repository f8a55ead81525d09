"""The HTTP protocol of uvicorn, with a bound on how slowly a request's head may come, and answers in JSON.

ASGI has no words for some things: `close_after_answer` and `has_arrived` are such words.
"""

import asyncio
import socket
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from interlock.server.asgi import Receive, Send

HEAD_S: Final = 10.0

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


def has_arrived(receive: Receive) -> bool:
    """Whether a request's whole body is here already, so that `receive` will not wait. False if unknown."""
    cycle = getattr(receive, "__self__", None)
    return isinstance(cycle, RequestResponseCycle) and not cycle.more_body


def close_after_answer(send: Send) -> None:
    """Close the connection once the answer being sent is complete; nothing on a server that is not uvicorn.

    The `send` that uvicorn hands out is a method of the cycle that knows.
    """
    cycle = getattr(send, "__self__", None)
    if isinstance(cycle, RequestResponseCycle):
        cycle.keep_alive = False
