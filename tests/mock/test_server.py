"""The mock's sockets: what it reads, counts, holds and breaks."""

import asyncio
import json
import ssl
from collections.abc import Iterator

import pytest

from interlock.mock import Answering, Close, Hang, Mock, Pause, Plan, Refuse, Repeat, Reset
from tests.mock.raw import CHAT, chat, exchange, post
from tests.server.harness import until

OK = b"HTTP/1.1 200 Mock\r\ncontent-length: 2\r\n\r\n"


async def test_it_counts_requests_and_connections_and_keeps_them_alive():
    async with Mock(lambda _: (OK + b"ok",)) as mock:
        reader, writer = await asyncio.open_connection("127.0.0.1", mock.port)
        for _ in range(3):
            writer.write(chat(keep=True))
            assert await reader.readexactly(len(OK) + 2) == OK + b"ok"
        assert (mock.connections, mock.open, len(mock.received)) == (1, 1, 3)
        assert (mock.busy, mock.sent) == (0, 3 * (len(OK) + 2))
        assert (mock.received[0].model, mock.received[0].stream) == ("m", False)
        writer.close()
        await until(lambda: mock.open == 0)


async def test_a_request_that_comes_with_the_one_before_it_is_not_lost():
    async with Mock(lambda request: (OK + request.body[:2],)) as mock:
        got, _ = await exchange(mock.port, chat(keep=True) + post("/", "x"))
        assert got == OK + b'{"' + OK + b'"x'


async def test_chunked_bodies_and_expect_continue_are_read():
    data = json.dumps(CHAT).encode()
    chunks = b"%x\r\n%b\r\n%x;note\r\n%b\r\n0\r\nx: y\r\n\r\n" % (5, data[:5], len(data) - 5, data[5:])
    head = b"POST /v1/chat/completions HTTP/1.1\r\nexpect: 100-continue\r\nconnection: close\r\n"
    head += b"transfer-encoding: chunked\r\n\r\n"
    async with Mock(Answering()) as mock:
        got, _ = await exchange(mock.port, head + chunks)
        assert got.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")
        assert mock.received[0].json == CHAT


@pytest.mark.parametrize(
    ("end", "how"), [((), "open"), ((Close(),), "closed"), ((Reset(),), "reset"), ((Hang(),), "open")]
)
async def test_an_answer_ends_as_its_plan_says(end, how):
    async with Mock(lambda _: (OK, b"o", Repeat(b"k", 3), *end)) as mock:
        assert await exchange(mock.port, chat(keep=True), quiet=0.5 if how == "open" else 10) == (
            OK + b"okkk",
            how,
        )


@pytest.mark.parametrize("holding", [Hang(), Pause(60), asyncio.Event()])
async def test_a_held_answer_notices_that_its_client_has_left(holding):
    async with Mock(lambda _: (OK, holding)) as mock:
        await exchange(mock.port, chat(), quiet=0.05)
        await asyncio.wait_for(mock.received[0].gone.wait(), 5)
        await until(lambda: mock.open == 0)


async def test_an_answer_waits_for_the_test_that_holds_it():
    gate = asyncio.Event()
    async with Mock(lambda _: (OK, gate, b"ok", Close())) as mock:
        asking = asyncio.create_task(exchange(mock.port, chat()))
        await until(lambda: mock.received)
        assert (mock.busy, asking.done()) == (1, False)
        gate.set()
        assert await asking == (OK + b"ok", "closed")


async def test_it_can_refuse_connections_for_a_while():
    async with Mock(lambda _: (OK + b"ok", Close())) as mock:
        await mock.refuse()
        with pytest.raises(ConnectionRefusedError):
            await exchange(mock.port, chat())
        await mock.listen()
        assert (await exchange(mock.port, chat()))[1] == "closed"


async def test_leaving_ends_whatever_is_open():
    async with Mock(lambda _: (Hang(),)) as mock:
        asking = asyncio.create_task(exchange(mock.port, chat()))
        await until(lambda: mock.received)
    assert (await asking)[0] == b""


async def test_a_request_can_have_connections_refused_for_a_while():
    plans: Iterator[Plan] = iter([(OK, Refuse(0.2)), (OK + b"ok", Close())])
    async with Mock(lambda _: next(plans)) as mock:
        assert await exchange(mock.port, chat()) == (OK, "reset")
        with pytest.raises(ConnectionRefusedError):
            await exchange(mock.port, chat())
        await until(lambda: mock.listening)
        assert await exchange(mock.port, chat()) == (OK + b"ok", "closed")


async def test_leaving_while_connections_are_refused_leaves_nothing_behind():
    async with Mock(lambda _: (Refuse(60),)) as mock:
        assert (await exchange(mock.port, chat()))[1] == "reset"
    with pytest.raises(ConnectionRefusedError):
        await exchange(mock.port, chat())


async def test_a_handshake_of_tls_is_told_that_it_failed():
    async with Mock(Answering()) as mock:
        with pytest.raises(ssl.SSLError, match="handshake failure"):
            await asyncio.open_connection("127.0.0.1", mock.port, ssl=ssl.create_default_context())
        assert mock.received == []
        assert (await exchange(mock.port, chat()))[0].startswith(b"HTTP/1.1 200 ")
