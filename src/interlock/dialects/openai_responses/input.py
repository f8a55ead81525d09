"""The `input` of a request for a response -> canonical messages.

What an assistant did in one go (a thought, words, calls) is one message, as in every dialect; at most
one of its items is a message, and what belongs to that as a whole is the `extra` of the message. Items
of the vendor's own stay whole: calls among the assistant's, everything else in messages of role `tool`.
Names of items in kept answers are only noted: the server puts the items in their places.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from interlock.dialects.labels import label_all, left_over, take_labels, take_source, take_trust
from interlock.dialects.openai_responses.items import REFERENCE, kind_of
from interlock.dialects.openai_responses.thoughts import read_encrypted
from interlock.dialects.openai_responses.tools import read_input_tools
from interlock.dialects.parts import opaque_of, part_of, read_content
from interlock.types.request import (
    AnyPart,
    Audio,
    Extra,
    File,
    Image,
    Message,
    MessageRole,
    Opaque,
    Refusal,
    Text,
    Thinking,
    Tool,
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
    nothing_else,
    one_of,
    take,
    text,
)

_check_role: Final = one_of("user", "assistant", "system", "developer")
_OF_ASSISTANT: Final = ("_call", "mcp_list_tools", "mcp_approval_request", "compaction")
"""How the types of items end that an answer has brought."""


class _Turns:
    """Mutable: the messages so far, and the assistant's that is not complete."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.tools: list[Tool] = []
        self.names: dict[str, str] = {}
        self._parts: list[AnyPart] = []
        self._extra: Extra | None = None
        self._spoke = False
        self.refers = False

    def assistant(self, *parts: AnyPart, extra: Extra | None = None, speaks: bool = False) -> None:
        if speaks and self._spoke:
            self.close()
        self._parts += parts
        if speaks:
            self._spoke, self._extra = True, extra

    def other(self, message: Message) -> None:
        self.close()
        self.messages.append(message)

    def close(self) -> None:
        if self._parts or self._spoke:
            self.messages.append(Message(role="assistant", parts=tuple(self._parts), extra=self._extra))
            self._parts, self._extra, self._spoke = [], None, False


def read_input(value: Any) -> tuple[tuple[Message, ...], tuple[Tool, ...], bool]:
    """The messages of a request, the tools that items of it bring, and whether it names items of earlier
    answers, which are missing here. Raises Misfit.
    """
    if type(value) is str:
        return (Message(role="user", parts=(Text(text=value),)),), (), False
    if type(value) is not list:
        raise Misfit("must be a string or a list of items")
    if not value:
        raise Misfit("must hold at least one item")
    turns = _Turns()
    each(value, lambda raw: _add(raw, turns))
    turns.close()
    return tuple(turns.messages), tuple(turns.tools), turns.refers


def _add(raw: Any, turns: _Turns) -> None:
    fields = an_object(raw)
    kind = fields.pop("type", None) or kind_of(fields)
    if type(kind) is not str:
        raise Misfit("must be a string", path="type")
    read = _ITEMS.get(kind)
    if read is not None:
        read(fields, turns)
        return
    trust, source = take_trust(fields), take_source(fields)
    value = {"type": kind, **fields}
    part = Opaque(dialect="openai-responses", kind=kind, value=value, trust=trust, source=source)
    if kind.endswith(_OF_ASSISTANT):
        turns.assistant(part)
        return
    if type(fields.get("tools")) is list:
        # Read from a copy: reading takes fields out, and the item goes on whole.
        copies = msgspec.json.decode(msgspec.json.encode(fields["tools"]))
        turns.tools += take({"tools": copies}, "tools", read_input_tools) or ()
    turns.other(Message(role="tool", parts=(part,)))


def _message(fields: Fields, turns: _Turns) -> None:
    role: MessageRole = need(fields, "role", _check_role)
    trust, source = take_trust(fields), take_source(fields)
    parts = label_all(need(fields, "content", _content), trust, source)
    extra = left_over(fields)
    if role != "assistant":
        turns.other(Message(role=role, parts=parts, extra=extra))
        return
    if not all(isinstance(part, Text | Refusal) for part in parts):
        raise Misfit("may hold text and refusals only", path="content")
    turns.assistant(*parts, extra=extra, speaks=True)


def _reasoning(fields: Fields, turns: _Turns) -> None:
    """Thoughts of an earlier answer: their vendor takes them back as they are, others what they signed."""
    encrypted = fields.get("encrypted_content")
    told = read_encrypted(encrypted)
    texts = [
        need(dict(an_object(part)), "text", text)
        for place in ("summary", "content")
        for part in a_list(fields.get(place) or [])
    ]
    turns.assistant(Thinking(text="\n\n".join(texts), **told, extra=left_over(fields) if not told else None))


def _function_call(fields: Fields, turns: _Turns) -> None:
    call_id, called = need(fields, "call_id", name), need(fields, "name", name)
    turns.names[call_id] = called
    arguments = need(fields, "arguments", text)
    turns.assistant(ToolCall(id=call_id, name=called, arguments=arguments, **take_labels(fields)))


def _function_call_output(fields: Fields, turns: _Turns) -> None:
    call_id = need(fields, "call_id", name)
    content = tuple(each(need(fields, "output", _content), _of_result))
    result = ToolResult(
        call_id=call_id, content=content, name=turns.names.get(call_id), **take_labels(fields)
    )
    turns.other(Message(role="tool", parts=(result,)))


def _of_result(part: AnyPart) -> Text | Image | File | Opaque:
    if not isinstance(part, Text | Image | File | Opaque):
        raise Misfit("may not stand in a tool's result")
    return part


def _reference(fields: Fields, turns: _Turns) -> None:
    need(fields, "id", name)
    nothing_else(fields)
    turns.refers = True


_ITEMS: Final[dict[str, Callable[[Fields, _Turns], None]]] = {
    "message": _message,
    "reasoning": _reasoning,
    "function_call": _function_call,
    "function_call_output": _function_call_output,
    REFERENCE: _reference,
}


def _content(value: Any) -> tuple[AnyPart, ...]:
    return read_content(value, _part)


def _part(raw: Any) -> AnyPart:
    return part_of(raw, _PARTS, "openai-responses")


def _text(fields: Fields) -> Text:
    content = need(fields, "text", text)
    for empty in ("annotations", "logprobs"):
        if fields.get(empty) == []:
            del fields[empty]
    return Text(text=content, **take_labels(fields))


def _refusal(fields: Fields) -> Refusal:
    return Refusal(text=need(fields, "refusal", text), **take_labels(fields))


def _image(fields: Fields) -> Image | Opaque:
    url = fields.get("image_url")
    if url is None:  # a file that only the vendor has
        return opaque_of("input_image", fields, "openai-responses")
    url, detail = need(fields, "image_url", name), take(fields, "detail", text)
    parsed = parse_data_url(url)
    if parsed is None:
        return Image(url=url, detail=detail, **take_labels(fields))
    return Image(media_type=parsed[0], data=parsed[1], detail=detail, **take_labels(fields))


def _file(fields: Fields) -> File:
    data, url = take(fields, "file_data", name), take(fields, "file_url", name)
    file_id, called = take(fields, "file_id", name), take(fields, "filename", text)
    if data is None and url is None and file_id is None:
        raise Misfit("needs `file_data`, `file_url` or `file_id`")
    parsed = parse_data_url(data) if data is not None else None
    kind, data = parsed if parsed is not None else (None, data)
    return File(data=data, media_type=kind, url=url, file_id=file_id, name=called, **take_labels(fields))


def _audio(fields: Fields) -> Audio:
    inner = need(fields, "input_audio", an_object)
    try:
        data, kind = need(inner, "data", text), need(inner, "format", name)
    except Misfit as misfit:
        raise misfit.under("input_audio") from None
    return Audio(data=data, format=kind, **take_labels(fields))


_PARTS: Final[dict[str, Callable[[Fields], AnyPart]]] = {
    "input_text": _text,
    "output_text": _text,
    "input_image": _image,
    "input_file": _file,
    "input_audio": _audio,
    "refusal": _refusal,
}
