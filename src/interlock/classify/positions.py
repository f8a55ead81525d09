"""Every place of a request where text can stand, so that no detector misses one.

What goes upstream is read, wherever it stands: system prompts, all turns, tool definitions with
their schemas, calls and results, names, addresses of images and files, text inside attached data,
and fields that Interlock does not interpret. A place is named by its path in the request
(`messages[2].parts[0]`), never by what stands there.
"""

from typing import Final

import msgspec

from interlock.classify.disguise import json_text, json_unescaped, text_in_base64
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
    Tool,
    ToolCall,
    ToolResult,
)

Place = tuple[str, str]
"""Where, and the text that stands there."""


def texts(request: Request) -> list[Place]:
    """Every text of the request with its place, in the request's own order."""
    found: list[Place] = []
    for index, message in enumerate(request.messages):
        _add_message(message, f"messages[{index}]", found)
    for index, tool in enumerate(request.tools):
        _add_tool(tool, f"tools[{index}]", found)
    if request.response_format is not None:
        found.append(("response_format", json_text(msgspec.to_builtins(request.response_format))))
    if request.metadata:
        found.append(("metadata", json_text(request.metadata)))
    if request.stop:
        found.append(("stop", "\n".join(request.stop)))
    if request.user:
        found.append(("user", request.user))
    if request.reasoning is not None and request.reasoning.extra:
        _add_extra(request.reasoning.extra, "reasoning", found)
    _add_extra(request.extra, "extra", found)
    return found


def _add_message(message: Message, where: str, found: list[Place]) -> None:
    if message.name:
        found.append((f"{where}.name", message.name))
    if message.extra:
        _add_extra(message.extra, f"{where}.extra", found)
    for index, part in enumerate(message.parts):
        here = f"{where}.parts[{index}]"
        if type(part) is Text:
            found.append((here, part.text))
            if part.extra:
                _add_extra(part.extra, f"{here}.extra", found)
        else:
            _add_part(part, here, found)


def _add_part(part: AnyPart, where: str, found: list[Place]) -> None:
    if type(part) is ToolResult:
        for index, inner in enumerate(part.content):
            _add_part(inner, f"{where}.content[{index}]", found)
    found += [(where, text) for text in _in_part(part) if text]
    if part.extra:
        _add_extra(part.extra, f"{where}.extra", found)


def _in_part(part: AnyPart) -> tuple[str | None, ...]:
    """The texts of a part itself, without what is nested in it."""
    match part:
        case Text() | Refusal():
            return (part.text,)
        case Thinking():
            return (part.text, part.signature, part.redacted)
        case Image():
            return (*_address(part.url), _attached(part.data), part.media_type, part.detail)
        case File():
            data = _attached(part.data)
            return (part.name, part.text, *_address(part.url), part.file_id, data, part.media_type)
        case Audio():
            return (_attached(part.data), part.format)
        case ToolCall():
            return (part.id, part.name, part.arguments, json_unescaped(part.arguments))
        case ToolResult():
            return (part.call_id, part.name)
        case Opaque():
            return (part.kind, json_text(part.value))


def _address(url: str | None) -> tuple[str | None, ...]:
    """A URL as it stands; of a `data:` URL in base64 its head, and what it holds where that is text."""
    if url is None or not url.startswith("data:"):
        return (url,)
    head, comma, body = url.partition(",")
    return (head, _attached(body)) if comma and head.endswith(";base64") else (url,)


def _attached(data: str | None) -> str | None:
    """The text of attached base64 data, where it is text: a document pasted as a file, not a picture."""
    return text_in_base64(data) if data else None


def _add_tool(tool: Tool, where: str, found: list[Place]) -> None:
    found.append((where, f"{tool.name}\n{tool.description or ''}"))
    for name in ("parameters", "vendor", "extra"):
        value: Extra | None = getattr(tool, name)
        if value:
            _add_extra(value, f"{where}.{name}", found)


def _add_extra(value: Extra, where: str, found: list[Place]) -> None:
    if value:
        found.append((where, json_text(value)))


# --- one value over several messages ----------------------------------------------------------

_SEAM: Final = 128  # characters on either side of a seam: longer than a card, an IBAN or most keys


def seams(request: Request) -> list[tuple[str, str, tuple[int, ...]]]:
    """Per role, the ends of its texts laid end to end: (where, text, offsets of the seams).

    A value that somebody splits over two messages, or two parts of one, stands whole in it.
    """
    ends: dict[str, list[str]] = {}
    for message in request.messages:
        for part in message.parts:
            if type(part) is Text and part.text:
                ends.setdefault(message.role, []).append(part.text)
    return [_laid(role, parts) for role, parts in ends.items() if len(parts) > 1]


def _laid(role: str, parts: list[str]) -> tuple[str, str, tuple[int, ...]]:
    pieces: list[str] = []
    offsets: list[int] = []
    length = 0
    for text in parts:
        piece = text if len(text) <= 2 * _SEAM else f"{text[:_SEAM]}\n{text[-_SEAM:]}"
        if pieces:
            offsets.append(length)
        pieces.append(piece)
        length += len(piece)
    return f"messages, role {role}", "".join(pieces), tuple(offsets)
