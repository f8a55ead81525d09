"""An answer on OpenAI's wire: chat completions whole and streamed, embeddings, models, errors."""

import base64
import struct
from typing import Any, Final

import msgspec

from interlock.mock.said import Call, Said, Usage

CREATED: Final = 1_700_000_000
DONE: Final = b"data: [DONE]\n\n"
_PART: Final = 12
"""Characters in a piece of a call's arguments."""


def whole(said: Said, model: str) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    message: dict[str, Any] = {"role": "assistant", "content": said.text or None, "refusal": None}
    if said.calls:
        message["tool_calls"] = [_call(index, call) for index, call in enumerate(said.calls)]
    choice = {"index": 0, "message": message, "logprobs": None, **_finish(said)}
    body = {**_frame(model, "chat.completion"), "choices": [] if said.empty else [choice]}
    return body if said.usage is None else {**body, "usage": _usage(said.usage)}


def events(said: Said, model: str, *, with_usage: bool) -> list[bytes]:
    """The events of a streamed answer. Usage comes where `stream_options` asks for it."""
    frame = _frame(model, "chat.completion.chunk")
    if said.empty:
        return [_event({**frame, "choices": []}), DONE]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in pieces(said.text)]
    deltas += _call_deltas(said)
    choices: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    if said.finish is not None:
        choices.append({"index": 0, "delta": {}, "finish_reason": said.finish})
    found = [_event({**frame, "choices": [choice]}) for choice in choices]
    if with_usage and said.usage is not None:
        found.append(_event({**frame, "choices": [], "usage": _usage(said.usage)}))
    return [*found, DONE]


def embeddings(inputs: Any, model: str, dimensions: int, *, as_base64: bool) -> dict[str, Any]:
    """A vector per input, of length 1, the same for the same text."""
    texts = (
        inputs if isinstance(inputs, list) and not all(isinstance(item, int) for item in inputs) else [inputs]
    )
    data = []
    for index, text in enumerate(texts):
        vector = _vector(str(text), dimensions)
        packed = base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode()
        data.append({"object": "embedding", "index": index, "embedding": packed if as_base64 else vector})
    tokens = sum(len(str(text)) // 4 + 1 for text in texts)
    return {
        "object": "list",
        "data": data,
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def models(names: tuple[str, ...]) -> dict[str, Any]:
    data: list[Any] = [
        {"id": name, "object": "model", "created": CREATED, "owned_by": "mock"} for name in names
    ]
    return {"object": "list", "data": data}


def error(status: int, message: str) -> dict[str, Any]:
    kind: str = {429: "rate_limit_error", 401: "authentication_error"}.get(
        status, "server_error" if status >= 500 else "invalid_request_error"
    )
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def pieces(text: str) -> list[str]:
    """Words, each with the space before it: what a model streams."""
    words = text.split(" ")
    return [word if place == 0 else f" {word}" for place, word in enumerate(words)] if text else []


def parts(text: str) -> list[str]:
    """Arguments of a call in the pieces that they are streamed in."""
    return [text[start : start + _PART] for start in range(0, len(text), _PART)]


def _frame(model: str, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-mock", "object": kind, "created": CREATED, "model": model}


def _finish(said: Said) -> dict[str, Any]:
    return {} if said.finish is None else {"finish_reason": said.finish}


def _usage(usage: Usage) -> dict[str, Any]:
    counts = (usage.input, usage.output)
    total = sum(counts) if all(isinstance(count, int) for count in counts) else usage.output
    return {"prompt_tokens": usage.input, "completion_tokens": usage.output, "total_tokens": total}


def _call(index: int, call: Call) -> dict[str, Any]:
    return {
        "id": f"call_{index}",
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def _call_deltas(said: Said) -> list[dict[str, Any]]:
    """The pieces of every call, one call after the other or in turns."""
    rows = []
    for index, call in enumerate(said.calls):
        row = [{"index": index, **_call(index, Call(call.name, ""))}]
        row += [{"index": index, "function": {"arguments": part}} for part in parts(call.arguments)]
        rows.append(row)
    return [{"tool_calls": [piece]} for piece in in_turns(rows, interleaved=said.interleaved)]


def in_turns(rows: list[list[Any]], *, interleaved: bool) -> list[Any]:
    """All items of some rows: row by row, or the first of each, then the second of each."""
    if not interleaved:
        return [item for row in rows for item in row]
    longest = max(map(len, rows), default=0)
    return [row[place] for place in range(longest) for row in rows if place < len(row)]


def _event(value: dict[str, Any]) -> bytes:
    return b"data: %b\n\n" % msgspec.json.encode(value)


def _vector(text: str, dimensions: int) -> list[float]:
    """A vector of length 1 with its weight where the text's bytes put it."""
    raw = [1.0] * dimensions
    for place, byte in enumerate(text.encode()):
        raw[(place * 31 + byte) % dimensions] += byte / 16
    length = sum(value * value for value in raw) ** 0.5
    return [round(value / length, 6) for value in raw]
