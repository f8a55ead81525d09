"""When a request leaves: at once if it is alone, else with the others of its turn of the loop."""

import asyncio
from typing import cast

import pytest

from interlock.transport import TransportError
from interlock.transport.connection import Connection
from interlock.transport.http1 import Http1Transport
from interlock.transport.outbox import Outbox
from interlock.transport.pool import Pool
from interlock.transport.request import Origin
from tests.transport.test_http1 import until
from tests.transport.upstream import answer, scripted

ORIGIN = Origin(tls=False, host="127.0.0.1", port=80)


class Wire(asyncio.Transport):
    """The sending half of a socket, and what was written to it."""

    def __init__(self, sent: list[bytes]) -> None:
        super().__init__()
        self.sent = sent

    def write(self, data):
        self.sent.append(bytes(data))

    def is_closing(self):
        return False

    def get_write_buffer_size(self):
        return 0

    def abort(self):
        self.sent.append(b"aborted")


def connected(pool: Pool, outbox: Outbox, sent: list[bytes]) -> Connection:
    connection = Connection(asyncio.get_running_loop(), ORIGIN, pool, outbox)
    connection.connection_made(cast("asyncio.BaseTransport", Wire(sent)))
    return connection


async def test_a_request_alone_leaves_at_once_and_those_beside_it_at_the_end_of_the_turn():
    loop = asyncio.get_running_loop()
    pool, outbox = Pool(max_idle=9, idle_s=9.0), Outbox(loop)
    sent: list[bytes] = []
    by = loop.time() + 60
    first, second, third = (connected(pool, outbox, sent) for _ in range(3))
    first.start(b"1 ", b"{}", by)
    assert sent == [b"1 2\r\n\r\n{}"]
    second.start(b"2 ", b"[]", by)
    third.start(b"3 ", b"", by)
    assert len(sent) == 1
    await asyncio.sleep(0)
    assert sent[1:] == [b"2 2\r\n\r\n[]", b"3 0\r\n\r\n"]
    for connection in (first, second, third):
        connection.data_received(answer(b"ok"))
    assert pool.busy == 0
    second.start(b"4 ", b"", by)
    assert sent[3:] == [b"4 0\r\n\r\n"]
    second.fail(TransportError("cancelled", "given up"))
    assert pool.busy == 0
    await pool.close()


async def test_however_a_call_ends_it_is_no_longer_counted():
    async def handler(peer):
        request = await peer.request()
        if request.body == b"answer":
            await peer.send(answer(b"ok"))
        elif request.body == b"malformed":
            await peer.send(b"no HTTP")
        elif request.body == b"wait":
            await peer.gone()

    client = Http1Transport()
    pool = client._pool
    async with scripted(handler) as port:
        by = asyncio.get_running_loop().time() + 60

        async def call(body: bytes, first_byte_by: float = by) -> bytes:
            response = await client.send(
                f"http://127.0.0.1:{port}/", (), body, connect_by=by, first_byte_by=first_byte_by
            )
            return await response.read(10, by)

        assert await call(b"answer") == b"ok"
        for body in (b"malformed", b"hang up"):
            with pytest.raises(TransportError):
                await call(body)
        with pytest.raises(TransportError, match="timeout"):
            await call(b"wait", first_byte_by=by - 59.95)
        waiting = [asyncio.ensure_future(call(b"wait")) for _ in range(3)]
        await until(lambda: pool.busy == 3)
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert pool.busy == 0
        await client.close()
