"""Answers of a server of OpenAI responses -> canonical ones. Its errors are those of chat completions."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.adapters.citing import by_part
from interlock.adapters.failures import Broken, code_of, malformed
from interlock.adapters.openai.answer import failure_of
from interlock.adapters.openai_responses.items import OWN, others, read_item
from interlock.adapters.openai_responses.usage import read_usage
from interlock.types.answer import Answer, Failure, FinishReason, Usage
from interlock.types.request import AnyPart, Extra, ToolCall

_decode: Final = msgspec.json.Decoder().decode
_INCOMPLETE: Final[dict[str, FinishReason]] = {
    "max_output_tokens": "length",
    "content_filter": "content_filter",
}
_TOP: Final = frozenset(
    {
        "id",
        "object",
        "created_at",
        "model",
        "output",
        "status",
        "incomplete_details",
        "error",
        "usage",
    }
)


class _Incomplete(Struct):
    reason: str | None = None


class Ended(Struct):
    """A response that is over, as far as its form is checked."""

    status: str
    id: str | None = None
    model: str | None = None
    created_at: float | None = None
    incomplete_details: _Incomplete | None = None


def decode_answer(body: bytes) -> Answer | Failure:
    """A whole answer that came with status 200, or how it is none."""
    try:
        raw = _decode(body)
        if isinstance(raw, dict) and raw.get("error"):
            return failure_of(raw["error"], None)
        ended = msgspec.convert(raw, Ended)
        parts = tuple(part for item in msgspec.convert(raw.get("output"), list) for part in read_item(item))
        finish = finish_of(ended, parts)
    except Broken as broken:
        return broken.failure
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return malformed(f"not a response: {type(error).__name__}")
    usage, extra = told_of(raw)
    return Answer(
        id=ended.id or "",
        upstream_model=ended.model or "",
        parts=by_part(parts, OWN),
        finish=finish,
        usage=usage,
        created=int(ended.created_at) if ended.created_at is not None else None,
        extra=extra,
    )


def finish_of(ended: Ended, parts: Iterable[AnyPart]) -> FinishReason:
    """How a response ended. Raises Broken for one that did not."""
    if ended.status == "completed":
        return "tool_calls" if any(isinstance(part, ToolCall) for part in parts) else "stop"
    reason = ended.incomplete_details.reason if ended.incomplete_details is not None else None
    finish = _INCOMPLETE.get(reason or "") if ended.status == "incomplete" else None
    if finish is None:
        raise Broken(malformed(f"status `{code_of(ended.status)}`, reason `{code_of(reason)}`"))
    return finish


def told_of(raw: dict[str, Any]) -> tuple[Usage, Extra | None]:
    """The tokens of a response, and what only a caller of the same dialect is shown of it, by place."""
    usage, more_usage = read_usage(raw.get("usage"))
    kept = {"top": others(raw, _TOP), "usage": more_usage}
    found = {place: fields for place, fields in kept.items() if fields}
    return usage, {OWN: found} if found else None
