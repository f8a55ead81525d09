"""A provider on loopback that does what a test tells it, and remembers what it was asked.

Raw asyncio on purpose: it must be able to break HTTP in every way that a provider can.
"""

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Seen:
    """One request as it arrived. `gone` is set when the other side closes the connection."""

    path: str
    headers: dict[str, str]
    body: bytes
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reply:
    """A scripted answer: pieces of the body, an Event among them waits. `end`: whole, reset or hang."""

    status: int = 200
    pieces: tuple[bytes | asyncio.Event, ...] = ()
    kind: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    end: str = "whole"


HANG = Reply(end="hang")


def answer(value: Any, status: int = 200, **headers: str) -> Reply:
    extra = tuple((name.replace("_", "-"), text) for name, text in headers.items())
    return Reply(status, (json.dumps(value).encode(),), headers=extra)


def sse(*pieces: bytes | asyncio.Event, end: str = "whole") -> Reply:
    return Reply(200, pieces, "text/event-stream", end=end)


class Upstream:
    """`async with Upstream() as up`: `up.url` is its base. `replies` are used up in order, then `default`."""

    def __init__(self, default: Reply | Callable[[Seen], Reply] = HANG, *replies: Reply) -> None:
        self.default = default
        self.replies = list(replies)
        self.seen: list[Seen] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Upstream":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=64 * 1024 * 1024)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {}
        for line in head[1:-2]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        seen = Seen(head[0].split(" ")[1], headers, body)
        self.seen.append(seen)
        default = self.default(seen) if callable(self.default) else self.default
        reply = self.replies.pop(0) if self.replies else default
        watch = asyncio.create_task(self._watch(reader, seen))
        try:
            return await self._send(reply, writer, seen)
        except ConnectionError:
            seen.gone.set()
            raise
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _watch(self, reader: asyncio.StreamReader, seen: Seen) -> None:
        # Nobody pipelines here: whatever can be read while an answer is under way is the end.
        try:
            if not await reader.read(1):
                seen.gone.set()
        except ConnectionError:
            seen.gone.set()

    async def _send(self, reply: Reply, writer: asyncio.StreamWriter, seen: Seen) -> bool:
        if reply.end == "hang" and not reply.pieces:
            await seen.gone.wait()
            return False
        streamed = reply.kind == "text/event-stream"
        length = sum(len(piece) for piece in reply.pieces if isinstance(piece, bytes))
        framing = "transfer-encoding: chunked" if streamed else f"content-length: {length}"
        extra = "".join(f"{name}: {value}\r\n" for name, value in reply.headers)
        writer.write(
            f"HTTP/1.1 {reply.status} X\r\ncontent-type: {reply.kind}\r\n{framing}\r\n{extra}\r\n".encode(
                "latin-1"
            )
        )
        for piece in reply.pieces:
            if isinstance(piece, asyncio.Event):
                await piece.wait()
            else:
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece) if streamed else piece)
                await writer.drain()
        if reply.end == "hang":
            await seen.gone.wait()
            return False
        if reply.end == "reset":
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if streamed:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return True


def refused_port() -> int:
    """A port of loopback on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
