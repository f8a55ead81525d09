"""An answer that is read without llhttp is read as llhttp would, and whatever is odd goes to llhttp."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from interlock.transport import parser as module
from interlock.transport.parser import MalformedError, ResponseParser

OK = b"HTTP/1.1 200 OK\r\n"
LINES = (b"Content-Type: application/json", b"x-request-id: r-1", b"Connection: keep-alive")
KNOWN = (
    *(
        b"Connection",
        b"connection",
        b"Content-Encoding",
        b"content-length",
        b"Content-Length",
        b"content-type",
    ),
    *(b"Content-Type", b"date", b"keep-alive", b"proxy-connection", b"set-cookie", b"trailer"),
    *(b"transfer-encoding", b"upgrade", b"x-request-id", b"x" * 64, b"x" * 65),
)
VALUES = (
    *(
        b"application/json",
        b"chunked",
        b"identity",
        b"gzip",
        b"keep-alive",
        b"Keep-Alive",
        b"close",
        b"upgrade",
    ),
    *(
        b"keep-alive, close",
        b"timeout=5",
        b"0",
        b"2",
        b"02",
        b"+2",
        b"2 ",
        b" 2",
        b"2, 2",
        b"-1",
        b"2\t",
        b"",
    ),
    *(b"caf\xe9", b"\xa0", b"\xad", b"\x85", b"\x7f", b"\0", b"a\rb", b"a\nb: c", b"a\r\n folded", b"\x0b"),
)


@pytest.fixture(autouse=True)
def names_read_before():
    """llhttp has read all of these names already."""
    for name in KNOWN:
        module._NAMES[name.decode()]


def answer(*lines: bytes, body: bytes = b"{}", length: bytes | None = None) -> bytes:
    told = b"content-length: %d" % len(body) if length is None else length
    return OK + b"".join(line + b"\r\n" for line in (*lines, told) if line) + b"\r\n" + body


def told(*pieces: bytes) -> Any:
    """All that a connection is told, or that the answer is refused."""
    parser = ResponseParser()
    try:
        for piece in pieces:
            parser.feed(piece)
    except MalformedError:
        return "refused"
    return (
        parser.status,
        list(parser.headers.items()),
        b"".join(parser.parts),
        parser.begun,
        parser.complete,
        parser.keep_alive,
        parser.begun and parser.until_eof,
    )


def is_read_alike(raw: bytes) -> None:
    """What comes in two reads is always llhttp's."""
    assert module._usual(raw[:1]) is None
    assert told(raw) == told(raw[:1], raw[1:])


def test_the_usual_answer_is_read_without_llhttp_and_all_the_same():
    raw = answer(*LINES)
    usual = module._usual(raw)
    assert usual is not None
    headers, body = usual
    assert (headers["content-type"], headers["content-length"], body) == ("application/json", "2", b"{}")
    is_read_alike(raw)


def test_a_name_that_llhttp_has_not_read_before_is_left_to_it():
    raw = answer(*LINES, b"x-never-seen-before: 1")
    assert module._usual(raw) is None
    is_read_alike(raw)
    assert module._usual(raw) is not None


@pytest.mark.parametrize(
    "raw",
    [
        answer(length=b""),
        answer(b"content-length: 2"),
        answer(length=b"content-length: 02"),
        answer(length=b"content-length: 3"),
        answer(length=b"content-length: 1"),
        answer(length=b"content-length: +2"),
        answer(length=b"content-length:2"),
        answer(length=b"content-length : 2"),
        answer(length=b"transfer-encoding: chunked", body=b"2\r\n{}\r\n0\r\n\r\n"),
        answer(b"transfer-encoding: chunked"),
        answer(b"content-encoding: gzip"),
        answer(b"connection: close"),
        answer(b"connection: keep-alive, close"),
        answer(b"set-cookie: a=b"),
        answer(b"upgrade: h2c"),
        answer(b"x-request-id: 1", b"X-Request-Id: 2"),
        answer(b"x-request-id: 1", b"x-request-id: 2"),
        answer(b"x-request-id"),
        answer(b"x-request-id:"),
        answer(b"x-request-id: 1\r\n 2"),
        answer(b"x-request-id: 1\n2"),
        answer(b"x-request-id: 1\r2"),
        answer(b"x-request-id: \0"),
        answer(b" x-request-id: 1"),
        answer(body=b""),
        answer(body=b"{}\r\n"),
        answer() + b"H",
        answer() + answer(),
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer(),
        answer().replace(b"1.1", b"1.0"),
        answer().replace(b"200 OK", b"201 OK"),
        answer().replace(b"200 OK", b"200 ok"),
        answer().replace(b"\r\n", b"\n"),
        answer()[:-1],
        OK + b"\r\n",
    ],
)
def test_whatever_is_odd_about_an_answer_is_left_to_llhttp(raw):
    assert module._usual(raw) is None
    is_read_alike(raw)


def test_a_head_of_8_kb_is_the_largest_that_is_read_without_llhttp():
    most = answer(b"date: " + b"x" * (module._MOST_USUAL - len(answer(b"date: ", body=b"")) + 4))
    assert module._usual(most) is not None
    assert module._usual(most.replace(b"date: ", b"date: x")) is None
    is_read_alike(most)
    is_read_alike(most.replace(b"date: ", b"date: x"))


def test_u14_a_hundred_headers_are_the_most_here_too():
    lines = [b"h%d: x" % n for n in range(module.MAX_HEADERS)]
    for line in lines:
        module._NAMES[line.partition(b":")[0].decode()]
    assert module._usual(answer(*lines[1:])) is not None
    is_read_alike(answer(*lines[1:]))
    assert module._usual(answer(*lines)) is None
    is_read_alike(answer(*lines))


lines = st.builds(
    bytes.__add__,
    st.sampled_from(KNOWN).map(lambda name: name + b": "),
    st.sampled_from(VALUES) | st.binary(max_size=6),
)


@given(st.lists(lines, max_size=4), st.binary(max_size=4), st.sampled_from(VALUES) | st.none())
@example([b"content-type: caf\xe9"], b"{}", None)
def test_any_headers_are_read_as_llhttp_reads_them(lines, body, length):
    is_read_alike(answer(*lines, body=body, length=None if length is None else b"content-length: " + length))


@given(st.data())
def test_an_answer_with_bytes_changed_is_read_as_llhttp_reads_it(data):
    raw = bytearray(answer(*LINES))
    odd = st.sampled_from(b"\r\n\t :,;0123aHK\0\x0b\x7f\x85\xa0\xad\xe9") | st.integers(0, 255)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        kind = data.draw(st.sampled_from(["set", "insert", "drop"]))
        if kind == "set":
            raw[at] = data.draw(odd)
        elif kind == "insert":
            raw.insert(at, data.draw(odd))
        else:
            del raw[at]
    is_read_alike(bytes(raw))


def test_every_single_byte_anywhere_is_read_as_llhttp_reads_it():
    raw = answer(*LINES)
    for at in range(len(raw)):
        for odd in b"\r\n\t :,0-2H\0\x7f\xa0\xe9":
            is_read_alike(raw[:at] + bytes([odd]) + raw[at:])
            is_read_alike(raw[:at] + bytes([odd]) + raw[at + 1 :])


def test_answers_of_both_kinds_follow_each_other_on_one_connection():
    parser = ResponseParser()
    chunks = OK + b"transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    for raw, body in ((answer(*LINES), b"{}"), (chunks, b"hi"), (answer(body=b"[]"), b"[]")) * 2:
        parser.reset()
        parser.feed(raw)
        assert (parser.status, b"".join(parser.parts), parser.complete, parser.keep_alive) == (
            200,
            body,
            True,
            True,
        )
        assert not parser.until_eof


def test_bytes_that_come_later_leave_the_answer_good_and_its_connection_unfit():
    assert told(answer(*LINES), b"x") == told(answer(*LINES)[:1], answer(*LINES)[1:], b"x")
