"""A head that comes again is not parsed again; nothing else comes of that: no other answer, order or end."""

import asyncio
import re
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from interlock.errors import ApiError
from interlock.server.app import Application
from interlock.server.http1 import connection
from interlock.server.http1.connection import Connection
from interlock.transport.outbox import Outbox
from tests.server.harness import keyed, pool, serving, until
from tests.server.test_http1 import Wire
from tests.server.upstream import Upstream
from tests.server.vendors import chat

PLAIN = b"POST /a HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\ncontent-length: %d\r\nx-more: y\r\n\r\n"


class Noted:
    """An App that notes each call as it is served, and admits a head again. `again` counts how often."""

    def __init__(self):
        self.calls = []
        self.hits = 0

    def admit(self, call):
        call.limit = 90
        if call.target == b"/secret":
            raise ApiError("unauthenticated", "no")

    def again(self, call):
        return call.target

    def admit_again(self, call, again):
        assert again == call.target
        if len(call.body) > 90:
            return False
        call.limit = 90
        self.hits += 1
        return True

    def grow(self, call, size):
        call.room = size

    def note(self, call):
        headers = {name: text for name, text in call.headers.items() if name != "content-length"}
        what = (call.method, call.target, headers, call.doubled, call.body, call.http10, call.keep_alive)
        self.calls.append((*what, call.limit, call.error and call.error.code))

    async def serve(self, call):
        self.note(call)
        for _ in range(len(call.body) % 5):  # longer ones must not be overtaken
            await asyncio.sleep(0)
        call.respond(200, "", b"%b %b" % (call.target, call.body))

    def refuse(self, call, error):
        self.note(call)
        call.respond(error.status, "", error.message.encode())

    def lost(self, call):
        self.calls.append("lost")


async def say(reads, *, closing_at=None):
    """What comes of reads on a connection. Between two reads everything is answered, unless the second is
    given as a pair with False."""
    app, wire, loop = Noted(), Wire(), asyncio.get_running_loop()
    spoken = Connection(loop, app, set(), Outbox(loop))
    spoken.connection_made(wire)
    for number, read in enumerate(reads):
        data, waits = read if isinstance(read, tuple) else (read, True)
        if number == closing_at:
            spoken.closing = True
        if data and not wire.closed:
            spoken.data_received(data)
        for _ in range(12 if waits else 0):
            await asyncio.sleep(0)
    for _ in range(80):
        await asyncio.sleep(0)
    state = (spoken.stage, spoken.closing, wire.closed)
    spoken.connection_lost(None)
    sent = re.sub(rb"date: [^\r]*\r\n", b"", wire.sent)
    return (app.calls, sent, state), app.hits


async def with_and_without(reads, **more):
    """What comes of reads with a memory, how often it has helped, and what comes of them without one."""
    found, hits = await say(reads, **more)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "MOST_TRIES", 0)
        expected, none = await say(reads, **more)
    assert none == 0
    return found, hits, expected


def request(body, head=PLAIN):
    return head % len(body) + body


async def test_a_head_is_known_from_its_third_request_on():
    reads = [request(b"x" * size) for size in (5, 7, 12, 0, 90)]
    found, hits, expected = await with_and_without(reads)
    assert hits == 3
    assert found == expected
    assert [call[4] for call in found[0]] == [b"x" * size for size in (5, 7, 12, 0, 90)]
    assert found[0][2][2] == {"host": "x", "authorization": "Bearer k", "x-more": "y"}


async def test_a_known_head_with_a_body_over_the_limit_is_refused_as_any():
    found, hits, expected = await with_and_without([request(b"x")] * 3 + [request(b"x" * 91)])
    assert hits == 1
    assert found == expected
    assert b"HTTP/1.1 413" in found[1]


async def test_a_server_that_is_about_to_stop_says_so_behind_a_known_head_too():
    found, hits, expected = await with_and_without([request(b"x")] * 4, closing_at=3)
    assert hits == 2
    assert found == expected
    assert found[1].count(b"connection: close") == 1


async def test_a_client_whose_heads_all_differ_is_not_remembered_for_ever():
    reads = [request(b"x", PLAIN.replace(b"y", b"%d" % number)) for number in range(connection.MOST_TRIES)]
    _, hits, _ = await with_and_without([*reads, *[request(b"x")] * 4])
    assert hits == 0


async def test_a_known_head_waits_for_the_answer_before_it():
    known = [request(b"x")] * 3
    found, hits, expected = await with_and_without([*known, (request(b"slow"), False), (request(b""), False)])
    assert hits == 2
    assert found == expected
    assert found[1].endswith(b"/a slowHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n/a ")


SMUGGLED = b"POST /smuggled HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"


def changed(old, new, body=b"hello"):
    head = PLAIN % len(body)
    assert old in head
    return head.replace(old, new) + body


ATTACKS = {
    "a second length": changed(b"x-more: y", b"content-length: 50"),
    "the same length twice": changed(b"x-more: y", b"content-length: 5"),
    "a second length before it": changed(b"host: x\r\n", b"host: x\r\nContent-Length: 50\r\n"),
    "a plus": changed(b": 5\r\n", b": +5\r\n"),
    "a minus": changed(b": 5\r\n", b": -5\r\n"),
    "a space before": changed(b": 5\r\n", b":  5\r\n"),
    "a space behind": changed(b": 5\r\n", b": 5 \r\n"),
    "a space between": changed(b": 5\r\n", b": 5 0\r\n"),
    "no space": changed(b": 5\r\n", b":5\r\n"),
    "a leading zero": changed(b": 5\r\n", b": 05\r\n"),
    "only zeros, and a body": changed(b": 5\r\n", b": 000\r\n"),
    "a list": changed(b": 5\r\n", b": 5, 5\r\n"),
    "an underscore": changed(b": 5\r\n", b": 0_5\r\n"),
    "hexadecimal": changed(b": 5\r\n", b": 0x5\r\n"),
    "other digits": changed(b": 5\r\n", b": \xd9\xa5\r\n"),
    "no digits": changed(b": 5\r\n", b": \r\n"),
    "far too many digits": changed(b": 5\r\n", b": 99999999999999999999999\r\n"),
    "a bare newline": changed(b": 5\r\n", b": 5\n"),
    "a folded length": changed(b": 5\r\n", b": 5\r\n 0\r\n"),
    "a fold behind": changed(b"x-more: y\r\n", b"x-more: y\r\n z: content-length: 50\r\n"),
    "chunks": changed(b"x-more: y", b"transfer-encoding: chunked", b"0\r\n\r\n" + SMUGGLED),
    "chunks in another place": changed(b"host: x", b"host: x\r\ntransfer-encoding: chunked", b"0\r\n\r\n"),
    "an unknown coding": changed(b"x-more: y", b"transfer-encoding: identity"),
    "a longer name": changed(b"content-length", b"content-length-"),
    "another case": changed(b"content-length", b"Content-Length"),
    "another key": changed(b"Bearer k", b"Bearer l"),
    "a header more": changed(b"x-more: y", b"x-more: y\r\nx-more: z"),
    "another target": changed(b"/a", b"/secret"),
    "another method": changed(b"POST", b"GET"),
    "an older protocol": changed(b"HTTP/1.1", b"HTTP/1.0"),
    "a newline first": b"\r\n" + request(b"hello"),
    "its end": changed(b"x-more: y", b"connection: close"),
    "waiting": changed(b"x-more: y", b"expect: 100-continue"),
    "an upgrade": changed(b"x-more: y", b"upgrade: h2c\r\nconnection: upgrade"),
    "a body that is longer than it says": request(b"hello") + SMUGGLED,
    "a body that is one byte longer than it says": request(b"hello") + b"!",
    "a body that is shorter than it says": PLAIN % 50 + b"hello",
    "two at once": request(b"hello") + request(b"world"),
    "half a head": (PLAIN % 5)[:-20],
    "a head alone": PLAIN % 5,
    "a head of no body, without its end": (PLAIN % 0)[:-4],
    "a head of no body, without half of its end": (PLAIN % 0)[:-2],
    "no head": b"\r\n\r\n",
    "a length that is the body's": request(b"\r\ncontent-length: 3\r\n\r\n"),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
async def test_c4_what_is_not_quite_a_known_head_is_read_as_if_none_were_known(attack):
    known = [request(b"hello")] * 3
    for behind in (b"", SMUGGLED, request(b"hello"), b"0" * 50):
        found, hits, expected = await with_and_without([*known, attack, behind, request(b"hello")])
        assert hits >= 1, "the head was known"
        assert found == expected


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
async def test_c4_a_head_of_doubtful_length_is_not_remembered(attack):
    found, hits, expected = await with_and_without([attack] * 5)
    assert found == expected
    plain = {"another case", "another key", "another target", "a length that is the body's"}
    name = next(name for name, data in ATTACKS.items() if data is attack)
    assert hits == 0 or name in plain


async def test_c4_the_digits_alone_say_where_a_known_head_ends():
    """A head that differs behind its digits is another one, also where both together are as long."""
    known = [request(b"hello")] * 3
    moved = PLAIN.replace(b"%d\r\nx-more", b"%d0\r\nxmore") % 5 + b"x" * 50
    found, hits, expected = await with_and_without([*known, moved, request(b"hello")])
    assert hits == 2
    assert found == expected
    assert found[0][3][4] == b"x" * 50


HEADS = [
    PLAIN,
    PLAIN.replace(b"x-more: y", b"x-more: z"),
    b"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
    b"POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nConnection: keep-alive\r\n\r\n",
    b"POST http://x/c?d HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n",
    b"POST /secret HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n",
    b"POST /a HTTP/1.1\r\nhost: x\r\nx: 1\r\nx: 2\r\ncontent-length: %d\r\n\r\n",
    b"POST /a HTTP/1.1\r\nhost: x\r\nx: 1\r\nx: 1\r\ncontent-length: %d\r\n\r\n",
    b"PUT /a HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n",
    b"GET /a HTTP/1.1\r\nhost: x\r\nx-length: %d\r\n\r\n",
]
BODIES = st.binary(max_size=12) | st.sampled_from(
    [
        b"",
        b"x" * 90,
        b"x" * 91,
        b"\r\n\r\n",
        b"\r\ncontent-length: 3\r\n\r\n",
        request(b"hello"),
        SMUGGLED[:89],
    ]
)
MESSAGES = (
    st.builds(request, BODIES, st.sampled_from(HEADS[:3]))
    | st.builds(request, BODIES, st.sampled_from(HEADS))
    | st.sampled_from([b"\r\n", *ATTACKS.values()])
)


@st.composite
def talks(draw):
    """Reads of one connection: mostly whole requests, now and then cut or joined, waited for or not."""
    messages = draw(st.lists(MESSAGES, min_size=1, max_size=5))
    first = draw(st.sampled_from(HEADS))
    messages = [request(b"1", first), request(b"2", first), *messages, request(b"end", first)]
    reads: list[tuple[bytes, bool]] = []
    for message in messages:
        how = draw(st.sampled_from(["whole", "whole", "whole", "cut", "joined"]))
        if how == "joined" and reads:
            reads[-1] = (reads[-1][0] + message, reads[-1][1])
        elif how == "cut":
            cut = draw(st.integers(0, len(message)))
            reads += [(message[:cut], draw(st.booleans())), (message[cut:], True)]
        else:
            reads.append((message, draw(st.booleans()) or draw(st.booleans())))
    return reads


@settings(max_examples=150, deadline=None)
@given(talks(), st.none() | st.integers(0, 6))
@example([(request(b"1"), True)] * 3, None)
def test_c4_a_connection_that_knows_heads_behaves_as_one_that_does_not(reads, closing_at):
    found, _, expected = asyncio.run(with_and_without(reads, closing_at=closing_at))
    assert found == expected


# The application: what was true of a head is true as long as its key is.


@pytest.fixture
async def up():
    async with Upstream(chat()) as upstream:
        yield upstream


@pytest.fixture
def admitted(monkeypatch):
    """The keys of the callers whose heads were judged in full."""
    found = []
    admit = Application.admit

    def noting(self, call):
        admit(self, call)
        found.append(call.held.caller.key)

    monkeypatch.setattr(Application, "admit", noting)
    return found


class Caller:
    """A client that keeps its connection."""

    def __init__(self, key, streams):
        self.key = key
        self.reader, self.writer = streams

    async def ask(self, text="hi"):
        """The status of the answer to one request."""
        body = b'{"model":"prod","messages":[{"role":"user","content":"%b"}]}' % text.encode()
        self.writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer %b\r\n"
            b"content-length: %d\r\n\r\n%b" % (self.key.encode(), len(body), body)
        )
        head = await self.reader.readuntil(b"\r\n\r\n")
        await self.reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r")[0]))
        return int(head[9:12])


@asynccontextmanager
async def callers(server, *keys):
    """One for each key."""
    port = int(server.url.rpartition(":")[2])
    found = [Caller(key, await asyncio.open_connection("127.0.0.1", port)) for key in keys]
    try:
        yield found
    finally:
        for caller in found:
            caller.writer.close()
            await caller.writer.wait_closed()


async def test_a_known_head_is_not_judged_again_and_its_caller_is_recorded_as_any(tmp_path, up, admitted):
    config = pool(up.url, keys=keyed({"id": "one", "key": "secret"}, {"id": "two", "key": "secret2"}))
    async with serving(tmp_path, config) as server, callers(server, "secret", "secret2") as (one, two):
        server.rehearsal.close()  # its own caller is admitted as well
        for text in ("a", "bb", "ccc", "x" * 200):
            assert [await one.ask(text), await two.ask(text)] == [200, 200]
        assert admitted == ["one", "two"] * 2
        await until(lambda: len([line for line in server.log if line["event"] == "request"]) == 8)
        lines = [line for line in server.log if line["event"] == "request"]
        assert [line["key"] for line in lines] == ["one", "two"] * 4
        assert len({line["request"] for line in lines}) == 8
        records = [server.record(line["decision"]) for line in lines]
        assert [record.decision.signals.key for record in records] == ["one", "two"] * 4
        assert [seen.json["messages"][0]["content"] for seen in up.seen[-2:]] == ["x" * 200] * 2


async def test_a_reload_ends_what_is_known_of_heads_and_a_key_that_is_gone_with_it(tmp_path, up, admitted):
    config = pool(up.url, keys=keyed({"id": "one", "key": "secret"}, {"id": "two", "key": "secret2"}))
    async with serving(tmp_path, config) as server, callers(server, "secret", "secret2") as (one, two):
        server.rehearsal.close()
        for _ in range(3):
            assert [await one.ask(), await two.ask()] == [200, 200]
        before = len(admitted)
        server.write(pool(up.url, keys=keyed({"id": "two", "key": "secret2"})))
        assert await server.reloader.reload()
        assert [await one.ask(), await two.ask()] == [401, 200]
        assert [await two.ask() for _ in range(3)] == [200] * 3
        assert admitted[before:] == ["two"] * 2, "the head is known again"


async def test_a_key_that_ends_is_refused_also_where_its_head_is_known(tmp_path, up):
    ends = (datetime.now(UTC) + timedelta(seconds=1.5)).isoformat()
    config = pool(up.url, keys=keyed({"id": "one", "key": "secret", "expires": ends}))
    async with serving(tmp_path, config) as server, callers(server, "secret") as (one,):
        assert [await one.ask() for _ in range(3)] == [200] * 3

        async def refused():
            return await one.ask() == 401

        await until(refused)


async def test_a_body_limit_that_a_reload_lowers_holds_for_known_heads(tmp_path, up):
    config = pool(up.url, keys=keyed({"id": "one", "key": "secret"}))
    async with serving(tmp_path, config) as server, callers(server, "secret") as (one,):
        assert [await one.ask("x" * 2000) for _ in range(3)] == [200] * 3
        kept = server.gateway.state
        server.gateway.state = msgspec.structs.replace(kept, max_body=1000)
        assert await one.ask("x" * 500) == 200
        assert await one.ask("x" * 2000) == 413
