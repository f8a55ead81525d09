"""Every place of a request where text can stand, so that no detector misses one.

What goes upstream is read, wherever it stands: system prompts, all turns, tool definitions with
their schemas, calls and results, names, addresses of images and files, text inside attached data,
and fields that Interlock does not interpret. A place is named by its path in the request
(`messages[2].parts[0]`), never by what stands there.
"""

from collections.abc import Callable, Sequence
from operator import attrgetter, itemgetter
from typing import Any, Final

import msgspec
from msgspec.structs import astuple

from interlock.classify.disguise import json_text, json_unescaped, percent_decoded, readable, text_in_data
from interlock.classify.seen import Owner, Reading, recall
from interlock.stats.rounding import rounded
from interlock.types.request import (
    AnyPart,
    Audio,
    Embedding,
    Extra,
    File,
    Image,
    Message,
    Opaque,
    Refusal,
    Request,
    Text,
    Thinking,
    Tokens,
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
    _add_beside(request, found)
    return found


def read(request: Request, owner: Owner) -> Reading:
    """The texts of an owner's request, with what is known of them."""
    bare = bare_texts(request)
    if bare is None:
        return Reading(owner, None, [], [])
    return Reading(owner, bare, texts_beside(request), recall(owner, bare))


def texts_beside(request: Request) -> list[str]:
    """Every text of the request that stands beside its messages."""
    fields = astuple(request)
    if _words(fields) == _NO_WORDS:
        for value in _numbers(fields):
            if type(value) is int:
                if not 0 <= value < _LONG_NUMBER:
                    break
            elif value and not (0 < value <= 2 and value == rounded(value, 2)):
                break  # other fractions are written out, to see how long they are
        else:
            return []
    found: list[Place] = []
    _add_beside(request, found)
    return [text for _, text in found]


def _add_beside(request: Request, found: list[Place]) -> None:
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
    if request.extra:
        _add_extra(request.extra, "extra", found)
    for name, value in zip(_REST, _rest(request), strict=True):
        if value is not None:
            _add_rest(value, name, found)


def bare_texts(request: Request) -> list[str] | None:
    """The texts of messages that are one text each and nothing else, in order: no label, name or field.

    None where one is not. Most requests are so, and much about them need not be asked part by part.
    """
    found: list[str] = []
    for message in request.messages:
        parts = message.parts
        if len(parts) != 1 or message.name or message.extra:
            return None
        part = parts[0]
        if type(part) is not Text or part.extra or part.trust is not None or part.source is not None:
            return None
        found.append(part.text)
    return found


def _fields(names: Sequence[str]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    """Some fields of a request, of all its values in order."""
    return itemgetter(*map(Request.__struct_fields__.index, names))


_READ_ABOVE: Final = {"messages", "tools", "response_format", "metadata", "stop", "user", "extra"}
_NOT_SENT: Final = {
    "dialect",
    "model",
    "operation",
    "hints",
    "keeping",
    "stream",
    "include_usage",
    "parallel_tool_calls",
}
_REST: Final = tuple(
    name for name in Request.__struct_fields__ if name not in _READ_ABOVE and name not in _NOT_SENT
)
_rest: Final = attrgetter(*_REST)
_SHORT_NUMBER: Final = 12  # characters; shorter ones are no card or account
_LONG_NUMBER: Final = 10 ** (_SHORT_NUMBER - 1)
_NUMBERS: Final = ("max_output_tokens", "temperature", "top_p", "top_k", "seed")
_numbers: Final = _fields(_NUMBERS)
_OTHERS: Final = tuple(sorted({*_READ_ABOVE, *_REST} - {"messages", *_NUMBERS}))
_words: Final = _fields(_OTHERS)
_NO_WORDS: Final = _words(astuple(Request(dialect="openai-chat", model="", messages=())))


def _add_rest(value: Any, where: str, found: list[Place]) -> None:
    """A field of any other kind; a number only where it is long enough to be an identifier."""
    if type(value) in (int, float):
        text = str(value)
        if len(text) < _SHORT_NUMBER:
            return
    else:
        text = json_text(msgspec.to_builtins(value))
    found.append((where, text))


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
            return (*_address(part.url), *_attached(part.data), part.media_type, part.detail)
        case File():
            data = _attached(part.data)
            return (part.name, part.text, *_address(part.url), part.file_id, *data, part.media_type)
        case Audio():
            return (*_attached(part.data), part.format)
        case ToolCall():
            return (part.id, part.name, part.arguments, json_unescaped(part.arguments))
        case ToolResult():
            return (part.call_id, part.name)
        case Opaque():
            return (part.kind, json_text(part.value))
        case Tokens() | Embedding():
            return ()  # ids are spelled out before anybody looks; vectors are no part of a request


def _address(url: str | None) -> tuple[str | None, ...]:
    """A URL as it stands; of a `data:` URL its head and what it holds."""
    return _attached(url) if url is not None and _is_data_url(url) else (url,)


def _is_data_url(text: str) -> bool:
    return text[:5].lower() == "data:"


def _attached(data: str | None) -> tuple[str | None, ...]:
    """Attached data as it stands and as base64 of text; of a `data:` URL its head and its content.

    Callers paste documents as files, and text where base64 belongs.
    """
    if not data:
        return ()
    if not _is_data_url(data):
        return (readable(data), text_in_data(data))
    head, _, body = data.partition(",")
    if "%" in body:
        body = percent_decoded(body)
    return (head, readable(body), text_in_data(body))


def _add_tool(tool: Tool, where: str, found: list[Place]) -> None:
    found.append((where, f"{tool.name}\n{tool.description or ''}"))
    for name in ("parameters", "vendor", "extra"):
        value: Extra | None = getattr(tool, name)
        if value:
            _add_extra(value, f"{where}.{name}", found)


def _add_extra(value: Extra, where: str, found: list[Place]) -> None:
    if value:
        found.append((where, json_text(value)))
