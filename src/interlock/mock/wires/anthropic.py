"""Anthropic's wire: messages whole and streamed, counts of tokens, errors."""

from collections.abc import Mapping
from typing import Any, Final

from interlock.mock.asked import Asked
from interlock.mock.draft import Draft, failed
from interlock.mock.said import Call, Said
from interlock.mock.wires import text
from interlock.mock.wires.fields import answer_or_stream, inner, lacks_list, objects, tools
from interlock.mock.wires.openai import FAILED
from interlock.mock.wires.pieces import in_turns, parts, words

NAME: Final = "anthropic"
FRAMING: Final = text
WITHOUT: Final = {
    **text.WITHOUT,
    "refused": "a refusal is a reason to end there, and that is `filtered`",
}
_FINISH: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}


def read(path: str, headers: Mapping[str, str], fields: dict[str, Any]) -> Asked | None:  # noqa: ARG001 - as all wires
    """What is asked for at this path, if it is one of this wire."""
    if not path.endswith(("/messages", "/messages/count_tokens")):
        return None
    choice = fields.get("tool_choice")
    demanded = inner(choice, "type") in ("any", "tool")
    wanted = inner(fields, "output_config", "format") or fields.get("output_format")
    return Asked(
        kind=answer_or_stream(fields) if path.endswith("/messages") else "count",
        model=str(fields.get("model", "")),
        tools=tools(objects(fields.get("tools")), "input_schema"),
        must_call=inner(choice, "name") or "" if demanded else None,
        schema=inner(wanted, "schema"),
        trouble=lacks_list(fields, "messages"),
    )


def whole(said: Said, asked: Asked) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    if asked.kind == "count":
        return {} if said.usage is None else {"input_tokens": said.usage.input}
    content: list[dict[str, Any]] = [{"type": "text", "text": said.text}] if said.text else []
    content += [_block(index, call, call.value) for index, call in enumerate(said.calls)]
    body = {**_frame(asked.model), "content": [] if said.empty else content, **_finish(said)}
    if said.usage is not None:
        body["usage"] = {"input_tokens": said.usage.input, "output_tokens": said.usage.output}
    return body


def events(said: Said, asked: Asked) -> list[bytes]:
    """The events of a streamed answer."""
    start: dict[str, Any] = {
        **_frame(asked.model), "content": [], "stop_reason": None, "stop_sequence": None,
    }  # fmt: skip
    if said.usage is not None:
        start["usage"] = {"input_tokens": said.usage.input, "output_tokens": 1}
    found: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
    rows = [] if said.empty else _rows(said)
    found += in_turns(rows, interleaved=said.interleaved)
    end: dict[str, Any] = {"type": "message_delta", "delta": _finish(said)}
    if said.usage is not None:
        end["usage"] = {"output_tokens": said.usage.output}
    return [text.event(one, one["type"]) for one in (*found, end, {"type": "message_stop"})]


def is_start(piece: bytes) -> bool:
    return b'"message_start"' in piece


def is_end(piece: bytes) -> bool:
    return b'"message_stop"' in piece


def error(status: int, message: str, retry_after: str | None = None) -> Draft:
    kinds = {
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        413: "request_too_large",
        429: "rate_limit_error",
        529: "overloaded_error",
    }
    kind = kinds.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return failed(status, {"type": "error", "error": {"type": kind, "message": message}}, retry_after)


def error_inside(asked: Asked) -> dict[str, Any]:  # noqa: ARG001 - as all wires
    """The body of an answer with status 200 that is an error."""
    return {"type": "error", "error": {"type": "overloaded_error", "message": FAILED}}


def error_event(asked: Asked) -> bytes:
    """An event of a stream that says that it failed."""
    return text.event(error_inside(asked), "error")


def _frame(model: str) -> dict[str, Any]:
    return {"id": "msg_mock", "type": "message", "role": "assistant", "model": model}


def _finish(said: Said) -> dict[str, Any]:
    reason = None if said.finish is None else _FINISH.get(said.finish, said.finish)
    return {"stop_reason": reason, "stop_sequence": None}


def _block(index: int, call: Call, arguments: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"toolu_{index}", "name": call.name, "input": arguments}


def _rows(said: Said) -> list[list[dict[str, Any]]]:
    """The events of each block: its start, its pieces, its stop."""
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if said.text:
        deltas = [{"type": "text_delta", "text": word} for word in words(said.text)]
        blocks.append(({"type": "text", "text": ""}, deltas))
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
