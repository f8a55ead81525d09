"""The HTTP/1.1 client for upstreams: finds or opens a connection, sends, waits for the head.

No redirects, cookies, HTTP/2 or unpacking of bodies. TLS certificates are verified unless the caller's own
`ssl.SSLContext` says otherwise; the default one honours SSL_CERT_FILE and SSL_CERT_DIR. A proxy is used where
a call names one (`tunnel`), never because the environment does.

The keep-alive race. An upstream may close an idle connection in the very moment in which we reuse
it. Then the request fails without one byte of an answer, and nobody has worked on it. Such a
request is sent once more, on a fresh connection. Three things must hold, or the failure is
reported as it is: the connection was reused, nothing at all was received, and it was closed
within RACE_S of the request, since an upstream that took longer may have begun to work, and to charge.
"""

import asyncio
import ssl
import time
from collections.abc import Sequence
from email.utils import formatdate
from functools import cache, lru_cache
from typing import Final

from interlock.transport import TransportError
from interlock.transport.connection import ClosedEarlyError, Connection
from interlock.transport.outbox import Outbox
from interlock.transport.pool import Pool
from interlock.transport.request import Origin, begin_head
from interlock.transport.response import Http1Response
from interlock.transport.tunnel import open_tunnel
from interlock.types.proxy import Proxy

RACE_S: Final = 1.0
_CLOSED: Final = "the client is closed"


class Http1Transport:
    """Implements `transport.Transport`. One per event loop; make it anywhere, use it on that loop only."""

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext | None = None,
        max_idle_per_origin: int = 256,
        idle_s: float = 30.0,
    ) -> None:
        self._ssl_context = ssl_context
        self._pool = Pool(max_idle=max_idle_per_origin, idle_s=idle_s)
        self._out: Outbox | None = None

    async def send(
        self,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        *,
        connect_by: float,
        first_byte_by: float,
        proxy: Proxy | None = None,
    ) -> Http1Response:
        """POST `body` and return when the head of the answer is here. See `transport.Transport`."""
        origin, begun = begin_head(url, tuple(headers), proxy)
        connection = self._pool.take(origin)
        reused = connection is not None
        while True:
            if connection is None:
                connection = await self._connect(origin, connect_by)
            response = connection.start(begun, body, first_byte_by)
            try:
                await response.waiter
            except BaseException:  # cancelled: the connection goes with its reader
                response.close()
                raise
            if response.status:
                if "date" not in response.headers:
                    response.headers["date"] = _date(int(time.time()))
                return response
            error = response.error
            assert error is not None, "an answer without a head is none"
            raced = reused and isinstance(error, ClosedEarlyError)
            if not raced or connection.loop.time() - connection.reused_at > RACE_S:
                raise error
            connection, reused = None, False

    async def close(self) -> None:
        """Close every connection and refuse new ones."""
        await self._pool.close()

    def _outbox(self, loop: asyncio.AbstractEventLoop) -> Outbox:
        if self._out is None:
            self._out = Outbox(loop)
        return self._out

    async def _connect(self, origin: Origin, by: float) -> Connection:
        """A fresh connection. A name look-up that is given up runs to its end in its thread."""
        if self._pool.closed:
            raise TransportError("connect_failed", _CLOSED)
        loop = asyncio.get_running_loop()
        context = (self._ssl_context or _verifying_context()) if origin.tls else None
        scope = asyncio.timeout_at(by)
        try:
            async with scope:
                connection = Connection(loop, origin, self._pool, self._outbox(loop))
                if origin.proxy is not None:
                    await open_tunnel(connection, origin.proxy, context)
                else:
                    await loop.create_connection(lambda: connection, origin.host, origin.port, ssl=context)
        except OSError as error:  # of it: resolver, TLS and timeout errors
            if scope.expired():
                through = " through the proxy" if origin.proxy is not None else ""
                raise TransportError("timeout", f"not connected{through} in time", unsent=True) from error
            raise TransportError("connect_failed", f"{type(error).__name__}: {error}") from error
        if connection.transport.is_closing():
            raise TransportError("upstream_error", "closed before a request", unsent=True)
        if self._pool.closed:
            connection.drop()
            raise TransportError("connect_failed", _CLOSED)
        self._pool.opened(connection)
        return connection


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    """For an answer that does not say when it was given: when it came, which is as near (RFC 9110, 6.6.1).

    What it says of other instants, as in `retry-after`, is told apart from it.
    """
    return formatdate(second, usegmt=True)


@cache
def _verifying_context() -> ssl.SSLContext:
    """The default for https. Made on first use: reading the certificates takes some milliseconds."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
