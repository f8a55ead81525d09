"""Answers and errors of an Anthropic messages server -> canonical ones."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.adapters.anthropic.usage import read_usage
from interlock.adapters.citing import by_part
from interlock.adapters.failures import (
    Broken,
    Complaint,
    code_of,
    malformed,
    message_of,
    retry_after_s,
    to_failure,
)
from interlock.types.answer import Answer, AttemptOutcome, Failure, FinishReason
from interlock.types.request import AnyPart, Extra, Opaque, Text, Thinking, ToolCall

_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode

FINISH: Final[dict[str, FinishReason]] = {
    "end_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "refusal",
}
"""Why models stop. Any other word is no end that could be shown as one."""
_WITHOUT_INVERSE: Final = ("model_context_window_exceeded",)
"""Words that a caller of the same dialect is shown as they are."""

_CODES: Final[dict[str, AttemptOutcome]] = {
    "overloaded_error": "upstream_error",
    "rate_limit_error": "rate_limited",
    "request_too_large": "context_length",
    "timeout_error": "timeout",
}
_REFUSED_CREDENTIALS: Final = {
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
}
"""Errors without a status, in a stream, that concern our account at the vendor."""
_CALLS: Final = ("mcp_tool_use", "server_tool_use")
_PASSED_ON: Final = frozenset(
    {
        "advisor_tool_result",
        "bash_code_execution_tool_result",
        "code_execution_tool_result",
        "compaction",
        "container_upload",
        "fallback",
        "mcp_tool_listing",
        "mcp_tool_result",
        "text_editor_code_execution_tool_result",
        "tool_reference",
        "tool_search_tool_result",
        "web_fetch_tool_result",
        "web_search_tool_result",
    }
)
"""Blocks that only callers of the own dialect are shown and that call nothing. Others may be calls."""
_TOP: Final = frozenset(
    {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage", "error"}
)


class _Text(Struct):
    text: str


class _Thinking(Struct):
    thinking: str
    signature: str | None = None


class _Redacted(Struct):
    data: str


class _ToolUse(Struct):
    id: str
    name: str
    input: dict[str, Any]


class _ServerUse(Struct):
    name: str
    input: dict[str, Any]


class _McpUse(_ServerUse):
    server_name: str


class _Block(Struct):
    type: str


class _Message(Struct):
    content: list[_Block]
    stop_reason: str | None = None
    stop_sequence: str | None = None
    id: str | None = None
    model: str | None = None


def decode_answer(body: bytes) -> Answer | Failure:
    """A whole answer that came with status 200, or how it is none."""
    try:
        raw = _decode(body)
        if isinstance(raw, dict) and raw.get("error"):
            return failure_of(raw["error"], None)
        message = msgspec.convert(raw, _Message)
        parts = tuple(read_block(block) for block in raw["content"])
    except Broken as broken:
        return broken.failure
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return malformed(f"not a message: {type(error).__name__}")
    finish = FINISH.get(message.stop_reason or "")
    if finish is None:
        return malformed(f"stop_reason `{code_of(message.stop_reason)}`")
    usage, more_usage = read_usage(raw.get("usage"))
    top = others(raw, _TOP) | as_it_was(message.stop_reason)
    return Answer(
        id=message.id or "",
        upstream_model=message.model or "",
        parts=by_part(parts, "anthropic-messages"),
        finish=finish,
        stop_sequence=message.stop_sequence,
        usage=usage,
        extra=for_own_dialect(top=top, usage=more_usage),
    )


def as_it_was(stop_reason: str | None) -> dict[str, Any]:
    """A reason to stop that no canonical one stands for, to be shown in its own words."""
    return {"stop_reason": stop_reason} if stop_reason in _WITHOUT_INVERSE else {}


def for_own_dialect(**places: dict[str, Any]) -> Extra | None:
    """What only a caller of the same dialect is shown, by place; None if there is nothing."""
    found = {place: fields for place, fields in places.items() if fields}
    return {"anthropic-messages": found} if found else None


def others(fields: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """The fields that are not among the known ones; null is as good as absent."""
    return {name: value for name, value in fields.items() if name not in known and value is not None}


def read_block(raw: dict[str, Any]) -> AnyPart:
    """A block of an answer.

    Raises msgspec.ValidationError for a known kind in a wrong shape, Broken for an unknown kind and for
    what looks like a call but is none of a kind that is judged as one.
    """
    kind = msgspec.convert(raw, _Block).type
    read = _BLOCKS.get(kind)
    if read is not None:
        return read(raw)
    if kind in _CALLS:
        msgspec.convert(raw, _McpUse if kind == "mcp_tool_use" else _ServerUse)
    elif kind not in _PASSED_ON or ("name" in raw and "input" in raw):
        raise Broken(malformed(f"a block of the kind `{code_of(kind)}`"))
    return Opaque(dialect="anthropic-messages", kind=kind, value=raw)


def _more(raw: dict[str, Any], *known: str) -> Extra | None:
    left = others(raw, frozenset({"type", *known}))
    return {"anthropic-messages": left} if left else None


def _text(raw: dict[str, Any]) -> Text:
    return Text(text=msgspec.convert(raw, _Text).text, extra=_more(raw, "text"))


def _thinking(raw: dict[str, Any]) -> Thinking:
    block = msgspec.convert(raw, _Thinking)
    return Thinking(text=block.thinking, signature=block.signature, extra=_more(raw, "thinking", "signature"))


def _redacted(raw: dict[str, Any]) -> Thinking:
    return Thinking(redacted=msgspec.convert(raw, _Redacted).data, extra=_more(raw, "data"))


def _tool_use(raw: dict[str, Any]) -> ToolCall:
    block = msgspec.convert(raw, _ToolUse)
    arguments = _encode(block.input).decode("utf-8")
    return ToolCall(
        id=block.id, name=block.name, arguments=arguments, extra=_more(raw, "id", "name", "input")
    )


_BLOCKS: Final[dict[str, Callable[[dict[str, Any]], AnyPart]]] = {
    "text": _text,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "tool_use": _tool_use,
}


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """How a call failed that was answered with another status than 200. Header names are lower-case."""
    wait = retry_after_s(headers)
    try:
        raw = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raw = None
    return failure_of(raw.get("error") if isinstance(raw, dict) else None, status, wait)


def failure_of(raw: Any, status: int | None, wait_s: float | None = None) -> Failure:
    """The failure that an error object stands for, in a body or in a stream.

    The vendor has no code for a prompt that is too long: it is an `invalid_request_error` like any
    other, and its words may change. Such a request is refused; context windows are checked before.
    """
    if not isinstance(raw, dict):
        return to_failure(Complaint(), _CODES, status, wait_s)
    details = raw.get("details")
    cause = code_of(details.get("error_code")) if isinstance(details, dict) else ""
    kind = code_of(raw.get("type"))
    if status is None:
        status = _REFUSED_CREDENTIALS.get(kind)
    complaint = Complaint(codes=(cause, kind), message=message_of(raw.get("message")))
    return to_failure(complaint, _CODES, status, wait_s)
