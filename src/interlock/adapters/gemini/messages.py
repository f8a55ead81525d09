"""Canonical messages -> the instructions and the turns of a Gemini request.

Calls and results have no ids but those that the server gave itself: it tells results apart by name and
order, so the results of one turn's calls stand together, in the order of the calls.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from interlock.adapters.carrying import with_name, words_of
from interlock.adapters.gemini.answer import VENDORS_ID
from interlock.adapters.gemini.carry import AUDIO, media_type
from interlock.types.request import (
    AnyPart,
    Audio,
    Extra,
    File,
    Image,
    Message,
    Refusal,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from interlock.wire.seals import THOUGHTS, is_seal, of_extra_content, unseal

_decode: Final = msgspec.json.Decoder().decode
UNSIGNED: Final = "skip_thought_signature_validator"
"""What Google's guide to thought signatures has stand in for one in a call that another model made."""
_Part = dict[str, Any]


def write_messages(request: Request, *, signed: bool) -> tuple[list[_Part], list[dict[str, Any]]]:
    """The parts of `systemInstruction`, and `contents`.

    `signed`: the model takes no earlier call without a signature. Instructions from the middle of a
    conversation join those at its beginning.
    """
    system: list[_Part] = []
    contents: list[dict[str, Any]] = []
    order: dict[str, int] = {}
    results: list[ToolResult] = []
    for message in request.messages:
        if message.role == "tool":
            results += [part for part in message.parts if isinstance(part, ToolResult)]
            continue
        if results:
            _add_results(contents, results, order)
        words = words_of(message)
        written = [{"text": words}] if words is not None else None
        if message.role in ("system", "developer"):
            system += written or _parts(with_name(message))
        elif message.role == "assistant":
            order = _order_of_calls(message)
            _add(contents, "model", written or _model_parts(message, signed=signed))
        else:
            _add(contents, "user", written or _parts(with_name(message)))
    _add_results(contents, results, order)
    return system, contents


def _add(contents: list[dict[str, Any]], role: str, parts: list[_Part]) -> None:
    if parts:
        contents.append({"role": role, "parts": parts})


def _order_of_calls(message: Message) -> dict[str, int]:
    calls = [part.id for part in message.parts if isinstance(part, ToolCall)]
    return {name: place for place, name in enumerate(calls)}


def _add_results(contents: list[dict[str, Any]], results: list[ToolResult], order: dict[str, int]) -> None:
    results.sort(key=lambda result: order.get(result.call_id, len(order)))
    _add(contents, "user", [_result(result) for result in results])
    results.clear()


def _is_empty(part: AnyPart) -> bool:
    """Text without a character, as other vendors write where a call stands alone, or such a thought."""
    return isinstance(part, Text | Thinking) and not part.text


def _state(extra: Extra | None) -> str | None:
    """Gemini's state, where a caller of OpenAI's dialect gives it back, whoever had put it there."""
    kept = of_extra_content(extra)
    if kept is None or kept.startswith(THOUGHTS):
        return None
    return unseal("gemini", kept) if is_seal(kept) else kept


def _model_parts(message: Message, *, signed: bool) -> list[_Part]:
    """A model's turn. A seal is the signature of the part before it, or stands on an empty text."""
    parts: list[_Part] = []
    unsigned = signed
    for part in message.parts:
        state = unseal("gemini", part.redacted) if isinstance(part, Thinking) else None
        if state is not None:
            if not parts or parts[-1].get("thoughtSignature", UNSIGNED) != UNSIGNED:
                parts.append({"text": ""})
            parts[-1]["thoughtSignature"] = state
        elif not _is_empty(part):
            parts.append(_part(part))
            if isinstance(part, ToolCall):
                # Of several calls in one turn the first has the signature.
                state = _state(part.extra) or (UNSIGNED if unsigned else None)
                if state is not None:
                    parts[-1]["thoughtSignature"] = state
                unsigned = False
    state = _state(message.extra)
    texts = [part for part in parts if "text" in part and "thought" not in part]
    if state is not None and texts:
        texts[-1].setdefault("thoughtSignature", state)
    return parts


def _parts(parts: Iterable[AnyPart]) -> list[_Part]:
    """The parts of what is no model's turn. A file's name has no field: it stands before it, as text."""
    found: list[_Part] = []
    for part in parts:
        if isinstance(part, File) and part.name and part.text is None:
            found.append({"text": part.name})
        if not _is_empty(part):
            found.append(_part(part))
    return found


def _part(part: AnyPart) -> _Part:
    match part:
        case Text() | Refusal():
            return {"text": part.text}
        case Thinking():
            return {"text": part.text, "thought": True}
        case ToolCall():
            arguments = _decode(part.arguments) if part.arguments else {}
            return {"functionCall": {"name": part.name, "args": arguments, **_id(part.id)}}
        case Image():
            return _media(part.url, part.data, part.media_type)
        case File():
            return _file(part)
        case Audio():
            return {"inlineData": {"mimeType": AUDIO[part.format], "data": part.data}}
        case _:
            raise AssertionError(f"`cannot_carry` lets no {type(part).__name__} come here")


def _id(call_id: str) -> dict[str, str]:
    own = call_id.startswith(VENDORS_ID)
    return {"id": call_id.removeprefix(VENDORS_ID)} if own else {}


def _media(url: str | None, data: str | None, kind: str | None) -> _Part:
    if url is not None:
        return {"fileData": {"mimeType": media_type(url), "fileUri": url}}
    return {"inlineData": {"mimeType": kind, "data": data}}


def _file(part: File) -> _Part:
    """A file; one that is plain text is written out, under its name."""
    if part.text is not None:
        return {"text": f"{part.name}\n\n{part.text}" if part.name else part.text}
    return _media(part.url, part.data, part.media_type)


def _result(part: ToolResult) -> _Part:
    """A result: its words under the key that Gemini reads them by, and what is no words beside them."""
    written = _parts(part.content)
    words = "\n".join(_texts(written))
    media = [inner for inner in written if "text" not in inner]
    response: dict[str, Any] = {
        "name": part.name,
        "response": {"error" if part.is_error else "output": words},
        **_id(part.call_id),
    }
    if media:
        response["parts"] = media
    return {"functionResponse": response}


def _texts(written: Iterable[_Part]) -> Iterable[str]:
    return (inner["text"] for inner in written if "text" in inner)
