"""The binary frames of AWS event streams: read however they are cut, and never believed when broken."""

import struct
import zlib
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.adapters.bedrock.frames import MOST_FRAME, BadFrameError, Frame, FrameParser
from tests.aws_frames import Header, frame, text

_FIXED: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}


@st.composite
def headers(draw: st.DrawFn) -> list[Header]:
    """Headers of every type, each name once."""
    names = draw(
        st.lists(
            st.text(min_size=1, max_size=12).filter(
                lambda n: len(n.encode("utf-8", "replace")) < 255 and _plain(n)
            ),
            unique=True,
            max_size=5,
        )
    )
    found: list[Header] = []
    for name in names:
        kind = draw(st.sampled_from([*_FIXED, 6, 7]))
        if kind in (6, 7):
            words = draw(st.text(max_size=20).filter(_plain))
            found.append((name, kind, text(words)))
        else:
            size = _FIXED[kind]
            found.append((name, kind, draw(st.binary(min_size=size, max_size=size))))
    return found


def _plain(word: str) -> bool:
    return not any(0xD800 <= ord(char) <= 0xDFFF for char in word)


def read(frames: list[tuple[list[Header], bytes]]) -> list[Frame]:
    return [
        Frame({name: value[2:].decode() for name, kind, value in named if kind == 7}, payload)
        for named, payload in frames
    ]


@settings(deadline=None)
@given(st.lists(st.tuples(headers(), st.binary(max_size=60)), min_size=1, max_size=4), st.data())
def test_u10_what_was_written_is_read_wherever_it_is_cut(frames, data):
    stream = b"".join(frame(*one) for one in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    parser = FrameParser()
    found: list[Frame] = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += parser.feed(stream[start:end])
    assert found == read(frames)
    assert parser.between


@settings(deadline=None)
@given(headers(), st.binary(max_size=60), st.data())
def test_u11_a_changed_byte_is_noticed_and_never_read_past(named, payload, data):
    whole = frame(named, payload)
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[at] ^= data.draw(st.integers(1, 255))
    parser = FrameParser()
    with pytest.raises(BadFrameError):
        list(parser.feed(bytes(changed)))


@settings(deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=4), st.data())
def test_u11_frames_before_a_bad_one_are_read_wherever_the_stream_is_cut(payloads, data):
    bad = bytearray(frame([], b"payload"))
    bad[-1] ^= 1
    stream = b"".join(frame([], payload) for payload in payloads) + bad
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    parser = FrameParser()
    found: list[bytes] = []
    pieces = (stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True))
    with pytest.raises(BadFrameError):
        found.extend(one.payload for piece in pieces for one in parser.feed(piece))
    assert found == payloads


def test_u8_a_frame_that_is_cut_is_not_given_out_and_is_known_to_be_cut():
    whole = frame([("a", 7, text("b"))], b"payload")
    for at in range(1, len(whole)):
        parser = FrameParser()
        assert list(parser.feed(whole[:at])) == []
        assert not parser.between
        assert len(list(parser.feed(whole[at:]))) == 1


def prelude(total: int, named: int) -> bytes:
    head = struct.pack(">II", total, named)
    return head + struct.pack(">I", zlib.crc32(head))


@pytest.mark.parametrize(
    ("total", "named"), [(0, 0), (15, 0), (16, 1), (MOST_FRAME + 1, 0), (2**32 - 1, 2**32 - 1), (100, 85)]
)
def test_u14_a_length_that_cannot_be_or_is_too_large_is_refused_before_it_is_waited_for(total, named):
    with pytest.raises(BadFrameError):
        list(FrameParser().feed(prelude(total, named)))


@pytest.mark.parametrize(
    "packed",
    [
        b"\x05ab",
        b"\x01a",
        b"\x01a\x07\x00",
        b"\x01a\x07\x00\x05x",
        b"\x01a\x0a",
        b"\x01a\x04\x00",
        b"\x01\xff\x00",
    ],
)
def test_u11_headers_that_do_not_add_up_are_refused(packed):
    head = struct.pack(">II", 16 + len(packed), len(packed))
    body = head + struct.pack(">I", zlib.crc32(head)) + packed
    with pytest.raises(BadFrameError):
        list(FrameParser().feed(body + struct.pack(">I", zlib.crc32(body))))


def test_u13_an_answer_in_words_is_no_frame():
    with pytest.raises(BadFrameError):
        list(FrameParser().feed(b"<html><body>Bad gateway</body></html>"))
