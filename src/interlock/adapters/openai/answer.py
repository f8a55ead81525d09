"""Answers and errors of an OpenAI-compatible server -> canonical ones."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from interlock.adapters.citing import of_annotation, of_list, with_citations
from interlock.adapters.failures import (
    Broken,
    Complaint,
    code_of,
    malformed,
    message_of,
    retry_after_s,
    to_failure,
)
from interlock.adapters.openai.usage import read_usage
from interlock.types.answer import Answer, AttemptOutcome, Citation, Failure, FinishReason, Usage
from interlock.types.request import AnyPart, Extra, Refusal, Text, Thinking, ToolCall
from interlock.wire.seals import EXTRA_CONTENT

_decode: Final = msgspec.json.Decoder().decode
OWN: Final = "openai-chat"

FINISH: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "length": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
}
"""What servers say when a model is done. Any other word is no end that could be shown as one."""

_CODES: Final[dict[str, AttemptOutcome]] = {
    "context_length_exceeded": "context_length",
    "exceed_context_size_error": "context_length",  # llama.cpp
    "content_filter": "content_filtered",
    "content_policy_violation": "content_filtered",
    "moderation_blocked": "content_filtered",
    "rate_limit_error": "rate_limited",
    "rate_limit_exceeded": "rate_limited",
    "ResponsibleAIPolicyViolation": "content_filtered",  # Azure
    "json_validate_failed": "schema_invalid",  # Groq: what the model wrote, not what the caller asked
    "tool_use_failed": "malformed",  # Groq: the model wrote a call that cannot be read
}
_UNCITED: Final[Extra] = {"annotations": None}
_TOP: Final = frozenset({"id", "object", "created", "model", "choices", "usage", "error"})
_CHOICE: Final = frozenset({"index", "message", "finish_reason"})
_MESSAGE: Final = frozenset({"role", "content", "refusal", "reasoning_content", "reasoning", "tool_calls"})


_MOST_COMPLAINTS: Final = 8
MORE_THAN_ONE: Final = "more than one choice"
"""Callers ask for one answer, and have no place for another."""
_CALLS: Final = ("toolcall", "toolcalls", "functioncall", "functioncalls")
"""How names of fields with calls end, in whatever spelling."""


class _Function(Struct):
    name: str
    arguments: str | None = None


class _Call(Struct):
    function: _Function
    id: str | None = None
    extra_content: Any = None  # what a call is remembered by (Google's compatible server)


class Piece(Struct, gc=False):
    """A part of what a model says, where a server (Mistral) gives a list: words, or thoughts in parts."""

    type: str
    text: str | None = None
    thinking: "list[Piece] | str | None" = None


class _Message(Struct):
    content: str | list[Piece] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: None = None


class _Choice(Struct):
    message: _Message
    finish_reason: str | None = None


class _Completion(Struct):
    choices: list[_Choice]
    id: str | None = None
    model: str | None = None
    created: int | None = None


class _UsualMessage(Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    role: Any = None
    content: str | list[Piece] | None = None
    refusal: str | None = None
    annotations: Any = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_Call] | None = None
    function_call: None = None


class _UsualChoice(Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    index: Any = None
    message: _UsualMessage
    logprobs: Any = None
    finish_reason: str | None = None


class _Usual(Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """A completion that has no fields but the dialect's own, as most have: it is read in one go.

    Fields stand in the order in which servers write them: so each is found at the first look.
    """

    id: str | None = None
    object: Any = None
    created: int | None = None
    model: str | None = None
    choices: list[_UsualChoice]
    usage: Any = None
    service_tier: Any = None
    system_fingerprint: Any = None
    error: None = None


_decode_usual: Final = msgspec.json.Decoder(_Usual).decode
_TIER: Final = b'"service_tier"'
_FINGERPRINT: Final = b'"system_fingerprint"'
_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def decode_answer(body: bytes) -> Answer | Failure:
    """A whole answer that came with status 200, or how it is none."""
    try:
        usual = _decode_usual(body)
    except _UNREADABLE:
        return decode_unusual(body)
    usage, more_usage = read_usage(usual.usage)
    extra = _usual_extra(usual, more_usage, body)
    if extra is None:
        return decode_unusual(body)
    answer = _answer(usual, usage, extra)
    return _with_citations(answer, extra) if extra.get("message", _UNCITED)["annotations"] else answer


def decode_unusual(body: bytes) -> Answer | Failure:
    """The same for any answer: what is none, and what has fields that are its vendor's own."""
    try:
        raw = _decode(body)
        if isinstance(raw, dict) and raw.get("error"):
            return failure_of(raw["error"], None)
        completion = msgspec.convert(raw, _Completion)
    except _UNREADABLE as error:
        return malformed(f"not a chat completion: {type(error).__name__}")
    usage, more_usage = read_usage(raw.get("usage"))
    extra = _extra(raw, more_usage) if completion.choices else {}
    answer = _with_citations(_answer(completion, usage, extra), extra)
    unjudged = unjudged_calls(extra) if extra and isinstance(answer, Answer) else None
    return answer if unjudged is None else malformed(f"calls in `{code_of(unjudged)}`")


def _answer(completion: _Completion | _Usual, usage: Usage, extra: Extra) -> Answer | Failure:
    choices = completion.choices
    if not choices:
        return malformed("no choices")
    if len(choices) > 1:
        return malformed(MORE_THAN_ONE)
    choice = choices[0]
    finish = FINISH.get(choice.finish_reason or "")
    if finish is None:
        return malformed(f"finish_reason `{code_of(choice.finish_reason)}`")
    try:
        parts = _parts(choice.message)
    except Broken as broken:
        return broken.failure
    return Answer(
        id=completion.id or "",
        upstream_model=completion.model or "",
        parts=parts,
        finish=finish,
        usage=usage,
        created=completion.created,
        extra={OWN: extra} if extra else None,
    )


def _with_citations(answer: Answer | Failure, extra: Extra) -> Answer | Failure:
    """An answer that tells other dialects as well what it cites in fields of this one."""
    found = citations_in(extra.get("message"), extra.get("top"))
    return with_citations(answer, OWN, found) if found and isinstance(answer, Answer) else answer


def citations_in(message: Extra | None, top: Extra | None) -> list[Citation]:
    """The citations of a message (or of a delta), and those that are listed beside it."""
    found: list[Citation] = []
    if message is not None:
        annotations = message.get("annotations")
        if annotations and isinstance(annotations, list):
            found = [of_annotation(raw) for raw in annotations]
    if top is not None and ("citations" in top or "search_results" in top):
        found += of_list(top.get("citations"), top.get("search_results"))
    return found


def _parts(message: _Message | _UsualMessage) -> tuple[AnyPart, ...]:
    content = message.content
    thought = message.reasoning_content or message.reasoning
    if type(content) is str and not (thought or message.refusal or message.tool_calls):
        return (Text(text=content),)
    parts: list[AnyPart] = []
    if thought:
        parts.append(Thinking(text=thought))
    if isinstance(content, str):
        parts.append(Text(text=content))
    elif content is not None:
        parts += [
            Thinking(text=text) if kind == "thinking" else Text(text=text) for kind, text in said_in(content)
        ]
    if message.refusal:
        parts.append(Refusal(text=message.refusal))
    for call in message.tool_calls or ():
        function = call.function
        kept = remembered_by(call.extra_content)
        arguments = function.arguments or ""
        parts.append(ToolCall(id=call.id or "", name=function.name, arguments=arguments, extra=kept))
    return tuple(parts)


def remembered_by(content: Any) -> Extra | None:
    """What a call carries for callers of this dialect, who give it back with the call."""
    return {OWN: {EXTRA_CONTENT: content}} if content else None


def said_in(pieces: list[Piece]) -> Iterator[tuple[Literal["text", "thinking"], str]]:
    """What stands in the parts of a message. Raises Broken for a part that is neither words nor thoughts."""
    for piece in pieces:
        if piece.type == "text":
            yield "text", piece.text or ""
        elif piece.type == "thinking":
            thought = piece.thinking
            yield "thinking", thought if isinstance(thought, str) else _joined(thought or ())
        else:
            raise Broken(malformed(f"content of the kind `{code_of(piece.type)}`"))


def _joined(pieces: Iterable[Piece]) -> str:
    return "".join(text for _, text in said_in(list(pieces)))


def unjudged_calls(extra: dict[str, dict[str, Any]]) -> str | None:
    """A field that is not empty and holds calls that would pass by those who judge `tool_calls`."""
    for place in ("top", "choice", "message", "delta"):
        for name, value in extra.get(place, {}).items():
            if value and name.replace("_", "").lower().endswith(_CALLS):
                return name
    return None


def _extra(raw: dict[str, Any], more_usage: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What only a caller of the same dialect is shown, by place."""
    choice = raw["choices"][0]
    places = ("top", raw, _TOP), ("choice", choice, _CHOICE), ("message", choice["message"], _MESSAGE)
    extra: dict[str, dict[str, Any]] = {}
    for place, fields, known in places:
        for name, value in fields.items():
            if name not in known and value is not None:
                extra.setdefault(place, {})[name] = value
    if more_usage:
        extra["usage"] = more_usage
    return extra


def _usual_extra(usual: _Usual, more_usage: dict[str, Any], body: bytes) -> Extra | None:
    """The same of a usual answer; None where it cannot be told which of two fields came first."""
    extra: Extra = {}
    tier, fingerprint = usual.service_tier, usual.system_fingerprint
    if tier is None:
        if fingerprint is not None:
            extra["top"] = {"system_fingerprint": fingerprint}
    elif fingerprint is None:
        extra["top"] = {"service_tier": tier}
    elif body.count(_TIER) == body.count(_FINGERPRINT) == 1:
        extra["top"] = {"service_tier": tier, "system_fingerprint": fingerprint}
        if body.find(_FINGERPRINT) < body.find(_TIER):
            extra["top"] = {"system_fingerprint": fingerprint, "service_tier": tier}
    else:
        return None
    if usual.choices:
        choice = usual.choices[0]
        if choice.logprobs is not None:
            extra["choice"] = {"logprobs": choice.logprobs}
        if choice.message.annotations is not None:
            extra["message"] = {"annotations": choice.message.annotations}
    if more_usage:
        extra["usage"] = more_usage
    return extra


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """How a call failed that was answered with another status than 200. Header names are lower-case."""
    wait = retry_after_s(headers)
    try:
        raw = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raw = None
    if isinstance(raw, dict):
        inner = raw.get("error", raw)  # some servers give the error object alone
        raw = {**raw, "message": inner} if isinstance(inner, str) else inner  # or its words beside its code
    return failure_of(raw, status, wait)


def failure_of(raw: Any, status: int | None, wait_s: float | None = None) -> Failure:
    """The failure that an error object stands for, in a body or in a stream."""
    if isinstance(raw, str):
        return to_failure(Complaint(message=message_of(raw)), _CODES, status, wait_s)
    if not isinstance(raw, dict):
        return to_failure(Complaint(), _CODES, status, wait_s)
    code = raw.get("code")
    if status is None and type(code) is int and 400 <= code <= 599:
        status = code  # routers of other vendors' models report an upstream's status so
    words = _words(raw.get("message") or raw.get("detail") or raw.get("title"))
    codes = (code_of(code), *_filters(raw.get("innererror")), code_of(raw.get("type")))
    return to_failure(Complaint(codes=codes, message=message_of(words)), _CODES, status, wait_s)


def _words(value: Any) -> Any:
    """What an error says. Some servers list their complaints about fields: `[{loc: [...], msg: ...}]`."""
    if isinstance(value, dict):
        value = value.get("detail")
    if not isinstance(value, list):
        return value
    found = [
        f"{'.'.join(map(str, item['loc']))}: {item['msg']}"
        for item in value[:_MOST_COMPLAINTS]
        if isinstance(item, dict) and isinstance(item.get("loc"), list) and isinstance(item.get("msg"), str)
    ]
    return "; ".join(found)


def _filters(inner: Any) -> tuple[str, ...]:
    """Azure's word for what its filter does, and the categories that it found something in."""
    if not isinstance(inner, dict):
        return ()
    results = inner.get("content_filter_result")
    hit = [
        code_of(name)
        for name, found in (results.items() if isinstance(results, dict) else ())
        if isinstance(found, dict) and found.get("filtered") is True
    ]
    return (code_of(inner.get("code")), *hit)
