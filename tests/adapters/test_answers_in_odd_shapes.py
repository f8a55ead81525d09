"""An upstream may put anything where something else is promised: that is `malformed`, never a fault."""

import json
from copy import deepcopy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.adapters import ADAPTERS
from interlock.dialects import DIALECTS
from interlock.types.answer import Answer, Failure, Finished
from tests.adapters.test_requests import chat

RESPONSE: dict[str, Any] = {"id": "resp_1", "created_at": 1, "model": "m", "status": "completed"}
THOUGHT: dict[str, Any] = {
    "type": "reasoning",
    "id": "rs_1",
    "summary": [{"type": "summary_text", "text": "hm"}],
}
SAID: dict[str, Any] = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "content": [
        {"type": "output_text", "text": "fine", "annotations": [{"type": "url_citation", "url": "u"}]}
    ],
}
SEARCH: dict[str, Any] = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
BLOCKS: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "", "signature": ""},
    {"type": "text", "text": "fine"},
    {"type": "tool_use", "id": "t", "name": "f", "input": {}},
]
CANDIDATE: dict[str, Any] = {
    "content": {"role": "model", "parts": [{"text": "fine"}]},
    "finishReason": "STOP",
    "groundingMetadata": {
        "groundingChunks": [{"web": {"uri": "u", "title": "t"}}],
        "groundingSupports": [{"segment": {"startIndex": 0, "endIndex": 2}, "groundingChunkIndices": [0]}],
    },
}
MESSAGE: dict[str, Any] = {"type": "message", "id": "m", "role": "assistant", "model": "m", "usage": {}}

WHOLE: dict[str, Any] = {
    "openai-responses": {**RESPONSE, "output": [THOUGHT, SEARCH, SAID]},
    "anthropic": {**MESSAGE, "content": BLOCKS, "stop_reason": "tool_use"},
    "gemini": {"candidates": [CANDIDATE], "responseId": "r"},
}
STREAMS: dict[str, list[Any]] = {
    "openai-responses": [
        {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": SEARCH},
        {"type": "response.output_item.done", "output_index": 0, "item": SEARCH},
        {"type": "response.output_item.added", "output_index": 1, "item": {**SAID, "content": []}},
        {
            "type": "response.content_part.added",
            "output_index": 1,
            "content_index": 0,
            "part": SAID["content"][0],
        },
        {
            "type": "response.content_part.done",
            "output_index": 1,
            "content_index": 0,
            "part": SAID["content"][0],
        },
        {"type": "response.output_item.done", "output_index": 1, "item": SAID},
        {"type": "response.completed", "response": {**RESPONSE, "output": [SEARCH, SAID, THOUGHT]}},
    ],
    "anthropic": [
        {"type": "message_start", "message": {**MESSAGE, "content": []}},
        *(
            {"type": kind, "index": index, **({"content_block": block} if kind.endswith("start") else {})}
            for index, block in enumerate(BLOCKS)
            for kind in ("content_block_start", "content_block_stop")
        ),
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ],
    "gemini": [{"candidates": [CANDIDATE], "responseId": "r"}],
}
ODD: tuple[Any, ...] = (None, True, 0, -1, 1e308, "", "x", [], {}, [None], [[]], [1, "a", {}], {"type": None})
ABSENT = object()


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [at] if at else []
    return found + [path for name, below in inner for path in paths(below, (*at, name))]


@st.composite
def bent(draw: st.DrawFn, original: Any) -> Any:
    """One value of an answer, replaced by an odd one or left out."""
    changed = deepcopy(original)
    *way, last = draw(st.sampled_from(paths(original)))
    place = changed
    for name in way:
        place = place[name]
    odd = draw(st.sampled_from((*ODD, ABSENT)))
    if odd is ABSENT:
        del place[last]
    else:
        place[last] = odd
    return changed


@pytest.mark.parametrize("wire", WHOLE)
@given(data=st.data())
def test_a_whole_answer_in_an_odd_shape_is_an_answer_or_a_failure(wire, data):
    answer = ADAPTERS[wire].decode_answer(json.dumps(data.draw(bent(WHOLE[wire]))).encode())
    assert isinstance(answer, Answer | Failure)


@pytest.mark.parametrize("wire", STREAMS)
@given(data=st.data())
def test_a_stream_in_an_odd_shape_ends_as_finished_or_as_a_failure(wire, data):
    events = data.draw(bent(STREAMS[wire]))
    decoder = ADAPTERS[wire].StreamDecoder()
    sent = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    found = [*decoder.feed(sent), *decoder.end()]
    assert isinstance(found[-1], Finished | Failure)
    for name, dialect in DIALECTS.items():
        asked = msgspec.structs.replace(chat(), dialect=name)
        assert isinstance(dialect.StreamEncoder(asked, "m").encode(found), bytes)


@pytest.mark.parametrize("wire", WHOLE)
def test_the_answers_that_are_bent_here_are_good_ones_before(wire):
    assert isinstance(ADAPTERS[wire].decode_answer(json.dumps(WHOLE[wire]).encode()), Answer)
    decoder = ADAPTERS[wire].StreamDecoder()
    sent = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in STREAMS[wire])
    assert isinstance([*decoder.feed(sent), *decoder.end()][-1], Finished)


def bent_part(**odd: Any) -> dict[str, Any]:
    return {**SAID, "content": [{**SAID["content"][0], **odd}]}


CRASHED = [
    (
        "openai-responses",
        [STREAMS["openai-responses"][0], {**STREAMS["openai-responses"][1], "item": {"type": []}}],
    ),
    ("openai-responses", [STREAMS["openai-responses"][0], {**STREAMS["openai-responses"][1], "item": {}}]),
    ("openai-responses", [{"type": "response.completed", "response": {**RESPONSE, "output": True}}]),
    (
        "openai-responses",
        [{"type": "response.completed", "response": {**RESPONSE, "output": [{**THOUGHT, "summary": True}]}}],
    ),
    (
        "openai-responses",
        [{"type": "response.completed", "response": {**RESPONSE, "output": [bent_part(annotations=0)]}}],
    ),
    (
        "openai-responses",
        [{"type": "response.completed", "response": {**RESPONSE, "output": [bent_part(logprobs="x")]}}],
    ),
    (
        "anthropic",
        [STREAMS["anthropic"][0], {"type": "content_block_start", "index": 0, "content_block": {"type": []}}],
    ),
]


@pytest.mark.parametrize(("wire", "events"), CRASHED)
def test_an_item_of_no_kind_is_malformed(wire, events):
    decoder = ADAPTERS[wire].StreamDecoder()
    sent = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    last = decoder.feed(sent)[-1]
    assert isinstance(last, Failure)
    assert last.outcome == "malformed"
