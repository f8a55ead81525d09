"""Canonical answers and errors -> the bodies that callers of Anthropic messages expect."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from interlock.dialects.citing import beside, cited, homeless, to_web_location
from interlock.dialects.vendor import vendor_fields
from interlock.errors import ApiError
from interlock.types.answer import Answer, FinishReason, Usage
from interlock.types.labels import Dialect
from interlock.types.request import AnyPart, Opaque, Refusal, Request, Text, Thinking, ToolCall

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode
OWN: Final[Dialect] = "anthropic-messages"

_STOP_REASONS: Final[dict[FinishReason, str]] = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "refusal": "refusal",
    "pause": "pause_turn",
}
_ERROR_TYPES: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def encode_answer(answer: Answer, request: Request, model: str) -> bytes:  # noqa: ARG001 - every dialect's signature
    """A whole answer; `model` is the name that the caller is shown."""
    fields = vendor_fields(answer.extra, "anthropic-messages")
    calls = any(isinstance(part, ToolCall) for part in answer.parts)
    refused = any(isinstance(part, Refusal) for part in answer.parts)
    return _encode(
        {
            "id": answer.id,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": _content(answer.parts),
            "stop_reason": stop_reason(answer.finish, calls=calls, refused=refused),
            "stop_sequence": answer.stop_sequence,
            "usage": usage_of(answer.usage, fields.get("usage", {})),
            **fields.get("top", {}),
            **beside(homeless(answer, OWN)),
        }
    )


def encode_count(answer: Answer, request: Request, model: str) -> bytes:  # noqa: ARG001 - every answer's signature
    """The answer to a call that only counts."""
    fields = vendor_fields(answer.extra, "anthropic-messages")
    return _encode({"input_tokens": answer.usage.input_tokens or 0, **fields.get("top", {})})


def stop_reason(finish: FinishReason, *, calls: bool, refused: bool) -> str:
    """Why the model stopped. Other vendors stop at a forced tool call, or at a refusal, as at any end."""
    if finish == "stop" and (calls or refused):
        return "tool_use" if calls else "refusal"
    return _STOP_REASONS[finish]


def _content(parts: Iterable[AnyPart]) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    for part in parts:
        more = vendor_fields(part.extra, "anthropic-messages")
        if isinstance(part, Text | Refusal):
            if part.text:
                found = [to_web_location(one) for one in cited(part.extra, OWN) if one["url"] is not None]
                sources = {"citations": [*more.get("citations", ()), *found]} if found else {}
                blocks.append({"type": "text", "text": part.text, **more, **sources})
        elif isinstance(part, ToolCall):
            blocks.append(
                {
                    "type": "tool_use",
                    "id": part.id,
                    "name": part.name,
                    "input": input_of(part.arguments),
                    **more,
                }
            )
        elif isinstance(part, Thinking):
            blocks.append({**_thinking(part), **more})
        elif isinstance(part, Opaque):
            block = opaque_block(part)
            blocks += [block] if block is not None else []
    return blocks


def opaque_block(part: Opaque) -> dict[str, Any] | None:
    """A vendor's own block, or what stands for it here; None if it has no place."""
    if part.dialect == "anthropic-messages":
        return part.value
    return {"type": "redacted_thinking", "data": part.seal} if part.seal is not None else None


def _thinking(part: Thinking) -> dict[str, Any]:
    if part.redacted is not None:
        return {"type": "redacted_thinking", "data": part.redacted}
    return {"type": "thinking", "thinking": part.text, "signature": part.signature or ""}


def input_of(arguments: str) -> dict[str, Any]:
    """The arguments of a call as an object. Text that is none is shown as such: nothing to carry out."""
    try:
        found = _decode(arguments) if arguments else {}
    except msgspec.DecodeError:
        found = None
    return found if isinstance(found, dict) else {"invalid_arguments": arguments}


def usage_of(usage: Usage, more: dict[str, Any]) -> dict[str, Any]:
    """The `usage` of an answer: our counts, and what else the vendor counted (`more`)."""
    cached, written = usage.cached_tokens or 0, usage.cache_write_tokens or 0
    counts: dict[str, Any] = {
        # This vendor counts what came from the cache beside the input, not as a part of it.
        "input_tokens": max((usage.input_tokens or 0) - cached - written, 0),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "output_tokens": usage.output_tokens or 0,
    }
    if usage.reasoning_tokens is not None:
        counts["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return {**counts, **more}


def error_of(error: ApiError) -> dict[str, Any]:
    """The error object, the same in a body and in a stream."""
    kind = _ERROR_TYPES.get(error.status)
    if kind is None:
        kind = "invalid_request_error" if error.status < 500 else "api_error"
    return {
        "type": "error",
        "error": {
            "type": kind,
            "message": error.message,
            "param": error.param,
            "code": error.code,
            "decision_id": error.decision_id,
            "hint": error.hint,
            **({"details": error.details} if error.details is not None else {}),
        },
    }


def encode_error(error: ApiError) -> bytes:
    return _encode(error_of(error))
