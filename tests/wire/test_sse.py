"""Event streams in every form that the standard allows, cut anywhere (row U10)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.wire.sse import MOST_EVENT, EventParser, EventTooLargeError


def parse(*pieces: bytes) -> list[bytes]:
    parser = EventParser()
    found = [data for piece in pieces for data in parser.feed(piece)]
    return found + parser.end()


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: one\n\ndata: two\n\n", [b"one", b"two"]),
        (b"data: one\r\n\r\ndata: two\r\n\r\n", [b"one", b"two"]),
        (b"data: one\r\rdata: two\r\r", [b"one", b"two"]),
        (b"data: one\r\n\rdata: two\n\r\n", [b"one", b"two"]),
        (b"\xef\xbb\xbfdata: one\n\n", [b"one"]),
        (b": a comment\n\n:\n\ndata: one\n: inside\n\n", [b"one"]),
        (b"data: one\ndata: two\n\n", [b"one\ntwo"]),
        (b"data: one\r\ndata: two\r\n\r\n", [b"one\ntwo"]),
        (b"data: one\rdata: two\r\r", [b"one\ntwo"]),
        (b"data:one\n\ndata:  two\n\n", [b"one", b" two"]),
        (b"event: x\nid: 7\nretry: 5\ndata: one\nother: field\n\n", [b"one"]),
        (b"event: nothing\n\n", []),
        (b"data\n\ndata:\n\ndata: one\n\n", [b"one"]),
        (b"data\ndata\n\n", [b"\n"]),
        (b"database: no\n\n", []),
        (b"\n\n\n\ndata: one\n\n\n\n\ndata: two\n\n\n", [b"one", b"two"]),
        (b"data: one", [b"one"]),
        (b"data: one\n", [b"one"]),
        (b"data: one\n\ndata: tw", [b"one", b"tw"]),
        ("data: \u2028 ü €\n\n".encode(), ["\u2028 ü €".encode()]),
        (b"", []),
    ],
)
def test_u10_a_stream_is_read_as_the_standard_says_in_one_piece_and_byte_by_byte(stream, events):
    assert parse(stream) == events
    assert parse(*(stream[at : at + 1] for at in range(len(stream)))) == events
    for at in range(len(stream)):
        assert parse(stream[:at], stream[at:]) == events


LINES = st.lists(
    st.sampled_from(
        [b"data: x", b"data:y", b'data: {"a": "\xc3\xa9"}', b": c", b"event: e", b"", b"", b"data", b"id"]
    ),
    max_size=20,
)


@given(LINES, st.lists(st.sampled_from([b"\n", b"\r\n", b"\r"]), min_size=20, max_size=20), st.data())
def test_u10_neither_cuts_nor_kinds_of_line_breaks_change_the_events(lines, breaks, data):
    plain = b"".join(line + b"\n" for line in lines) + b"\n"
    mixed = b"".join(line + end for line, end in zip(lines, breaks, strict=False)) + b"\n"
    # A CR before an LF is one line break, not two: such a stream has one empty line less.
    if any(end == b"\r" and not after for end, after in zip(breaks, [*lines[1:], b""], strict=False)):
        mixed = plain
    cuts = sorted(data.draw(st.lists(st.integers(0, len(mixed)), max_size=6)))
    pieces = [mixed[a:b] for a, b in zip([0, *cuts], [*cuts, len(mixed)], strict=True)]
    assert parse(*pieces) == parse(plain)


def test_u14_an_event_without_an_end_is_cut_off_at_a_limit():
    with pytest.raises(EventTooLargeError):
        parse(*[b"data: " + b"x" * 65536] * (MOST_EVENT // 65536 + 2))


def test_u14_an_event_of_endless_lines_is_cut_off_at_a_limit():
    with pytest.raises(EventTooLargeError):
        parse(*[b"data: x\n" * 8192] * (MOST_EVENT // 65536 + 2))


def test_many_events_in_one_piece_may_be_larger_than_one_event_may_be():
    event = b"data: " + b"x" * 65536 + b"\n\n"
    count = MOST_EVENT // 65536 + 2
    assert len(EventParser().feed(event * count)) == count
