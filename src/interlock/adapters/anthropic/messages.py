"""Canonical messages -> the `system` and the turns of an Anthropic request.

Consecutive turns of one side become one: results of tools and what the user says go together.
"""

import base64
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from interlock.adapters.carrying import Reads, cache_mark, is_sealed, with_name, words_of
from interlock.types.request import (
    AnyPart,
    Extra,
    File,
    Image,
    Message,
    Opaque,
    Refusal,
    Request,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)

_decode: Final = msgspec.json.Decoder().decode
_Block = dict[str, Any]


def write_messages(request: Request, reads: Reads) -> tuple[list[_Block], list[dict[str, Any]]]:
    """The blocks of `system`, and the turns. `reads` says which thoughts are sent.

    Instructions from the middle of a conversation stay there in this vendor's own dialect; those of
    another dialect join the ones at its beginning.
    """
    own = request.dialect == "anthropic-messages"
    system: list[_Block] = []
    turns: list[dict[str, Any]] = []
    for message in request.messages:
        blocks = _blocks(message, reads, own=own)
        instructs = message.role in ("system", "developer")
        if instructs and not (own and turns):
            system += blocks
        elif blocks or (own and not message.parts):
            _add_turn(turns, message, "system" if instructs else _side(message), blocks, own=own)
    return system, turns


def _blocks(message: Message, reads: Reads, *, own: bool) -> list[_Block]:
    words = words_of(message)
    if words is not None:
        return [{"type": "text", "text": words}]
    blocks = [
        _block(part, own=own)
        for part in (message.parts if own else with_name(message))
        if (reads(part) if isinstance(part, Thinking) else own or not _is_empty(part))
    ]
    mark = message.extra.get("cache_control") if message.extra is not None and not own else None
    if blocks and type(mark) is dict:
        blocks[-1].setdefault("cache_control", mark)
    return blocks


def _side(message: Message) -> str:
    return "assistant" if message.role == "assistant" else "user"


def _is_empty(part: AnyPart) -> bool:
    """Text without a character: other vendors write it where a call stands alone; this one refuses it."""
    return isinstance(part, Text) and not part.text


def is_signed(part: Thinking) -> bool:
    """Whether this vendor takes a thought back: with its signature, or in its opaque form."""
    return bool(part.signature or part.redacted is not None) and not is_sealed(part)


def may_be_signed(part: Thinking) -> bool:
    """The same of other servers of this wire format, which may sign none of theirs."""
    return not is_sealed(part)


def _add_turn(
    turns: list[dict[str, Any]], message: Message, role: str, blocks: list[_Block], *, own: bool
) -> None:
    extra = message.extra if own else None
    if turns and turns[-1]["role"] == role and extra is None:
        turns[-1]["content"] += blocks
    else:
        turns.append({"role": role, "content": blocks, **(extra or {})})


def _block(part: AnyPart, *, own: bool) -> _Block:
    block = _bare_block(part, own=own)
    if own:
        if part.extra is None:
            return block
        return {**block, **(_own_citations(part.extra) if isinstance(part, Text) else part.extra)}
    mark = cache_mark(part) if part.extra is not None or isinstance(part, ToolResult) else None
    return {**block, "cache_control": mark} if mark is not None else block


def _own_citations(extra: Extra) -> Extra:
    """The fields of a text without citations that were another vendor's: this one would not know them."""
    cited = extra.get("citations")
    if type(cited) is not list or not any(map(_is_foreign, cited)):
        return extra
    return {**extra, "citations": [one for one in cited if not _is_foreign(one)] or None}


def _is_foreign(cited: Any) -> bool:
    """Whether a caller has been shown a citation of another vendor in this form (`dialects.citing`)."""
    return type(cited) is dict and cited.get("encrypted_index") == ""


def _bare_block(part: AnyPart, *, own: bool) -> _Block:
    if isinstance(part, Text | Refusal):
        return {"type": "text", "text": part.text}
    if isinstance(part, ToolCall):
        arguments = _decode(part.arguments) if part.arguments else {}
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": arguments}
    if isinstance(part, ToolResult):
        return _result(part, own=own)
    if isinstance(part, Thinking):
        if part.redacted is not None:
            return {"type": "redacted_thinking", "data": part.redacted}
        thinking = {"type": "thinking", "thinking": part.text}
        return thinking if part.signature is None else {**thinking, "signature": part.signature}
    if isinstance(part, Image):
        return {"type": "image", "source": _image_source(part)}
    if isinstance(part, File):
        document = {"type": "document", "source": _document_source(part)}
        return document if part.name is None else {**document, "title": part.name}
    assert isinstance(part, Opaque), f"`cannot_carry` lets no {type(part).__name__} come here"
    return part.value


def _result(part: ToolResult, *, own: bool) -> _Block:
    block: _Block = {"type": "tool_result", "tool_use_id": part.call_id}
    if part.content:
        content = part.content if own else map(_unmarked, part.content)
        block["content"] = _content(content, own=own)
    if part.is_error:
        block["is_error"] = True
    return block


def _content(parts: Iterable[AnyPart], *, own: bool) -> Any:
    listed = list(parts)
    if len(listed) == 1 and isinstance(only := listed[0], Text) and (only.extra is None or not own):
        return only.text
    return [_block(part, own=own) for part in listed]


def _unmarked(part: AnyPart) -> AnyPart:
    """A part of a result, whose mark the result has."""
    return msgspec.structs.replace(part, extra=None) if part.extra is not None else part


def _image_source(part: Image) -> _Block:
    if part.url is not None:
        return {"type": "url", "url": part.url}
    return {"type": "base64", "media_type": part.media_type, "data": part.data}


def _document_source(part: File) -> _Block:
    if part.url is not None:
        return {"type": "url", "url": part.url}
    if part.file_id is not None:
        return {"type": "file", "file_id": part.file_id}
    if part.text is not None:
        return {"type": "text", "media_type": part.media_type or "text/plain", "data": part.text}
    text = plain_text(part)
    if text is not None:
        return {"type": "text", "media_type": "text/plain", "data": text}
    return {"type": "base64", "media_type": part.media_type, "data": part.data}


def plain_text(part: File) -> str | None:
    """The text of a file that is one, in base64; None for any other."""
    if part.media_type != "text/plain" or part.data is None:
        return None
    try:
        return base64.b64decode(part.data, validate=True).decode("utf-8")
    except ValueError:
        return None
