"""What OpenAI and Anthropic put on the wire, for the scripted upstream."""

import json
from typing import Any

from tests.server.upstream import Reply, answer, sse


def event(value: Any, name: str | None = None) -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(value)}\n\n".encode()


def call(index: int, name: str, arguments: str) -> dict[str, Any]:
    return {
        "index": index,
        "id": f"call_{index}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


def chat(
    text: str | None = "Hello there",
    *,
    finish: str = "stop",
    calls: tuple[dict[str, Any], ...] = (),
    **top: Any,
) -> Reply:
    """A whole answer of OpenAI's chat completions."""
    message: dict[str, Any] = {"role": "assistant", "content": text}
    if calls:
        message["tool_calls"] = [
            {name: value for name, value in call.items() if name != "index"} for call in calls
        ]
    choice = {"index": 0, "message": message, "finish_reason": finish}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "up-1",
        "choices": [choice],
    }
    return answer({**body, "usage": USAGE, **top})


def chat_event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "up-1"}
    return event({**body, "choices": [choice]})


ROLE = chat_event({"role": "assistant", "content": ""})
DONE = b"data: [DONE]\n\n"
CHAT_USAGE = event(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "up-1",
        "choices": [],
        "usage": USAGE,
    }
)


def words(*texts: str) -> tuple[bytes, ...]:
    return tuple(chat_event({"content": text}) for text in texts)


def chat_end(finish: str = "stop") -> bytes:
    return chat_event({}, finish) + CHAT_USAGE + DONE


def chat_stream(*texts: str) -> Reply:
    return sse(ROLE, *words(*texts), chat_end())


def message(
    text: str = "Hello there", *, stop: str = "end_turn", content: list[dict[str, Any]] | None = None
) -> Reply:
    """A whole answer of Anthropic's messages."""
    return answer(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "up-2",
            "content": content or [{"type": "text", "text": text}],
            "stop_reason": stop,
            "stop_sequence": None,
            "usage": {"input_tokens": 11, "output_tokens": 7},
        }
    )


def message_stream(*texts: str) -> Reply:
    start: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "up-2",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 11, "output_tokens": 1},
    }
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    deltas = [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}
        for text in texts
    ]
    stop = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": 7},
    }
    events: list[dict[str, Any]] = [
        {"type": "message_start", "message": start},
        block,
        *deltas,
        {"type": "content_block_stop", "index": 0},
        stop,
    ]
    return sse(*(event(one, str(one["type"])) for one in [*events, {"type": "message_stop"}]))
