"""Recorded answers of the real vendors, served again; and what an SDK makes of them, in one form for all."""

import json
from typing import Any

from tests.data import rows
from tests.server.upstream import Reply, sse

# A field that an SDK's own method has no argument for goes into its `extra_body`.
OPENAI_FIELDS = (
    "messages",
    "tools",
    "tool_choice",
    "response_format",
    "stop",
    "max_completion_tokens",
    "stream_options",
    "web_search_options",
)
ANTHROPIC_FIELDS = (
    "messages",
    "max_tokens",
    "tools",
    "tool_choice",
    "system",
    "thinking",
    "stop_sequences",
    "output_config",
)


def recordings(dialect: str, *, stream: bool) -> list[dict[str, Any]]:
    """The recorded calls of a dialect that answered; `n` is left out: Interlock gives one answer a call."""
    return [
        row
        for row in rows("provider-recordings", "recorded_calls_sample.jsonl")
        if row["dialect"] == dialect
        and row["stream"] is stream
        and row["status"] == 200
        and row["request"].get("n", 1) == 1
    ]


def replay(row: dict[str, Any]) -> Reply:
    """The recorded answer as the vendor sent it."""
    if row["stream"]:
        return sse(row["response"].encode())
    return Reply(200, (json.dumps(row["response"]).encode(),))


def arguments(request: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    """A recorded request as arguments of an SDK's method, without model and stream."""
    known = {name: request[name] for name in fields if name in request}
    rest = {name: value for name, value in request.items() if name not in (*fields, "model", "stream", "n")}
    return {**known, "extra_body": rest} if rest else known


def offered(request: dict[str, Any]) -> list[str]:
    """The names of the tools that a recorded request offers, in either dialect."""
    tools = request.get("tools") or []
    return [tool["function"]["name"] if "function" in tool else tool.get("name", "") for tool in tools]


def openai_words(message: Any) -> tuple[str, list[tuple[str, Any]]]:
    """Text and tool calls of an OpenAI message."""
    calls = [
        (call.function.name, json.loads(call.function.arguments or "{}")) for call in message.tool_calls or []
    ]
    return message.content or "", calls


def anthropic_words(message: Any) -> tuple[str, list[tuple[str, Any]]]:
    """Text and tool calls of an Anthropic message."""
    text = "".join(block.text for block in message.content if block.type == "text")
    return text, [(block.name, block.input) for block in message.content if block.type == "tool_use"]


def recorded_words(row: dict[str, Any]) -> tuple[str, list[tuple[str, Any]]]:
    """Text and tool calls of a recorded whole answer, read by hand."""
    body = row["response"]
    if row["dialect"] == "openai-chat":
        message = body["choices"][0]["message"]
        calls = message.get("tool_calls") or []
        return message.get("content") or "", [
            (call["function"]["name"], json.loads(call["function"]["arguments"] or "{}")) for call in calls
        ]
    text = "".join(block["text"] for block in body["content"] if block["type"] == "text")
    return text, [(block["name"], block["input"]) for block in body["content"] if block["type"] == "tool_use"]
