"""Which connections are used again, which are not, and the one failure that is repaired unseen."""

import asyncio
import os
import random
from pathlib import Path

import pytest

from interlock.transport import Transport, TransportError, http1
from interlock.transport.http1 import Http1Transport
from tests.transport.test_http1 import post, soon, until
from tests.transport.upstream import answer, chunked, scripted


@pytest.fixture
async def client():
    client = Http1Transport()
    yield client
    await client.close()


class Counting:
    """An upstream that answers every request of a connection, and notes who asked on which."""

    def __init__(self, whole: bytes = answer(b"ok")) -> None:
        self.whole = whole
        self.served: list[int] = []

    async def __call__(self, peer):
        while True:
            await peer.request()
            self.served.append(peer.number)
            await peer.send(self.whole)


async def fetch(client: Transport, port: int) -> bytes:
    return await (await post(client, port)).read(1000, soon())


@pytest.mark.parametrize("whole", [answer(b"ok"), chunked(b"o", b"k"), answer(b"ok", 500)])
async def test_a_connection_is_used_again_after_a_complete_answer(client, whole):
    upstream = Counting(whole)
    async with scripted(upstream) as port:
        for _ in range(20):
            assert await fetch(client, port) == b"ok"
    assert upstream.served == [1] * 20


async def test_a_complete_answer_frees_its_connection_before_it_is_read(client):
    upstream = Counting()
    async with scripted(upstream) as port:
        first = await post(client, port)
        second = await post(client, port)
        assert await second.read(10, soon()) == await first.read(10, soon()) == b"ok"
    assert upstream.served == [1, 1]


async def test_calls_at_the_same_time_have_connections_of_their_own_and_the_last_used_is_used_first(client):
    begun, release = asyncio.Event(), asyncio.Event()
    served = []

    async def handler(peer):
        while True:
            request = await peer.request()
            served.append(peer.number)
            if request.body == b"wait":
                begun.set()
                await release.wait()
            await peer.send(answer(b"ok"))

    async with scripted(handler) as port:
        slow = asyncio.ensure_future(post(client, port, b"wait"))
        await begun.wait()
        await fetch(client, port)
        release.set()
        await slow
        for _ in range(3):
            await fetch(client, port)
    assert served == [1, 2, 1, 1, 1]


async def test_origins_do_not_share_connections(client):
    one, two = Counting(), Counting()
    async with scripted(one) as first, scripted(two) as second:
        for port in (first, second, first, second):
            await fetch(client, port)
    assert (one.served, two.served) == ([1, 1], [1, 1])


@pytest.mark.parametrize(
    "whole",
    [
        answer(b"ok", headers={"connection": "close"}),
        answer(b"ok", headers={"keep-alive": "timeout=0"}),
        answer(b"ok", headers={"keep-alive": "timeout=1, max=5"}),
        answer(b"ok") + answer(b"smuggled"),
        answer(b"ok") + b"x",
        answer(b"ok").replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
    ids=["close", "no time", "too little time", "two answers", "a stray byte", "HTTP/1.0"],
)
async def test_a_connection_that_is_not_clean_or_not_to_be_kept_is_closed(client, whole):
    upstream = Counting(whole)
    async with scripted(upstream) as port:
        assert await fetch(client, port) == b"ok"
        assert await fetch(client, port) == b"ok"
    assert upstream.served == [1, 2]


async def test_a_keep_alive_promise_long_enough_is_taken(client):
    upstream = Counting(answer(b"ok", headers={"keep-alive": "timeout=75"}))
    async with scripted(upstream) as port:
        await fetch(client, port)
        await fetch(client, port)
    assert upstream.served == [1, 1]


async def test_an_answer_before_the_request_is_out_leaves_a_connection_that_is_not_used_again(client):
    seen = []

    async def handler(peer):
        seen.append(peer.number)
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(answer(b"too large", 413))
        assert await peer.gone() is False  # it still gets more of the body
        while await peer.reader.read(65536):
            pass

    async with scripted(handler) as port:
        for _ in range(2):
            response = await post(client, port, b"x" * 30_000_000)
            assert response.status == 413
            assert await response.read(100, soon()) == b"too large"
    assert seen == [1, 2]


async def test_an_idle_connection_that_the_upstream_closed_is_not_used(client):
    served = []

    async def handler(peer):
        await peer.request()
        served.append(peer.number)
        await peer.send(answer(b"ok"))  # and closes

    async with scripted(handler) as port:
        for _ in range(3):
            await fetch(client, port)
            await until(lambda: not client._pool._open)
            assert not any(client._pool._idle.values())
    assert served == [1, 2, 3]


@pytest.mark.parametrize("state", ["closing", "too old"])
async def test_a_connection_is_looked_at_before_it_is_used_again(client, monkeypatch, state):
    monkeypatch.setattr(http1, "RACE_S", -1.0)  # so that no second try can hide a bad choice
    upstream = Counting()
    async with scripted(upstream) as port:
        await fetch(client, port)
        [[idle]] = client._pool._idle.values()
        if state == "closing":
            idle.transport.close()
        else:
            idle.expires = soon(0)
        assert await fetch(client, port) == b"ok"
    assert upstream.served == [1, 2]


async def test_bytes_on_an_idle_connection_close_it(client):
    served = []

    async def handler(peer):
        await peer.request()
        served.append(peer.number)
        await peer.send(answer(b"ok"))
        await asyncio.sleep(0.01)
        await peer.send(answer(b"request timeout", 408))
        await peer.gone()

    async with scripted(handler) as port:
        assert await fetch(client, port) == b"ok"
        await until(lambda: not client._pool._open)
        assert await fetch(client, port) == b"ok"
    assert served == [1, 2]


@pytest.mark.parametrize("reset", [False, True], ids=["eof", "rst"])
async def test_a_stale_connection_is_replaced_once_and_the_request_arrives_once_more(client, reset):
    """The first connection answers one request and drops the second unanswered."""
    bodies = []

    async def handler(peer):
        bodies.append((await peer.request()).body)
        await peer.send(answer(b"ok"))
        bodies.append((await peer.request()).body)
        if reset:
            peer.reset()

    async with scripted(handler) as port:
        await (await post(client, port, b"1")).read(10, soon())
        response = await post(client, port, b"2")
        assert await response.read(10, soon()) == b"ok"
    assert bodies == [b"1", b"2", b"2"]


async def test_a_request_is_sent_at_most_twice(client):
    seen = []

    async def handler(peer):
        await peer.request()
        seen.append(peer.number)
        if peer.number == 1:
            await peer.send(answer(b"ok"))
            await peer.request()
            seen.append(peer.number)

    async with scripted(handler) as port:
        await fetch(client, port)
        with pytest.raises(TransportError) as error:
            await fetch(client, port)
    assert error.value.outcome == "upstream_error"
    assert seen == [1, 1, 2]


async def test_a_fresh_connection_that_is_closed_unanswered_is_not_tried_again(client):
    seen = []

    async def handler(peer):
        await peer.request()
        seen.append(peer.number)

    async with scripted(handler) as port:
        with pytest.raises(TransportError) as error:
            await fetch(client, port)
    assert (error.value.outcome, seen) == ("upstream_error", [1])


@pytest.mark.parametrize("said", [b"H", b"HTTP/1.1 200 OK\r\n"])
async def test_after_the_first_byte_of_an_answer_a_request_is_not_sent_again(client, said):
    seen = []

    async def handler(peer):
        await peer.request()
        await peer.send(answer(b"ok"))
        await peer.request()
        seen.append(peer.number)
        await peer.send(said)

    async with scripted(handler) as port:
        await fetch(client, port)
        with pytest.raises(TransportError) as error:
            await fetch(client, port)
    assert (error.value.outcome, error.value.detail, seen) == ("upstream_error", "cut in the head", [1])


async def test_an_upstream_that_thought_about_it_before_it_hung_up_is_not_asked_again(client, monkeypatch):
    monkeypatch.setattr(http1, "RACE_S", 0.02)
    seen = []

    async def handler(peer):
        await peer.request()
        seen.append(peer.number)
        await peer.send(answer(b"ok"))
        await peer.request()
        await asyncio.sleep(0.05)

    async with scripted(handler) as port:
        await fetch(client, port)
        with pytest.raises(TransportError) as error:
            await fetch(client, port)
    assert (error.value.outcome, seen) == ("upstream_error", [1])


async def test_a_timeout_on_a_used_connection_is_not_tried_again(client):
    seen = []

    async def handler(peer):
        await peer.request()
        await peer.send(answer(b"ok"))
        await peer.request()
        seen.append(peer.number)
        await peer.gone()

    async with scripted(handler) as port:
        await fetch(client, port)
        with pytest.raises(TransportError) as error:
            await post(client, port, first_byte_by=soon(0.02))
    assert (error.value.outcome, seen) == ("timeout", [1])


async def test_a_connection_that_grew_old_is_not_used_and_does_not_stay_open():
    client = Http1Transport(idle_s=0.02)
    upstream = Counting()
    async with scripted(upstream) as port:
        await fetch(client, port)
        await asyncio.sleep(0.03)
        await fetch(client, port)
        assert upstream.served == [1, 2]
        await until(lambda: not client._pool._open)
        assert not client._pool._idle
    await client.close()


async def test_no_more_connections_are_kept_idle_than_allowed():
    client = Http1Transport(max_idle_per_origin=2)
    gate = asyncio.Event()

    async def handler(peer):
        while True:
            await peer.request()
            await gate.wait()
            await peer.send(answer(b"ok"))

    async with scripted(handler) as port:
        calls = [asyncio.ensure_future(fetch(client, port)) for _ in range(5)]
        await asyncio.sleep(0.02)
        gate.set()
        assert await asyncio.gather(*calls) == [b"ok"] * 5
        await until(lambda: len(client._pool._open) == 2)
    await client.close()
    assert not client._pool._open


def open_sockets() -> int:
    files = (Path(entry.path) for entry in os.scandir("/proc/self/fd"))
    return sum(1 for file in files if file.is_socket())


@pytest.mark.parametrize("seed", range(3))
async def test_c1_after_random_cancellations_no_answer_reaches_a_stranger_and_no_socket_is_left(
    client, seed, monkeypatch
):
    monkeypatch.setattr("interlock.transport.http1.RACE_S", 60.0)  # however busy this machine is
    draw = random.Random(seed)
    sockets = open_sockets()

    async def handler(peer):
        while True:
            body = (await peer.request()).body
            whole = draw.choice(
                [answer(body), chunked(body[:3], body[3:]), answer(body, headers={"connection": "close"})]
            )
            cut = draw.randrange(len(whole))
            await peer.send_apart(whole[:cut], whole[cut:])
            if draw.random() < 0.1:
                return

    async def call(port: int, number: int) -> None:
        body = b"request %d" % number
        for _ in range(draw.randrange(40)):
            await asyncio.sleep(0)
        assert await (await post(client, port, body)).read(100, soon()) == body

    async with scripted(handler) as port:
        calls = [asyncio.ensure_future(call(port, number)) for number in range(200)]
        for one in draw.sample(calls, 80):
            for _ in range(draw.randrange(4)):
                await asyncio.sleep(0)
            one.cancel()
        ends = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(end) for end in ends} <= {type(None), asyncio.CancelledError}
        assert ends.count(None) >= 120
        assert await fetch(client, port) == b"{}"
        await client.close()
    await until(lambda: open_sockets() <= sockets)
