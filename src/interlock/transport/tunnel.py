"""The way to an upstream through an HTTP proxy: CONNECT (RFC 9110, 9.3.6), and TLS over what that gives.

The proxy is shown where to connect to, and its own credentials; all else goes through the tunnel, to the
upstream. Of a proxy's answer nothing but its status is used.
"""

import asyncio
import ssl
from typing import Final, cast

import httptools

from interlock.transport import TransportError
from interlock.transport.connection import Connection
from interlock.transport.request import Origin
from interlock.types.proxy import Proxy

MAX_HEAD: Final = 16 * 1024
"""Bytes of a proxy's answer, those of 1xx answers before it included."""
_NO_HTTP: Final = "gave an answer that is not HTTP"


async def open_tunnel(connection: Connection, proxy: Proxy, context: ssl.SSLContext | None) -> None:
    """Connect `connection` to its origin through a proxy; with a `context` under TLS, else in plain bytes.

    Raises TransportError, with what the proxy did, and OSError where TLS above it fails. Whoever gives it
    up by cancelling, as after a deadline, finds no socket left.
    """
    loop, origin = connection.loop, connection.origin
    try:
        raw, asking = await loop.create_connection(
            lambda: _Asking(loop.create_future(), origin, proxy), proxy.host, proxy.port
        )
    except OSError as error:
        raise _failed(f"cannot be reached: {type(error).__name__}: {error}") from error
    try:
        await _build(connection, raw, asking, context)
    except BaseException:
        if not raw.is_closing():
            raw.abort()
        raise


async def _build(
    connection: Connection, raw: asyncio.Transport, asking: "_Asking", context: ssl.SSLContext | None
) -> None:
    await asking.waiter
    if asking.error is not None:
        raise asking.error
    connection.connection_made(raw)
    if context is None:
        raw.set_protocol(connection)
        return
    host = connection.origin.host
    tls = await connection.loop.start_tls(raw, connection, context, server_hostname=host)
    if tls is None:
        raise ConnectionResetError("closed in the handshake")
    connection.connection_made(tls)


class _Asking(asyncio.Protocol):
    """Asks for the tunnel. `waiter` is done when it stands, or when `error` says why it does not.

    Bytes behind the answer are an error too: we have said nothing yet that they could be an answer to, and
    whoever took them for one would believe the proxy in place of the upstream.
    """

    def __init__(self, waiter: "asyncio.Future[None]", origin: Origin, proxy: Proxy) -> None:
        self.waiter = waiter
        self.error: TransportError | None = None
        self._request = _connect(origin, proxy)
        self._shown = proxy.authorization is not None
        self._size = 0
        self._stands = False
        self._http = httptools.HttpResponseParser(self)

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        """Read an answer byte by byte: else nobody would know what lies behind it. It is short."""
        for place in range(len(data)):
            if self._stands:
                self._fail("sent bytes of its own into the tunnel")
            elif self._size == MAX_HEAD:
                self._fail(f"gave an answer with a head over {MAX_HEAD} bytes")
            elif self._size == 0 and data[:1] != b"H":  # llhttp would take RTSP, ICE and blank lines too
                self._fail(_NO_HTTP)
            else:
                self._feed(data[place : place + 1])
            if self.error is not None:
                return
        if self._stands:
            self._wake()

    def eof_received(self) -> None:
        self._fail("hung up")

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("hung up" if exc is None else f"hung up: {type(exc).__name__}")

    # What llhttp calls.

    def on_headers_complete(self) -> None:
        status = self._http.get_status_code()
        if self._http.get_http_version() not in {"1.1", "1.0"}:
            self._fail(_NO_HTTP)
        elif 200 <= status < 300:
            self._stands = True
        elif not 100 <= status < 200 or status == 101:
            self._fail(f"answered {status}{self._why(status)}")

    def _feed(self, byte: bytes) -> None:
        self._size += 1
        try:
            self._http.feed_data(byte)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail(_NO_HTTP)

    def _why(self, status: int) -> str:
        if status != 407:
            return ""
        return ": it does not take the credentials" if self._shown else ": it wants credentials"

    def _fail(self, what: str) -> None:
        if self.error is None:
            self.error = _failed(what)
        self._wake()

    def _wake(self) -> None:
        if not self.waiter.done():
            self.waiter.set_result(None)


def _connect(origin: Origin, proxy: Proxy) -> bytes:
    place = f"{f'[{origin.host}]' if ':' in origin.host else origin.host}:{origin.port}"
    shown = f"proxy-authorization: {proxy.authorization}\r\n" if proxy.authorization is not None else ""
    return f"CONNECT {place} HTTP/1.1\r\nhost: {place}\r\n{shown}\r\n".encode("ascii")


def _failed(what: str) -> TransportError:
    return TransportError("connect_failed", f"the proxy {what}")
