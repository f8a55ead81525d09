"""The wire format of OpenAI responses at its edges: what is sent, what is refused, what a stream may do."""

import json
from typing import Any

import pytest

from interlock.dialects import DIALECTS
from interlock.errors import ApiError
from interlock.execute.validation.markers import native
from interlock.execute.validation.said import is_empty, said_of
from interlock.types.answer import (
    Answer,
    BlockDelta,
    BlockStarted,
    BlockStopped,
    Event,
    Failure,
    Finished,
    Started,
)
from interlock.types.request import Opaque, Text
from tests.adapters.recorded import TARGETS, adapter

WIRE = adapter("openai-responses")


def encode(dialect: Any, **fields: Any) -> dict[str, Any]:
    request = DIALECTS[dialect].decode_request(json.dumps({"model": "m", **fields}).encode(), {})
    sent: dict[str, Any] = json.loads(WIRE.encode_request(request, TARGETS["openai-responses"]).body)
    return sent


def chat(*messages: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return encode("openai-chat", messages=[{"role": "user", "content": "hi"}, *messages], **fields)


def refused(dialect: Any, **fields: Any) -> tuple[str, ...]:
    request = DIALECTS[dialect].decode_request(json.dumps({"model": "m", **fields}).encode(), {})
    return WIRE.cannot_carry(request)


# --- requests ---------------------------------------------------------------------------------


def test_nothing_is_ever_kept_at_the_vendor():
    assert encode("openai-responses", input="hi", store=True)["store"] is False
    assert encode("openai-responses", input="hi")["store"] is False
    assert chat(store=True)["store"] is False


def test_where_nothing_is_kept_thoughts_are_asked_for_in_the_form_in_which_they_can_be_sent_again():
    sent = encode("openai-responses", input="hi", reasoning={"effort": "low", "summary": "auto"})
    assert sent["reasoning"] == {"effort": "low", "summary": "auto"}
    assert sent["include"] == ["reasoning.encrypted_content"]
    assert "include" not in encode("openai-responses", input="hi", reasoning={"effort": "none"})
    assert chat(reasoning_effort="low")["include"] == ["reasoning.encrypted_content"]
    assert "include" not in chat(reasoning_effort="none")
    assert "include" not in chat()  # models that do not think refuse it


def test_a_thought_that_only_the_vendor_could_look_up_is_left_out_and_the_ids_that_point_to_it():
    kept = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"}
    call = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": "4"}
    assert encode("openai-responses", input=[kept, call, output])["input"] == [kept, call, output]
    only_known_there = {"type": "reasoning", "id": "rs_1", "summary": []}
    del call["id"]
    sent = encode("openai-responses", input=[only_known_there, {**call, "id": "fc_1"}, output])
    assert sent["input"] == [call, output]


def test_a_function_of_another_dialect_is_not_held_to_a_schema_it_was_not_written_for():
    function = {"name": "f", "parameters": {"type": "object", "properties": {}}}
    sent = chat(tools=[{"type": "function", "function": function}])
    assert sent["tools"] == [{"type": "function", "strict": False, **function}]
    own = encode("openai-responses", input="hi", tools=[{"type": "function", **function}])
    assert own["tools"] == [{"type": "function", **function}]


def test_a_conversation_of_another_dialect_becomes_items_in_the_same_order():
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    sent = encode(
        "openai-chat",
        messages=[
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "let me see", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "4"},
        ],
    )
    assert sent["instructions"] == "be brief"
    assert sent["input"] == [
        {"type": "message", "role": "user", "content": "hi"},
        {"type": "message", "role": "assistant", "content": "let me see"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "4"},
    ]


def test_settings_of_chat_that_have_another_name_here_are_carried_under_it():
    sent = chat(
        max_tokens=50, verbosity="low", safety_identifier="u1", response_format={"type": "json_object"}
    )
    assert sent["max_output_tokens"] == 50
    assert sent["text"] == {"verbosity": "low", "format": {"type": "json_object"}}
    assert sent["safety_identifier"] == "u1"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"stop": ["x"]}, "stop"),
        ({"seed": 1}, "seed"),
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"web_search_options": {}}, "web_search_options"),
    ],
)
def test_what_chat_can_ask_and_this_format_cannot_is_named(fields, named):
    assert refused("openai-chat", messages=[{"role": "user", "content": "hi"}], **fields) == (named,)
    with pytest.raises(ApiError) as caught:
        chat(**fields)
    assert caught.value.param == named


# --- answers ----------------------------------------------------------------------------------

MESSAGE: dict[str, Any] = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "hi", "annotations": []}],
}


def whole(**fields: Any) -> Answer | Failure:
    body = {"id": "resp_1", "object": "response", "model": "m", "created_at": 1, "status": "completed"}
    return WIRE.decode_answer(json.dumps({**body, "output": [MESSAGE], **fields}).encode())


def test_an_answer_that_was_cut_ends_as_such():
    cut = whole(status="incomplete", incomplete_details={"reason": "max_output_tokens"})
    assert isinstance(cut, Answer)
    assert cut.finish == "length"
    stopped = whole(status="incomplete", incomplete_details={"reason": "content_filter"})
    assert isinstance(stopped, Answer)
    assert stopped.finish == "content_filter"


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled", "incomplete", "whatever"])
def test_a_response_that_has_not_ended_is_no_answer(status):
    found = whole(status=status)
    assert isinstance(found, Failure)
    assert found.outcome == "malformed"


@pytest.mark.parametrize("output", [[], [{"type": "reasoning", "id": "rs_1", "summary": []}]])
def test_u13_a_response_without_output_or_with_nothing_but_thoughts_says_nothing(output):
    found = whole(output=output)
    assert isinstance(found, Answer)
    assert is_empty(said_of(found))


@pytest.mark.parametrize(
    ("code", "outcome"),
    [("server_error", "upstream_error"), ("rate_limit_exceeded", "rate_limited")],
)
def test_a_failed_response_fails_as_its_code_says(code, outcome):
    found = whole(status="failed", output=[], error={"code": code, "message": "no"})
    assert isinstance(found, Failure)
    assert found.outcome == outcome


def test_an_item_of_an_unknown_kind_is_refused_as_it_may_be_a_call():
    found = whole(output=[MESSAGE, {"type": "teleport_call", "id": "t", "name": "deploy"}])
    assert isinstance(found, Failure)
    assert "teleport_call" in found.detail


def test_calls_that_the_vendor_made_itself_name_the_tool_that_the_request_offered():
    items = [
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "mcp_call", "id": "mcp_1", "server_label": "crm", "name": "read", "arguments": "{}"},
    ]
    found = whole(output=[*items, MESSAGE])
    assert isinstance(found, Answer)
    assert [p.tool for p in found.parts if isinstance(p, Opaque)] == ["web_search", "mcp:crm"]


def test_what_an_answer_cites_is_found_whole_and_streamed():
    cited = {
        "type": "url_citation",
        "url": "https://x.test/a",
        "start_index": 0,
        "end_index": 1,
        "title": "a",
    }
    part = {**MESSAGE["content"][0], "annotations": [cited]}
    item = {**MESSAGE, "content": [part]}
    found = whole(output=[item])
    assert isinstance(found, Answer)
    streamed = stream(begun(), added({**MESSAGE, "content": []}), done(item), ended(item))
    for extras in (
        [part.extra for part in found.parts if part.extra],
        [e.extra for e in streamed if isinstance(e, BlockDelta) and e.extra]
        + [e.value for e in streamed if isinstance(e, BlockStarted) and e.value],
    ):
        assert [citation.value for citation in native(extras)] == ["https://x.test/a"]


# --- streams ----------------------------------------------------------------------------------


def stream(*events: dict[str, Any]) -> list[Event]:
    decoder = WIRE.StreamDecoder()
    data = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    return decoder.feed(data) + decoder.end()


def begun() -> dict[str, Any]:
    return {"type": "response.created", "response": {"id": "resp_1", "model": "m", "status": "in_progress"}}


def ended(*output: dict[str, Any], status: str = "completed", **fields: Any) -> dict[str, Any]:
    response = {"id": "resp_1", "model": "m", "status": status, "output": list(output), **fields}
    return {"type": f"response.{status}", "response": response}


def added(item: dict[str, Any], place: int = 0) -> dict[str, Any]:
    return {"type": "response.output_item.added", "output_index": place, "item": item}


def done(item: dict[str, Any], place: int = 0) -> dict[str, Any]:
    return {"type": "response.output_item.done", "output_index": place, "item": item}


def words(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, BlockDelta))


def test_a_server_that_leaves_out_what_lies_between_an_items_first_and_last_event_is_understood():
    growing = {**MESSAGE, "content": [], "status": "in_progress"}
    delta = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "hi"}
    for between in ([], [delta]):
        events = stream(begun(), added(growing), *between, done(MESSAGE), ended(MESSAGE))
        assert words(events) == "hi"
        assert isinstance(events[-1], Finished)
    assert words(stream(begun(), done(MESSAGE), ended(MESSAGE))) == "hi"
    assert words(stream(begun(), ended(MESSAGE))) == "hi"


def test_u18_calls_that_grow_side_by_side_are_told_apart_by_their_index():
    calls = [
        {"type": "function_call", "id": f"fc_{n}", "call_id": f"c{n}", "name": f"f{n}", "arguments": ""}
        for n in (0, 1)
    ]
    grow = [
        {"type": "response.function_call_arguments.delta", "output_index": place, "delta": text}
        for place, text in ((0, "{"), (1, "{}"), (0, "}"))
    ]
    whole = [{**call, "arguments": "{}"} for call in calls]
    events = stream(
        begun(),
        *(added(call, place) for place, call in enumerate(calls)),
        *grow,
        *(done(call, place) for place, call in enumerate(whole)),
        ended(*whole),
    )
    started = [(e.index, e.call_id, e.name) for e in events if isinstance(e, BlockStarted)]
    assert started == [(0, "c0", "f0"), (1, "c1", "f1")]
    texts = {n: "".join(e.text for e in events if isinstance(e, BlockDelta) and e.index == n) for n in (0, 1)}
    assert texts == {0: "{}", 1: "{}"}
    assert isinstance(events[-1], Finished)
    assert events[-1].finish == "tool_calls"


def test_an_item_may_not_end_as_another_one_than_was_judged_when_it_began():
    first = {"type": "function_call", "id": "fc", "call_id": "c", "name": "search", "arguments": ""}
    events = stream(begun(), added(first), done({**first, "name": "deploy", "arguments": "{}"}))
    assert isinstance(events[-1], Failure)
    search = {"type": "web_search_call", "id": "ws"}
    changed = {"type": "mcp_call", "id": "ws", "server_label": "crm", "name": "x", "arguments": "{}"}
    assert isinstance(stream(begun(), added(search), done(changed))[-1], Failure)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "x"}}},
        {"type": "error", "code": "server_error", "message": "x"},
        {"type": "error", "error": {"type": "server_error", "message": "x"}},
    ],
    ids=["failed", "flat error", "nested error"],
)
def test_a_stream_that_fails_ends_in_one_failure(event):
    events = stream(begun(), event, ended(MESSAGE))
    assert [isinstance(e, Failure) for e in events] == [False, True]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "response.output_text.delta", "output_index": 7, "delta": "x"},
        {"type": "response.output_text.delta", "output_index": 0, "delta": {"a": 1}},
        {"type": "response.output_item.added", "item": {"type": "message"}},
        {"type": "response.output_item.added", "output_index": 0, "item": 5},
        {"type": "response.completed", "response": {"id": "r", "status": "completed", "output": "none"}},
        {"type": 5},
    ],
)
def test_u11_an_event_where_it_does_not_belong_ends_the_stream_as_a_failure(event):
    assert isinstance(stream(begun(), added({**MESSAGE, "content": []}), event)[-1], Failure)


def test_events_of_kinds_that_are_not_known_are_passed_over():
    events = stream(begun(), {"type": "response.new.thing", "output_index": 3}, done(MESSAGE), ended(MESSAGE))
    assert isinstance(events[-1], Finished)


def test_a_refusal_and_the_words_before_it_are_blocks_of_one_item():
    item = {**MESSAGE, "content": [*MESSAGE["content"], {"type": "refusal", "refusal": "no"}]}
    events = stream(begun(), done(item), ended(item))
    kinds = [event.kind for event in events if isinstance(event, BlockStarted)]
    assert kinds == ["text", "refusal"]
    assert sum(isinstance(event, BlockStopped) for event in events) == 2
    assert isinstance(events[0], Started)
    whole_answer = whole(output=[item])
    assert isinstance(whole_answer, Answer)
    assert isinstance(whole_answer.parts[0], Text)
