"""A scripted HTTP server on loopback: tests write its bytes by hand, so that it can also be wrong.

    async def handler(peer):
        request = await peer.request()
        await peer.send(answer(b"{}"))

    async with scripted(handler) as port: ...

The handler runs once per connection; the socket is closed when it returns. What it raises comes out
of the `async with`, except for connections that the other side broke.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple


class Received(NamedTuple):
    """A request as it came: its first line, its headers (lower case), its body, and the raw head."""

    line: str
    headers: dict[str, str]
    body: bytes
    head: bytes


class Peer:
    """One accepted connection. `number` counts them from 1."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number

    async def request(self) -> Received:
        """The next request; asyncio.IncompleteReadError if the client closes instead."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        line, *rest = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        headers = {name.lower(): value for name, _, value in (text.partition(": ") for text in rest)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Received(line, headers, body, head)

    async def send(self, data: bytes) -> None:
        if self.writer.is_closing():
            raise ConnectionResetError("the client left")  # uvloop would raise a RuntimeError
        self.writer.write(data)
        await self.writer.drain()

    async def send_apart(self, *pieces: bytes) -> None:
        """Each piece in a read of its own on the other side, as far as loopback lets one say."""
        for piece in pieces:
            await self.send(piece)
            for _ in range(4):
                await asyncio.sleep(0)

    async def gone(self) -> bool:
        """Wait until the client closes; False if it sends something instead."""
        try:
            return await self.reader.read(1) == b""
        except ConnectionError:
            return True

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Handler = Callable[[Peer], Awaitable[object]]


@asynccontextmanager
async def scripted(handler: Handler, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Run `handler` for each connection; give the port."""
    tasks: list[asyncio.Task[None]] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(peer: Peer) -> None:
        try:
            await handler(peer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client left; a test that cares asks `gone`
        finally:
            peer.writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        tasks.append(asyncio.ensure_future(serve(Peer(reader, writer, len(writers)))))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls, backlog=1024)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        for _ in range(5):  # a connection that is being accepted while the server closes would leak
            await asyncio.sleep(0)
        server.close()
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        for writer in writers:
            # asyncio's own transport, closed while bytes waited, forgets its loop when they are out, and then
            # stumbles over `abort`: there is nothing left of it that could be aborted.
            with suppress(AttributeError):
                writer.transport.abort()
        await server.wait_closed()
        for end in ends:
            if isinstance(end, Exception):
                raise end


def answer(body: bytes = b"{}", status: int = 200, headers: Mapping[str, str] | None = None) -> bytes:
    """A whole answer with a content-length."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
    return f"HTTP/1.1 {status} X\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body


def chunked(*chunks: bytes, end: bool = True) -> bytes:
    """A whole answer in chunks; without `end` the last chunk is missing."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head + body + (b"0\r\n\r\n" if end else b"")


class Flood:
    """A handler that sends a large body as fast as it is taken; `sent` is how much of it has been."""

    SIZE = 32 << 20

    def __init__(self):
        self.sent = 0

    async def __call__(self, peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % self.SIZE)
        while self.sent < self.SIZE:
            await peer.send(b"x" * 65536)
            self.sent += 65536

    async def at_rest(self):
        """How much has been sent once no more of it is taken."""
        before = -1
        while before != self.sent:
            before = self.sent
            await asyncio.sleep(0.05)
        return self.sent
