"""An answer on Anthropic's wire: messages whole and streamed, counts of tokens, errors."""

from typing import Any, Final

import msgspec

from interlock.mock.openai import in_turns, parts, pieces
from interlock.mock.said import Call, Said

_FINISH: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


def whole(said: Said, model: str) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    content: list[dict[str, Any]] = [{"type": "text", "text": said.text}] if said.text else []
    content += [_block(index, call, _arguments(call)) for index, call in enumerate(said.calls)]
    body = {**_frame(model), "content": [] if said.empty else content, **_finish(said)}
    if said.usage is not None:
        body["usage"] = {"input_tokens": said.usage.input, "output_tokens": said.usage.output}
    return body


def events(said: Said, model: str) -> list[bytes]:
    """The events of a streamed answer."""
    start: dict[str, Any] = {**_frame(model), "content": [], "stop_reason": None, "stop_sequence": None}
    if said.usage is not None:
        start["usage"] = {"input_tokens": said.usage.input, "output_tokens": 1}
    found: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
    rows = [] if said.empty else _rows(said)
    found += in_turns(rows, interleaved=said.interleaved)
    end: dict[str, Any] = {"type": "message_delta", "delta": _finish(said)}
    if said.usage is not None:
        end["usage"] = {"output_tokens": said.usage.output}
    found += [end, {"type": "message_stop"}]
    return [b"event: %b\ndata: %b\n\n" % (one["type"].encode(), msgspec.json.encode(one)) for one in found]


def count(body: bytes) -> dict[str, Any]:
    return {"input_tokens": len(body) // 4 + 1}


def error(status: int, message: str) -> dict[str, Any]:
    kinds = {
        401: "authentication_error",
        404: "not_found_error",
        429: "rate_limit_error",
        529: "overloaded_error",
    }
    kind = kinds.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": message}}


def _frame(model: str) -> dict[str, Any]:
    return {"id": "msg_mock", "type": "message", "role": "assistant", "model": model}


def _finish(said: Said) -> dict[str, Any]:
    reason = None if said.finish is None else _FINISH.get(said.finish, said.finish)
    return {"stop_reason": reason, "stop_sequence": None}


def _block(index: int, call: Call, arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{index}", "name": call.name, "input": arguments}


def _arguments(call: Call) -> Any:
    """What a vendor that sends values sends for arguments that are not JSON: the text."""
    try:
        return msgspec.json.decode(call.arguments)
    except msgspec.DecodeError:
        return call.arguments


def _rows(said: Said) -> list[list[dict[str, Any]]]:
    """The events of each block: its start, its pieces, its stop."""
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if said.text:
        blocks.append(
            (
                {"type": "text", "text": ""},
                [{"type": "text_delta", "text": word} for word in pieces(said.text)],
            )
        )
    for index, call in enumerate(said.calls):
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in parts(call.arguments)]
        blocks.append((_block(index, call, {}), deltas))
    return [
        [
            {"type": "content_block_start", "index": index, "content_block": block},
            *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
            {"type": "content_block_stop", "index": index},
        ]
        for index, (block, deltas) in enumerate(blocks)
    ]
