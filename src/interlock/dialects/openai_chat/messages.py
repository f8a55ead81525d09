"""Messages of an OpenAI chat request -> canonical ones.

Fields that Interlock does not interpret stay in `extra` at their place, by name; fields inside
`image_url`, `file` or `function` stay under that name. Parts of an unknown type stay whole.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from interlock.dialects.labels import label_all, left_over, take_labels, take_source, take_trust
from interlock.dialects.openai_chat.thoughts import Item, Remembered, take_kept, unwrapped
from interlock.dialects.parts import part_of, read_content
from interlock.types.request import (
    AnyPart,
    Audio,
    File,
    Image,
    Message,
    MessageRole,
    Opaque,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from interlock.wire.data_url import parse_data_url
from interlock.wire.fields import (
    Fields,
    Misfit,
    a_list,
    an_object,
    each,
    name,
    need,
    one_of,
    take,
    text,
)

_PLAIN_ROLES: Final = ("user", "system", "assistant", "developer")
_check_role: Final = one_of("system", "developer", "user", "assistant", "tool")


def read_messages(value: Any) -> tuple[Message, ...]:
    """The messages of a request. Raises Misfit."""
    raw = a_list(value)
    if not raw:
        raise Misfit("must hold at least one message")
    messages = tuple(each(raw, _message))
    if any(message.role == "tool" for message in messages):
        return _with_tool_names(messages)
    return messages


def _message(raw: Any) -> Message:
    fields = an_object(raw)
    if len(fields) == 2:
        plain, content = fields.get("role"), fields.get("content")
        if type(content) is str and plain in _PLAIN_ROLES:
            return Message(role=plain, parts=(Text(text=content),))
    if fields.get("role") == "function":
        raise Misfit("`function` is no longer served", path="role", hint="use a message of role `tool`")
    role: MessageRole = need(fields, "role", _check_role)
    trust, source = take_trust(fields), take_source(fields)
    called = take(fields, "name", name)
    if role == "assistant":
        parts, extra = _assistant(fields)
        return Message(role=role, parts=label_all(parts, trust, source), name=called, extra=extra)
    parts = (_tool_result(fields),) if role == "tool" else need(fields, "content", _content)
    return Message(role=role, parts=label_all(parts, trust, source), name=called, extra=left_over(fields))


def _with_tool_names(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages, with each tool's result named after the call that it answers."""
    names: dict[str, str] = {}
    for message in messages:
        names.update((part.id, part.name) for part in message.parts if isinstance(part, ToolCall))
    return tuple(_named(message, names) if message.role == "tool" else message for message in messages)


def _named(message: Message, names: dict[str, str]) -> Message:
    (result,) = message.parts
    assert isinstance(result, ToolResult)
    called = names.get(result.call_id, message.name)
    return msgspec.structs.replace(message, parts=(msgspec.structs.replace(result, name=called),))


def _assistant(fields: Fields) -> tuple[tuple[AnyPart, ...], Fields | None]:
    """The parts of an earlier answer, and its uninterpreted fields."""
    if take(fields, "function_call", an_object) is not None:
        raise Misfit("is no longer served", path="function_call", hint="use `tool_calls`")
    thought = take(fields, "reasoning_content", text)
    parts = [*(take(fields, "content", _content) or ())]
    refusal = take(fields, "refusal", text)
    if refusal is not None:
        parts.append(Refusal(text=refusal))
    calls = take(fields, "tool_calls", _tool_calls) or []
    extra = left_over(fields)
    if extra is not None or any(call.extra is not None for call in calls):
        kept, extra = take_kept(unwrapped(extra))
        taken = [take_kept(call.extra) for call in calls]
        if kept is not None or any(items is not None for items, _ in taken):
            return _remembered(thought or "", parts, calls, [*taken, (kept, None)]), extra
    if thought:
        parts.insert(0, Thinking(text=thought))
    return (*parts, *calls), extra


def _remembered(
    thought: str,
    words: list[AnyPart],
    calls: list[ToolCall],
    taken: list[tuple[list[Item] | None, Fields | None]],
) -> tuple[AnyPart, ...]:
    """An earlier answer with its thoughts where they were: each before what it led to."""
    runs = [items or [] for items, _ in taken]
    remembered = Remembered(thought, runs)
    parts: list[AnyPart] = [] if remembered.fits or not thought else [Thinking(text=thought)]
    spoke = not words
    for call, items, (_, extra) in zip([*calls, None], runs, taken, strict=True):
        before = 0
        if not spoke:
            spoke, before = True, items.index([]) if [] in items else len(items)
            parts += (*remembered.thoughts(items[:before]), *words)
        parts += remembered.thoughts([item for item in items[before:] if item])
        if call is not None:
            parts.append(msgspec.structs.replace(call, extra=extra))
    return tuple(parts)


def _tool_calls(value: Any) -> list[ToolCall]:
    return each(a_list(value), _tool_call)


def _tool_call(raw: Any) -> ToolCall:
    fields = an_object(raw)
    kind = fields.pop("type", "function")
    if kind != "function":
        raise Misfit("must be `function`", path="type", hint="custom tools are not served")
    call_id = need(fields, "id", name)
    called, arguments, inner = need(fields, "function", _function_called)
    extra = _nested(left_over(fields), "function", inner)
    return ToolCall(id=call_id, name=called, arguments=arguments, extra=extra)


def _function_called(value: Any) -> tuple[str, str, Fields]:
    fields = an_object(value)
    called = need(fields, "name", name)
    return called, take(fields, "arguments", text) or "", fields


def _tool_result(fields: Fields) -> ToolResult:
    call_id = need(fields, "tool_call_id", name)
    content = take(fields, "content", _content) or ()
    return ToolResult(call_id=call_id, content=tuple(each(content, _of_result)))


def _of_result(part: AnyPart) -> Text | Image | File | Opaque:
    if not isinstance(part, Text | Image | File | Opaque):
        raise Misfit("may not stand in a tool's result", path="content")
    return part


def _content(value: Any) -> tuple[AnyPart, ...]:
    return read_content(value, _part)


def _part(raw: Any) -> AnyPart:
    return part_of(raw, _PARTS, "openai-chat")


def _text(fields: Fields) -> Text:
    return Text(text=need(fields, "text", text), **take_labels(fields))


def _refusal(fields: Fields) -> Refusal:
    return Refusal(text=need(fields, "refusal", text), **take_labels(fields))


def _image(fields: Fields) -> Image:
    inner = need(fields, "image_url", an_object)
    try:
        url, detail = need(inner, "url", name), take(inner, "detail", text)
    except Misfit as misfit:
        raise misfit.under("image_url") from None
    more = take_labels(fields)
    more["extra"] = _nested(more.get("extra"), "image_url", inner)
    parsed = parse_data_url(url)
    if parsed is None:
        return Image(url=url, detail=detail, **more)
    return Image(media_type=parsed[0], data=parsed[1], detail=detail, **more)


def _file(fields: Fields) -> File:
    inner = need(fields, "file", an_object)
    try:
        data, file_id = take(inner, "file_data", name), take(inner, "file_id", name)
        called = take(inner, "filename", text)
    except Misfit as misfit:
        raise misfit.under("file") from None
    if data is None and file_id is None:
        raise Misfit("needs `file_data` or `file_id`", path="file")
    more = take_labels(fields)
    more["extra"] = _nested(more.get("extra"), "file", inner)
    parsed = parse_data_url(data) if data is not None else None
    if parsed is None:
        return File(data=data, file_id=file_id, name=called, **more)
    return File(media_type=parsed[0], data=parsed[1], file_id=file_id, name=called, **more)


def _audio(fields: Fields) -> Audio:
    inner = need(fields, "input_audio", an_object)
    try:
        data, kind = need(inner, "data", text), need(inner, "format", name)
    except Misfit as misfit:
        raise misfit.under("input_audio") from None
    more = take_labels(fields)
    more["extra"] = _nested(more.get("extra"), "input_audio", inner)
    return Audio(data=data, format=kind, **more)


def _nested(outer: Fields | None, key: str, inner: Fields) -> Fields | None:
    """Uninterpreted fields of a part and, under its name, of the object inside it."""
    left = left_over(inner)
    if left is None:
        return outer or None
    return {**(outer or {}), key: left}


_PARTS: Final[dict[str, Callable[[Fields], AnyPart]]] = {
    "text": _text,
    "image_url": _image,
    "file": _file,
    "input_audio": _audio,
    "refusal": _refusal,
}
