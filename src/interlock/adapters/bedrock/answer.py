"""Answers and errors of Bedrock's Converse API -> canonical ones."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.adapters.bedrock.usage import read_usage
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
from interlock.types.request import AnyPart, Text, Thinking, ToolCall
from interlock.wire.seals import seal

FINISH: Final[dict[str, FinishReason]] = {
    "end_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}
"""Why models stop. Any other word (a call or an answer that was malformed) is no end to be shown as one."""

_CODES: Final[dict[str, AttemptOutcome]] = {
    "InternalServerException": "upstream_error",
    "ModelErrorException": "upstream_error",
    "ModelNotReadyException": "upstream_error",
    "ModelStreamErrorException": "upstream_error",
    "ModelTimeoutException": "timeout",
    "ServiceUnavailableException": "upstream_error",
    "ThrottlingException": "rate_limited",
    "TooManyRequestsException": "rate_limited",
}
_CREDENTIALS: Final = (
    "AccessDeniedException",
    "ExpiredTokenException",
    "IncompleteSignatureException",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "UnrecognizedClientException",
)
_OF_THE_REQUEST: Final = {"ValidationException": 400, "ResourceNotFoundException": 404}
"""What stands for a status where an error comes without one, in a stream."""
_TYPE: Final = "x-amzn-errortype"


class _ToolUse(Struct, rename="camel"):
    tool_use_id: str
    name: str
    input: dict[str, Any]
    type: str | None = None


class _Reasoned(Struct):
    text: str
    signature: str | None = None


class _Reasoning(Struct, rename="camel"):
    reasoning_text: _Reasoned | None = None
    redacted_content: str | None = None


class _Said(Struct):
    text: str


class _Cited(Struct):
    content: list[_Said]
    citations: list[dict[str, Any]] = []


class _Block(Struct, rename="camel"):
    """One of its fields is set; kinds that we do not know have none of them."""

    text: str | None = None
    tool_use: _ToolUse | None = None
    reasoning_content: _Reasoning | None = None
    citations_content: _Cited | None = None


class _Message(Struct):
    content: list[_Block]


class _Output(Struct):
    message: _Message


class _Reply(Struct, rename="camel"):
    output: _Output
    stop_reason: str | None = None
    usage: Any = None
    additional_model_response_fields: Any = None


_decode_reply: Final = msgspec.json.Decoder(_Reply).decode
_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode


def decode_answer(body: bytes) -> Answer | Failure:
    """A whole answer that came with status 200, or how it is none. Bedrock gives it no id."""
    try:
        reply = _decode_reply(body)
        parts = tuple(_part(block) for block in reply.output.message.content)
        finish = finish_of(reply.stop_reason, calls=any(isinstance(part, ToolCall) for part in parts))
    except Broken as broken:
        return broken.failure
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return malformed(f"not an answer: {type(error).__name__}")
    return Answer(
        id="",
        upstream_model="",
        parts=by_part(parts, "anthropic-messages"),
        finish=finish,
        stop_sequence=stop_sequence_of(reply.additional_model_response_fields),
        usage=read_usage(reply.usage),
    )


def finish_of(word: Any, *, calls: bool) -> FinishReason:
    """Why the model stopped; some stop at a forced call as at any end. Raises Broken."""
    finish = FINISH.get(word) if type(word) is str else None
    if finish is None:
        raise Broken(malformed(f"stopReason `{code_of(word)}`"))
    return "tool_calls" if finish == "stop" and calls else finish


def stop_sequence_of(fields: Any) -> str | None:
    """The sequence that a model stopped at, where it says so in the field that requests ask for."""
    found = fields.get("stop_sequence") if type(fields) is dict else None
    return found if type(found) is str else None


def _part(block: _Block) -> AnyPart:
    if block.text is not None:
        return Text(text=block.text)
    if block.tool_use is not None:
        use = block.tool_use
        check_caller(use.type)
        return ToolCall(id=use.tool_use_id, name=use.name, arguments=_encode(use.input).decode("utf-8"))
    if block.reasoning_content is not None:
        reasoned = block.reasoning_content.reasoning_text
        if reasoned is not None:
            return Thinking(text=reasoned.text, signature=reasoned.signature)
        if block.reasoning_content.redacted_content is not None:
            return Thinking(redacted=seal("bedrock", block.reasoning_content.redacted_content))
    if block.citations_content is not None:
        cited = block.citations_content
        citations = [to_citation(raw) for raw in cited.citations]
        text = "".join(said.text for said in cited.content)
        return Text(text=text, extra={"anthropic-messages": {"citations": citations}} if citations else None)
    raise Broken(malformed("a block of an unknown kind"))


def check_caller(kind: str | None) -> None:
    """Raises Broken for a call that AWS would carry out itself: no request offers one."""
    if kind is not None:
        raise Broken(malformed(f"a call of the type `{code_of(kind)}`"))


_LOCATIONS: Final = {
    "documentChar": ("char_location", "start_char_index", "end_char_index"),
    "documentPage": ("page_location", "start_page_number", "end_page_number"),
    "documentChunk": ("content_block_location", "start_block_index", "end_block_index"),
}


def to_citation(raw: dict[str, Any]) -> dict[str, Any]:
    """A citation in the form that callers of Anthropic's dialect know. Raises Broken for what is none."""
    location, quoted = raw.get("location"), raw.get("sourceContent") or []
    if type(location) is not dict or type(quoted) is not list:
        raise Broken(malformed("a citation of no place"))
    text = "".join(str(piece.get("text") or "") for piece in quoted if type(piece) is dict)
    for name, (kind, start, end) in _LOCATIONS.items():
        place = location.get(name)
        if type(place) is dict:
            return {
                "type": kind,
                "cited_text": text,
                "document_index": place.get("documentIndex", 0),
                "document_title": raw.get("title"),
                start: place.get("start", 0),
                end: place.get("end", 0),
            }
    page = location.get("web")
    if type(page) is dict:
        return {
            "type": "web_search_result_location",
            "url": page.get("url") or "",
            "title": raw.get("title"),
            "cited_text": text,
            "encrypted_index": "",
        }
    raise Broken(malformed("a citation of an unknown kind of place"))


def decode_error(status: int, headers: Mapping[str, str], body: bytes) -> Failure:
    """How a call failed that was answered with another status than 200. Header names are lower-case."""
    wait = retry_after_s(headers)
    try:
        raw = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raw = None
    fields = raw if type(raw) is dict else {}
    code = headers.get(_TYPE) or fields.get("__type")
    return failure_of(code, fields.get("message") or fields.get("Message"), status, wait)


def failure_of(code: Any, message: Any, status: int | None, wait_s: float | None = None) -> Failure:
    """The failure that one of AWS's exceptions stands for.

    Its name may have a namespace before it and an address behind it, and begins with a small letter in a
    stream. A prompt that is too long has no name of its own: it is a ValidationException like any other.
    """
    word = code.partition(":")[0].rpartition("#")[2] if type(code) is str else ""
    word = code_of(word[:1].upper() + word[1:])
    if status is None:
        status = _OF_THE_REQUEST.get(word)
    complaint = Complaint(codes=(word,), message=message_of(message))
    return to_failure(complaint, _CODES, status, wait_s, credentials=word in _CREDENTIALS)
