"""An event that has the bytes of another around its words is read as if it were read in full."""

import json
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.adapters.openai import stream
from interlock.adapters.openai.stream import StreamDecoder
from interlock.types.answer import BlockDelta
from interlock.wire.around import PROBE, around

words = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [",", ":", "I", "id-1", "content", '"', "\\", '","x":"', '"}}]}', "\n\n", "é", "\u2028", "data: "]
    ),
)
choice_changes = st.sampled_from([{}, {"finish_reason": None}, {"logprobs": None}, {"index": 0}])
paddings = st.sampled_from(["x7", "x7", "aB3dE", "", "a b", '"', "\\", '"}', "é", 7, None])
chunk_changes = st.one_of(
    st.sampled_from([{}, {"usage": None}, {"system_fingerprint": "fp"}]),
    st.builds(lambda padding: {"obfuscation": padding}, paddings),
    st.builds(lambda padding: {"obfuscation": padding, "usage": None}, paddings),
)


@st.composite
def chunks(draw):
    """A chunk as vendors write them: the same fields time and again, now and then others, or broken JSON."""
    said = draw(words)
    chunk = {
        "id": draw(st.sampled_from(["id-1", "I", said])),
        "object": "chat.completion.chunk",
        "created": 1,
        "model": draw(st.sampled_from(["m", "I"])),
        "choices": [{"index": 0, "delta": {"content": said}, **draw(choice_changes)}],
        **draw(chunk_changes),
    }
    kind = draw(st.integers(0, 19))
    if kind == 0:
        chunk["choices"][0]["delta"] = {"reasoning_content": said}
    elif kind == 1:
        chunk["choices"][0]["finish_reason"] = "stop"
    elif kind == 2:
        chunk["choices"] = []
    compact = draw(st.booleans())
    escaped = draw(st.booleans())
    data = json.dumps(chunk, separators=(",", ":") if compact else None, ensure_ascii=escaped)
    if kind == 3:
        data = data.replace('"content"', '"content": "first", "content"')
    elif kind == 4:
        data = data[: draw(st.integers(0, len(data)))]
    return data.encode("utf-8", "surrogatepass")


def read(pieces: list[bytes], guesses: int, monkeypatch):
    monkeypatch.setattr(stream, "MOST_GUESSES", guesses)
    decoder = StreamDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.end()


@given(
    st.lists(chunks(), max_size=12),
    st.lists(st.integers(0, 11), max_size=30),
    st.lists(st.integers(0, 5000), max_size=6),
    st.sampled_from([b"\n\n", b"\n\n", b"\r\n\r\n", b"\n\n: ping\n\n", b"\n\ndata: \n\n"]),
    st.sampled_from([b"", b"data: [DONE]\n\n", b"data: {"]),
)
def test_a_stream_of_chunks_alike_says_what_it_says_read_field_by_field(made, order, cuts, between, last):
    frames = [b"data: " + made[place % len(made)] + between for place in order] if made else []
    whole = b"".join(frames) + last
    places = sorted({min(cut, len(whole)) for cut in cuts} | {0, len(whole)})
    pieces = [whole[start:end] for start, end in pairwise(places)]
    with pytest.MonkeyPatch.context() as patch:
        expected = read([whole], 0, patch)
        for cut in ([whole], pieces, [*frames, last]):
            assert read(cut, 1000, patch) == expected
            assert read(cut, 4, patch) == expected


@pytest.mark.parametrize(
    "mark", [",", ":", "},{", ":[{", "}", "id", "index", "content", "choices", "m", "null", "0"]
)
def test_words_that_stand_between_quotation_marks_elsewhere_in_an_event_do_not_end_its_stream(mark):
    chunk = {"id": "id-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    frames = [
        {**chunk, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
        for text in ("Hello", mark, " world", mark)
    ]
    decoder = StreamDecoder()
    said = [
        event.text
        for frame in frames
        for event in decoder.feed(b"data: " + msgspec.json.encode(frame) + b"\n\n")
        if isinstance(event, BlockDelta)
    ]
    assert said == ["Hello", mark, " world", mark]


def words_in(place, data: bytes) -> str | None:
    """The words of an event, by itself and among others like it."""
    said = place.run([b"not looked at", data], 1)
    among = place.run([place.probe(), data, place.probe()], 0)
    assert among == ([PROBE, said[0], PROBE] if said else [PROBE])
    return said[0] if said else None


def chunk_of(text: str, name: str = "chatcmpl-1") -> bytes:
    return msgspec.json.encode(
        {"id": name, "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
    )


def test_words_are_read_where_the_bytes_around_them_are_the_same_and_nowhere_else():
    place = around(chunk_of("harbour"), "harbour")
    assert place is not None
    assert msgspec.json.decode(place.probe())["choices"][0]["delta"]["content"] == PROBE
    assert words_in(place, chunk_of('"the" \\ sea')) == '"the" \\ sea'
    assert words_in(place, chunk_of("sea", "chatcmpl-2")) is None
    assert words_in(place, chunk_of("sea").replace(b"null", b'"stop"')) is None
    assert words_in(place, chunk_of("sea").replace(b"null", b'"st"')) is None
    assert words_in(place, chunk_of("sea").replace(b"chatcmpl-1", b"chatcmpl-2")) is None
    assert words_in(place, chunk_of('sea","refusal":"no').replace(b'\\"', b'"')) is None
    assert words_in(place, chunk_of("sea")[:-1]) is None


def padded(text: str, padding: str, end: str = "}") -> bytes:
    return chunk_of(text)[:-1] + f',"usage":null,"obfuscation":"{padding}"{end}'.encode()


@pytest.mark.parametrize("first", ["", "x7"])
def test_a_padding_behind_the_words_may_be_another_each_time(first):
    place = around(padded("harbour", first), "harbour")
    assert place is not None
    for padding in ("", "a", "Zz09" * 9):
        assert words_in(place, padded('"the" \\ sea', padding)) == '"the" \\ sea'
    for padding in ("a b", '"', "\\", '","error":"x', "é", '","x":"y'):
        assert words_in(place, padded("sea", padding)) is None
    assert words_in(place, padded("sea", "a", ',"error":{}}')) is None
    assert words_in(place, padded("sea", "")[:-2]) is None
    assert words_in(place, chunk_of("sea")) is None


def test_words_that_are_written_in_another_way_or_stand_elsewhere_too_are_no_place():
    assert around(b'{"content":"caf\\u00e9"}', "café") is None
    elsewhere = around(chunk_of("I", "I"), "I")
    assert elsewhere is not None
    assert msgspec.json.decode(elsewhere.probe())["id"] == PROBE, "the probe shows it"


def test_most_of_a_plain_stream_is_read_by_what_its_chunks_have_in_common(monkeypatch):
    read_whole = []
    whole = StreamDecoder._read_whole

    def noted(self, data, out):
        read_whole.append(data)
        whole(self, data, out)

    monkeypatch.setattr(StreamDecoder, "_read_whole", noted)
    decoder, said = StreamDecoder(), list("harbour")
    events = [event for text in said for event in decoder.feed(b"data: " + chunk_of(text) + b"\n\n")]
    assert [event.text for event in events if isinstance(event, BlockDelta)] == said
    assert len(read_whole) == 2, "the first opens the block, the second shows the place"
