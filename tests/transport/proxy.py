"""A proxy on loopback that opens tunnels, or fails to in the way that a test asks for.

    async with proxying() as proxy:
        await client.send(..., proxy=proxy.at())

It notes what it is asked and every byte that a caller sends into a tunnel.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from interlock.types.proxy import Proxy, parse_proxy
from tests.transport.upstream import Peer, Received, scripted

ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


@dataclass
class Tunnels:
    """A proxy under test. `upwards` is what came out of callers, a text for each tunnel."""

    port: int = 0
    asked: list[Received] = field(default_factory=list)
    upwards: list[bytearray] = field(default_factory=list)

    def at(self, credentials: str | None = None) -> Proxy:
        return parse_proxy(f"http://127.0.0.1:{self.port}", credentials)

    @property
    def lines(self) -> list[str]:
        return [request.line for request in self.asked]


Greet = Callable[[Peer], Awaitable[object]]
"""What a proxy answers before bytes go through."""


async def welcome(peer: Peer) -> None:
    await peer.send(ESTABLISHED)


@asynccontextmanager
async def proxying(
    greet: Greet = welcome, *, to: int | Mapping[str, int] | None = None
) -> AsyncIterator[Tunnels]:
    """Run a proxy. `to` is the port on loopback to which tunnels lead: all, or those to hosts by name."""
    tunnels = Tunnels()

    async def handler(peer: Peer) -> None:
        request = await peer.request()
        tunnels.asked.append(request)
        upwards = bytearray()
        tunnels.upwards.append(upwards)
        host, _, asked = request.line.split()[1].rpartition(":")
        port = to if isinstance(to, int) else (to or {}).get(host, int(asked))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await greet(peer)
            await _pass(peer, reader, writer, upwards)
        finally:
            writer.transport.abort()

    async with scripted(handler) as tunnels.port:
        yield tunnels


async def _pass(
    peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upwards: bytearray
) -> None:
    """Bytes both ways, until one of the sides ends or breaks; the other is then ended or broken likewise."""

    async def up() -> None:
        with suppress(ConnectionError):
            while data := await peer.reader.read(65536):
                upwards.extend(data)
                writer.write(data)
                await writer.drain()

    async def down() -> None:
        try:
            while data := await reader.read(65536):
                await peer.send(data)
        except ConnectionError:
            peer.reset()

    ways = [asyncio.ensure_future(up()), asyncio.ensure_future(down())]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
