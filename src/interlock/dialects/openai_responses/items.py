"""Canonical parts -> items of a response's `output`.

Texts that stood in one item at their vendor stand in one again. Those of other vendors: words and
refusals that follow each other are one message, each thought is an item of its own.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from interlock.dialects.citing import cited, to_flat_annotation
from interlock.dialects.openai_responses.thoughts import write_redacted, write_signature
from interlock.dialects.vendor import vendor_fields
from interlock.types.labels import Dialect
from interlock.types.request import AnyPart, Opaque, Refusal, Text, Thinking, ToolCall

OWN: Final[Dialect] = "openai-responses"
Item = dict[str, Any]
_LETTERS: Final = str.maketrans("0123456789", "ghijklmnop")
_DIGITS: Final = str.maketrans("ghijklmnop", "0123456789")
NAME_DIGITS: Final = 26
"""Of the name of a response that Interlock has given it."""
_MADE: Final = re.compile(rf"[a-p]{{{NAME_DIGITS}}}[a-p]{{3,}}").fullmatch
REFERENCE: Final = "item_reference"
"""The type of what stands in an `input` for an item of an earlier answer: nothing but its id."""
_PREFIXES: Final = {"message": "msg", "reasoning": "rs", "function_call": "fc"}


def id_of(kind: str, name: str, place: int) -> str:
    """The id of an item that its vendor gave none: `name` is that of the response, without its prefix."""
    return f"{_PREFIXES[kind]}_{without_digits(f'{name}{place:03x}')}"


def response_of(item_id: str) -> str | None:
    """The response that an item's id leads to, if it was made by `id_of`; that it exists is not said."""
    name = item_id.partition("_")[2]
    if _MADE(name) is None:
        return None
    return f"resp_{name[:NAME_DIGITS].translate(_DIGITS)}"


def kind_of(item: Item) -> Any:
    """The type of an item of an `input`. One that does not say is a message, or but the name of an item."""
    return item.get("type") or (REFERENCE if "id" in item and item.keys() <= {"id", "type"} else "message")


def name_of(response_id: str) -> str:
    return response_id.partition("_")[2] or response_id


def without_digits(name: str) -> str:
    """A hexadecimal name in letters alone.

    Items come back in requests, and there a detector might take a row of digits for somebody's number.
    """
    return name.translate(_LETTERS)


def message_item(item_id: str, more: dict[str, Any], status: str) -> Item:
    return {
        "id": item_id,
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [],
        **more,
    }


def reasoning_item(item_id: str, more: dict[str, Any]) -> Item:
    return {"id": item_id, "type": "reasoning", "summary": [], **more}


def call_item(item_id: str, call: ToolCall, more: dict[str, Any], status: str) -> Item:
    return {
        "id": item_id,
        "type": "function_call",
        "status": status,
        "call_id": call.id,
        "name": call.name,
        "arguments": call.arguments,
        **more,
    }


def text_part(kind: str, text: str, more: dict[str, Any]) -> dict[str, Any]:
    """A part of a message, or a thought (`kind` is its type)."""
    if kind == "output_text":
        return {"type": kind, "text": text, "annotations": [], "logprobs": [], **more}
    return {"type": kind, "refusal" if kind == "refusal" else "text": text, **more}


def write_output(parts: Iterable[AnyPart], response_id: str, status: str) -> list[Item]:
    """The items of a whole answer. `status` is that of the last message: the others are complete."""
    output: list[Item] = []
    name = name_of(response_id)
    open_key: tuple[str, Any] | None = None
    last: Item | None = None
    before = 0
    for part in parts:
        place = len(output)
        own = vendor_fields(part.extra, OWN)
        if isinstance(part, Text | Refusal | Thinking):
            item, fields = own.get("item", {}), own.get("part", {})
            thought = isinstance(part, Thinking)
            key = ("reasoning" if thought else "message", item.get("id"))
            if key != open_key or (thought and key[1] is None):
                open_key = key
                begun = _begin(part, item, id_of(key[0], name, place))
                output.append(begun)
                last = last if thought else begun
            _add_text(output[-1], part, fields)
            if isinstance(part, Text):
                _cite(output[-1]["content"][-1], part, before)
                before += len(part.text)
            continue
        open_key = None
        if isinstance(part, ToolCall):
            output.append(call_item(id_of("function_call", name, place), part, own, "completed"))
        elif isinstance(part, Opaque) and part.dialect == OWN:
            output.append(part.value)
    if last is not None and status != "completed":
        last["status"] = status
    return output


def _cite(written: dict[str, Any], part: Text, before: int) -> None:
    named = [one for one in cited(part.extra, OWN) if one["url"] is not None]
    if named:
        found = [to_flat_annotation(one, before, len(part.text)) for one in named]
        written["annotations"] = [*written["annotations"], *found]


def _begin(part: Text | Refusal | Thinking, item: dict[str, Any], item_id: str) -> Item:
    if not isinstance(part, Thinking):
        return message_item(item_id, item, "completed")
    begun = reasoning_item(item_id, item)
    if "encrypted_content" in begun:  # as its own vendor has it
        return begun
    if part.signature:
        begun["encrypted_content"] = write_signature(part.signature)
    elif part.redacted is not None:
        begun["encrypted_content"] = write_redacted(part.redacted)
    return begun


def _add_text(item: Item, part: Text | Refusal | Thinking, fields: dict[str, Any]) -> None:
    if isinstance(part, Thinking):
        kind = fields.get("type", "summary_text")
        if part.text:
            place = "summary" if kind == "summary_text" else "content"
            item.setdefault(place, []).append(text_part(kind, part.text, fields))
        return
    item["content"].append(
        text_part("refusal" if isinstance(part, Refusal) else "output_text", part.text, fields)
    )
