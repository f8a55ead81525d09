"""The parser alone: any split of the bytes gives one reading, and what is out of bounds is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.transport.parser import MalformedError, ResponseParser
from tests.transport.upstream import answer, chunked

EVENTS = tuple(f'data: {{"n":{n},"t":"é✓"}}\n\n'.encode() for n in range(6))
MAX_HEAD = 65536
MAX_HEADERS = 100
MAX_BARE = 16384
OK = b"HTTP/1.1 200 OK\r\n"
STREAM = chunked(*EVENTS)
LENGTH = OK + b"A: 1\r\na: 2\r\nSet-Cookie: s=1\r\nb:  2 \t\r\nempty:\r\ncontent-length: 5\r\n\r\nhello"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + LENGTH
TRAILERS = OK + b"transfer-encoding: chunked\r\n\r\n3;why=not\r\nabc\r\n0\r\ncontent-type: x\r\nt: u\r\n\r\n"
OPEN = b"HTTP/1.1 200 OK\r\n\r\n"


def read(*pieces: bytes) -> ResponseParser:
    parser = ResponseParser()
    for piece in pieces:
        parser.feed(piece)
    return parser


def told(parser: ResponseParser):
    return (
        parser.status,
        parser.headers,
        b"".join(parser.parts),
        parser.complete,
        parser.keep_alive,
        parser.until_eof,
    )


@pytest.mark.parametrize("whole", [STREAM, LENGTH, INTERIM, TRAILERS, OPEN + b"body"])
def test_u10_an_answer_split_at_any_byte_reads_the_same(whole):
    expected = told(read(whole))
    assert expected[3] is not expected[5], "complete, or only to be ended by the connection"
    for cut in range(1, len(whole)):
        assert told(read(whole[:cut], whole[cut:])) == expected
    assert told(read(*(whole[at : at + 1] for at in range(len(whole))))) == expected


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=8), st.data())
def test_u10_chunks_of_any_bytes_in_any_reads_give_the_same_body(chunks, data):
    whole = chunked(*chunks)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=8)))
    pieces = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    parser = read(*pieces)
    assert (b"".join(parser.parts), parser.complete, parser.keep_alive) == (b"".join(chunks), True, True)


def test_headers_are_lower_case_joined_and_without_cookies():
    assert read(LENGTH).headers == {"a": "1, 2", "b": "2", "empty": "", "content-length": "5"}


def test_interim_answers_are_skipped_and_leave_no_header():
    parser = read(INTERIM)
    assert parser.status == 200
    assert "link" not in parser.headers


def test_trailers_do_not_become_headers():
    parser = read(TRAILERS)
    assert parser.headers == {"transfer-encoding": "chunked"}
    assert parser.parts == [b"abc"]


def test_one_parser_reads_answer_after_answer():
    parser = read(STREAM)
    parser.reset()
    parser.feed(LENGTH)
    assert told(parser) == told(read(LENGTH))
    parser.reset()
    parser.feed(TRAILERS)
    assert told(parser) == told(read(TRAILERS))


@pytest.mark.parametrize("behind", [b"x", b"HTTP/1.1 200 OK\r\n", answer(b"smuggled"), b"\0", b"H"])
def test_bytes_behind_an_answer_leave_it_good_and_its_connection_unfit(behind):
    parser = read(LENGTH + behind)
    assert (b"".join(parser.parts), parser.complete, parser.keep_alive) == (b"hello", True, False)


@pytest.mark.parametrize(
    ("raw", "keep_alive"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\ncontent-length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    ],
)
def test_whether_a_connection_may_be_used_again_is_the_upstreams_word(raw, keep_alive):
    parser = read(raw)
    assert parser.complete
    assert parser.keep_alive is keep_alive


@pytest.mark.parametrize(
    "raw",
    [
        b"<html>",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/0.9 200 OK\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.1 099 X\r\n\r\n",
        b"HTTP/1.1 600 X\r\n\r\n",
        b"HTTP/1.1 20 X\r\n\r\n",
        b"HTTP/1.1 1200 X\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        OK + b"content-length: 1\r\ncontent-length: 1\r\n\r\nx",
        OK + b"content-length: 1, 1\r\n\r\nx",
        OK + b"content-length: -1\r\n\r\n",
        OK + b"content-length: 99999999999999999999\r\n\r\n",
        OK + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        OK + b"transfer-encoding: identity\r\n\r\n",
        OK + b"content-encoding: gzip\r\ncontent-length: 0\r\n\r\n",
        OK + b"content-encoding: br, identity\r\ncontent-length: 0\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n-1\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n1\nx\n",
        OK + b"transfer-encoding: chunked\r\n\r\n1\r\nxy\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n0\r\ncontent-length: 9\r\n\r\n",
        OK + b"a: b\r\n folded: c\r\n\r\n",
        OK + b"a: b\rc\r\n\r\n",
        OK + b"a: b\nc: d\r\n\r\n",
        OK + b"a: \0\r\n\r\n",
        OK + b"a b: c\r\n\r\n",
        OK + b"no colon\r\n\r\n",
    ],
)
def test_what_is_not_strict_http_is_refused(raw):
    with pytest.raises(MalformedError) as whole:
        read(raw)
    assert str(whole.value)
    with pytest.raises(MalformedError):
        read(*(raw[at : at + 1] for at in range(len(raw))))


def head_of(size: int) -> bytes:
    empty = OK + b"a: \r\ncontent-length: 2\r\n\r\n"
    return OK + b"a: " + b"x" * (size - len(empty)) + b"\r\ncontent-length: 2\r\n\r\n"


def in_reads_of(step: int, raw: bytes) -> list[bytes]:
    return [raw[at : at + step] for at in range(0, len(raw), step)]


@pytest.mark.parametrize("step", [1 << 20, 8192])
def test_u14_a_head_of_64_kb_is_the_largest(step):
    parser = read(*in_reads_of(step, head_of(MAX_HEAD) + b"ok"))
    assert parser.parts == [b"ok"] or b"".join(parser.parts) == b"ok"
    with pytest.raises(MalformedError, match="head over"):
        read(*in_reads_of(step, head_of(MAX_HEAD + 1) + b"ok"))


@pytest.mark.parametrize(
    "flood",
    [b"HTTP/1.1 200 " + b"x" * 70_000, b"HTTP/1.1 100 Continue\r\n\r\n" * 3000],
    ids=["reason", "1xx"],
)
def test_u14_a_head_that_never_ends_is_refused(flood):
    with pytest.raises(MalformedError, match="head over"):
        read(*in_reads_of(1000, flood))


def test_u14_a_hundred_headers_pass_and_one_more_does_not():
    lines = b"".join(b"h%d: x\r\n" % n for n in range(MAX_HEADERS - 1)) + b"content-length: 0\r\n"
    assert len(read(OK + lines + b"\r\n").headers) == MAX_HEADERS
    with pytest.raises(MalformedError, match="headers"):
        read(OK + lines + b"one: more\r\n\r\n")


@pytest.mark.parametrize(
    ("start", "more"),
    [(b"1;ext=", b"x" * 1000), (b"0" * 10, b"0" * 1000), (b"0\r\n", b"t: " + b"x" * 995 + b"\r\n")],
    ids=["extension", "zeros", "trailers"],
)
def test_u14_bytes_without_content_are_bounded(start, more):
    parser = read(OK + b"transfer-encoding: chunked\r\n\r\n" + start)
    for _ in range((MAX_BARE - len(start)) // len(more)):
        parser.feed(more)
    with pytest.raises(MalformedError):
        parser.feed(more + more)


def test_bytes_without_content_are_counted_anew_after_each_content():
    parser = read(OK + b"transfer-encoding: chunked\r\n\r\n")
    for _ in range(20):
        parser.feed(b"1;ext=" + b"x" * 1000)
        parser.feed(b"\r\n")
        parser.feed(b"y\r\n")
        assert parser.parts == [b"y"]
        parser.parts.clear()


def test_the_content_before_a_fault_is_kept():
    parser = ResponseParser()
    with pytest.raises(MalformedError):
        parser.feed(chunked(b"good", end=False) + b"bad\r\r")
    assert b"".join(parser.parts) == b"good"
