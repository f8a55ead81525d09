"""The mock's sockets: accepts, reads requests, makes the moves of their answers, counts.

Raw on purpose: nothing between a plan and the wire completes, buffers or corrects what is sent. It speaks no
TLS: who begins a handshake is told that it failed.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Final, Self, cast

from interlock.mock.moves import Close, Hang, Move, Pause, Plan, Refuse, Repeat, Reset
from interlock.mock.request import MOST_HEAD, NotHttpError, Received, read_request

_HELLO: Final = b"\x16\x03"
"""How a client begins a handshake of any version of TLS."""
_NO_HANDSHAKE: Final = b"\x15\x03\x03\x00\x02\x02\x28"
"""An alert: fatal, handshake_failure (RFC 8446, section 6)."""
_NOT_HTTP: Final = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Mock:
    """`async with Mock(answer) as mock`: a server at `mock.url` until the block ends.

    `answer` gives the plan for a request. `received` has every request so far, `busy` counts those being
    answered, `connections` what was accepted and `open` what is open now, `sent` bytes of answers.
    `tell` is called with each request and its plan.
    """

    def __init__(
        self,
        answer: Callable[[Received], Plan],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tell: Callable[[Received, Plan], None] = lambda _request, _plan: None,
    ) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self.busy = 0
        self.sent = 0
        self.host = host
        self.port = port
        self.answer = answer
        self._tell = tell
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._away: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it listens, without a path: a base URL of OpenAI's kind is `{url}/v1`."""
        return f"http://{self.host}:{self.port}"

    @property
    def open(self) -> int:
        return len(self._tasks)

    @property
    def listening(self) -> bool:
        """Whether new connections are accepted."""
        return self._server is not None

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()
        tasks = [*self._tasks, *([] if self._away is None else [self._away])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def listen(self) -> None:
        """Accept connections, on the same port as before. Raises OSError where it cannot be had."""
        if self._server is not None:
            return
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, self.host, self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Refuse new connections; those that are open stay."""
        if self._server is not None:
            self._server.close()
            self._server = None
            await asyncio.sleep(0)

    async def _refuse_for(self, seconds: float) -> None:
        await self.refuse()
        await asyncio.sleep(seconds)
        await self.listen()

    def _protocol(self) -> "_Connection":
        return _Connection(self._begin)

    def _begin(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gone: asyncio.Event) -> None:
        self.connections += 1
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer, gone))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gone: asyncio.Event
    ) -> None:
        try:
            while request := await read_request(reader, writer, gone):
                self.received.append(request)
                plan = self.answer(request)
                self._tell(request, plan)
                if not await self._play(plan, writer, gone) or request.is_last:
                    break
        except NotHttpError:
            writer.write(_NOT_HTTP)
        except (ConnectionError, asyncio.IncompleteReadError):
            gone.set()
        finally:
            writer.close()

    async def _play(self, plan: Plan, writer: asyncio.StreamWriter, gone: asyncio.Event) -> bool:
        """Make the moves; whether the connection may serve another request. Raises ConnectionError."""
        self.busy += 1
        try:
            for move in plan:
                if not await self._make(move, writer, gone):
                    return False
        finally:
            self.busy -= 1
        return not gone.is_set()

    async def _make(self, move: Move, writer: asyncio.StreamWriter, gone: asyncio.Event) -> bool:
        """Make one move; whether there may be another."""
        match move:
            case bytes():
                await self._write(move, writer)
            case Repeat():
                for _ in range(move.times):
                    await self._write(move.data, writer)
            case Pause():
                return not await _either(asyncio.sleep(move.seconds), gone)
            case asyncio.Event():
                return not await _either(move.wait(), gone)
            case Hang():
                await gone.wait()
                return False
            case Reset() | Refuse():
                if isinstance(move, Refuse) and (self._away is None or self._away.done()):
                    self._away = asyncio.get_running_loop().create_task(self._refuse_for(move.seconds))
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            case Close():
                return False
        return True

    async def _write(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()  # until the kernel has all of it
        self.sent += len(data)


class _Connection(asyncio.StreamReaderProtocol):
    """Notices that a client has left without reading from it: what it sends next is not swallowed."""

    def __init__(
        self, begin: Callable[[asyncio.StreamReader, asyncio.StreamWriter, asyncio.Event], None]
    ) -> None:
        self._gone = asyncio.Event()
        self._begins = True
        super().__init__(
            asyncio.StreamReader(limit=MOST_HEAD),
            lambda reader, writer: begin(reader, writer, self._gone),
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)
        self._transport = cast("asyncio.WriteTransport", transport)
        self._transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        begins, self._begins = self._begins, False
        if begins and data.startswith(_HELLO):
            self._transport.write(_NO_HANDSHAKE)
            self._transport.close()
        else:
            super().data_received(data)

    def eof_received(self) -> bool | None:
        self._gone.set()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()
        super().connection_lost(exc)


async def _either(waiting: Awaitable[object], gone: asyncio.Event) -> bool:
    """Wait for something, or until the client has left; whether it has."""
    tasks = [asyncio.ensure_future(waiting), asyncio.ensure_future(gone.wait())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    return gone.is_set()
