"""Recorded traffic of the real vendors, and how two JSON values are compared by what they mean."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from interlock.adapters import ADAPTERS, AdapterModule, Target
from interlock.dialects import DIALECTS, DialectModule
from interlock.types.answer import Event
from interlock.types.labels import Dialect, Wire
from interlock.types.request import Message, Request, Text
from tests.data import rows

KINDS: Final[dict[Dialect, Wire]] = {
    "openai-chat": "openai",
    "openai-responses": "openai-responses",
    "anthropic-messages": "anthropic",
}
OTHER: Final[dict[Dialect, Dialect]] = {
    "openai-chat": "anthropic-messages",
    "anthropic-messages": "openai-chat",
}
TARGETS: Final[dict[Wire, Target]] = {
    kind: Target(
        upstream_model="upstream-model",
        base_url=f"https://{kind}.test/v1",
        api_key="sk-canary",
        max_output_tokens=None,
    )
    for kind in KINDS.values()
}
_rows: Final = cache(rows)
_COMPATIBLE: Final = ("openai", "deepseek", "groq", "mistral", "xai", "openai-compatible")


def ask(dialect: Dialect, **fields: Any) -> Request:
    return Request(
        dialect=dialect, model="m", messages=(Message(role="user", parts=(Text(text="hi"),)),), **fields
    )


def adapter(dialect: Dialect) -> AdapterModule:
    """The adapter whose wire format is the one of a dialect."""
    return ADAPTERS[KINDS[dialect]]


def calls(dialect: Dialect, *, stream: bool | None = None, status: int | None = 200) -> list[dict[str, Any]]:
    """The recorded calls of a dialect."""
    return [
        row
        for row in _rows("provider-recordings", "recorded_calls_sample.jsonl")
        if row["dialect"] == dialect
        and (stream is None or row["stream"] == stream)
        and (status is None or row["status"] == status)
    ]


def fixtures(dialect: Dialect, kind: str) -> Iterator[tuple[str, str]]:
    """Names and bodies of recorded answers, of this vendor and of those that speak its wire format."""
    for row in _rows("provider-recordings", "provider_fixtures_sample.jsonl"):
        ours = row["provider"] in _COMPATIBLE and row["api"] == "chat"
        if dialect != "openai-chat":
            ours = row["api"] == {"anthropic-messages": "messages", "openai-responses": "responses"}[dialect]
        if ours and row["kind"] == kind and not row["name"].endswith("-error.json"):
            yield row["name"], row["body"]


def answers(dialect: Dialect) -> list[tuple[str, bytes]]:
    """Whole answers as the vendors sent them, each with where it comes from."""
    recorded = [(row["source"], json.dumps(row["response"])) for row in calls(dialect, stream=False)]
    return [(name, body.encode()) for name, body in (*recorded, *fixtures(dialect, "json"))]


@cache
def streams(dialect: Dialect) -> list[tuple[str, bytes]]:
    """Event streams as the vendors sent them. Fixtures lack what is no JSON: it is put back."""
    recorded = {row["response"].encode(): row["source"] for row in calls(dialect, stream=True)}
    found = [(source, data) for data, source in recorded.items()]
    for name, body in fixtures(dialect, "stream"):
        lines = [line for line in body.splitlines() if line.strip()]
        ends = [at for at, line in enumerate(lines, start=1) if '"message_stop"' in line]
        # One file holds two streams, one behind the other.
        events = [_framed(dialect, line) for line in (lines[: ends[0]] if ends else lines)]
        found.append((name, b"".join(events) + (b"data: [DONE]\n\n" if dialect == "openai-chat" else b"")))
    return found


def _framed(dialect: Dialect, line: str) -> bytes:
    if dialect == "openai-chat":
        return f"data: {line}\n\n".encode()
    return f"event: {json.loads(line)['type']}\ndata: {line}\n\n".encode()


def read(dialect: Dialect, data: bytes) -> list[Event]:
    """All events of a stream of this dialect's wire format."""
    decoder = adapter(dialect).StreamDecoder()
    return decoder.feed(data) + decoder.end()


def write(dialect: Dialect, events: list[Event], **fields: Any) -> bytes:
    return DIALECTS[dialect].StreamEncoder(ask(dialect, **fields), "pool-model").encode(events)


def payloads(stream: bytes) -> list[dict[str, Any]]:
    """The JSON values of a stream that we wrote."""
    data = [line[6:] for line in stream.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(item) for item in data if item != b"[DONE]"]


def dialect_of(name: Dialect) -> DialectModule:
    return DIALECTS[name]


def bare(value: Any) -> Any:
    """A JSON value without nulls: to both vendors null is as good as absent."""
    if isinstance(value, dict):
        return {key: bare(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [bare(inner) for inner in value]
    return value
