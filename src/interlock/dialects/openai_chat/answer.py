"""Canonical answers and errors -> the bodies that callers of OpenAI chat expect."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from interlock.dialects.citing import beside, cited, homeless, to_annotation
from interlock.dialects.openai_chat.thoughts import keep
from interlock.dialects.vendor import vendor_fields
from interlock.errors import ApiError
from interlock.types.answer import CITATIONS, Answer, Citation, FinishReason, Usage
from interlock.types.labels import Dialect
from interlock.types.request import AnyPart, Opaque, Refusal, Request, Text, Thinking, ToolCall

_encode: Final = msgspec.json.Encoder().encode
OWN: Final[Dialect] = "openai-chat"
_NOTHING: Final[dict[str, Any]] = {}

FINISH: Final[dict[FinishReason, str]] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "content_filter",  # a classifier of the vendor stopped the model
    "pause": "length",  # the model has more to say: never shown as finished
}
_ERROR_TYPES: Final = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


def encode_answer(answer: Answer, request: Request, model: str) -> bytes:  # noqa: ARG001 - every dialect's signature
    """A whole answer; `model` is the name that the caller is shown."""
    fields = vendor_fields(answer.extra, "openai-chat")
    return _of_words(answer, fields, model) or _of_anything(answer, fields, model)


def _of_anything(answer: Answer, fields: dict[str, Any], model: str) -> bytes:
    usage = answer.usage
    body: dict[str, Any] = {
        "id": answer.id,
        "object": "chat.completion",
        # An upstream that does not say when leaves it to the driver to set it: here is no clock.
        "created": answer.created or 0,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": _message(answer.parts, fields.get("message", {})),
                "logprobs": None,
                "finish_reason": FINISH[answer.finish],
                **fields.get("choice", {}),
            }
        ],
        **fields.get("top", {}),
    }
    if usage.input_tokens is not None or usage.output_tokens is not None:
        body["usage"] = usage_of(usage, fields.get("usage", {}))
    lost = homeless(answer, OWN)
    return _encode({**body, **beside(lost)} if lost else body)


class _Words(Struct, gc=False):
    role: str
    content: str
    refusal: None


class _Choice(Struct, gc=False):
    index: int
    message: _Words
    logprobs: None
    finish_reason: str


class _Counts(Struct, gc=False):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class _Body(Struct, gc=False):
    id: str
    object: str
    created: int
    model: str
    choices: tuple[_Choice]
    service_tier: Any
    system_fingerprint: Any
    usage: _Counts | UnsetType


def _of_words(answer: Answer, fields: dict[str, Any], model: str) -> bytes | None:
    """What `_of_anything` gives for an answer that is one text, as most are; None for others: dicts cost."""
    parts, usage, top = answer.parts, answer.usage, fields.get("top", _NOTHING)
    only = parts[0] if len(parts) == 1 else None
    if type(only) is not Text or len(fields) > (top is not _NOTHING):
        return None
    if only.extra is not None and CITATIONS in only.extra:
        return None
    if (
        usage.cached_tokens is not None
        or usage.cache_write_tokens is not None
        or usage.reasoning_tokens is not None
    ):
        return None
    tier = fingerprint = UNSET
    for name in top:
        if name == "system_fingerprint":
            fingerprint = top[name]
        elif name == "service_tier" and fingerprint is UNSET:  # it is written first
            tier = top[name]
        else:
            return None
    read, written = usage.input_tokens, usage.output_tokens
    counts: _Counts | UnsetType = UNSET
    if read is not None or written is not None:
        read, written = read or 0, written or 0
        counts = _Counts(read, written, read + written)
    choice = _Choice(0, _Words("assistant", only.text, None), None, FINISH[answer.finish])
    return _encode(
        _Body(answer.id, "chat.completion", answer.created or 0, model, (choice,), tier, fingerprint, counts)
    )


def _message(parts: Iterable[AnyPart], more: dict[str, Any]) -> dict[str, Any]:
    texts: list[str] = []
    refusals: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    named: list[Citation] = []
    for part in parts:
        if isinstance(part, Text):
            texts.append(part.text)
            if part.extra is not None:
                named += cited(part.extra, OWN)
        elif isinstance(part, ToolCall):
            function = {"name": part.name, "arguments": part.arguments}
            more_of_call = vendor_fields(part.extra, "openai-chat")
            calls.append({"id": part.id, "type": "function", "function": function, **more_of_call})
        elif isinstance(part, Refusal):
            refusals.append(part.text)
        elif isinstance(part, Thinking):
            thoughts.append(part.text)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(texts) if texts else None,
        "refusal": "".join(refusals) if refusals else None,
    }
    thought = "".join(thoughts)
    if thought:
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = calls
    message |= _annotated(more, named)
    if any(map(_has_state, parts)):
        keep(parts, message)
    return message


def _has_state(part: AnyPart) -> bool:
    """Whether a vendor wants more of it back than its words."""
    if isinstance(part, Thinking):
        return bool(part.signature or part.redacted)
    return isinstance(part, Opaque) and part.seal is not None


def _annotated(more: dict[str, Any], named: list[Citation]) -> dict[str, Any]:
    """A message's other fields, with what its words cite of the web among its annotations."""
    if not named:
        return more
    annotations = [to_annotation(one) for one in named if one["url"] is not None]
    return {**more, "annotations": [*more.get("annotations", ()), *annotations]} if annotations else more


def usage_of(usage: Usage, more: dict[str, Any]) -> dict[str, Any]:
    """The `usage` of an answer: our counts, and what else the vendor counted (`more`)."""
    read, written = usage.input_tokens or 0, usage.output_tokens or 0
    details = {
        "prompt_tokens_details": {
            **more.get("prompt_tokens_details", {}),
            **_known(cached_tokens=usage.cached_tokens, cache_write_tokens=usage.cache_write_tokens),
        },
        "completion_tokens_details": {
            **more.get("completion_tokens_details", {}),
            **_known(reasoning_tokens=usage.reasoning_tokens),
        },
    }
    counts = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    return {**more, **counts, **{name: found for name, found in details.items() if found}}


def _known(**counts: int | None) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count is not None}


def error_of(error: ApiError) -> dict[str, Any]:
    """The error object, the same in a body and in a stream."""
    kind = _ERROR_TYPES.get(error.status)
    if kind is None:
        kind = "invalid_request_error" if error.status < 500 else "api_error"
    return {
        "error": {
            "message": error.message,
            "type": kind,
            "param": error.param,
            "code": error.code,
            "decision_id": error.decision_id,
            "hint": error.hint,
        }
    }


def encode_error(error: ApiError) -> bytes:
    return _encode(error_of(error))
