"""Our HTTP/1.1 server on a raw socket: order, limits, ends, and what it makes of odd requests."""

import asyncio
import re
import socket
from typing import Any, cast

import pytest

from interlock.errors import ApiError
from interlock.server.http1 import Listener, connection, field
from interlock.transport.outbox import Outbox
from tests.server.harness import until


class Echo:
    """An App that answers each call with its method, target and body. `/slow` waits for `gate`."""

    def __init__(self):
        self.gate = asyncio.Event()
        self.served = []
        self.lost_calls = []
        self.left = []
        self.flooded = 0

    def admit(self, call):
        call.limit = 1000
        if call.target == b"/secret":
            raise ApiError("unauthenticated", "no")

    def again(self, call):
        return None

    def admit_again(self, call, again):
        return False

    def grow(self, call, size):
        call.room = size

    async def serve(self, call):
        self.served.append((call.method, bytes(call.target), call.body, dict(call.headers)))
        if call.target == b"/slow":
            try:
                call.exposed = True
                await self.gate.wait()
            except asyncio.CancelledError:
                call.go_on()
                self.left.append(call.gone)
                task = asyncio.current_task()
                self.cancelling = task and task.cancelling()
                return
            finally:
                call.exposed = False
        if call.target == b"/stream":
            call.begin(200, "content-type: text/plain\r\n")
            await call.write(b"one")
            await call.write(b"two")
            call.finish(b"three")
        elif call.target == b"/flood":
            call.begin(200, "")
            try:
                call.exposed = True
                while True:
                    self.flooded += 10_000
                    await call.write(b"x" * 10_000)
            except asyncio.CancelledError:
                self.left.append(call.gone)
        else:
            call.respond(200, "", b"%b %b %b" % (call.method.encode(), call.target, call.body))

    def refuse(self, call, error):
        call.respond(error.status, "", error.message.encode())

    def lost(self, call):
        self.lost_calls.append(call)


class Served:
    def __init__(self, app, listener, port):
        self.app = app
        self.listener = listener
        self.port = port

    async def open(self):
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, data, *, wait=3.0):
        """Send bytes and read to the end of the connection, or for as long as something comes."""
        reader, writer = await self.open()
        got, closed = b"", False
        try:
            writer.write(data)
            async with asyncio.timeout(wait):
                while piece := await reader.read(65536):
                    got += piece
                closed = True
        except TimeoutError:
            pass
        finally:
            writer.close()
        return got, closed


@pytest.fixture
async def served(monkeypatch):
    monkeypatch.setattr("interlock.server.http1.listener.LOOK_S", 0.02)
    app = Echo()
    listener = Listener(app)
    raw = socket.create_server(("127.0.0.1", 0))
    raw.setblocking(False)
    await listener.start(raw)
    yield Served(app, listener, raw.getsockname()[1])
    await listener.stop(0.2)


class Ending(Echo):
    """An Echo whose streams end with the connection; `seen` is what a caller could read before it ended."""

    caller: socket.socket
    seen = b""

    async def serve(self, call):
        call.begin(200, "")
        call.keep_alive = False
        call.finish(b"the last words")
        try:
            self.seen = self.caller.recv(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            self.seen = b""


@pytest.mark.skipif(not hasattr(socket, "TCP_CORK"), reason="only Linux can hold bytes back")
async def test_u8_the_last_words_of_a_stream_that_ends_its_connection_leave_together_with_its_end():
    """A caller that read them first would ask again on a connection that is about to close."""
    app = Ending()
    listener = Listener(app)
    raw = socket.create_server(("127.0.0.1", 0))
    raw.setblocking(False)
    await listener.start(raw)
    loop = asyncio.get_running_loop()
    with socket.create_connection(raw.getsockname()) as app.caller:
        app.caller.setblocking(False)
        await loop.sock_sendall(app.caller, get(b"/"))
        got = b""
        while piece := await loop.sock_recv(app.caller, 65536):
            got += piece
    assert app.seen == b""
    assert got.endswith(b"the last words\r\n0\r\n\r\n")
    await listener.stop(0.2)


class Tasks(Echo):
    """An Echo that notes in which task each call is served."""

    def __init__(self):
        super().__init__()
        self.tasks = []

    async def serve(self, call):
        self.tasks.append(asyncio.current_task())
        await super().serve(call)


class Wire(asyncio.Transport):
    """A transport that keeps what it is given."""

    def __init__(self):
        self.sent = b""
        self.closed = False

    def get_extra_info(self, name, default=None):
        return default

    def write(self, data):
        self.sent += data

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True

    abort = close

    def pause_reading(self):
        pass

    resume_reading = pause_reading


CLOSE = b"connection: close\r\n"


def get(path=b"/", *, more=b""):
    return b"GET %b HTTP/1.1\r\nhost: x\r\n%b\r\n" % (path, more)


def bodies(got):
    """The bodies of answers that say their length, in order."""
    found = []
    while got:
        head, _, rest = got.partition(b"\r\n\r\n")
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        found.append(rest[:length])
        got = rest[length:]
    return found


async def test_pipelined_requests_are_answered_in_their_order(served):
    served.app.gate.set()
    got, closed = await served.say(get(b"/slow") + get(b"/b") + get(b"/c", more=CLOSE))
    assert bodies(got) == [b"GET /slow ", b"GET /b ", b"GET /c "]
    assert closed


async def test_a_pipelined_request_waits_for_the_one_before_it(served):
    _, writer = await served.open()
    writer.write(get(b"/slow") + get(b"/b"))
    await until(lambda: len(served.app.served) == 1)
    await asyncio.sleep(0.05)
    assert len(served.app.served) == 1
    served.app.gate.set()
    await until(lambda: len(served.app.served) == 2)
    writer.close()


async def test_too_many_pipelined_requests_are_refused_after_the_others_are_answered(served):
    reader, writer = await served.open()
    writer.write(get(b"/slow") + get(b"/b") * (connection.MOST_WAITING + 20))
    await until(lambda: len(served.app.served) == 1)
    served.app.gate.set()
    answers = bodies(await asyncio.wait_for(reader.read(), 3))
    assert answers[-1] == b"too many requests wait on this connection"
    assert len(answers) < connection.MOST_WAITING + 5
    writer.close()


async def test_a_body_comes_whole_whether_declared_or_chunked(served):
    declared = b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello"
    chunked = (
        b"POST /b HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n"
        b"x-api-key: smuggled\r\n\r\n"
    )
    got, _ = await served.say(declared + chunked + get(more=CLOSE))
    assert bodies(got) == [b"POST /a hello", b"POST /b hello", b"GET / "]
    assert "x-api-key" not in served.app.served[1][3], "a trailer decides nothing"


async def test_c3_a_chunked_body_over_the_limit_is_cut_off(served):
    data = b"POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + b"100\r\n%b\r\n" % (
        b"x" * 256
    )
    got, closed = await served.say(data + b"400\r\n%b\r\n" % (b"x" * 1024))
    assert got.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in got
    assert closed
    assert served.app.served == []


async def test_a_refused_request_with_a_small_body_keeps_its_connection(served):
    refused = b"POST /secret HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello"
    got, closed = await served.say(refused + get(more=CLOSE))
    assert got.startswith(b"HTTP/1.1 401")
    assert bodies(got) == [b"no", b"GET / "]
    assert closed


async def test_a_refused_request_is_not_waited_for(served):
    big = b"POST /secret HTTP/1.1\r\nhost: x\r\ncontent-length: 900000\r\n\r\n"
    reader, writer = await served.open()
    writer.write(big)
    got = await asyncio.wait_for(reader.readuntil(b"no"), 3)
    assert got.startswith(b"HTTP/1.1 401")
    writer.close()


async def test_a_head_without_end_is_431(served):
    got, closed = await served.say(b"GET / HTTP/1.1\r\nx: " + b"y" * (connection.MOST_HEAD + 10))
    assert got.startswith(b"HTTP/1.1 431")
    assert closed
    got, _ = await served.say(get(more=b"".join(b"x-%d: y\r\n" % n for n in range(200))))
    assert got.startswith(b"HTTP/1.1 431")


async def test_a_large_body_that_comes_in_one_piece_is_no_large_head():
    class Roomy(Echo):
        def admit(self, call):
            call.limit = 1_000_000

    wire, loop = Wire(), asyncio.get_running_loop()
    spoken = connection.Connection(loop, Roomy(), set(), Outbox(loop))
    spoken.connection_made(wire)
    spoken.data_received(post(b"x" * (connection.MOST_HEAD + 1)))
    await until(lambda: wire.sent)
    assert wire.sent.startswith(b"HTTP/1.1 200")
    assert wire.sent.count(b"HTTP/1.1") == 1
    assert not wire.closed


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "while it is answered"])
async def test_blank_lines_without_end_are_431(busy):
    wire, loop = Wire(), asyncio.get_running_loop()
    spoken = connection.Connection(loop, Echo(), set(), Outbox(loop))
    spoken.connection_made(wire)
    if busy:
        spoken.data_received(post(b"x"))
    for _ in range(3):
        spoken.data_received(b"\r\n" * (connection.MOST_HEAD // 4))
    await until(lambda: b" 431 " in wire.sent)
    assert wire.sent.count(b"HTTP/1.1") == 1 + busy


async def test_a_caller_that_may_wait_for_it_is_told_to_continue(served):
    reader, writer = await served.open()
    writer.write(b"POST /a HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"ok")
    assert (await reader.readuntil(b"POST /a ok")).startswith(b"HTTP/1.1 200")
    writer.close()


EXPECTS = b" HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n"


@pytest.mark.parametrize("size", [2, 900_000])
async def test_a_refused_caller_is_not_told_to_continue_but_refused_at_once(served, size):
    """It waits for a word, so waiting for its body would be waiting for each other."""
    got, closed = await served.say(b"POST /secret" + EXPECTS % size)
    assert got.startswith(b"HTTP/1.1 401")
    assert closed


async def test_a_caller_that_asks_to_continue_behind_another_request_is_told_when_that_is_answered(served):
    reader, writer = await served.open()
    writer.write(get(b"/slow") + b"POST /a" + EXPECTS % 2)
    await until(lambda: served.app.served)
    served.app.gate.set()
    assert (await reader.readuntil(b"GET /slow ")).startswith(b"HTTP/1.1 200")
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"ok")
    assert (await reader.readuntil(b"POST /a ok")).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_a_caller_that_sends_its_body_without_waiting_is_not_told_to_continue_behind_it(served):
    reader, writer = await served.open()
    writer.write(get(b"/slow") + b"POST /a" + EXPECTS % 2 + b"o")
    await until(lambda: served.app.served)
    served.app.gate.set()
    assert (await reader.readuntil(b"GET /slow ")).startswith(b"HTTP/1.1 200")
    writer.write(b"k")
    assert (await reader.readuntil(b"POST /a ok")).startswith(b"HTTP/1.1 200")
    writer.close()


async def test_http_10_knows_no_word_before_an_answer(served):
    head = b"POST /a HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n"
    got, _ = await served.say(head + b"ok")
    assert got.startswith(b"HTTP/1.1 200")


async def test_c3_whose_body_would_be_too_large_is_told_so_and_not_to_continue(served):
    expecting = b"expect: 100-continue\r\ncontent-length: 900000\r\n\r\n"
    got, closed = await served.say(b"POST /a HTTP/1.1\r\nhost: x\r\n" + expecting)
    assert got.startswith(b"HTTP/1.1 413")
    assert closed


class Later:
    """A loop whose clock is ahead."""

    def __init__(self):
        self.loop, self.ahead_s = asyncio.get_running_loop(), 0.0

    def time(self):
        return self.loop.time() + self.ahead_s

    def __getattr__(self, name):
        return getattr(self.loop, name)


async def dripped(size, pieces, every_s):
    """What becomes of a request whose body comes in so many pieces, one every so many seconds."""
    wire, loop = Wire(), cast("Any", Later())
    spoken = connection.Connection(loop, Echo(), set(), Outbox(loop.loop))
    spoken.connection_made(wire)
    spoken.data_received(b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size)
    for _ in range(pieces):
        loop.ahead_s += every_s
        spoken.look(loop.time())
        if not wire.sent:
            spoken.data_received(b"x" * (size // pieces))
    await until(lambda: wire.sent)
    return wire.sent, loop.ahead_s


async def test_c12_a_byte_now_and_then_keeps_no_body_open():
    sent, after_s = await dripped(900, 900, 5)
    assert sent.startswith(b"HTTP/1.1 408")
    assert after_s > connection.BODY_S


async def test_c12_a_slow_body_that_goes_on_coming_is_served(monkeypatch):
    monkeypatch.setattr(connection, "SLOWEST_BODY", 5)
    sent, _ = await dripped(1000, 10, 18)
    assert sent.startswith(b"HTTP/1.1 200")


async def test_http_10_gets_an_answer_and_a_closed_connection(served):
    got, closed = await served.say(b"GET /stream HTTP/1.0\r\nconnection: keep-alive\r\n\r\n")
    assert got.partition(b"\r\n\r\n")[2] == b"onetwothree"
    assert b"chunked" not in got
    assert closed


async def test_a_stream_is_chunked_and_the_connection_goes_on(served):
    got, _ = await served.say(get(b"/stream") + get(more=CLOSE))
    assert b"3\r\none\r\n3\r\ntwo\r\n5\r\nthree\r\n0\r\n\r\nHTTP/1.1 200 OK" in got


async def test_head_has_no_body(served):
    got, _ = await served.say(b"HEAD / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert got.endswith(b"content-length: 7\r\nconnection: close\r\n\r\n")


async def test_an_upgrade_is_ignored_and_nothing_is_read_behind_it(served):
    asking = get(b"/up", more=b"connection: upgrade\r\nupgrade: websocket\r\n")
    got, closed = await served.say(asking + get(b"/smuggled"))
    assert bodies(got) == [b"GET /up "]
    assert closed
    assert len(served.app.served) == 1


async def test_what_comes_behind_a_closing_request_is_not_served(served):
    got, closed = await served.say(get(b"/last", more=CLOSE) + get(b"/smuggled"))
    assert bodies(got) == [b"GET /last "]
    assert closed
    assert len(served.app.served) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/1.1\nhost: x\n\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n folded: y\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\x80 HTTP/1.1\r\nhost: x\r\n\r\n",
    ],
)
async def test_c4_what_is_no_plain_http_is_400_and_ends(served, data):
    got, closed = await served.say(data)
    assert got.startswith(b"HTTP/1.1 400")
    assert got.count(b"\r\n\r\n") == 1
    assert closed
    assert served.app.served == []


async def test_c4_a_refused_request_that_is_broken_too_is_refused_once(served):
    coded = b"POST /secret HTTP/1.1\r\nhost: x\r\ntransfer-encoding: identity\r\n\r\n{}"
    got, closed = await served.say(coded + get(b"/smuggled"))
    assert got.count(b"HTTP/1.1 4") == 1
    assert closed
    assert served.app.served == []


async def test_a_broken_request_behind_a_good_one_waits_for_its_turn(served):
    reader, writer = await served.open()
    writer.write(get(b"/slow") + b"nonsense\r\n\r\n")
    await until(lambda: len(served.app.served) == 1)
    served.app.gate.set()
    got = await asyncio.wait_for(reader.read(), 3)
    assert got.startswith(b"HTTP/1.1 200")
    assert got.count(b"HTTP/1.1 400") == 1
    writer.close()


async def test_c1_a_caller_that_leaves_interrupts_the_work(served):
    _, writer = await served.open()
    writer.write(get(b"/slow"))
    await until(lambda: len(served.app.served) == 1)
    writer.transport.abort()
    await until(lambda: served.app.left == [True])
    assert served.app.cancelling == 0, "what follows can have deadlines of its own"


async def test_a_caller_that_leaves_in_the_middle_of_a_body_is_noted(served):
    _, writer = await served.open()
    writer.write(b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhe")
    await asyncio.sleep(0.05)
    writer.close()
    await until(lambda: len(served.app.lost_calls) == 1)
    assert served.app.served == []


async def test_c2_little_is_held_for_a_caller_that_does_not_read(served):
    """Neither by us nor by the system, which would take megabytes."""
    with socket.socket() as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        caller.connect(("127.0.0.1", served.port))
        caller.sendall(get(b"/flood"))
        await until(lambda: served.app.flooded)
        before = 0
        while served.app.flooded > before:
            before = served.app.flooded
            await asyncio.sleep(0.1)
        assert 0 < before < 1_000_000


async def test_c2_a_caller_that_does_not_read_is_cut_off(served, monkeypatch):
    monkeypatch.setattr(connection, "WRITE_S", 0.1)
    _, writer = await served.open()
    writer.write(get(b"/flood"))
    await until(lambda: served.app.left == [True])
    writer.close()


async def test_an_idle_connection_is_closed_and_a_busy_one_is_not(served, monkeypatch):
    monkeypatch.setattr(connection, "KEEP_ALIVE_S", 0.1)
    reader, writer = await served.open()
    writer.write(get())
    await reader.readuntil(b"GET / ")
    assert await asyncio.wait_for(reader.read(), 3) == b""
    writer.close()


async def test_p7_a_stop_lets_answers_end_and_closes_idle_connections(served):
    idle_reader, idle = await served.open()
    idle.write(get())
    await idle_reader.readuntil(b"GET / ")
    reader, writer = await served.open()
    writer.write(get(b"/slow"))
    await until(lambda: len(served.app.served) == 2)
    stopping = asyncio.create_task(served.listener.stop(5))
    assert await asyncio.wait_for(idle_reader.read(), 3) == b""
    served.app.gate.set()
    got = await asyncio.wait_for(reader.read(), 3)
    assert b"connection: close" in got
    assert got.endswith(b"GET /slow ")
    await stopping
    writer.close()
    idle.close()


async def test_p7_a_stop_interrupts_what_does_not_end(served):
    _, writer = await served.open()
    writer.write(get(b"/slow"))
    await until(lambda: len(served.app.served) == 1)
    await served.listener.stop(0.05)
    assert served.app.left == [False]
    writer.close()


def test_u17_a_header_line_holds_one_line():
    assert field("x-route", "a\r\nset-cookie: b") == "x-route: a\\r\\nset-cookie: b\r\n"
    assert field("x-route", "zürich/ä") == "x-route: z\\xfcrich/\\xe4\r\n"


async def test_an_answer_says_when_it_was_made(served):
    got, _ = await served.say(get(more=CLOSE))
    assert re.search(rb"\r\ndate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n", got)


def test_an_absolute_target_is_read_as_its_path():
    from interlock.server.app import _origin_form

    assert _origin_form(b"http://x/y?z=1") == b"/y?z=1"
    assert _origin_form(b"*") == b"*"


UPGRADE = (
    b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQBAAAAAAIAAAAA\r\n"
)


def post(body, *, more=b"", length=None, path=b"/"):
    size = len(body) if length is None else length
    return b"POST %b HTTP/1.1\r\nhost: x\r\n%bcontent-length: %d\r\n\r\n%b" % (path, more, size, body)


@pytest.mark.parametrize("cut", [0, -900, -899, -500, -1])
@pytest.mark.parametrize("behind", [b"", get(b"/smuggled")])
async def test_a_body_of_a_request_that_asks_to_upgrade_is_read_as_if_it_had_not(served, cut, behind):
    """As Java's client asks by default; wherever the bytes happen to be cut."""
    data = post(b"x" * 900, more=UPGRADE)
    reader, writer = await served.open()
    first, rest = (data[:cut], data[cut:]) if cut else (data, b"")
    writer.write(first if rest else first + behind)
    if rest:
        await asyncio.sleep(0.05)
        writer.write(rest + behind)
    got = await asyncio.wait_for(reader.read(), 3)
    writer.close()
    assert bodies(got) == [b"POST / " + b"x" * 900]
    assert b"connection: close" in got
    assert len(served.app.served) == 1, "nothing behind it is read"


async def test_a_request_that_asks_to_upgrade_waits_for_the_one_before_it(served):
    reader, writer = await served.open()
    writer.write(get(b"/slow") + post(b"four", more=UPGRADE))
    await until(lambda: served.app.served)
    served.app.gate.set()
    got = await asyncio.wait_for(reader.read(), 3)
    writer.close()
    assert bodies(got) == [b"GET /slow ", b"POST / four"]


@pytest.mark.parametrize(
    ("data", "status", "why"),
    [
        (post(b"x" * 2_000, more=UPGRADE), 413, b"larger than 1000 bytes"),
        (post(b"x" * 100_000, more=UPGRADE), 413, b"larger than 1000 bytes"),
        (post(b"hello", more=UPGRADE, path=b"/secret"), 401, b"no"),
        (post(b"x" * 100_000, more=UPGRADE, path=b"/secret"), 401, b"no"),
        (
            b"POST / HTTP/1.1\r\nhost: x\r\n%btransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            % UPGRADE,
            400,
            b"`upgrade`",
        ),
    ],
)
async def test_a_request_that_asks_to_upgrade_and_is_refused_is_told_why(
    served, monkeypatch, data, status, why
):
    monkeypatch.setattr(connection, "LINGER_S", 0.1)
    got, closed = await served.say(data)
    assert got.startswith(b"HTTP/1.1 %d" % status)
    assert why in got
    assert closed
    assert served.app.served == []


async def test_a_body_that_never_comes_behind_an_upgrade_is_408_and_a_caller_that_leaves_is_lost(
    served, monkeypatch
):
    _, writer = await served.open()
    writer.write(post(b"he", more=UPGRADE, length=5))
    await asyncio.sleep(0.05)
    writer.close()
    await until(lambda: served.app.lost_calls)
    monkeypatch.setattr(connection, "BODY_S", 0.05)
    monkeypatch.setattr(connection, "LINGER_S", 0.1)
    got, closed = await served.say(post(b"he", more=UPGRADE, length=5))
    assert got.startswith(b"HTTP/1.1 408")
    assert closed


async def test_a_length_of_nothing_is_no_body_to_wait_for(served):
    got, closed = await served.say(post(b"", more=UPGRADE))
    assert bodies(got) == [b"POST / "]
    assert closed
    got, closed = await served.say(post(b"", more=b"upgrade: h2c\r\n") + get(b"/b", more=CLOSE))
    assert bodies(got) == [b"POST / ", b"GET /b "], "without `connection: upgrade` it asks for nothing"


def spoken(app, wire=None):
    """A connection on a wire of its own."""
    loop, wire = asyncio.get_running_loop(), wire or Wire()
    made = connection.Connection(loop, app, set(), Outbox(loop))
    made.connection_made(wire)
    return made, wire


async def turns(count=10):
    for _ in range(count):
        await asyncio.sleep(0)


GET = b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n"


async def test_the_calls_of_a_connection_are_served_in_one_task_that_ends_with_it():
    app = Tasks()
    one, wire = spoken(app)
    for number in range(3):
        one.data_received(GET % number)
        await turns()
    assert wire.sent.count(b"HTTP/1.1 200 OK") == 3
    assert len(app.tasks) == 3
    assert len(set(app.tasks)) == 1
    assert not app.tasks[0].done()
    one.connection_lost(None)
    await turns()
    assert app.tasks[0].done()
    assert app.tasks[0].exception() is None


async def test_a_call_whose_turn_had_come_is_served_though_its_caller_left_before():
    """So that it is recorded and logged as all others."""
    app = Tasks()
    one, _ = spoken(app)
    one.data_received(GET % 1 + GET % 2)
    one.connection_lost(None)
    await turns()
    assert [target for _, target, *_ in app.served] == [b"/1"]
    assert [call.target for call in app.lost_calls] == [b"/2"]
    assert app.tasks[0].done()


async def test_a_connection_whose_task_was_cancelled_serves_its_next_call_in_another():
    app = Tasks()
    one, wire = spoken(app)
    one.data_received(GET % 1)
    await turns()
    app.tasks[0].cancel()
    await turns()
    one.data_received(GET % 2)
    await turns()
    assert wire.sent.count(b"HTTP/1.1 200 OK") == 2
    assert app.tasks[0] is not app.tasks[1]
    one.connection_lost(None)
    await turns()


async def test_a_connection_that_waits_for_its_next_request_is_closed_in_the_end():
    one, wire = spoken(Echo())
    one.data_received(GET % 1)
    await turns()
    one.look(now := one.loop.time())
    one.look(now + connection.KEEP_ALIVE_S - 1)
    assert not wire.closed
    one.look(now + connection.KEEP_ALIVE_S)
    assert wire.closed


class Ready(Echo):
    """An App that has its answers at once. Those to `/alone` wait for no other. `sent`: what had left."""

    def __init__(self):
        super().__init__()
        self.wire = Wire()
        self.sent = []

    async def serve(self, call):
        call.respond(200, "", call.target, alone=call.target == b"/alone")
        self.sent.append(self.wire.sent.rpartition(b"\r\n")[2])


async def test_an_answer_that_is_alone_leaves_at_once_and_behind_those_that_wait():
    app = Ready()
    one, app.wire = spoken(app)
    for path in (b"/other", b"/alone"):
        one.data_received(b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % path)
        await turns()
    assert app.sent == [b"", b"/alone"]
    app.wire.sent = b""
    one.data_received(b"GET /other HTTP/1.1\r\nhost: x\r\n\r\nGET /alone HTTP/1.1\r\nhost: x\r\n\r\n")
    await turns()
    assert app.sent[2:] == [b"", b"/alone"]
    assert re.findall(rb"\r\n\r\n(/[a-z]+)", app.wire.sent) == [b"/other", b"/alone"]
    one.connection_lost(None)
    await turns()


class Lost(Wire):
    """A transport that refuses to write once its connection is lost, as uvloop's does."""

    def write(self, data):
        if self.closed:
            raise RuntimeError("the handler is closed")
        super().write(data)


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize("alone", [False, True])
async def test_c1_an_answer_whose_caller_has_left_meanwhile_is_no_fault(size, alone):
    one, wire = spoken(Echo(), Lost())
    one.data_received(get(b"/slow"))
    call = one.active
    wire.close()
    one.connection_lost(None)
    call.respond(200, "", b"x" * size, alone=alone)
    await turns()
    assert call.complete
    assert wire.sent == b""


class Large(Echo):
    """An App whose answers are too large for one write, but those that do not end."""

    async def serve(self, call):
        if call.target == b"/slow":
            await super().serve(call)
        else:
            call.respond(200, "", b"x" * 100_000)


class Full(Wire):
    """A transport whose caller does not read: what is written fills it, and keeps it from closing."""

    spoken: connection.Connection
    is_read = False

    def write(self, data):
        super().write(data)
        self.spoken.pause_writing()

    def close(self):
        self.closed = self.is_read


async def unread(data):
    """A connection that has answered, and nobody has read it yet."""
    wire = Full()
    wire.spoken, _ = spoken(Large(), wire)
    wire.spoken.data_received(data)
    await turns()
    return wire.spoken, wire


@pytest.mark.parametrize("behind", [b"", get(), get(b"/slow"), b"GET / HT"])
async def test_c2_a_caller_that_does_not_read_a_whole_answer_is_cut_off(behind):
    one, wire = await unread(get() + behind)
    one.look((now := one.loop.time()) + connection.WRITE_S - 1)
    assert not wire.closed
    one.look(now + connection.WRITE_S)
    try:
        assert wire.closed
    finally:
        one.connection_lost(None)
        await turns()


@pytest.mark.parametrize("behind", [b"", b"GET / HT"])
async def test_a_caller_that_has_read_a_large_answer_has_as_long_as_any_for_what_it_sends_next(behind):
    one, wire = await unread(get())
    wire.is_read = True
    one.resume_writing()
    if behind:
        one.data_received(behind)
    one.look(now := one.loop.time())
    within = connection.HEAD_S if behind else connection.KEEP_ALIVE_S
    one.look(now + within - 1)
    assert not wire.closed
    one.look(now + within)
    assert wire.closed


class Faulty(Echo):
    """An App whose work on `/fault` fails when that has its answer already."""

    async def serve(self, call):
        await super().serve(call)
        if call.target == b"/fault":
            raise MemoryError


async def test_a_fault_behind_an_answer_does_not_keep_the_next_call_from_its_own():
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    one, wire = spoken(Faulty())
    one.data_received(get(b"/fault") + get(b"/next"))
    await turns()
    assert bodies(wire.sent) == [b"GET /fault ", b"GET /next "]
    one.connection_lost(None)
    await turns()
