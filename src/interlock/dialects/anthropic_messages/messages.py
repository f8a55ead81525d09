"""Messages of an Anthropic request -> canonical ones.

A user's message may hold results of tools beside its text: such a message becomes several, in the
same order, so that results stand in messages of role `tool` as in every dialect. Blocks that
Interlock does not interpret stay whole.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from interlock.dialects.labels import label_all, left_over, take_labels, take_source, take_trust
from interlock.types.request import (
    AnyPart,
    File,
    Image,
    Message,
    MessageRole,
    Opaque,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from interlock.wire.fields import (
    Fields,
    Misfit,
    a_list,
    an_object,
    each,
    flag,
    name,
    need,
    nothing_else,
    one_of,
    take,
    text,
)

_encode: Final = msgspec.json.Encoder().encode
_check_role: Final = one_of("user", "assistant", "system")
_VENDOR_SOURCE: Final = ("image", "document", "search_result")
"""Blocks whose field `source` is the vendor's: where the content lies, not our label."""


def read_system(value: Any) -> Message:
    """The `system` of a request as a message. Raises Misfit."""
    parts = _content(value)
    if not all(isinstance(part, Text) for part in parts):
        raise Misfit("may hold text only")
    return Message(role="system", parts=parts)


def read_messages(value: Any) -> tuple[Message, ...]:
    """The messages of a request. Raises Misfit."""
    raw = a_list(value)
    if not raw:
        raise Misfit("must hold at least one message")
    out: list[Message] = []
    for messages in each(raw, _message):
        out += messages
    if any(message.role == "tool" for message in out):
        return _with_tool_names(out)
    return tuple(out)


def _message(raw: Any) -> list[Message]:
    fields = an_object(raw)
    role: MessageRole = need(fields, "role", _check_role)
    trust, source = take_trust(fields), take_source(fields)
    parts = label_all(need(fields, "content", _content), trust, source)
    extra = left_over(fields)
    if not any(isinstance(part, ToolResult) for part in parts):
        return [Message(role=role, parts=parts, extra=extra)]
    if role != "user":
        raise Misfit("results of tools belong to a message of role `user`", path="content")
    messages = [Message(role=kind, parts=run) for kind, run in _runs(parts)]
    if extra is not None:
        messages[0] = msgspec.structs.replace(messages[0], extra=extra)
    return messages


def _runs(parts: Iterable[AnyPart]) -> list[tuple[MessageRole, tuple[AnyPart, ...]]]:
    """The parts of one message, cut where results of tools begin and end."""
    runs: list[tuple[MessageRole, tuple[AnyPart, ...]]] = []
    for part in parts:
        role: MessageRole = "tool" if isinstance(part, ToolResult) else "user"
        if runs and runs[-1][0] == role:
            runs[-1] = (role, (*runs[-1][1], part))
        else:
            runs.append((role, (part,)))
    return runs


def _with_tool_names(messages: list[Message]) -> tuple[Message, ...]:
    names: dict[str, str] = {}
    for message in messages:
        names.update((part.id, part.name) for part in message.parts if isinstance(part, ToolCall))
    return tuple(_named(message, names) if message.role == "tool" else message for message in messages)


def _named(message: Message, names: dict[str, str]) -> Message:
    parts = tuple(
        msgspec.structs.replace(part, name=names.get(part.call_id)) if isinstance(part, ToolResult) else part
        for part in message.parts
    )
    return msgspec.structs.replace(message, parts=parts)


def _content(value: Any) -> tuple[AnyPart, ...]:
    if type(value) is str:
        return (Text(text=value),)
    if type(value) is not list:
        raise Misfit("must be a string or a list of blocks")
    return tuple(each(value, _block))


def _block(raw: Any) -> AnyPart:
    fields = an_object(raw)
    kind = need(fields, "type", name)
    read = _BLOCKS.get(kind)
    return _opaque(kind, fields) if read is None else read(fields)


def _opaque(kind: str, fields: Fields) -> Opaque:
    trust = take_trust(fields)
    source = None if kind in _VENDOR_SOURCE else take_source(fields)
    value = {"type": kind, **fields}
    return Opaque(dialect="anthropic-messages", kind=kind, value=value, trust=trust, source=source)


def _text(fields: Fields) -> Text:
    return Text(text=need(fields, "text", text), **take_labels(fields))


def _image(fields: Fields) -> Image | Opaque:
    source = an_object(fields.get("source"))
    kind = source.get("type")
    if kind not in ("base64", "url"):  # a file that only the vendor has
        return _opaque("image", fields)
    del fields["source"]
    try:
        if kind == "url":
            image: dict[str, Any] = {"url": need(source, "url", name)}
        else:
            image = {"data": need(source, "data", text), "media_type": need(source, "media_type", name)}
        del source["type"]
        nothing_else(source)
    except Misfit as misfit:
        raise misfit.under("source") from None
    return Image(**image, **take_labels(fields))


def _document(fields: Fields) -> File | Opaque:
    source = an_object(fields.get("source"))
    read = _DOCUMENTS.get(str(source.get("type")))
    if read is None:
        return _opaque("document", fields)
    del fields["source"], source["type"]
    try:
        document = read(source)
        nothing_else(source)
    except Misfit as misfit:
        raise misfit.under("source") from None
    return File(**document, name=take(fields, "title", text), **take_labels(fields))


def _base64(source: Fields) -> dict[str, Any]:
    return {"data": need(source, "data", text), "media_type": need(source, "media_type", name)}


def _plain_text(source: Fields) -> dict[str, Any]:
    return {"text": need(source, "data", text), "media_type": need(source, "media_type", name)}


def _url(source: Fields) -> dict[str, Any]:
    return {"url": need(source, "url", name)}


def _stored(source: Fields) -> dict[str, Any]:
    return {"file_id": need(source, "file_id", name)}


_DOCUMENTS: Final[dict[str, Callable[[Fields], dict[str, Any]]]] = {
    "base64": _base64,
    "text": _plain_text,
    "url": _url,
    "file": _stored,
}


def _thinking(fields: Fields) -> Thinking:
    thought = need(fields, "thinking", text)
    return Thinking(text=thought, signature=take(fields, "signature", text), **take_labels(fields))


def _redacted(fields: Fields) -> Thinking:
    return Thinking(redacted=need(fields, "data", text), **take_labels(fields))


def _tool_use(fields: Fields) -> ToolCall:
    call_id, called = need(fields, "id", name), need(fields, "name", name)
    arguments = _encode(need(fields, "input", an_object)).decode("utf-8")
    return ToolCall(id=call_id, name=called, arguments=arguments, **take_labels(fields))


def _tool_result(fields: Fields) -> ToolResult:
    call_id = need(fields, "tool_use_id", name)
    content = take(fields, "content", _content) or ()
    is_error = take(fields, "is_error", flag) or False
    inner = tuple(each(content, _of_result))
    return ToolResult(call_id=call_id, content=inner, is_error=is_error, **take_labels(fields))


def _of_result(part: AnyPart) -> Text | Image | File | Opaque:
    if not isinstance(part, Text | Image | File | Opaque):
        raise Misfit("may not stand in a tool's result")
    return part


_BLOCKS: Final[dict[str, Callable[[Fields], AnyPart]]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
}
