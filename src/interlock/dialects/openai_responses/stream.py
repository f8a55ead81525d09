"""Canonical events -> the events of a stream of OpenAI responses.

Each event has its number, and each item and part its index, in the order in which they begin. What the
vendor's own items go through on their way is passed on as it came, under our numbers; blocks that this
dialect has no place for leave no event.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from interlock.dialects.citing import beside, cited, to_flat_annotation
from interlock.dialects.openai_chat.answer import error_of
from interlock.dialects.openai_responses.answer import ended, id_of_answer, response_of, status_of
from interlock.dialects.openai_responses.items import (
    OWN,
    Item,
    call_item,
    id_of,
    message_item,
    name_of,
    reasoning_item,
    text_part,
)
from interlock.dialects.openai_responses.thoughts import write_redacted, write_signature
from interlock.dialects.vendor import vendor_fields
from interlock.errors import ApiError
from interlock.types.answer import (
    BlockDelta,
    BlockStarted,
    BlockStopped,
    Citation,
    Event,
    Finished,
    Started,
)
from interlock.types.request import Opaque, Request, ToolCall

_encode: Final = msgspec.json.Encoder().encode
_DELTA: Final = b'event: %b\ndata: {"type":"%b","item_id":%b,"output_index":%d,%b"delta":'
_NUMBER: Final = b',"sequence_number":%d}\n\n'
_PART: Final = {
    "output_text": ("content_part", "output_text", "content_index"),
    "refusal": ("content_part", "refusal", "content_index"),
    "reasoning_text": ("content_part", "reasoning_text", "content_index"),
    "summary_text": ("reasoning_summary_part", "reasoning_summary_text", "summary_index"),
}
"""By the type of a part: what its events are called, those of its text, and its index in its item."""
_KINDS: Final = {"text": "output_text", "refusal": "refusal", "thinking": "summary_text"}


class _Open:
    """An item that has begun. `growing` counts its blocks that have not ended."""

    __slots__ = ("fields", "growing", "index", "key", "over")

    def __init__(self, index: int, key: tuple[str, Any], fields: Item) -> None:
        self.index = index
        self.key = key
        self.fields = fields
        self.growing = 0
        self.over = False


class _Block:
    """A block that grows: one part of an item, or the whole of one that has no parts (`kind` is empty)."""

    __slots__ = ("before", "item", "kind", "more", "pieces", "place")

    def __init__(self, item: _Open, kind: str, place: int, more: dict[str, Any], before: bytes) -> None:
        self.item = item
        self.kind = kind
        self.place = place
        self.more = more
        self.before = before
        self.pieces: list[str] = []


class StreamEncoder:
    """Mutable: the response so far."""

    def __init__(self, request: Request, model: str) -> None:
        self._request = request
        self._model = model
        self._body: dict[str, Any] = {}
        self._name = ""
        self._number = 0
        self._items: list[_Open] = []
        self._blocks: dict[int, _Block] = {}
        self._said = 0  # how many characters of the answer's own words are complete
        self._homeless: list[Citation] = []

    def encode(self, events: Sequence[Event]) -> bytes:
        """The bytes for a run of events."""
        out: list[bytes] = []
        for event in events:
            if isinstance(event, BlockDelta):
                self._delta(event, out)
            elif isinstance(event, BlockStarted):
                self._block(event, out)
            elif isinstance(event, BlockStopped):
                self._stop(event.index, out)
            elif isinstance(event, Started):
                self._start(event, out)
            elif isinstance(event, Finished):
                self._finish(event, out)
        return b"".join(out)

    def fail(self, error: ApiError) -> bytes:
        """The error that ends a stream in place of `response.completed`.

        SDKs read its fields, or raise what stands in `error`.
        """
        told = error_of(error)["error"]
        fields = {"code": told["code"], "message": told["message"], "param": told["param"], "error": told}
        out: list[bytes] = []
        self._event("error", fields, out)
        return out[0]

    def _event(self, kind: str, fields: dict[str, Any], out: list[bytes]) -> None:
        data = _encode({"type": kind, "sequence_number": self._number, **fields})
        self._number += 1
        out.append(b"event: " + kind.encode("ascii", "replace") + b"\ndata: " + data + b"\n\n")

    def _start(self, event: Started, out: list[bytes]) -> None:
        if self._body:
            return
        told = vendor_fields(event.extra, OWN).get("top", {})
        response_id = id_of_answer(self._request, event.id)
        self._name = name_of(response_id)
        self._body = response_of(self._request, response_id, self._model, event.created, told)
        self._request = msgspec.structs.replace(self._request, messages=())  # a stream may stay open for long
        for kind in ("response.created", "response.in_progress"):
            self._event(kind, {"response": self._body}, out)

    # --- blocks and the items that they stand in ------------------------------------------------

    def _block(self, event: BlockStarted, out: list[bytes]) -> None:
        kind, value = event.kind, event.value
        if kind == "opaque":
            if isinstance(value, Opaque) and value.dialect == OWN:
                self._whole_item(event.index, value.value, out)
        elif kind == "redacted":
            more = {"encrypted_content": write_redacted(str(value))}
            item = reasoning_item(id_of("reasoning", self._name, len(self._items)), more)
            self._whole_item(event.index, item, out)
        elif kind == "tool_call":
            self._call(event, out)
        else:
            self._text_block(event, out)

    def _whole_item(self, index: int, fields: Item, out: list[bytes]) -> None:
        item = self._begin(("", None), fields, out)
        self._blocks[index] = _Block(item, "", 0, {}, b"")

    def _call(self, event: BlockStarted, out: list[bytes]) -> None:
        call = ToolCall(id=event.call_id, name=event.name, arguments="")
        more = vendor_fields(event.value, OWN)
        item_id = id_of("function_call", self._name, len(self._items))
        fields = {**call_item(item_id, call, more, "in_progress"), "status": "in_progress"}
        item = self._begin(("function_call", None), fields, out)
        before = self._before("response.function_call_arguments.delta", item, b"")
        self._blocks[event.index] = _Block(item, "arguments", 0, more, before)

    def _text_block(self, event: BlockStarted, out: list[bytes]) -> None:
        own = vendor_fields(event.value, OWN)
        of_item, more = own.get("item", {}), own.get("part", {})
        kind = more.get("type") if event.kind == "thinking" else None
        kind = kind if type(kind) is str and kind in _PART else _KINDS[event.kind]
        item = self._item_for(event.kind, of_item, out)
        item.growing += 1
        parts = item.fields.setdefault("summary" if kind == "summary_text" else "content", [])
        place = len(parts)
        part = text_part(kind, "", more)
        parts.append(part)
        word, text_word, index = _PART[kind]
        where = {"item_id": item.fields["id"], "output_index": item.index, index: place}
        self._event(f"response.{word}.added", {**where, "part": part}, out)
        rest = b'"logprobs":[],' if kind == "output_text" else b""
        before = self._before(
            f"response.{text_word}.delta", item, b'"%b":%d,%b' % (index.encode("ascii"), place, rest)
        )
        self._blocks[event.index] = _Block(item, kind, place, part, before)

    def _item_for(self, kind: str, fields: dict[str, Any], out: list[bytes]) -> _Open:
        """The item that a text goes into: the one before it, if it belongs there, or a new one."""
        thought = kind == "thinking"
        key = ("reasoning" if thought else "message", fields.get("id"))
        last = self._items[-1] if self._items else None
        if last is not None and not last.over and last.key == key and not (thought and key[1] is None):
            return last
        item_id = id_of(key[0], self._name, len(self._items))
        if thought:
            begun = reasoning_item(item_id, fields)
        else:
            begun = {**message_item(item_id, fields, "in_progress"), "status": "in_progress"}
        return self._begin(key, begun, out)

    def _begin(self, key: tuple[str, Any], fields: Item, out: list[bytes]) -> _Open:
        if self._items:
            self._close_if_ended(self._items[-1], "completed", out)
        item = _Open(len(self._items), key, fields)
        self._items.append(item)
        self._event("response.output_item.added", {"output_index": item.index, "item": fields}, out)
        return item

    def _before(self, kind: str, item: _Open, place: bytes) -> bytes:
        name = kind.encode("ascii")
        return _DELTA % (name, name, _encode(item.fields["id"]), item.index, place)

    # --- what grows, and what ends ---------------------------------------------------------------

    def _delta(self, event: BlockDelta, out: list[bytes]) -> None:
        block = self._blocks.get(event.index)
        if block is None:
            return
        if event.extra is None:
            if event.text and block.before:
                block.pieces.append(event.text)
                out += (block.before, _encode(event.text), _NUMBER % self._number)
                self._number += 1
            return
        self._rich_delta(block, event, out)

    def _rich_delta(self, block: _Block, event: BlockDelta, out: list[bytes]) -> None:
        """More than words: log probabilities, a citation, a vendor's own event, how an item ends."""
        fields = vendor_fields(event.extra, OWN)
        item = block.item
        signature = event.extra.get("signature")
        if type(signature) is str and item.key[0] == "reasoning":
            item.fields["encrypted_content"] = write_signature(signature)
        if event.text and block.before:
            if "logprobs" in fields:
                self._delta_with_logprobs(block, event.text, fields["logprobs"], out)
            else:
                self._delta(BlockDelta(event.index, event.text), out)
        elif "logprobs" in fields:
            block.more["logprobs"] = [*block.more.get("logprobs", ()), *fields["logprobs"]]
        if "annotation" in fields:
            self._annotate(block, fields["annotation"], out)
        named = cited(event.extra, OWN)
        length = sum(map(len, block.pieces)) if named else 0
        for one in named:
            if one["url"] is None or block.kind != "output_text":
                self._homeless.append(one)
            else:
                self._annotate(block, to_flat_annotation(one, self._said, length), out)
        if "event" in fields:
            self._progress(block, fields["event"], out)
        if "item" in fields:
            item.fields = fields["item"] if not block.kind else {**item.fields, **fields["item"]}

    def _where(self, block: _Block) -> dict[str, Any]:
        index = _PART[block.kind][2]
        return {
            "item_id": block.item.fields["id"],
            "output_index": block.item.index,
            index: block.place,
        }

    def _delta_with_logprobs(self, block: _Block, text: str, logprobs: Any, out: list[bytes]) -> None:
        block.pieces.append(text)
        block.more["logprobs"] = [*block.more.get("logprobs", ()), *logprobs]
        fields = {**self._where(block), "delta": text, "logprobs": logprobs}
        self._event(f"response.{_PART[block.kind][1]}.delta", fields, out)

    def _annotate(self, block: _Block, annotation: Any, out: list[bytes]) -> None:
        known = block.more.setdefault("annotations", [])
        known.append(annotation)
        fields = {**self._where(block), "annotation_index": len(known) - 1, "annotation": annotation}
        self._event("response.output_text.annotation.added", fields, out)

    def _progress(self, block: _Block, event: dict[str, Any], out: list[bytes]) -> None:
        rest = {name: value for name, value in event.items() if name != "type"}
        where = {"item_id": block.item.fields.get("id"), "output_index": block.item.index}
        self._event(event["type"], {**where, **rest}, out)

    def _stop(self, index: int, out: list[bytes]) -> None:
        block = self._blocks.pop(index, None)
        if block is None:
            return
        item, text = block.item, "".join(block.pieces)
        if block.kind == "":
            self._close(item, out)
        elif block.kind == "arguments":
            item.fields = {**item.fields, "arguments": text, "status": "completed"}
            where = {"item_id": item.fields["id"], "output_index": item.index}
            done = {**where, "name": item.fields["name"], "arguments": text}
            self._event("response.function_call_arguments.done", done, out)
            self._close(item, out)
        else:
            self._end_part(block, text, out)
            item.growing -= 1
            if item is not self._items[-1]:
                self._close_if_ended(item, "completed", out)

    def _end_part(self, block: _Block, text: str, out: list[bytes]) -> None:
        part, (word, text_word, _) = block.more, _PART[block.kind]
        field = "refusal" if block.kind == "refusal" else "text"
        part[field] = text
        done = {**self._where(block), field: text}
        if block.kind == "output_text":
            done["logprobs"] = part["logprobs"]
            self._said += len(text)
        self._event(f"response.{text_word}.done", done, out)
        self._event(f"response.{word}.done", {**self._where(block), "part": part}, out)

    def _close_if_ended(self, item: _Open, status: str, out: list[bytes]) -> None:
        """End an item of several parts, once something else has begun and none of its parts grows."""
        if item.over or item.growing or item.key[0] not in ("message", "reasoning"):
            return
        if item.key[0] == "message" and item.fields["status"] == "in_progress":
            item.fields = {**item.fields, "status": status}
        self._close(item, out)

    def _close(self, item: _Open, out: list[bytes]) -> None:
        item.over = True
        self._event("response.output_item.done", {"output_index": item.index, "item": item.fields}, out)

    def _finish(self, event: Finished, out: list[bytes]) -> None:
        for index in list(self._blocks):
            self._stop(index, out)
        status = status_of(event.finish)
        for item in self._items:
            self._close_if_ended(item, status, out)
        fields = vendor_fields(event.extra, OWN)
        ours = {name: value for name, value in self._body.items() if name in _OURS}
        body = {**self._body, **fields.get("top", {}), **ours}
        output = [item.fields for item in self._items]
        response = ended(body, event.finish, output, event.usage, fields.get("usage", {}))
        response |= beside([*self._homeless, *cited(event.extra, OWN)])
        self._event(f"response.{status}", {"response": response}, out)


_OURS: Final = frozenset(
    {
        "background",
        "id",
        "instructions",
        "metadata",
        "model",
        "previous_response_id",
        "store",
        "tool_choice",
        "tools",
    }
)
"""What the vendor's last word does not change: it stands as it was said at first."""
