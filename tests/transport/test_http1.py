"""The client against a scripted upstream on loopback."""

import asyncio
import gc
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from interlock.transport import Response, Transport, TransportError
from interlock.transport.connection import Connection
from interlock.transport.http1 import Http1Transport
from interlock.transport.response import HIGH_WATER, SMALL, Http1Response
from tests.transport.upstream import answer, chunked, scripted

JSON = (("content-type", "application/json"),)


def soon(seconds: float = 60.0) -> float:
    return asyncio.get_running_loop().time() + seconds


async def post(client: Transport, port: int, body: bytes = b"{}", **more: Any) -> Response:
    more = {"connect_by": soon(), "first_byte_by": soon(), **more}
    return await client.send(f"http://127.0.0.1:{port}/v1", JSON, body, **more)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until something holds that nobody announces."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it never came to hold")


async def drain(response: Response, into: bytearray) -> None:
    """Read to the end; what came before an error stays in `into`."""
    while data := await response.chunk(soon()):
        into += data


@pytest.fixture
async def client():
    client: Transport = Http1Transport()
    yield client
    await client.close()


async def test_a_post_arrives_as_given_and_its_answer_comes_back(client):
    seen = []

    async def handler(peer):
        seen.append(await peer.request())
        await peer.send(answer(b'{"ok":1}', headers={"X-Request-Id": "r1"}))

    async with scripted(handler) as port:
        response = await post(client, port, b'{"a":1}')
        assert (response.status, response.headers["x-request-id"]) == (200, "r1")
        assert await response.read(1000, soon()) == b'{"ok":1}'
        assert await response.chunk(soon()) == b""
    [request] = seen
    assert request.line == "POST /v1 HTTP/1.1"
    assert request.body == b'{"a":1}'
    assert request.headers == {
        "host": f"127.0.0.1:{port}",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "content-length": "7",
    }


@pytest.mark.parametrize(("size", "again"), [(1, True), (SMALL - 100, True), (SMALL + 1, False)])
async def test_a_body_that_came_whole_is_let_go_of_unless_it_is_small(client, size, again):
    held = []

    async def handler(peer):
        await peer.request()
        await peer.send(answer(b""))

    async with scripted(handler) as port:
        response = await post(client, port, b"")
        assert isinstance(response, Http1Response)
        assert response.whole(size) is None, "there is none"
        response.put(b"x" * size)
        held = [response.whole(10 * SMALL) for _ in range(2)]
    assert held == [b"x" * size, b"x" * size if again else None]


@pytest.mark.parametrize("size", [0, 64 * 1024, 64 * 1024 + 1, 3_000_000])
async def test_bodies_of_any_size_are_sent_and_received_whole(client, size):
    async def handler(peer):
        request = await peer.request()
        await peer.send(answer(request.body[::-1]))

    body = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
    async with scripted(handler) as port:
        response = await post(client, port, body)
        assert await response.read(size, soon()) == body[::-1]


async def test_events_that_arrive_together_are_handed_over_together(client):
    events = [b"data: %d\n\n" % n for n in range(100)]

    async def handler(peer):
        await peer.request()
        await peer.send(chunked(*events))

    async with scripted(handler) as port:
        response = await post(client, port)
        assert await response.chunk(soon()) == b"".join(events)
        assert await response.chunk(None) == b""


async def test_an_event_is_handed_over_before_the_next_is_sent(client):
    go = asyncio.Event()

    async def handler(peer):
        await peer.request()
        await peer.send(chunked(b"data: 1\n\n", end=False))
        await go.wait()
        await peer.send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    async with scripted(handler) as port:
        response = await post(client, port)
        assert await response.chunk(soon()) == b"data: 1\n\n"
        go.set()
        assert await response.chunk(soon()) == b"data: 2\n\n"
        assert await response.chunk(soon()) == b""


async def test_u1_a_refused_connection_is_connect_failed(client):
    async with scripted(lambda peer: peer.gone()) as port:
        pass
    with pytest.raises(TransportError) as refused:
        await post(client, port)
    assert refused.value.outcome == "connect_failed"


async def test_u1_a_name_that_cannot_be_resolved_is_connect_failed(client):
    times = {"connect_by": soon(30), "first_byte_by": soon(30)}
    with pytest.raises(TransportError) as unknown:
        await client.send("http://nowhere.invalid/", (), b"", **times)
    assert unknown.value.outcome == "connect_failed"


async def test_u2_a_connect_deadline_that_has_passed_is_a_timeout(client):
    async with scripted(lambda peer: peer.gone()) as port:
        with pytest.raises(TransportError) as late:
            await post(client, port, connect_by=soon(-1))
    assert late.value.outcome == "timeout"


async def test_u2_an_upstream_that_accepts_and_is_silent_is_a_timeout_and_is_hung_up_on(client):
    gone = asyncio.Event()

    async def handler(peer):
        await peer.request()
        assert await peer.gone()
        gone.set()

    async with scripted(handler) as port:
        with pytest.raises(TransportError) as late:
            await post(client, port, first_byte_by=soon(0.05))
        assert (late.value.outcome, late.value.detail) == ("timeout", "no answer in time")
        await gone.wait()


async def test_u2_dripping_the_head_does_not_move_the_first_byte_deadline(client):
    async def handler(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            await peer.send(b"x: y\r\n")
            await asyncio.sleep(0.01)

    async with scripted(handler) as port:
        with pytest.raises(TransportError) as late:
            await post(client, port, first_byte_by=soon(0.06))
        assert late.value.outcome == "timeout"


CUT_LENGTH = answer(b"0123456789")
CUT_STREAM = chunked(b"data: 1\n\n", b"data: 2\n\n")


@pytest.mark.parametrize("reset", [False, True], ids=["eof", "rst"])
@pytest.mark.parametrize("whole", [CUT_LENGTH, CUT_STREAM], ids=["length", "chunked"])
async def test_u8_a_cut_at_any_byte_is_an_error_and_never_a_complete_end(client, whole, reset):
    cuts = iter(range(len(whole)))
    head = whole.index(b"\r\n\r\n") + 4

    async def handler(peer):
        await peer.request()
        await peer.send(whole[: next(cuts)])
        if reset:
            peer.reset()

    async with scripted(handler) as port:
        for cut in range(len(whole)):
            received = bytearray()
            with pytest.raises(TransportError) as error:
                await drain(await post(client, port), received)
            assert error.value.outcome == "upstream_error"
            assert received in (b"data: 1\n\ndata: 2\n\n", b"0123456789")[whole is CUT_LENGTH]
            if not reset:
                assert received == body_of(whole[head:cut], chunked=whole is CUT_STREAM)
                assert (error.value.detail == "cut") is (cut >= head)


def body_of(raw: bytes, *, chunked: bool) -> bytes:
    """The content in the first bytes of a body; chunks here are 9 bytes, each behind "9\\r\\n"."""
    if not chunked:
        return raw
    return b"".join(raw[at + 3 : at + 12] for at in range(0, len(raw), 14) if raw[at : at + 1] == b"9")


async def test_what_arrived_before_a_cut_is_handed_out_before_the_error(client):
    async def handler(peer):
        await peer.request()
        await peer.send(chunked(b"half", end=False))

    async with scripted(handler) as port:
        response = await post(client, port)
        await asyncio.sleep(0.02)
        assert await response.chunk(soon()) == b"half"
        for _ in range(2):
            with pytest.raises(TransportError, match="cut"):
                await response.chunk(soon())


async def test_u10_an_answer_split_at_every_byte_arrives_the_same(client):
    whole = chunked("data: é\r\n\r\n".encode(), b"data: 2\n\n")
    cuts = iter(range(1, len(whole)))

    async def handler(peer):
        while True:
            await peer.request()
            cut = next(cuts)
            await peer.send_apart(whole[:cut], whole[cut:])

    async with scripted(handler) as port:
        for _ in range(1, len(whole)):
            response = await post(client, port)
            assert await response.read(100, soon()) == "data: é\r\n\r\ndata: 2\n\n".encode()


async def test_u12_a_stalled_stream_is_a_timeout_and_is_hung_up_on(client):
    gone = asyncio.Event()

    async def handler(peer):
        await peer.request()
        await peer.send(chunked(b"data: 1\n\n", end=False))
        assert await peer.gone()
        gone.set()

    async with scripted(handler) as port:
        response = await post(client, port)
        assert await response.chunk(soon())
        with pytest.raises(TransportError) as late:
            await response.chunk(soon(0.03))
        assert (late.value.outcome, late.value.detail) == ("timeout", "stalled")
        await gone.wait()


async def test_u12_a_wait_that_the_client_looks_at_many_times_ends_all_the_same(client, monkeypatch):
    """No wait has a timer before its last look; an earlier deadline, set in between, holds too."""
    monkeypatch.setattr("interlock.transport.pool.LOOK_S", 0.01)

    async def handler(peer):
        await peer.request()
        await peer.send(chunked(b"data: 1\n\n", end=False))
        assert await peer.gone()

    async with scripted(handler) as port:
        for last in (0.2, 0.05, 0.001):
            response = await post(client, port, first_byte_by=soon(0.5))
            assert await response.chunk(soon(0.3))
            with pytest.raises(TransportError, match="stalled") as late:
                await asyncio.wait_for(response.chunk(soon(last)), 10)
            assert late.value.outcome == "timeout"


HALF_SENT = {
    "chunked": chunked(b'{"id": "x"', end=False),
    "of a known length": b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"id": "x"',
    "of a known length, none of it": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n",
    "until the end": b'HTTP/1.1 200 OK\r\n\r\n{"id": "x"',
}


@pytest.mark.parametrize("sent", HALF_SENT.values(), ids=HALF_SENT)
async def test_u12_a_whole_body_that_stalls_is_a_timeout_and_is_hung_up_on(client, sent):
    gone = asyncio.Event()

    async def handler(peer):
        await peer.request()
        await peer.send(sent)
        assert await peer.gone()
        gone.set()

    async with scripted(handler) as port:
        response = await post(client, port)
        with pytest.raises(TransportError) as late:
            await response.read(1000, soon(60), 0.02)
        assert (late.value.outcome, late.value.detail) == ("timeout", "stalled")
        await gone.wait()


async def test_u12_a_whole_body_may_take_its_time_to_begin_and_between_its_pieces(client):
    """A head that comes before its answer has been made says nothing of when that will be."""

    async def handler(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        await asyncio.sleep(0.6)
        for n in range(9):
            await peer.send(b"1\r\n%d\r\n" % n)
            await asyncio.sleep(0.06)
        await peer.send(b"0\r\n\r\n")

    async with scripted(handler) as port:
        assert await (await post(client, port)).read(1000, soon(60), 0.4) == b"012345678"


async def test_u12_a_deadline_that_has_passed_is_a_timeout_unless_bytes_are_there(client):
    async def handler(peer):
        await peer.request()
        await peer.send(chunked(b"data: 1\n\n", end=False))
        await peer.gone()

    async with scripted(handler) as port:
        response = await post(client, port)
        assert await response.chunk(soon(-1)) == b"data: 1\n\n"
        with pytest.raises(TransportError) as late:
            await response.chunk(soon(-1))
        assert late.value.outcome == "timeout"


async def test_u12_each_chunk_may_take_its_own_time_and_an_earlier_deadline_still_holds(client):
    """The timer of the connection moves both ways: later with each chunk, and back."""

    async def handler(peer):
        await peer.request()
        await peer.send(chunked(b"0", end=False))
        for n in range(9):
            await asyncio.sleep(0.03)
            await peer.send(b"1\r\n%d\r\n" % n)
        await peer.gone()

    async with scripted(handler) as port:
        response = await post(client, port, first_byte_by=soon(0.2))
        got = [await response.chunk(soon()) for _ in range(10)]
        assert got == [b"0", *(b"%d" % n for n in range(9))]
        response.close()

    async with scripted(handler) as port:
        response = await post(client, port, first_byte_by=soon(60))
        await response.chunk(soon(60))
        with pytest.raises(TransportError, match="stalled"):
            await response.chunk(soon(0.005))


@pytest.mark.asyncio(loop_factories=["asyncio"])  # libuv rings timers before it reads
async def test_u12_a_deadline_that_passes_while_bytes_are_being_handed_over_harms_nobody(client):
    go = asyncio.Event()

    async def handler(peer):
        await peer.request()
        await peer.send(chunked(b"1", end=False))
        await go.wait()
        peer.writer.write(b"1\r\n2\r\n")
        time.sleep(0.3)  # noqa: ASYNC251  the loop has to be late for this
        await asyncio.sleep(0.01)
        await peer.send(b"1\r\n3\r\n")
        await peer.gone()

    async with scripted(handler) as port:
        response = await post(client, port)
        assert await response.chunk(soon()) == b"1"
        asyncio.get_running_loop().call_later(0.001, go.set)
        assert await response.chunk(soon(0.25)) == b"2"
        assert await response.chunk(soon()) == b"3"
        response.close()


@pytest.mark.parametrize("raw", [b"<html>no</html>", b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n", b"\0" * 100])
async def test_u13_what_is_not_http_is_malformed(client, raw):
    async def handler(peer):
        await peer.request()
        await peer.send(raw)
        assert await peer.gone()

    async with scripted(handler) as port:
        with pytest.raises(TransportError) as error:
            await post(client, port)
        assert error.value.outcome == "malformed"


async def test_u13_a_broken_chunk_in_mid_stream_is_malformed_after_the_good_ones(client):
    async def handler(peer):
        await peer.request()
        await peer.send(chunked(b"data: 1\n\n", end=False) + b"what?\r\n")
        assert await peer.gone()

    async with scripted(handler) as port:
        response = await post(client, port)
        assert await response.chunk(soon()) == b"data: 1\n\n"
        with pytest.raises(TransportError) as error:
            await response.chunk(soon())
        assert error.value.outcome == "malformed"


@pytest.mark.parametrize(
    "flood",
    [b"x: " + b"y" * 1000, b"x: y\r\n" * 500, b"HTTP/1.1 100 Continue\r\n\r\n" * 100],
    ids=["one giant header", "endless headers", "endless interim answers"],
)
async def test_u14_an_endless_head_is_cut_off(client, flood):
    sent = 0

    async def handler(peer):
        nonlocal sent
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n" if flood.startswith(b"x") else b"")
        try:
            while True:
                await peer.send(flood)
                sent += len(flood)
        except ConnectionError:
            pass

    async with scripted(handler) as port:
        with pytest.raises(TransportError) as error:
            await post(client, port)
        assert error.value.outcome == "malformed"
    assert sent < 20_000_000


async def test_u14_a_body_over_the_limit_is_refused_before_it_is_read_when_its_length_is_told(client):
    async def handler(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\nx")
        assert await peer.gone()

    async with scripted(handler) as port:
        response = await post(client, port)
        with pytest.raises(TransportError) as error:
            await response.read(1000, soon())
        assert (error.value.outcome, error.value.detail) == ("malformed", "body over 1000 bytes")
        with pytest.raises(TransportError, match="body over"):
            await response.chunk(soon())


@pytest.mark.parametrize("declared", [False, True], ids=["until eof", "chunked"])
async def test_u14_an_endless_body_is_cut_at_the_limit(client, declared):
    sent = 0

    async def handler(peer):
        nonlocal sent
        await peer.request()
        await peer.send(
            b"HTTP/1.1 200 OK\r\n%s\r\n" % (b"transfer-encoding: chunked\r\n" if declared else b"")
        )
        try:
            while True:
                await peer.send(b"1000\r\n%s\r\n" % (b"x" * 0x1000) if declared else b"x" * 0x1000)
                sent += 0x1000
        except ConnectionError:
            pass

    async with scripted(handler) as port:
        response = await post(client, port)
        with pytest.raises(TransportError) as error:
            await response.read(100_000, soon())
        assert error.value.detail == "body over 100000 bytes"
    assert sent < 50_000_000


async def test_a_body_of_exactly_the_limit_is_read(client):
    async def handler(peer):
        while True:
            await peer.request()
            await peer.send(answer(b"12345"))

    async with scripted(handler) as port:
        assert await (await post(client, port)).read(5, soon()) == b"12345"
        with pytest.raises(TransportError, match="body over 4 bytes"):
            await (await post(client, port)).read(4, soon())


async def test_u14_a_packed_body_is_refused_unread(client):
    async def handler(peer):
        request = await peer.request()
        assert request.headers["accept-encoding"] == "identity"
        await peer.send(answer(b"\x1f\x8b bomb", headers={"content-encoding": "gzip"}))
        assert await peer.gone()

    async with scripted(handler) as port:
        with pytest.raises(TransportError) as error:
            await post(client, port)
        assert error.value.outcome == "malformed"
        assert "content-encoding" in error.value.detail


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_u15_a_redirect_is_a_status_and_is_not_followed(client, status):
    hits = []

    async def elsewhere(peer):
        hits.append(await peer.request())

    async with scripted(elsewhere) as other:

        async def handler(peer):
            await peer.request()
            await peer.send(answer(b"", status, {"location": f"http://127.0.0.1:{other}/"}))

        async with scripted(handler) as port:
            response = await post(client, port)
            assert response.status == status
            assert await response.read(0, soon()) == b""
    assert hits == []


async def test_u17_a_line_break_in_what_we_send_is_refused_before_anything_is_sent(client):
    connections = []

    async def handler(peer):
        connections.append(peer.number)

    async with scripted(handler) as port:
        url = f"http://127.0.0.1:{port}/"
        for bad_url, headers in [
            (url + "\r\nx: y", ()),
            (url, (("a\r\nb", "c"),)),
            (url, (("a", "b\r\nc: d"),)),
        ]:
            with pytest.raises(ValueError):
                await client.send(bad_url, headers, b"", connect_by=soon(), first_byte_by=soon())
    assert connections == []


async def test_u17_a_line_break_in_what_we_receive_is_malformed(client):
    async def handler(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nx: a\rinjected: b\r\ncontent-length: 0\r\n\r\n")

    async with scripted(handler) as port:
        with pytest.raises(TransportError) as error:
            await post(client, port)
        assert error.value.outcome == "malformed"


async def test_a_body_without_a_length_ends_with_the_connection(client):
    async def handler(peer):
        await peer.request()
        await peer.send_apart(b"HTTP/1.1 200 OK\r\n\r\n", b"all ", b"of it")

    async with scripted(handler) as port:
        assert await (await post(client, port)).read(100, soon()) == b"all of it"


async def test_a_reset_is_not_the_end_of_a_body_without_a_length(client):
    go = asyncio.Event()

    async def handler(peer):
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\npart")
        await go.wait()
        peer.reset()

    async with scripted(handler) as port:
        response = await post(client, port)
        assert await response.chunk(soon()) == b"part"
        go.set()
        with pytest.raises(TransportError, match="cut"):
            await response.chunk(soon())


async def test_u8_an_upstream_that_stops_answering_but_keeps_us_writing_is_not_waited_for(client):
    async def handler(peer):
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.writer.write_eof()
        await asyncio.sleep(60)

    async with scripted(handler) as port:
        with pytest.raises(TransportError) as error:
            await post(client, port, b"x" * 30_000_000)
        assert error.value.outcome == "upstream_error"


async def test_a_connection_that_was_lost_while_it_was_opened_is_an_error_and_not_a_wait(client, monkeypatch):
    def opened_and_lost(self, transport):
        opened(self, transport)
        transport.abort()

    opened = Connection.connection_made
    monkeypatch.setattr(Connection, "connection_made", opened_and_lost)
    async with scripted(lambda peer: peer.gone()) as port:
        with pytest.raises(TransportError) as error:
            await post(client, port)
        assert error.value.outcome == "upstream_error"


async def test_small_writes_are_not_held_back(client):
    async with scripted(lambda peer: peer.reader.read()) as port:
        call = asyncio.ensure_future(post(client, port))
        await until(lambda: bool(client._pool._open))
        [connection] = client._pool._open
        sock = connection.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_nothing_of_a_call_outlives_its_connection(client):
    """A timer set for a minute ahead would hold connection, parser and answer for that minute."""

    async def handler(peer):
        await peer.request()
        await peer.send(chunked(b"data: 1\n\n", end=False))

    async with scripted(handler) as port:
        for _ in range(5):
            response = await post(client, port, first_byte_by=soon(60))
            with pytest.raises(TransportError):
                await drain(response, bytearray())
    del response
    await until(lambda: not client._pool._open)
    gc.collect()
    assert [kept for kept in gc.get_objects() if isinstance(kept, Connection | Http1Response)] == []


async def test_interim_answers_are_not_the_answer(client):
    async def handler(peer):
        await peer.request()
        await peer.send_apart(
            b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 X\r\na: b\r\n\r\n", answer(b"real")
        )

    async with scripted(handler) as port:
        response = await post(client, port)
        assert (response.status, "a" in response.headers) == (200, False)
        assert await response.read(10, soon()) == b"real"


@pytest.mark.parametrize("stage", ["head", "chunk"])
async def test_c1_cancelling_the_reader_closes_the_socket(client, stage):
    gone = asyncio.Event()
    asked = asyncio.Event()

    async def handler(peer):
        await peer.request()
        if stage == "chunk":
            await peer.send(chunked(end=False))
        asked.set()
        assert await peer.gone()
        gone.set()

    async def call(port: int) -> None:
        response = await post(client, port)
        await response.chunk(soon())

    async with scripted(handler) as port:
        task = asyncio.ensure_future(call(port))
        await asked.wait()
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gone.wait()


async def test_c1_cancelling_at_any_step_of_connecting_and_sending_leaves_nothing_open(client):
    async with scripted(lambda peer: peer.reader.read()) as port:
        for steps in range(12):
            task = asyncio.ensure_future(post(client, port))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: not client._pool._open)


async def test_closing_a_response_early_closes_the_socket_and_ends_the_reading(client):
    gone = asyncio.Event()

    async def handler(peer):
        await peer.request()
        await peer.send(chunked(b"data: 1\n\n", end=False))
        assert await peer.gone()
        gone.set()

    async with scripted(handler) as port:
        response = await post(client, port)
        response.close()
        response.close()
        await gone.wait()
        assert await response.chunk(soon()) == b"data: 1\n\n"
        with pytest.raises(TransportError) as closed:
            await response.chunk(soon())
        assert closed.value.outcome == "cancelled"


async def test_c2_a_slow_reader_holds_the_upstream_back(client):
    piece = b"x" * 0x4000
    sent = 0

    async def handler(peer):
        nonlocal sent
        await peer.request()
        await peer.send(chunked(end=False))
        for _ in range(4096):  # 64 MB, if it is let
            await peer.send(b"4000\r\n%s\r\n" % piece)
            sent += len(piece)
        await peer.send(b"0\r\n\r\n")

    async with scripted(handler) as port:
        response = await post(client, port)
        received = 0
        for _ in range(2):
            before = -1
            while before != sent:  # until it is stuck
                before = sent
                await asyncio.sleep(0.05)
            assert sent - received < 16_000_000, "only what the kernel and two reads hold"
            assert isinstance(response, Http1Response)
            assert response._buffered <= HIGH_WATER + 256 * 1024  # what a loop reads at a time
            received += len(await response.chunk(soon()))
        while data := await response.chunk(soon()):
            received += len(data)
        assert received == sent == 4096 * len(piece)


def test_c2_single_bytes_that_nobody_reads_are_bounded_too():
    """A read of one byte costs what Python keeps around it: 1 MB per stream at most (row C2)."""
    reads = 0
    response = Http1Response(None, None)  # type: ignore[arg-type]  # only its buffer is looked at
    while not response.full:
        response.put(b"x")
        reads += 1
    assert reads * sys.getsizeof(b"x") < 1_000_000


async def test_after_close_the_client_sends_no_more(client):
    accepted = []

    async def handler(peer):
        accepted.append(peer.number)
        await peer.request()
        await peer.send(chunked(b"data: 1\n\n", end=False))
        await peer.gone()

    async with scripted(handler) as port:
        response = await post(client, port)
        await client.close()
        await response.chunk(soon())
        with pytest.raises(TransportError, match="cancelled"):
            await response.chunk(soon())
        with pytest.raises(TransportError) as closed:
            await post(client, port)
        assert closed.value.outcome == "connect_failed"
        await client.close()
    assert accepted == [1]


async def test_close_while_connecting_leaves_nothing_open(client):
    async with scripted(lambda peer: peer.reader.read()) as port:
        for steps in range(12):
            client = Http1Transport()
            call = asyncio.ensure_future(post(client, port))
            for _ in range(steps):
                await asyncio.sleep(0)
            await asyncio.gather(client.close(), client.close())
            with pytest.raises(TransportError) as error:
                await call
            assert error.value.outcome in {"connect_failed", "cancelled"}
