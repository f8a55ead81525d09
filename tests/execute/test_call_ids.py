"""Each call of an answer has an id of its own, whatever was given: every wire format, both ways (U18)."""

import json
from typing import Any, Final

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from interlock.adapters import ADAPTERS
from interlock.config.written import ToolSpec
from interlock.execute.call_ids import CallIds, with_call_ids
from interlock.execute.flow import Flow
from interlock.execute.validation.verdict import Expected
from interlock.types.answer import Answer, BlockStarted
from interlock.types.labels import Wire
from interlock.types.request import ToolCall
from tests.aws_frames import BEGIN, METADATA, call, stop
from tests.execute.given import decision, request

NAMES: Final = ("now", "here")
GIVEN: Final = {"empty": ("", ""), "blank": (" ", " "), "twice": ("same", "same"), "apart": ("one", "two")}


def sse(*events: dict[str, Any], named: bool = False) -> bytes:
    lines = (f"event: {one['type']}\n" if named else "" for one in events)
    return b"".join(
        f"{name}data: {json.dumps(one)}\n\n".encode() for name, one in zip(lines, events, strict=True)
    )


def openai(ids: tuple[str, ...]) -> tuple[bytes, bytes]:
    calls = [
        {"index": at, "id": call_id, "type": "function", "function": {"name": name, "arguments": "{}"}}
        for at, (call_id, name) in enumerate(zip(ids, NAMES, strict=True))
    ]
    end = {"index": 0, "finish_reason": "tool_calls"}
    top = {"id": "ans-1", "model": "m"}
    whole = {**top, "choices": [{**end, "message": {"content": None, "tool_calls": calls}}]}
    stream = sse(
        {**top, "choices": [{"index": 0, "delta": {"tool_calls": calls}}]},
        {**top, "choices": [{**end, "delta": {}}]},
    )
    return json.dumps(whole).encode(), stream + b"data: [DONE]\n\n"


def responses(ids: tuple[str, ...]) -> tuple[bytes, bytes]:
    items = [
        {"type": "function_call", "id": f"fc_{at}", "call_id": call_id, "name": name, "arguments": "{}"}
        for at, (call_id, name) in enumerate(zip(ids, NAMES, strict=True))
    ]
    body = {"id": "ans-1", "model": "m", "output": items, "status": "completed"}
    done = [
        {"type": "response.output_item.done", "output_index": at, "item": item}
        for at, item in enumerate(items)
    ]
    begun = {"type": "response.created", "response": {**body, "output": [], "status": "in_progress"}}
    return json.dumps(body).encode(), sse(begun, *done, {"type": "response.completed", "response": body})


def anthropic(ids: tuple[str, ...]) -> tuple[bytes, bytes]:
    blocks = [
        {"type": "tool_use", "id": call_id, "name": name, "input": {}}
        for call_id, name in zip(ids, NAMES, strict=True)
    ]
    top = {"id": "ans-1", "model": "m", "usage": {}}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": {**top, "content": []}}]
    for at, block in enumerate(blocks):
        events.append({"type": "content_block_start", "index": at, "content_block": block})
        events.append({"type": "content_block_stop", "index": at})
    events.append({"type": "message_delta", "delta": {"stop_reason": "tool_use"}})
    events.append({"type": "message_stop"})
    return json.dumps({**top, "content": blocks, "stop_reason": "tool_use"}).encode(), sse(
        *events, named=True
    )


def gemini(ids: tuple[str, ...]) -> tuple[bytes, bytes]:
    parts = [
        {"functionCall": {"name": name, "args": {}, "id": call_id}}
        for call_id, name in zip(ids, NAMES, strict=True)
    ]
    reply = {
        "responseId": "ans-1",
        "candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": "STOP"}],
    }
    return json.dumps(reply).encode(), sse(reply)


def bedrock(ids: tuple[str, ...]) -> tuple[bytes, bytes]:
    content = [
        {"toolUse": {"toolUseId": call_id, "name": name, "input": {}}}
        for call_id, name in zip(ids, NAMES, strict=True)
    ]
    whole = {"output": {"message": {"content": content}}, "stopReason": "tool_use"}
    frames = [call(at, name, ids[at], "{}") for at, name in enumerate(NAMES)]
    return json.dumps(whole).encode(), b"".join((BEGIN, *frames, stop("tool_use"), METADATA))


WIRES: Final[dict[Wire, Any]] = {
    "openai": openai,
    "azure": openai,
    "openai-responses": responses,
    "anthropic": anthropic,
    "gemini": gemini,
    "bedrock": bedrock,
}


def whole_ids(wire: Wire, body: bytes) -> list[str]:
    answer = ADAPTERS[wire].decode_answer(body)
    assert isinstance(answer, Answer), answer
    return [part.id for part in with_call_ids(answer, "dec_1").parts if isinstance(part, ToolCall)]


def stream_ids(wire: Wire, data: bytes) -> list[str]:
    decoder = ADAPTERS[wire].StreamDecoder()
    expected = Expected(request(tools=NAMES), decision(), None, {}, ToolSpec())
    flow = Flow(expected, name="dec_1")
    out = flow.take([*decoder.feed(data), *decoder.end()])
    assert flow.passed, flow.failure
    found = [event.call_id for event in out if isinstance(event, BlockStarted)]
    assert found == [call.id for call in flow.calls]
    return found


def test_u18_every_wire_format_is_looked_at():
    assert WIRES.keys() == ADAPTERS.keys()


@pytest.mark.parametrize("ids", GIVEN.values(), ids=GIVEN)
@pytest.mark.parametrize("wire", WIRES)
def test_u18_an_empty_or_doubled_call_id_becomes_one_of_its_own_the_same_whole_and_streamed(wire, ids):
    body, stream = WIRES[wire](ids)
    found = whole_ids(wire, body)
    assert found == stream_ids(wire, stream) == whole_ids(wire, body)
    assert len(set(found)) == 2
    assert all(name.strip() for name in found)
    if wire != "gemini":  # there the server's ids are of our own making in any case
        kept = [after for before, after in zip(ids, found, strict=True) if before == after]
        assert kept == list(dict.fromkeys(name for name in ids if name.strip()))


def test_u18_two_nameless_calls_under_one_index_are_two_calls():
    first, second = ({"name": name, "arguments": "{}"} for name in NAMES)
    chunk = [
        {"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": function}]}}]}
        for function in (first, second)
    ]
    end = {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    assert stream_ids("openai", sse(*chunk, end) + b"data: [DONE]\n\n") == ["call_c_0", "call_c_1"]


def test_u18_a_call_that_changes_its_name_under_its_id_is_malformed():
    def piece(name: str) -> dict[str, Any]:
        call = {"index": 0, "id": "c", "function": {"name": name}}
        return {"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]}

    found = ADAPTERS["openai"].StreamDecoder().feed(sse(piece("now"), piece("here")))
    assert getattr(found[-1], "outcome", None) == "malformed"


def test_an_answer_without_a_usable_id_lends_its_calls_the_name_of_its_decision():
    assert CallIds("", "dec_1").settled("") == "call_dec_1_0"
    assert CallIds("an id with spaces", "dec_1").settled("") == "call_dec_1_0"
    assert CallIds("x" * 49, "dec_1").settled("") == "call_dec_1_0"


@for_all(st.lists(st.sampled_from(["", " ", "a", "b", "call_n_0", "call_n_1", "call_n_2"]), max_size=12))
def test_ids_are_apart_whatever_came_and_those_that_were_stay(given):
    ids = CallIds("n", "dec_1")
    found = [ids.settled(name) for name in given]
    assert len(set(found)) == len(found)
    assert all(map(str.strip, found))
    again = CallIds("n", "dec_1")
    assert [again.settled(name) for name in given] == found
    if all(map(str.strip, given)) and len(set(given)) == len(given):
        assert found == given
