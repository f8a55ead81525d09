"""C4, C5, C12 on raw sockets against a real server: whatever is ambiguous is one refusal and an end."""

import asyncio
import gzip
import json
import socket
import zlib

import pytest

from interlock.mock import Answering, Mock
from tests.data import rows
from tests.faults.served import config, served
from tests.mock.raw import CHAT, chat, exchange
from tests.server.harness import until

BODY = json.dumps({**CHAT, "model": "chat"}).encode()
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\n"
SMUGGLED = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)
LENGTH = b"content-length: %d\r\n" % len(BODY)


def chunked(size: bytes, data: bytes = BODY, after: bytes = b"\r\n") -> bytes:
    return b"transfer-encoding: chunked\r\n\r\n" + size + data + after + b"0\r\n\r\n"


HEX = b"%x" % len(BODY)

# What stands behind HEAD, and has to be refused with 400 by RFC 9112: it can be read in two ways.
AMBIGUOUS = {
    "two lengths": b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    "two lengths in one": b"content-length: 5, 6\r\n\r\nhello",
    "length with a sign": b"content-length: +%d\r\n\r\n" % len(BODY) + BODY,
    "negative length": b"content-length: -1\r\n\r\n" + BODY,
    "length in hex": b"content-length: 0x5\r\n\r\nhello",
    "length with a space inside": b"content-length: 5 5\r\n\r\nhello",
    "length with letters": b"content-length: 5abc\r\n\r\nhello",
    "empty length": b"content-length: \r\n\r\n" + BODY,
    "endless length": b"content-length: 99999999999999999999999\r\n\r\n" + BODY,
    "length and chunks": LENGTH + b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": b"transfer-encoding: chunked\r\n" + LENGTH + b"\r\n0\r\n\r\n",
    "a coding that hides": b"transfer-encoding: xchunked\r\n\r\n" + BODY,
    "chunked is not last": b"transfer-encoding: chunked, identity\r\n\r\n" + BODY,
    "chunked twice": b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "identity": b"transfer-encoding: identity\r\n\r\n" + BODY,
    "vertical tab": b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "folded header": b"x-a: b\r\n c: d\r\n" + LENGTH + b"\r\n" + BODY,
    "folded coding": b"transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "space before the colon": b"content-length : 5\r\n\r\nhello",
    "space in a name": b"x y: z\r\n\r\n",
    "no name": b": z\r\n\r\n",
    "no colon": b"nonsense\r\n\r\n",
    "bare CR in a value": b"x: a\rcontent-length: 5\r\n\r\nhello",
    "NUL in a value": b"x: a\x00b\r\n\r\n",
    "bad chunk size": chunked(b"zz\r\n"),
    "negative chunk size": chunked(b"-5\r\n"),
    "chunk size with a prefix": chunked(b"0x" + HEX + b"\r\n"),
    "chunk size with a space before it": chunked(b" " + HEX + b"\r\n"),
    "endless chunk size": chunked(b"fffffffffffffffff\r\n"),
    "chunk longer than its size": chunked(b"5\r\n"),
    "chunk without an end": chunked(HEX + b"\r\n", after=b""),
    "empty chunk size": chunked(b"\r\n"),
}
LINES = {
    "no version": b"GET /healthz\r\n\r\n",
    "version 2": b"GET /healthz HTTP/2.0\r\nhost: 127.0.0.1\r\n\r\n",
    "version 1.10": b"GET /healthz HTTP/1.10\r\nhost: 127.0.0.1\r\n\r\n",
    "another protocol": b"GET /healthz ICY/1.1\r\nhost: 127.0.0.1\r\n\r\n",
    "chunks in 1.0": b"POST /v1/chat/completions HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "no host": b"GET /healthz HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nhost: y\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64,
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "control character in the path": b"GET /he\x01althz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n",
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with served(tmp_path_factory.mktemp("c4"), config()) as running:
        yield running


async def refused(gateway, cases):
    """Each case gets one answer of 400, then the end; and nothing reaches the upstream."""
    async with Mock(Answering(), port=gateway.upstream) as mock:
        answers = await asyncio.gather(*(exchange(gateway.port, data) for data in cases.values()))
        assert mock.received == []
    wrong = {
        case: (got, how)
        for case, (got, how) in zip(cases, answers, strict=True)
        if not got.startswith(b"HTTP/1.1 400 ") or got.count(b"HTTP/1.1 ") != 1 or how == "open"
    }
    assert not wrong


async def test_c4_a_request_that_can_be_read_in_two_ways_is_400_and_the_end(gateway):
    await refused(gateway, {case: HEAD + data + SMUGGLED for case, data in AMBIGUOUS.items()})


async def test_c4_a_first_line_that_is_not_http_1_is_400_and_the_end(gateway):
    await refused(gateway, {case: data + SMUGGLED for case, data in LINES.items()})


@pytest.mark.parametrize("ends", ["head", "line", "chunk"])
async def test_c4_a_bare_line_feed_never_makes_a_second_request(gateway, ends):
    """RFC 9112 lets a server take a bare LF for the end of a line or refuse it; not in a chunk."""
    data = {
        "head": HEAD.replace(b"\r\n", b"\n") + LENGTH + b"\r\n" + BODY,
        "line": HEAD + b"x: y\n" + LENGTH + b"\r\n" + BODY,
        "chunk": HEAD + b"transfer-encoding: chunked\r\n\r\n" + HEX + b"\n" + BODY + b"\n0\n\n",
    }[ends]
    async with Mock(Answering(), port=gateway.upstream) as mock:
        got, _ = await exchange(
            gateway.port, data + b"GET /v1/models HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n"
        )
        assert len(mock.received) <= 1
    statuses = [piece[:3] for piece in got.split(b"HTTP/1.1 ")[1:]]
    assert statuses in ([b"400"], [b"200", b"200"]), got


async def test_c4_two_whole_requests_on_one_connection_are_two(gateway):
    async with Mock(Answering(), port=gateway.upstream) as mock:
        last = chat(model="chat")
        got, how = await exchange(gateway.port, SMUGGLED + HEAD + chunked(HEX + b"\r\n") + last)
        assert (got.count(b"HTTP/1.1 200"), how, len(mock.received)) == (3, "closed", 3)


async def test_c4_strings_that_break_others_never_make_a_fault_or_a_second_answer(gateway):
    """Naughty strings as the value of a header, and in the path."""
    texts = [row["text"] for row in rows("bad-input", "naughty_strings_sample.jsonl")]
    sent = [request_of(number, text) for number, text in enumerate(texts)]
    for at in range(0, len(sent), 32):  # whoever is refused is given a second to read it
        answers = await asyncio.gather(*(exchange(gateway.port, one) for one in sent[at : at + 32]))
        for text, (got, how) in zip(texts[at : at + 32], answers, strict=True):
            assert got.count(b"HTTP/1.1 ") == 1, (text, got)
            assert got[9:12] in (b"200", b"400", b"401", b"404"), (text, got)
            assert how == "closed"


def request_of(number: int, text: str) -> bytes:
    raw = text.encode("utf-8", "surrogatepass").replace(b"\r", b"").replace(b"\n", b"")
    if number % 2:
        return b"GET /v1/%b HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n" % raw
    return b"GET /v1/models HTTP/1.1\r\nhost: 127.0.0.1\r\nx-n: %b\r\nconnection: close\r\n\r\n" % raw


# --- C5 -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "coding", ["gzip", "x-gzip", "deflate", "br", "zstd", "compress", "gzip, gzip", "identity, gzip"]
)
async def test_c5_a_compressed_body_is_415_and_never_opened(gateway, coding):
    """Ten kilobytes that would be ten megabytes."""
    bomb = gzip.compress(b" " * 10_000_000) if "gzip" in coding else zlib.compress(b" " * 10_000_000)
    before = gateway.memory
    head = HEAD + b"connection: close\r\ncontent-encoding: %b\r\ncontent-length: %d\r\n\r\n"
    got, _ = await exchange(gateway.port, head % (coding.encode(), len(bomb)) + bomb)
    assert got.startswith(b"HTTP/1.1 415 "), got
    assert b'"unsupported_media_type"' in got
    assert gateway.memory - before < 5_000_000


async def test_c5_a_coding_of_the_transfer_is_400_or_501_and_the_end(gateway):
    coded = HEAD + b"transfer-encoding: gzip, chunked\r\n\r\n" + HEX + b"\r\n" + BODY + b"\r\n0\r\n\r\n"
    got, how = await exchange(gateway.port, coded + SMUGGLED)
    assert got[9:12] in (b"400", b"501"), got
    assert (got.count(b"HTTP/1.1 "), how) == (1, "closed")


# --- C12 ----------------------------------------------------------------------------------------


async def idle(port, count, says):
    """Connections that say a little and then nothing."""
    opened = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.sendall(says)
        opened.append(sock)
    return opened


async def holds(gateway, count):
    base = gateway.sockets
    opened = await idle(gateway.port, count // 2, b"") + await idle(gateway.port, count - count // 2, HEAD)
    try:
        await until(lambda: gateway.sockets >= count, 20)
        async with Mock(Answering(), port=gateway.upstream):
            for _ in range(20):
                got, _ = await exchange(gateway.port, chat(model="chat"))
                assert got.startswith(b"HTTP/1.1 200 ")
            assert gateway.sockets >= count, "all of that while they stood there"
    finally:
        for sock in opened:
            sock.close()
    await until(lambda: gateway.sockets <= base + 2, 20)


async def test_c12_hundreds_of_idle_connections_and_slow_heads_keep_nobody_out(gateway):
    await holds(gateway, 400)


@pytest.mark.long
async def test_c12_two_thousand_idle_connections_keep_nobody_out(gateway):
    await holds(gateway, 2_000)


@pytest.mark.long
async def test_c12_slow_heads_and_bodies_are_closed_in_time_by_a_real_clock(gateway):
    """A head may take ten seconds, a pause in a body thirty; a byte now and then does not help."""

    async def drip(start, every):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(start)
        reading = asyncio.create_task(reader.read(200))
        for _ in range(60):
            await asyncio.wait([reading], timeout=every)
            if reading.done():
                break
            writer.write(b"x")
        got = await reading
        writer.close()
        return got

    heads = [drip(HEAD + b"x-", 1) for _ in range(20)]
    bodies = [drip(HEAD + b"content-length: 500\r\n\r\n{", 40) for _ in range(20)]
    async with asyncio.timeout(60):
        answers = await asyncio.gather(*heads, *bodies)
    assert all(got == b"" or got.startswith(b"HTTP/1.1 408") for got in answers[:20]), answers[:20]
    assert all(got.startswith(b"HTTP/1.1 408") for got in answers[20:]), answers[20:]
