"""Every recorded call of OpenAI responses: the same dialect through, across to others, cut at every place."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final, get_args

import msgspec
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming
from pydantic import TypeAdapter

from interlock.adapters import ADAPTERS
from interlock.dialects import DIALECTS
from interlock.errors import ApiError
from interlock.types.answer import Answer, BlockStarted, Event, Failure, Finished, Started
from interlock.types.labels import Dialect
from interlock.types.request import Request, Text, ToolCall
from tests.adapters.recorded import (
    TARGETS,
    adapter,
    ask,
    bare,
    calls,
    fixtures,
    payloads,
    read,
    streams,
    write,
)
from tests.adapters.test_recorded_answers import differences, message_of, said
from tests.adapters.test_recorded_requests import exhaust

RESPONSES: Final[Dialect] = "openai-responses"
OTHERS: Final[tuple[Dialect, ...]] = ("openai-chat", "anthropic-messages")
_PARAMS: Final[TypeAdapter[Any]] = TypeAdapter(ResponseCreateParamsNonStreaming)
# The SDK's type for each event, by the event's own.
_EVENTS: Final[dict[str, Any]] = {
    get_args(kind.model_fields["type"].annotation)[0]: kind
    for kind in get_args(get_args(ResponseStreamEvent)[0])
}

# What a caller sees otherwise than the vendor sent it, and why. Nothing else may differ.
OURS: Final = {
    "model": "callers see the name of the pool",
    "store": "kept here or not at all, never at the vendor",
    "previous_response_id": "the caller's own word",
    "instructions": "the caller's own word",
    "tool_choice": "the caller's own word",
    "tools": "the caller's own words, without the vendor's defaults in them",
    "background": "always said",
    "truncation": "always said",
    "frequency_penalty": "always said; older recordings do not",
    "presence_penalty": "always said; older recordings do not",
    "completed_at": "always there, null where nobody has said when",
    "max_tool_calls": "always there",
    "prompt_cache_key": "always there",
    "safety_identifier": "always there",
    "top_logprobs": "always said",
    "service_tier": "always said",
    "temperature": "always a number",
    "top_p": "always a number",
    "logprobs": "always a list",
    "item_id": "the vendor leaves it out of some events",
    "name": "what is called, also in the event that ends its arguments",
    "encrypted_content": "an item that shows no thought comes whole, at once",
    "obfuscation": "random filler against the guessing of lengths",
    "sequence_number": "older recordings have none",
    "description": "as the caller wrote its schema",
    "defer_loading": "the vendor says it of a tool's result",
    "annotations": "always a list",
    "cache_write_tokens": "always a number",
}
SAID: Final = ("temperature", "top_p")
"""What is as the vendor has said it, if it has."""
REFUSED: Final = ("background", "conversation")


def requests() -> Iterator[tuple[dict[str, Any], Request]]:
    """Every recorded call whose request is served, with the request."""
    for row in calls(RESPONSES, status=None):
        if not any(row["request"].get(name) for name in REFUSED):
            yield row, DIALECTS[RESPONSES].decode_request(json.dumps(row["request"]).encode(), {})


def normal(value: Any) -> Any:
    """A request by what it means: strings are lists of one text, items are messages unless they say else."""
    body = bare(value)
    for name in ("model", "stream", "store", "previous_response_id"):
        body.pop(name, None)
    if not body.get("include"):
        body.pop("include", None)
    if isinstance(body["input"], str):
        body["input"] = [{"role": "user", "content": body["input"]}]
    lead = body["input"][0]
    if "instructions" not in body and lead.get("role") == "system":
        body["instructions"] = body["input"].pop(0)["content"]
    for item in body["input"]:
        item.setdefault("type", "message")
        for field in ("content", "output"):
            item[field] = parts(item.get(field), item.get("role"))
    return bare(body)


def parts(content: Any, role: str | None) -> Any:
    if isinstance(content, str):
        return [{"type": "output_text" if role == "assistant" else "input_text", "text": content}]
    for part in content or ():
        if part.get("detail") == "auto":
            del part["detail"]
        for empty in ("annotations", "logprobs"):
            if part.get(empty) == []:
                del part[empty]
    return content


def test_a_recorded_request_reaches_its_own_vendor_as_it_was():
    seen = 0
    for row, request in requests():
        assert adapter(RESPONSES).cannot_carry(request) == ()
        sent = json.loads(adapter(RESPONSES).encode_request(request, TARGETS["openai-responses"]).body)
        assert (sent["model"], sent["store"]) == ("upstream-model", False)
        was = row["request"]
        if "reasoning" in was:  # what a later turn must bring along, as nothing is kept at the vendor
            assert "reasoning.encrypted_content" in sent["include"]
            sent["include"] = was.get("include")
        assert normal(sent) == normal(was), row["source"]
        seen += 1
    assert seen > 75


def test_recorded_requests_for_what_only_the_vendor_holds_are_refused_by_name():
    found = [row["request"] for row in calls(RESPONSES) if any(row["request"].get(name) for name in REFUSED)]
    assert len(found) >= 3
    for body in found:
        with pytest.raises(ApiError) as caught:
            DIALECTS[RESPONSES].decode_request(json.dumps(body).encode(), {})
        assert caught.value.param in REFUSED


@pytest.mark.parametrize("dialect", OTHERS)
def test_a_recorded_request_is_carried_to_another_vendor_or_names_what_it_cannot_be_sent(dialect):
    carried = 0
    for row, request in requests():
        named = adapter(dialect).cannot_carry(request)
        target = TARGETS["openai" if dialect == "openai-chat" else "anthropic"]
        if named:
            with pytest.raises(ApiError) as caught:
                adapter(dialect).encode_request(request, target)
            assert caught.value.param == named[0]
            continue
        carried += 1
        sent = adapter(dialect).encode_request(request, target).body.decode()
        for text in texts_of(row["request"]):
            assert json.dumps(text, ensure_ascii=False)[1:-1] in sent, (row["source"], text)
    assert carried > 25


@pytest.mark.parametrize("wire", [wire for wire in ADAPTERS if wire != "openai-responses"])
def test_a_recorded_request_is_carried_to_every_wire_format_or_names_fields_that_it_has(wire):
    target = msgspec.structs.replace(TARGETS["openai"], regions=("us-east-1",))
    carried = 0
    for row, request in requests():
        named = ADAPTERS[wire].cannot_carry(request)
        known = json.dumps(row["request"])
        for field in named:
            name = field.rpartition(".")[2].removesuffix("[]")
            assert f'"{name}"' in known or name in ("thinking", *WORDS), (row["source"], field)
        if not named:
            carried += 1
            ADAPTERS[wire].encode_request(request, target)
    assert carried > 35


# Other names for what is asked for: chat's and messages' own.
WORDS: Final = (
    "content",
    "response_format",
    "reasoning_effort",
    "image_url",
    "file",
    "source",
    "tool_call_id",
)


@pytest.mark.parametrize(
    ("wire", "signed"),
    [("openai", False), ("azure", False), ("gemini", False), ("anthropic", True), ("bedrock", True)],
)
def test_thoughts_behind_earlier_answers_go_only_to_models_that_can_read_them(wire, signed):
    shown = [{"type": "summary_text", "text": "a-thought"}]
    items = [
        {"role": "user", "content": "hi"},
        {"type": "reasoning", "id": "rs_1", "summary": shown, "encrypted_content": "gAAA-sealed"},
        {"type": "reasoning", "summary": shown, "encrypted_content": "interlock-signature:SIGNED"},
        {"role": "assistant", "content": "an-answer"},
        {"role": "user", "content": "and?"},
    ]
    request = DIALECTS[RESPONSES].decode_request(json.dumps({"model": "m", "input": items}).encode(), {})
    assert ADAPTERS[wire].cannot_carry(request) == ()
    target = msgspec.structs.replace(TARGETS["openai"], upstream_model="anthropic.claude-x")
    sent = ADAPTERS[wire].encode_request(request, target).body
    assert b"an-answer" in sent
    assert b"gAAA-sealed" not in sent
    assert sent.count(b"a-thought") == sent.count(b"SIGNED") == int(signed)


def texts_of(body: dict[str, Any]) -> Iterator[str]:
    """Everything that is said in a request."""
    items = body["input"] if isinstance(body["input"], list) else [{"content": body["input"]}]
    for item in items:
        content = item.get("content") or item.get("output")
        yield from [content] if isinstance(content, str) else []
        yield from [part["text"] for part in content or () if isinstance(part, dict) and "text" in part]
        yield from [item["name"], item["call_id"]] if item.get("type") == "function_call" else []


@pytest.mark.parametrize("dialect", OTHERS)
def test_a_recorded_request_of_another_dialect_is_valid_here_or_names_what_it_cannot_be_sent(dialect):
    carried = 0
    for row in calls(dialect, status=None):
        request = DIALECTS[dialect].decode_request(json.dumps(row["request"]).encode(), {})
        named = adapter(RESPONSES).cannot_carry(request)
        if named:
            with pytest.raises(ApiError) as caught:
                adapter(RESPONSES).encode_request(request, TARGETS["openai-responses"])
            assert caught.value.param == named[0]
            continue
        carried += 1
        sent = json.loads(adapter(RESPONSES).encode_request(request, TARGETS["openai-responses"]).body)
        exhaust(_PARAMS.validate_python({**sent, "stream": False}))
    assert carried > 30


# --- whole answers ----------------------------------------------------------------------------


def answers() -> Iterator[tuple[str, bytes, Request]]:
    for row, request in requests():
        if not row["stream"] and row["status"] == 200:
            yield row["source"], json.dumps(row["response"]).encode(), request
    for name, body in fixtures(RESPONSES, "json"):
        yield name, body.encode(), ask(RESPONSES)


def test_a_recorded_answer_reaches_a_caller_of_the_same_dialect_as_it_was():
    seen = 0
    for source, body, request in answers():
        answer = adapter(RESPONSES).decode_answer(body)
        assert isinstance(answer, Answer), (source, answer)
        got = json.loads(DIALECTS[RESPONSES].encode_answer(answer, request, "pool-model"))
        assert set(differences(bare(json.loads(body)), bare(got))) <= {*OURS, *inside_tools(body)}, source
        assert got["model"] == "pool-model"
        told = json.loads(body)
        for name in SAID:
            assert told.get(name) in (None, got[name]), (source, name)
        seen += 1
    assert seen > 70


def inside_tools(body: bytes) -> set[str]:
    """The names of fields in definitions of tools, which a response repeats as their caller wrote them."""
    return set(re.findall(r'"(\w+)":', json.dumps(json.loads(body)["tools"])))


def test_a_recorded_answer_says_the_same_to_callers_of_other_dialects():
    for source, body, _ in answers():
        answer = adapter(RESPONSES).decode_answer(body)
        assert isinstance(answer, Answer)
        chat = json.loads(DIALECTS["openai-chat"].encode_answer(answer, ask("openai-chat"), "m"))
        ChatCompletion.model_validate(chat)
        told = json.loads(
            DIALECTS["anthropic-messages"].encode_answer(answer, ask("anthropic-messages"), "m")
        )
        words = "".join(part.text for part in answer.parts if isinstance(part, Text))
        assert (chat["choices"][0]["message"]["content"] or "") == words, source
        assert "".join(block["text"] for block in told["content"] if block["type"] == "text") == words
        names = [part.name for part in answer.parts if isinstance(part, ToolCall)]
        assert [c["function"]["name"] for c in chat["choices"][0]["message"].get("tool_calls", ())] == names
        assert [block["name"] for block in told["content"] if block["type"] == "tool_use"] == names
        assert (chat["choices"][0]["finish_reason"] == "tool_calls") == bool(names)
        assert chat["usage"]["prompt_tokens"] == json.loads(body)["usage"]["input_tokens"]


def test_recorded_answers_of_other_vendors_are_valid_responses():
    for dialect in OTHERS:
        for row in calls(dialect, stream=False):
            answer = adapter(dialect).decode_answer(json.dumps(row["response"]).encode())
            assert isinstance(answer, Answer)
            got = Response.model_validate_json(
                DIALECTS[RESPONSES].encode_answer(answer, ask(RESPONSES), "pool-model")
            )
            assert got.output_text == "".join(part.text for part in answer.parts if isinstance(part, Text))
            called = [part for part in answer.parts if isinstance(part, ToolCall)]
            assert [(c.call_id, c.arguments) for c in got.output if c.type == "function_call"] == [
                (call.id, call.arguments) for call in called
            ]
            ids = [item.id for item in got.output]
            assert len(set(ids)) == len(ids)


# --- streams ----------------------------------------------------------------------------------


def test_a_recorded_stream_reaches_a_caller_of_the_same_dialect_event_by_event():
    recorded = streams(RESPONSES)
    assert len(recorded) >= 12
    for source, data in recorded:
        events = read(RESPONSES, data)
        assert isinstance(events[-1], Finished), (source, events[-1])
        sent, got = payloads(data), payloads(write(RESPONSES, events))
        assert [event["type"] for event in got] == [event["type"] for event in sent], source
        assert [event["sequence_number"] for event in got] == list(range(len(got)))
        for one, other in zip(sent, got, strict=True):
            found = set(differences(bare(one), bare(other)))
            if "response" in one:
                found -= set(re.findall(r'"(\w+)":', json.dumps(one["response"].get("tools"))))
            assert found <= {*OURS}, (source, one["type"], found)


@pytest.mark.parametrize("dialect", OTHERS)
def test_a_recorded_stream_adds_up_to_the_same_for_callers_of_other_dialects(dialect):
    for source, data in streams(RESPONSES):
        events = read(RESPONSES, data)
        words = said(events)
        names = [e.name for e in events if isinstance(e, BlockStarted) and e.kind == "tool_call"]
        if dialect == "openai-chat":
            chunks = [ChatCompletionChunk.model_validate(c) for c in payloads(write(dialect, events))]
            deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
            assert "".join(delta.content or "" for delta in deltas) == words, source
            called = [call.function.name for d in deltas for call in d.tool_calls or () if call.function]
            assert [name for name in called if name] == names
        else:
            message = message_of(write(dialect, events))
            assert "".join(b["text"] for b in message["content"] if b["type"] == "text") == words, source
            assert [b["name"] for b in message["content"] if b["type"] == "tool_use"] == names


def test_recorded_streams_of_other_vendors_are_valid_streams_of_responses():
    for dialect in OTHERS:
        for source, data in streams(dialect):
            events = read(dialect, data)
            if isinstance(events[-1], Failure):
                continue
            got = payloads(write(RESPONSES, events))
            for event in got:
                _EVENTS[event["type"]].model_validate(event)
            check_order(got)
            assert "".join(e["delta"] for e in got if e["type"] == "response.output_text.delta") == said(
                events
            ), source


def check_order(events: list[dict[str, Any]]) -> None:
    """A stream is well formed: numbered, each item added and done once, and the end has what was done."""
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert events[-1]["type"] in ("response.completed", "response.incomplete")
    added = [event for event in events if event["type"] == "response.output_item.added"]
    done = {e["output_index"]: e["item"] for e in events if e["type"] == "response.output_item.done"}
    assert [event["output_index"] for event in added] == list(range(len(added)))
    assert [event["item"]["id"] for event in added] == [done[place]["id"] for place in range(len(added))]
    assert events[-1]["response"]["output"] == [done[place] for place in range(len(added))]
    texts: dict[tuple[int, int], str] = {}
    for event in events:
        where = (event.get("output_index", -1), event.get("content_index", -1))
        if event["type"] == "response.output_text.delta":
            texts[where] = texts.get(where, "") + event["delta"]
        if event["type"] == "response.output_text.done":
            assert event["text"] == texts.pop(where, "")
    assert not texts, "a text without an end"


def feed(*pieces: bytes) -> list[Event]:
    decoder = adapter(RESPONSES).StreamDecoder()
    found = [event for piece in pieces for event in decoder.feed(piece)]
    return found + decoder.end()


def test_u10_a_recorded_stream_has_the_same_events_wherever_it_is_cut_in_two():
    for source, data in streams(RESPONSES):
        whole = feed(data)
        cuts = range(len(data)) if len(data) < 12_000 else range(0, len(data), 997)
        for at in cuts:
            assert feed(data[:at], data[at:]) == whole, (source, at)


def test_u10_a_recorded_stream_has_the_same_events_byte_by_byte():
    for source, data in streams(RESPONSES):
        assert feed(*(data[at : at + 1] for at in range(len(data)))) == feed(data), source


def test_u8_a_recorded_stream_that_is_cut_after_any_event_ends_in_a_failure():
    for source, data in streams(RESPONSES):
        pieces = data.split(b"\n\n")
        for count in range(len(pieces) - 1):
            cut = b"".join(piece + b"\n\n" for piece in pieces[:count])
            events = feed(cut)
            ended = [event for event in events if isinstance(event, Finished | Failure)]
            if b'"type":"response.completed"' in cut.replace(b'": "', b'":"'):
                continue
            assert len(ended) == 1, source
            assert isinstance(events[-1], Failure), (source, count)
            assert events[-1].outcome == "malformed"
            assert sum(isinstance(event, Started) for event in events) <= 1
