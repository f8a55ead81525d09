"""Every recorded answer and stream of the vendors, through an adapter and out to callers of both dialects."""

import json
from typing import Any, Final

import msgspec
import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import Message as AnthropicMessage
from anthropic.types import RawMessageStreamEvent
from openai.lib.streaming.chat._completions import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter

from interlock.dialects import DIALECTS
from interlock.types.answer import Answer, BlockDelta, BlockStarted, Event, Failure, Finished, Started
from interlock.types.labels import Dialect
from interlock.types.request import Opaque, Text, Thinking, ToolCall
from tests.adapters.recorded import (
    adapter,
    answers,
    ask,
    bare,
    payloads,
    read,
    streams,
    write,
)

BOTH: Final[tuple[Dialect, ...]] = ("openai-chat", "anthropic-messages")
_EVENTS: Final[TypeAdapter[Any]] = TypeAdapter(RawMessageStreamEvent)

# What a caller of the same dialect sees otherwise than the vendor sent it, and why. Nothing else may differ.
CHANGED: Final[dict[str, dict[str, str]]] = {
    "groq-reasoning.json": {
        "reasoning": "servers have two names for it; callers get the one that most of them use",
        "reasoning_content": "the name that callers get",
    },
    "xai-text.json": {"completion_tokens": "counts reasoning too, as its total and every other vendor do"},
    "xai-tool-call.json": {"completion_tokens": "counts reasoning too, as its total and other vendors do"},
}
IN_STREAMS: Final[dict[str, str]] = {
    "obfuscation": "random filler against the guessing of lengths; the vendor makes it anew for each chunk",
    "model": "callers see the name of the pool",
    "usage": "compared by its counts: in a stream executors complete and correct it",
}


def decode(dialect: Dialect, body: bytes) -> Answer:
    answer = adapter(dialect).decode_answer(body)
    assert isinstance(answer, Answer), answer
    return answer


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """The names of the fields by which two JSON values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            name
            for key in one.keys() | other.keys()
            for name in (
                [key] if key not in one or key not in other else differences(one[key], other[key], key)
            )
        ]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [name for a, b in zip(one, other, strict=True) for name in differences(a, b, path)]
    return [] if one == other else [path]


@pytest.mark.parametrize("dialect", BOTH)
def test_a_recorded_answer_reaches_a_caller_of_the_same_dialect_as_it_was(dialect):
    recorded = answers(dialect)
    assert len(recorded) > 45
    for source, body in recorded:
        sent = json.loads(body)
        got = DIALECTS[dialect].encode_answer(decode(dialect, body), ask(dialect), sent["model"])
        found = differences(bare(sent), bare(json.loads(got)))
        assert set(found) == set(CHANGED.get(source, {})), source


@pytest.mark.parametrize("dialect", BOTH)
def test_a_recorded_answer_is_valid_for_the_sdk_of_both_vendors(dialect):
    for source, body in answers(dialect):
        answer = decode(dialect, body)
        chat = json.loads(DIALECTS["openai-chat"].encode_answer(answer, ask(dialect), "pool-model"))
        chat.pop("service_tier", None)  # each vendor has names of its own
        assert ChatCompletion.model_validate(chat).model == "pool-model", source
        message = json.loads(DIALECTS["anthropic-messages"].encode_answer(answer, ask(dialect), "pool-model"))
        if any(isinstance(part, Opaque) for part in answer.parts):
            continue  # blocks of the vendor's betas, which only a caller of its beta SDK can have asked for
        if dialect == "anthropic-messages" and "recommended_model" in body.decode():
            continue  # another field of a beta
        assert AnthropicMessage.model_validate(message).model == "pool-model", source


@pytest.mark.parametrize("dialect", BOTH)
def test_words_calls_and_the_reason_to_stop_are_the_same_for_both_dialects(dialect):
    for source, body in answers(dialect):
        answer = decode(dialect, body)
        chat = json.loads(DIALECTS["openai-chat"].encode_answer(answer, ask(dialect), "m"))
        message = json.loads(DIALECTS["anthropic-messages"].encode_answer(answer, ask(dialect), "m"))
        one, blocks = chat["choices"][0]["message"], message["content"]
        texts = [block["text"] for block in blocks if block["type"] == "text"]
        assert (one["content"] or "") == "".join(texts), source
        called = [
            (call["function"]["name"], call["function"]["arguments"]) for call in one.get("tool_calls", ())
        ]
        used = [(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"]
        assert [(name, json.loads(arguments or "{}")) for name, arguments in called] == used, source
        assert bool(used) == (message["stop_reason"] == "tool_use"), source
        usage = message["usage"]
        total = sum(usage[f"{kind}input_tokens"] for kind in ("", "cache_read_", "cache_creation_"))
        assert chat["usage"]["prompt_tokens"] == total, source
        assert chat["usage"]["completion_tokens"] == usage["output_tokens"], source


def chat_of(stream: bytes) -> dict[str, Any]:
    """A chat stream as the vendor's SDK puts it together; every chunk must be valid."""
    state: Any = ChatCompletionStreamState()
    for chunk in payloads(stream):
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    return dict(state.current_completion_snapshot.model_dump(exclude_none=True))


def message_of(stream: bytes) -> dict[str, Any]:
    """A message stream as the vendor's SDK puts it together."""
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in payloads(stream):
        if event["type"] != "ping":
            snapshot = accumulate_event(
                event=_typed(event),
                current_snapshot=snapshot,
                json_bufs=buffers,
            )
    return dict(snapshot.model_dump(exclude_none=True, warnings="none"))


def _typed(event: dict[str, Any]) -> Any:
    """An event in the SDK's type for it; blocks of betas have none and are put together all the same."""
    try:
        return _EVENTS.validate_python(event)
    except ValueError:
        return event


@pytest.mark.parametrize("dialect", BOTH)
def test_a_recorded_stream_adds_up_to_the_same_for_a_caller_of_the_same_dialect(dialect):
    put_together = chat_of if dialect == "openai-chat" else message_of
    recorded = [
        (source, data) for source, data in streams(dialect) if source != "spliced-message-start.chunks.txt"
    ]
    assert len(recorded) >= 8
    for source, data in recorded:
        events = read(dialect, data)
        assert isinstance(events[-1], Finished), source
        sent, got = put_together(data), put_together(write(dialect, events, include_usage=True))
        for name in IN_STREAMS:
            sent.pop(name, None)
            got.pop(name, None)
        assert without_spellings(sent) == without_spellings(got), source


def without_spellings(value: Any) -> Any:
    """Empty text is as good as none, some servers leave the role out, and reasoning has two names."""
    if isinstance(value, dict):
        named = {("reasoning_content" if key == "reasoning" else key): inner for key, inner in value.items()}
        return {
            key: without_spellings(inner)
            for key, inner in named.items()
            if not (key in ("content", "reasoning_content", "citations") and not inner)
            and not (key == "index" and inner == 0)
            and key != "role"
        }
    if isinstance(value, list):
        return [without_spellings(inner) for inner in value]
    return value


@pytest.mark.parametrize("dialect", BOTH)
def test_a_recorded_stream_read_written_and_read_again_has_the_same_events(dialect):
    for source, data in streams(dialect):
        events = read(dialect, data)
        if isinstance(events[-1], Failure):
            continue
        again = read(dialect, write(dialect, events, include_usage=True))
        assert [strip(event) for event in again] == [strip(event) for event in events], source


def strip(event: Event) -> Event:
    """An event without the model's name; a count of the cache that nobody gave is written as 0."""
    if isinstance(event, Started):
        return Started(event.id, "", None, event.created, event.extra)
    if isinstance(event, Finished):
        usage = msgspec.structs.replace(
            event.usage,
            cached_tokens=event.usage.cached_tokens or 0,
            cache_write_tokens=event.usage.cache_write_tokens or 0,
        )
        return msgspec.structs.replace(event, usage=usage)
    return event


@pytest.mark.parametrize("dialect", BOTH)
def test_a_recorded_stream_adds_up_to_valid_types_of_the_other_vendors_sdk(dialect):
    for source, data in streams(dialect):
        events = read(dialect, data)
        if isinstance(events[-1], Failure):
            continue
        words = said(events)
        chat = chat_of(write("openai-chat", events, include_usage=True))
        message = message_of(write("anthropic-messages", events))
        one = chat["choices"][0]["message"]
        assert (one.get("content") or "") == words, source
        assert "".join(b["text"] for b in message["content"] if b["type"] == "text") == words, source
        names = [
            event.name for event in events if isinstance(event, BlockStarted) and event.kind == "tool_call"
        ]
        assert [call["function"]["name"] for call in one.get("tool_calls") or ()] == names, source
        assert [b["name"] for b in message["content"] if b["type"] == "tool_use"] == names, source
        assert chat["usage"]["completion_tokens"] == message["usage"]["output_tokens"], source
        if dialect == "openai-chat":
            AnthropicMessage.model_validate(message)


def said(events: list[Event]) -> str:
    texts = {event.index for event in events if isinstance(event, BlockStarted) and event.kind == "text"}
    return "".join(event.text for event in events if isinstance(event, BlockDelta) and event.index in texts)


@pytest.mark.parametrize("dialect", BOTH)
def test_a_stream_and_a_whole_answer_of_the_same_words_are_the_same_answer(dialect):
    """Parts put together from a recorded stream encode to what the SDK puts together from the stream."""
    for source, data in streams(dialect):
        events = read(dialect, data)
        if isinstance(events[-1], Failure) or any(
            isinstance(event, BlockStarted) and event.kind in ("opaque", "redacted") for event in events
        ):
            continue
        assert isinstance(events[0], Started)
        assert isinstance(events[-1], Finished)
        answer = Answer(
            id=events[0].id,
            upstream_model="",
            parts=tuple(parts_of(events)),
            finish=events[-1].finish,
            stop_sequence=events[-1].stop_sequence,
            usage=events[-1].usage,
        )
        whole = json.loads(DIALECTS["openai-chat"].encode_answer(answer, ask("openai-chat"), "m"))
        streamed = chat_of(write("openai-chat", events, include_usage=True))
        one, other = whole["choices"][0]["message"], streamed["choices"][0]["message"]
        assert (one["content"] or "") == (other.get("content") or ""), source
        assert one.get("reasoning_content") == other.get("reasoning_content"), source
        assert [call["function"] for call in one.get("tool_calls", ())] == [
            {key: call["function"][key] for key in ("name", "arguments")}
            for call in other.get("tool_calls") or ()
        ], source


def parts_of(events: list[Event]) -> list[Text | Thinking | ToolCall]:
    texts: dict[int, str] = {}
    for event in events:
        if isinstance(event, BlockDelta):
            texts[event.index] = texts.get(event.index, "") + event.text
    made: list[Text | Thinking | ToolCall] = []
    for event in events:
        if isinstance(event, BlockStarted):
            text = texts.get(event.index, "")
            if event.kind == "text":
                made.append(Text(text=text))
            elif event.kind == "thinking":
                made.append(Thinking(text=text))
            elif event.kind == "tool_call":
                made.append(ToolCall(id=event.call_id, name=event.name, arguments=text))
    return made
