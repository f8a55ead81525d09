"""Every recorded answer of a vendor, by the wire format that it is in, and what any answer says."""

import json
from functools import cache
from typing import Any, Final

from anthropic.types import Message as AnthropicMessage
from msgspec import Struct
from openai.types.chat import ChatCompletion

from interlock.adapters import ADAPTERS
from interlock.dialects import DIALECTS
from interlock.execute.validation.said import calls_of
from interlock.types.answer import (
    Answer,
    BlockDelta,
    BlockStarted,
    Event,
    Failure,
    Finished,
    Usage,
)
from interlock.types.labels import Dialect, Wire
from interlock.types.request import Opaque, Refusal, Text, ToolCall
from tests.adapters.recorded import KINDS, ask
from tests.aws_frames import event as aws_event
from tests.data import rows

DIALECTS_IN: Final[tuple[Dialect, ...]] = ("openai-chat", "openai-responses", "anthropic-messages")
FOREIGN: Final = {
    ("cohere", "chat"): "Cohere's own API; it is spoken to in OpenAI's wire format",
    ("google", "interactions"): "Google's API for conversations that it keeps; nothing is kept at a vendor",
}
"""Recordings in a wire format that is not spoken, and why."""
_API: Final[dict[tuple[str, str], Wire]] = {
    ("amazon-bedrock", "chat"): "bedrock",
    ("azure", "chat"): "openai-responses",  # it says so itself: `"object": "response"`
    ("google", "chat"): "gemini",
}
_BY_API: Final[dict[str, Wire]] = {
    "chat": "openai",
    "messages": "anthropic",
    "responses": "openai-responses",
}


class Recording(Struct, frozen=True):
    """One answer with status 200, as the vendor sent it. A stream is the list of its events, framed."""

    name: str
    wire: Wire
    events: tuple[bytes, ...]
    stream: bool

    @property
    def data(self) -> bytes:
        return b"".join(self.events)


class Says(Struct, frozen=True):
    """What an answer comes to for whoever reads it."""

    text: str
    calls: tuple[tuple[str, Any], ...]
    usage: tuple[int | None, int | None]


@cache
def recordings() -> tuple[Recording, ...]:
    """All of them, each once. Refusals of a request are looked at in `test_failures`."""
    found: dict[tuple[str, bytes], Recording] = {}
    for row in rows("provider-recordings", "provider_fixtures_sample.jsonl"):
        one = _fixture(row)
        if one is not None:
            found.setdefault((one.wire, one.data), one)
    for row in rows("provider-recordings", "recorded_calls_sample.jsonl"):
        if row["status"] == 200:
            one = _call(row)
            found.setdefault((one.wire, one.data), one)
    return tuple(found.values())


def streams(wire: Wire | None = None) -> list[Recording]:
    return [one for one in recordings() if one.stream and wire in (None, one.wire)]


def wholes(wire: Wire | None = None) -> list[Recording]:
    return [one for one in recordings() if not one.stream and wire in (None, one.wire)]


def _fixture(row: dict[str, Any]) -> Recording | None:
    place = row["provider"], row["api"]
    if place in FOREIGN or (row["kind"] == "json" and is_refusal(row)):
        return None
    wire = _API.get(place) or _BY_API[row["api"]]
    if row["kind"] == "json":
        return Recording(row["name"], wire, (row["body"].encode(),), stream=False)
    lines = [line for line in row["body"].splitlines() if line.strip()]
    ends = [at for at, line in enumerate(lines, start=1) if '"message_stop"' in line]
    lines = lines[: ends[0]] if ends else lines  # one file holds two streams, one behind the other
    framed = tuple(_framed(wire, line) for line in lines)
    return Recording(row["name"], wire, framed + ((b"data: [DONE]\n\n",) if wire == "openai" else ()), True)


def is_refusal(row: dict[str, Any]) -> bool:
    """Whether a recorded body is an error and nothing else."""
    return bool(json.loads(row["body"]).keys() == {"error"})


def _framed(wire: Wire, line: str) -> bytes:
    if wire == "bedrock":
        ((kind, fields),) = json.loads(line).items()
        return aws_event(kind, **fields)
    name = f"event: {json.loads(line)['type']}\n" if wire in ("anthropic", "openai-responses") else ""
    end = "\r\n\r\n" if wire == "gemini" else "\n\n"
    return f"{name}data: {line}{end}".encode()


def _call(row: dict[str, Any]) -> Recording:
    name, wire = f"{row['source']}#{row['index']}", KINDS[row["dialect"]]
    if not row["stream"]:
        return Recording(name, wire, (json.dumps(row["response"]).encode(),), stream=False)
    text = row["response"].encode().replace(b"\r\n", b"\n")
    events = tuple(event + b"\n\n" for event in text.split(b"\n\n") if event.strip())
    return Recording(name, wire, events, stream=True)


def read(wire: Wire, *pieces: bytes) -> list[Event]:
    """All events of a stream, which comes in these pieces."""
    decoder = ADAPTERS[wire].StreamDecoder()
    found = [event for piece in pieces for event in decoder.feed(piece)]
    return found + decoder.end()


def decoded(wire: Wire, body: bytes) -> Answer:
    """A whole answer that is one."""
    found = ADAPTERS[wire].decode_answer(body)
    assert isinstance(found, Answer), found
    return found


def as_chat(found: Answer) -> dict[str, Any]:
    """An answer as a caller of OpenAI chat is shown it; the SDK's type takes it."""
    encoded: dict[str, Any] = json.loads(
        DIALECTS["openai-chat"].encode_answer(found, ask("openai-chat"), "m")
    )
    ChatCompletion.model_validate(encoded)
    return encoded


def as_message(found: Answer) -> dict[str, Any]:
    """An answer as a caller of Anthropic messages is shown it; the SDK's type takes it."""
    encoded: dict[str, Any] = json.loads(
        DIALECTS["anthropic-messages"].encode_answer(found, ask("anthropic-messages"), "m")
    )
    AnthropicMessage.model_validate(encoded)
    return encoded


def said_by(answer: Answer | Failure) -> Says:
    """What a whole answer says. A refusal is words like any other: each dialect shows it in its own way."""
    assert isinstance(answer, Answer), answer
    text = "".join(part.text for part in answer.parts if isinstance(part, Text | Refusal))
    calls = tuple(
        (part.name, json.loads(part.arguments or "{}")) for part in answer.parts if isinstance(part, ToolCall)
    )
    return Says(text, calls, _counts(answer.usage))


def said_in(events: list[Event]) -> Says:
    """The same of a stream."""
    last = events[-1]
    assert isinstance(last, Finished), last
    kinds = {event.index: event for event in events if isinstance(event, BlockStarted)}
    pieces: dict[int, str] = dict.fromkeys(kinds, "")
    text = ""
    for event in events:
        if isinstance(event, BlockDelta):
            pieces[event.index] += event.text
            text += event.text if kinds[event.index].kind in ("text", "refusal") else ""
    calls = tuple(
        (block.name, json.loads(pieces[index] or "{}"))
        for index, block in kinds.items()
        if block.kind == "tool_call"
    )
    return Says(text, calls, _counts(last.usage))


def _counts(usage: Usage) -> tuple[int | None, int | None]:
    return usage.input_tokens, usage.output_tokens


def tools_of(one: Recording) -> tuple[str, ...]:
    """The names of all tools that an answer calls, those that the vendor runs among them."""
    if not one.stream:
        answer = ADAPTERS[one.wire].decode_answer(one.data)
        assert isinstance(answer, Answer), (one.name, answer)
        parts: list[Any] = list(answer.parts)
    else:
        events = [event for event in read(one.wire, one.data) if isinstance(event, BlockStarted)]
        parts = [event.value for event in events if isinstance(event.value, Opaque)]
        parts += [
            ToolCall(id="", name=event.name, arguments="") for event in events if event.kind == "tool_call"
        ]
    return tuple(dict.fromkeys(call.name for call in calls_of(parts)))
