"""Canonical messages -> the `instructions` and the items of a request for a response.

A message is an item, and so is each call, each result and each thought of it.
"""

from typing import Any, Final

from interlock.adapters.carrying import with_name
from interlock.adapters.openai_responses.carry import state_of
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

_ERROR: Final = "Error: "
"""Before the result of a tool that failed: this wire format has no mark for it but words."""
_FILE_NAME: Final = "file"
_Item = dict[str, Any]


def write_input(request: Request) -> tuple[str | None, list[_Item], bool]:
    """The instructions, which are a system message at the beginning, and all other items in order.

    True if a thought had to be left out.
    """
    own = request.dialect == "openai-responses"
    messages = request.messages
    instructions = _instructions(messages[0]) if messages else None
    items: list[_Item] = []
    lost = False
    for message in messages if instructions is None else messages[1:]:
        if message.role == "tool":
            items += [_result(part, own=own) for part in message.parts]
        elif message.role == "assistant":
            lost = _add_assistant(items, message, own=own) or lost
        else:
            items.append(
                _message(message, [_part(part, "input", own=own) for part in with_name(message)], own=own)
            )
    if lost:
        # The vendor knows by their ids which items came after a thought, and would ask for that.
        for item in items:
            item.pop("id", None)
    return instructions, items, lost


def _instructions(message: Message) -> str | None:
    if message.role != "system" or len(message.parts) != 1 or message.extra or message.name is not None:
        return None
    (part,) = message.parts
    return part.text if isinstance(part, Text) and part.extra is None else None


def _message(message: Message, content: list[_Item], *, own: bool) -> _Item:
    item = {"type": "message", "role": message.role, "content": _short(content, own=own)}
    return {**item, **message.extra} if own and message.extra is not None else item


def _short(content: list[_Item], *, own: bool) -> Any:
    """A string where it says the same: every server understands one."""
    if len(content) == 1 and content[0]["type"] in ("input_text", "output_text"):
        (part,) = content
        if part.keys() == {"type", "text"} or (not own and part["type"] == "output_text"):
            return part["text"]
    return content


def _add_assistant(items: list[_Item], message: Message, *, own: bool) -> bool:
    """Add what an earlier answer said, in its order. True if a thought of it had to be left out."""
    lost = False
    said: list[_Item] = []
    for part in message.parts:
        if isinstance(part, Text | Refusal):
            said.append(_part(part, "output", own=own))
            continue
        if said:
            items.append(_message(message, said, own=own))
            said = []
        item = _item(part, own=own)
        if item is None:
            lost = True
        else:
            items.append(item)
    if said:
        items.append(_message(message, said, own=own))
    return lost


def _item(part: AnyPart, *, own: bool) -> _Item | None:
    if isinstance(part, ToolCall):
        call = {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": part.arguments}
        return {**call, **_own(part.extra, own=own)}
    if isinstance(part, Thinking):
        fields = _own(part.extra, own=own)
        if own and is_whole(part):
            return {"type": "reasoning", "summary": [], **fields}
        state = None if own else state_of(part)
        return {"type": "reasoning", "summary": [], "encrypted_content": state} if state else None
    assert isinstance(part, Opaque), f"`cannot_carry` lets no {type(part).__name__} come here"
    return part.value


def is_whole(part: Thinking) -> bool:
    """Whether an item of the own dialect says a thought: one that is neither shown nor encrypted stands for
    what the vendor keeps, and here it keeps nothing.
    """
    return bool(part.extra and (part.extra.get("encrypted_content") or part.extra.get("content")))


def _result(part: AnyPart, *, own: bool) -> _Item:
    if isinstance(part, Opaque):
        return part.value
    assert isinstance(part, ToolResult), "messages of role `tool` hold results of tools"
    output: Any = _short([_part(inner, "input", own=own) for inner in part.content], own=own) or ""
    if part.is_error:
        output = _ERROR + output if type(output) is str else [{"type": "input_text", "text": _ERROR}, *output]
    item = {"type": "function_call_output", "call_id": part.call_id, "output": output}
    return {**item, **_own(part.extra, own=own)}


def _part(part: AnyPart, side: str, *, own: bool) -> _Item:
    more = _own(part.extra, own=own)
    if isinstance(part, Text):
        return _text(part.text, side, more)
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text, **more}
    if isinstance(part, Image):
        url = part.url or data_url(part.media_type or "", part.data or "")
        return {"type": "input_image", "image_url": url, "detail": part.detail or "auto", **more}
    if isinstance(part, File):
        return _file(part, more)
    if isinstance(part, Audio):
        audio = {"data": part.data, "format": part.format}
        return {"type": "input_audio", "input_audio": audio, **more}
    assert isinstance(part, Opaque), f"`cannot_carry` lets no {type(part).__name__} come here"
    return part.value


def _text(text: str, side: str, more: Extra) -> _Item:
    item: _Item = {"type": f"{side}_text", "text": text}
    if side == "output" and more:
        item["annotations"] = []
    return {**item, **more}


def _file(part: File, more: Extra) -> _Item:
    """A file; one that is plain text is written out, under its name."""
    if part.text is not None:
        return _text(f"{part.name}\n\n{part.text}" if part.name else part.text, "input", more)
    item: _Item = {"type": "input_file"}
    if part.data is not None:
        item["file_data"] = part.data if part.media_type is None else data_url(part.media_type, part.data)
        item["filename"] = part.name or _FILE_NAME
    elif part.name is not None:
        item["filename"] = part.name
    if part.url is not None:
        item["file_url"] = part.url
    if part.file_id is not None:
        item["file_id"] = part.file_id
    return {**item, **more}


def _own(extra: Extra | None, *, own: bool) -> Extra:
    return extra if own and extra is not None else {}
