"""One answer as its reader sees it: waits for bytes that `connection` puts in.

It holds a connection only while something is still to come. Once the last byte is here the
connection is back in the pool, whether or not the body has been read.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from interlock.transport import TransportError

if TYPE_CHECKING:  # the two know each other; only one may import the other
    from interlock.transport.connection import Connection

HIGH_WATER: Final = 128 * 1024
"""Buffered bytes above which the socket is not read; one more read may lie on top."""
SMALL: Final = 16 * 1024
"""A whole body of so many bytes can be asked for again, until its reader lets go of the answer."""
_COST_OF_A_READ: Final = 64
"""What Python keeps beside the bytes of one read, so that single bytes cannot pile up cheaply."""


class Http1Response:
    """Implements `transport.Response`; `status` is 0 until the head is here.

    `waiter` is done when there is something new since the reader last looked: first the head, or in its
    place the `error` that no head will come for. Whoever is cancelled while it waits has to `close`.
    """

    __slots__ = ("_buffered", "_connection", "_reads", "error", "headers", "status", "waiter")

    def __init__(self, connection: "Connection", waiter: "asyncio.Future[None]") -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.error: TransportError | None = None
        self.waiter = waiter
        self._connection: Connection | None = connection
        self._reads: list[bytes] = []
        self._buffered = 0

    # For the reader.

    async def chunk(self, by: float | None) -> bytes:
        """Everything that is here, or the next read of the socket. See `transport.Response`."""
        while not self._reads:
            if self.error is not None:
                raise self.error
            connection = self._connection
            if connection is None:
                return b""
            assert self.waiter.done(), "one task reads an answer"
            self.waiter = connection.loop.create_future()
            connection.watch(by)
            try:
                await self.waiter
            except BaseException:
                self.close()
                raise
        return self._take()

    def whole(self, limit: int) -> bytes | None:
        """The whole body, where it came in one read, as most do. See `transport.Response`."""
        reads = self._reads
        size = self._buffered
        if len(reads) == 1 and self._connection is None and self.error is None and size <= limit:
            return reads[0] if size <= SMALL else reads.pop()
        return None

    async def read(self, limit: int, by: float | None, idle_s: float | None = None) -> bytes:
        """The whole body, or a refusal as soon as it is known to be over `limit` bytes.

        See `transport.Response`.
        """
        promised = self.headers.get("content-length")
        if promised is not None and int(promised) > limit:
            raise self._refuse(limit)
        body: list[bytes] = []
        size = 0
        while data := await self.chunk(by if promised is None and not body else self._next_by(by, idle_s)):
            size += len(data)
            if size > limit:
                body.clear()  # the error remembers this frame, and may outlast it
                raise self._refuse(limit)
            body.append(data)
        return body[0] if len(body) == 1 else b"".join(body)

    def _next_by(self, by: float | None, idle_s: float | None) -> float | None:
        """When the next byte is due, where there may be no longer silence than `idle_s`."""
        connection = self._connection
        if idle_s is None or connection is None:  # with the connection gone nothing is waited for
            return by
        at = connection.loop.time() + idle_s
        return at if by is None else min(at, by)

    def close(self) -> None:
        """Give up what has not arrived. Bytes that have can still be read."""
        if self._connection is not None:
            self._connection.fail(TransportError("cancelled", "closed by the reader"))

    def _refuse(self, limit: int) -> TransportError:
        error = TransportError("malformed", f"body over {limit} bytes")
        if self._connection is not None:
            self._connection.fail(error)
        self._reads.clear()
        self.error = error
        return error

    def _take(self) -> bytes:
        reads = self._reads
        data = reads[0] if len(reads) == 1 else b"".join(reads)
        reads.clear()
        if self._buffered > HIGH_WATER and self._connection is not None:
            self._connection.resume()
        self._buffered = 0
        return data

    # For the connection.

    @property
    def waiting(self) -> bool:
        """Whether the reader still has nothing; one that was woken has, though it may not have run yet."""
        return not self.waiter.done()

    @property
    def full(self) -> bool:
        return self._buffered > HIGH_WATER

    def put(self, data: bytes) -> None:
        self._reads.append(data)
        self._buffered += len(data) + _COST_OF_A_READ

    def end(self, error: TransportError | None) -> None:
        """Nothing more will come: the body is complete, or `error` says why it is not."""
        self._connection = None
        self.error = error
        if not self.waiter.done():
            self.waiter.set_result(None)

    def wake(self) -> None:
        if not self.waiter.done():
            self.waiter.set_result(None)
