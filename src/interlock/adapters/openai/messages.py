"""Canonical messages -> those of an OpenAI chat request.

What another dialect calls one message may be several here: each result of a tool is its own.
"""

from collections.abc import Iterable
from typing import Any, Final

from interlock.types.quirks import Quirks
from interlock.types.request import (
    AnyPart,
    Audio,
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
from interlock.wire.data_url import data_url
from interlock.wire.seals import without_seal

_ERROR: Final = "Error: "
"""Before the result of a tool that failed: this wire format has no mark for it but words."""
_FILE_NAME: Final = "file"


def write_messages(request: Request, quirks: Quirks, lost: list[Thinking]) -> list[dict[str, Any]]:
    """The messages of a request. Uninterpreted fields go along in their own dialect only.

    Thoughts of which not all is sent are added to `lost`.
    """
    own = request.dialect == "openai-chat"
    knows_developer = quirks.developer
    out: list[dict[str, Any]] = []
    for message in request.messages:
        role, parts = message.role, message.parts
        if not knows_developer and role == "developer":
            role = "system"
        if len(parts) == 1 and message.extra is None and message.name is None:
            only = parts[0]
            if type(only) is Text and only.extra is None:  # most are no more than that
                out.append({"role": role, "content": only.text})
                continue
        if role == "tool":
            out += _results(message, own=own)
            continue
        item: dict[str, Any] = {"role": role}
        if role == "assistant":
            item |= _assistant(parts, quirks, lost, own=own)
        else:
            item["content"] = _content(parts, own=own)
        if message.name is not None:
            item["name"] = message.name
        if own and message.extra is not None:
            item |= without_seal(message.extra)
        out.append(item)
    return out


def _results(message: Message, *, own: bool) -> Iterable[dict[str, Any]]:
    for part in message.parts:
        assert isinstance(part, ToolResult), "messages of role `tool` hold results of tools"
        content = _content(part.content, own=own)
        if part.is_error:
            content = (
                _ERROR + content if type(content) is str else [{"type": "text", "text": _ERROR}, *content]
            )
        item: dict[str, Any] = {"role": "tool", "tool_call_id": part.call_id, "content": content}
        if message.name is not None:
            item["name"] = message.name
        if own and message.extra is not None:
            item |= message.extra
        yield item


def _assistant(
    parts: Iterable[AnyPart], quirks: Quirks, lost: list[Thinking], *, own: bool
) -> dict[str, Any]:
    said: list[AnyPart] = []
    item: dict[str, Any] = {"content": None}
    lost_before = len(lost)
    for part in parts:
        if isinstance(part, ToolCall):
            item.setdefault("tool_calls", []).append(_call(part, own=own))
        elif isinstance(part, Thinking):
            place = quirks.reasoning if part.text else None
            if place is None or part.signature:
                lost.append(part)
            if place == "parts":
                said.append(part)
            elif place is not None:
                item[place] = item.get(place, "") + part.text
        elif isinstance(part, Refusal):
            item["refusal"] = item.get("refusal", "") + part.text
        else:
            said.append(part)
    if said or ("tool_calls" not in item and (not own or len(lost) > lost_before)):
        item["content"] = _content(said, own=own)
    return item


def _call(part: ToolCall, *, own: bool) -> dict[str, Any]:
    outer, inner = _extras(part.extra, "function", own=own)
    if outer:
        outer = without_seal(outer)
    function = {"name": part.name, "arguments": part.arguments, **inner}
    return {"id": part.id, "type": "function", "function": function, **outer}


def _content(parts: Iterable[AnyPart], *, own: bool) -> Any:
    """A string where it says the same: every server understands one."""
    listed = list(parts)
    if len(listed) == 1 and isinstance(only := listed[0], Text) and (only.extra is None or not own):
        return only.text
    return [_part(part, own=own) for part in listed] if listed else ""


def _part(part: AnyPart, *, own: bool) -> dict[str, Any]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text, **_own(part.extra, own=own)}
    if isinstance(part, Thinking):
        return {"type": "thinking", "thinking": [{"type": "text", "text": part.text}]}
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text, **_own(part.extra, own=own)}
    if isinstance(part, Image):
        outer, inner = _extras(part.extra, "image_url", own=own)
        image: dict[str, Any] = {"url": part.url or data_url(part.media_type or "", part.data or "")}
        if part.detail is not None:
            image["detail"] = part.detail
        return {"type": "image_url", "image_url": {**image, **inner}, **outer}
    if isinstance(part, File):
        return _file(part, own=own)
    if isinstance(part, Audio):
        outer, inner = _extras(part.extra, "input_audio", own=own)
        return {
            "type": "input_audio",
            "input_audio": {"data": part.data, "format": part.format, **inner},
            **outer,
        }
    assert isinstance(part, Opaque), f"`cannot_carry` lets no {type(part).__name__} come here"
    return part.value


def _file(part: File, *, own: bool) -> dict[str, Any]:
    """A file; one that is plain text is written out, under its name: servers read text, not files of it."""
    if part.text is not None:
        return {"type": "text", "text": f"{part.name}\n\n{part.text}" if part.name else part.text}
    outer, inner = _extras(part.extra, "file", own=own)
    file: dict[str, Any] = {}
    if part.data is not None:
        file["file_data"] = part.data if part.media_type is None else data_url(part.media_type, part.data)
    if part.file_id is not None:
        file["file_id"] = part.file_id
    if part.name is not None or not own:
        file["filename"] = part.name or _FILE_NAME
    return {"type": "file", "file": {**file, **inner}, **outer}


def _own(extra: Extra | None, *, own: bool) -> Extra:
    return extra if own and extra is not None else {}


def _extras(extra: Extra | None, key: str, *, own: bool) -> tuple[Extra, Extra]:
    """Uninterpreted fields of a part, and those of the object `key` inside it."""
    if not own or extra is None:
        return {}, {}
    inner = extra.get(key, {})
    return {name: value for name, value in extra.items() if name != key}, inner
