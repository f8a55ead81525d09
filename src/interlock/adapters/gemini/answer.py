"""Answers and errors of a Gemini server -> canonical ones.

Whole answers and the chunks of a stream are of one type. Calls have no ids, or ids of the server's
own; each gets one here that is unique within its conversation, so that its result can be told apart.
"""

import hashlib
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

import msgspec
import re2
from msgspec import Struct

from interlock.adapters.citing import with_citations
from interlock.adapters.failures import (
    Broken,
    Complaint,
    code_of,
    malformed,
    message_of,
    retry_after_s,
    to_failure,
)
from interlock.adapters.gemini.sources import sources_of, to_logprobs
from interlock.adapters.gemini.usage import read_usage
from interlock.types.answer import Answer, AttemptOutcome, Failure, FinishReason
from interlock.types.request import AnyPart, Extra, Text, Thinking, ToolCall
from interlock.wire.seals import in_extra_content, seal

FINISH: Final[dict[str, FinishReason]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
}
"""Why models stop. Any other word (OTHER, a call that could not be read) is no end to be shown as one."""

VENDORS_ID: Final = "gemini-"
"""Stands before the ids of calls that have one of the server's own, which wants it back."""

_CODES: Final[dict[str, AttemptOutcome]] = {
    "RESOURCE_EXHAUSTED": "rate_limited",
    "DEADLINE_EXCEEDED": "timeout",
    "UNAVAILABLE": "upstream_error",
    "FAILED_PRECONDITION": "upstream_error",  # our account or its place, not the request
}
_CREDENTIALS: Final = ("UNAUTHENTICATED", "PERMISSION_DENIED")
_REFUSED_KEY: Final = "API_KEY_"
"""How the reasons begin that a key is refused for; some come with status 400, like any bad request."""
_TYPE: Final = "type.googleapis.com/google.rpc."
_DURATION: Final = re2.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s")
_ID: Final = re2.compile(r"[A-Za-z0-9_-]{1,48}")

_encode: Final = msgspec.json.Encoder().encode


class FunctionCall(Struct, gc=False):
    name: str
    args: dict[str, Any] | None = None
    id: str | None = None


class Part(Struct, gc=False, rename="camel"):
    """One of its fields says of which kind it is; kinds that we do not know have none of them."""

    text: str | None = None
    thought: bool = False
    thought_signature: str | None = None
    function_call: FunctionCall | None = None


class Content(Struct, gc=False):
    parts: list[Part] | None = None


class Candidate(Struct, gc=False, rename="camel"):
    content: Content | None = None
    finish_reason: str | None = None
    index: int = 0
    logprobs_result: Any = None
    grounding_metadata: Any = None
    citation_metadata: Any = None


class Reply(Struct, gc=False, rename="camel"):
    """A whole answer, or one chunk of a stream."""

    candidates: list[Candidate] | None = None
    prompt_feedback: Any = None
    usage_metadata: Any = None
    model_version: str | None = None
    response_id: str | None = None
    error: Any = None


decode_reply: Final = msgspec.json.Decoder(Reply).decode
_decode: Final = msgspec.json.Decoder().decode


def decode_answer(body: bytes) -> Answer | Failure:
    """A whole answer that came with status 200, or how it is none."""
    try:
        reply = decode_reply(body)
        candidate = first_candidate(reply)
        if candidate is None:
            return malformed("no candidates")
        answer_id = reply.response_id or ""
        parts = _parts(candidate, answer_id)
        text = "".join(part.text for part in parts if isinstance(part, Text))
        finish = finish_of(candidate.finish_reason, calls=any(isinstance(part, ToolCall) for part in parts))
        extra = _extra(candidate, parts)
        found = sources_of(candidate.grounding_metadata, candidate.citation_metadata, text)
    except Broken as broken:
        return broken.failure
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, AttributeError, TypeError) as error:
        return malformed(f"not an answer: {type(error).__name__}")
    answer = Answer(
        id=answer_id,
        upstream_model=reply.model_version or "",
        parts=tuple(parts),
        finish=finish,
        usage=read_usage(reply.usage_metadata),
        extra={"openai-chat": extra} if extra else None,
    )
    return with_citations(answer, None, found) if found else answer


def first_candidate(reply: Reply) -> Candidate | None:
    """The one answer that is asked for, if this reply holds any of it.

    Raises Broken for an error in a reply that looked well, for a prompt that was blocked, and for another
    answer beside the first: nobody asks for one.
    """
    if reply.error is not None:
        raise Broken(failure_of(reply.error, None))
    candidates = reply.candidates or ()
    if len(candidates) > 1 or (candidates and candidates[0].index != 0):
        raise Broken(malformed("more than one candidate"))
    if candidates:
        return candidates[0]
    feedback = reply.prompt_feedback
    reason = code_of(feedback.get("blockReason")) if type(feedback) is dict else ""
    if reason:
        raise Broken(to_failure(Complaint(codes=(reason,)), {reason: "content_filtered"}, None))
    return None


def finish_of(word: str | None, *, calls: bool) -> FinishReason:
    """Why the model stopped. It stops at calls as at any end. Raises Broken."""
    finish = FINISH.get(word or "")
    if finish is None:
        raise Broken(malformed(f"finishReason `{code_of(word)}`"))
    return "tool_calls" if finish == "stop" and calls else finish


def call_id(call: FunctionCall, answer_id: str, number: int) -> str:
    """The id under which callers know the call `number` of an answer: the same whenever it is read."""
    if call.id is not None and _ID.fullmatch(call.id):
        return VENDORS_ID + call.id
    if _ID.fullmatch(answer_id):
        return f"call_{answer_id}_{number}"
    told = _encode([answer_id, call.name, call.args])
    return f"call_{hashlib.sha256(told).hexdigest()[:24]}_{number}"


def arguments_of(call: FunctionCall) -> str:
    return _encode(call.args or {}).decode("utf-8")


def signed(signature: str | None) -> Extra | None:
    """What a call carries for callers of OpenAI's dialect; for others its signature is a part of its own."""
    return {"openai-chat": in_extra_content(seal("gemini", signature))} if signature else None


def check_kind(part: Part) -> None:
    """Raises Broken for a part of a kind that no caller could be shown, or that may be an unjudged call."""
    if part.text is None and part.function_call is None and part.thought_signature is None:
        raise Broken(malformed("a part of an unknown kind"))


def _parts(candidate: Candidate, answer_id: str) -> list[AnyPart]:
    found: list[AnyPart] = []
    calls = 0
    for part in (candidate.content.parts if candidate.content is not None else None) or ():
        check_kind(part)
        if part.function_call is not None:
            call = part.function_call
            found.append(
                ToolCall(
                    id=call_id(call, answer_id, calls),
                    name=call.name,
                    arguments=arguments_of(call),
                    extra=signed(part.thought_signature),
                )
            )
            calls += 1
        elif part.text:
            found.append(Thinking(text=part.text) if part.thought else Text(text=part.text))
        if part.thought_signature and found:
            found.append(Thinking(redacted=seal("gemini", part.thought_signature)))
    return found


def _extra(candidate: Candidate, parts: list[AnyPart]) -> dict[str, dict[str, Any]]:
    """What only callers of OpenAI's dialect have a place for."""
    message: dict[str, Any] = {}
    for before, after in pairwise(parts):
        if isinstance(before, Text) and isinstance(after, Thinking) and after.redacted is not None:
            message |= in_extra_content(after.redacted)
    logprobs = to_logprobs(candidate.logprobs_result)
    found = {"message": message, "choice": {"logprobs": logprobs} if logprobs is not None else {}}
    return {place: fields for place, fields in found.items() if fields}


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """How a call failed that was answered with another status than 200. Header names are lower-case."""
    wait = retry_after_s(headers)
    try:
        raw = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raw = None
    if type(raw) is list and raw:
        raw = raw[0]  # the form of a stream that is not one of events
    return failure_of(raw.get("error") if type(raw) is dict else None, status, wait)


def failure_of(raw: Any, status: int | None, wait_s: float | None = None) -> Failure:
    """The failure that an error object stands for, in a body or in a stream.

    A prompt that is too long has no code of its own: it is an INVALID_ARGUMENT like any other.
    """
    if type(raw) is not dict:
        return to_failure(Complaint(message=message_of(raw)), _CODES, status, wait_s)
    code, word = raw.get("code"), code_of(raw.get("status"))
    if status is None and type(code) is int and 400 <= code <= 599:
        status = code
    listed = raw.get("details")
    details = {
        detail.get("@type"): detail
        for detail in (listed if type(listed) is list else ())
        if type(detail) is dict and type(detail.get("@type")) is str
    }
    reason = code_of(details.get(f"{_TYPE}ErrorInfo", {}).get("reason"))
    complaint = Complaint(codes=(reason, word), message=message_of(raw.get("message")))
    refused = word in _CREDENTIALS or reason.startswith(_REFUSED_KEY)
    if wait_s is None:
        wait_s = _seconds(details.get(f"{_TYPE}RetryInfo", {}).get("retryDelay"))
    return to_failure(complaint, _CODES, status, wait_s, credentials=refused)


def _seconds(delay: Any) -> float | None:
    """A protobuf Duration in JSON: seconds with an `s` behind them."""
    found = _DURATION.fullmatch(delay) if type(delay) is str else None
    return float(found.group(1)) if found else None
