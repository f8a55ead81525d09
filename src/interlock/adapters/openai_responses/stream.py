"""The events of a stream of OpenAI responses -> canonical ones.

Deltas of text, by far the most of a stream, are decoded into one flat type; everything else is rare and
read as it comes. Some servers leave out the events between the first and the last of an item, or of the
whole response: what has not been said by then is taken from the item.
"""

from collections.abc import Callable
from typing import Any, ClassVar, Final

import msgspec
from msgspec import Struct

from interlock.adapters.citing import cites, of_annotation, of_part
from interlock.adapters.failures import Broken, malformed
from interlock.adapters.openai.answer import failure_of
from interlock.adapters.openai_responses.answer import Ended, finish_of, told_of
from interlock.adapters.openai_responses.items import (
    OWN,
    extra,
    item_fields,
    others,
    read_call,
    read_item,
    read_opaque,
    sealed_in,
)
from interlock.adapters.sse import SseDecoder
from interlock.types.answer import (
    BlockDelta,
    BlockKind,
    BlockStarted,
    BlockStopped,
    Event,
    Finished,
    Started,
)
from interlock.types.request import AnyPart, Opaque, Refusal, Text, Thinking, ToolCall


class _Event(Struct, gc=False):
    type: str
    output_index: int = -1
    content_index: int = 0
    summary_index: int = 0
    delta: Any = None
    logprobs: list[Any] | None = None


class _Lists(Struct):
    """What is said about a text, bit by bit."""

    annotations: list[Any] | None = None
    logprobs: list[Any] | None = None


_decode: Final = msgspec.json.Decoder(_Event).decode
_decode_any: Final = msgspec.json.Decoder().decode
_ORDER: Final = "an event where it does not belong"
_CHANGED: Final = "an item that ends as another one"

_DELTAS: Final[dict[str, BlockKind]] = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "refusal",
    "response.function_call_arguments.delta": "tool_call",
    "response.reasoning_summary_text.delta": "thinking",
    "response.reasoning_text.delta": "thinking",
}
_WHOLE: Final = {
    "response.output_text.done": "text",
    "response.refusal.done": "refusal",
    "response.function_call_arguments.done": "arguments",
    "response.reasoning_summary_text.done": "text",
    "response.reasoning_text.done": "text",
}
"""Events that say a text once more as a whole, and the field that has it."""
_PROGRESS: Final = tuple(
    f"response.{kind}"
    for kind in (
        "apply_patch_call",
        "code_interpreter_call",
        "compaction",
        "custom_tool_call_input",
        "file_search_call",
        "image_generation_call",
        "mcp_call",
        "mcp_list_tools",
        "shell_call",
        "web_search_call",
    )
)
"""How a vendor's own items grow: passed on to callers of the same dialect. Other events are passed over."""
_PLACES: Final = frozenset({"type", "output_index", "item_id", "sequence_number", "obfuscation"})
_ON_PARTS: Final = ("message", "reasoning")


class _Growing:
    """An item that is not complete yet. `open` is its block that grows now, `place` which part that is.

    `length` is that of the answer's own words in this part, once they are known as a whole.
    """

    __slots__ = ("annotations", "first", "length", "logprobs", "open", "parts", "place", "said")

    def __init__(self, first: dict[str, Any]) -> None:
        self.first = first
        self.open = -1
        self.place: tuple[str, int] | None = None
        self.parts = 0
        self.said = False
        self.length = 0
        self.annotations: list[Any] = []
        self.logprobs = False


class StreamDecoder(SseDecoder):
    def __init__(self) -> None:
        super().__init__()
        self._started = False
        self._items: dict[int, _Growing] = {}
        self._done: dict[int, tuple[AnyPart, ...]] = {}
        self._next = 0
        self._before = 0  # how many characters of the answer's own words are complete

    def _take(self, found: list[bytes], out: list[Event]) -> None:
        for data in found:
            if data == b"[DONE]":
                continue
            event = _decode(data)
            if event.type in _DELTAS:
                self._delta(event, out)
            else:
                self._rare(event.type, data, out)
            if self._over:
                break

    def _rare(self, kind: str, data: bytes, out: list[Event]) -> None:
        read = self._readers.get(kind)
        if read is not None:
            read(self, _decode_any(data), out)
        elif kind.startswith(_PROGRESS):
            self._progress(kind, _decode_any(data), out)

    def _progress(self, kind: str, raw: dict[str, Any], out: list[Event]) -> None:
        item = self._item(raw)
        if item.open >= 0:
            progress = {"type": kind, **others(raw, _PLACES)}
            out.append(BlockDelta(item.open, "", {OWN: {"event": progress}}))

    def _begun(self, raw: dict[str, Any], out: list[Event]) -> None:
        self._start(_fields(raw, "response"), out)

    def _start(self, response: dict[str, Any], out: list[Event]) -> None:
        if self._started:
            return
        self._started = True
        told = msgspec.convert(response, Ended)
        created = int(told.created_at) if told.created_at is not None else None
        _, kept = told_of(response)
        out.append(Started(told.id or "", told.model or "", None, created, kept))

    # --- items that grow ----------------------------------------------------------------------

    def _item(self, raw: dict[str, Any]) -> _Growing:
        item = self._items.get(_index(raw))
        if item is None:
            raise Broken(malformed(_ORDER))
        return item

    def _item_added(self, raw: dict[str, Any], out: list[Event]) -> None:
        first, index = raw.get("item"), _index(raw)
        if first is None:
            return  # some servers announce an item before they know what it is
        first = msgspec.convert(first, dict[str, Any])
        if index in self._items or index in self._done or not self._started:
            raise Broken(malformed(_ORDER))
        item = self._items[index] = _Growing(first)
        kind = first.get("type")
        if kind in _ON_PARTS:
            return
        if kind == "function_call":
            call = read_call({"arguments": "", **first})
            item.open = self._number()
            out.append(BlockStarted(item.open, "tool_call", call.id, call.name, call.extra))
            if call.arguments:
                self._say(item, call.arguments, None, out)
        else:
            part = read_opaque(first)
            item.open = self._number()
            out.append(BlockStarted(item.open, "opaque", value=part))

    def _part_added(self, raw: dict[str, Any], out: list[Event]) -> None:
        """Begin a part of a message or of a reasoning item; the one before it is complete."""
        item, part = self._item(raw), _fields(raw, "part")
        kind = str(part.get("type"))
        index = raw.get("summary_index") if kind == "summary_text" else raw.get("content_index")
        self._begin_part(item, (kind, index if type(index) is int else item.parts), part, out)

    def _annotated(self, raw: dict[str, Any], out: list[Event]) -> None:
        item = self._item(raw)
        if item.open < 0:
            raise Broken(malformed(_ORDER))
        self._cite(item, raw.get("annotation"), out)

    def _cite(self, item: _Growing, annotation: Any, out: list[Event]) -> None:
        item.annotations.append(annotation)
        out.append(BlockDelta(item.open, "", {OWN: {"annotation": annotation}}))

    def _begin_part(
        self, item: _Growing, place: tuple[str, int], part: dict[str, Any], out: list[Event]
    ) -> None:
        block = _BLOCKS.get((item.first.get("type"), place[0]))
        if block is None:
            raise Broken(malformed(_ORDER))
        self._stop(item, out)
        given = msgspec.convert(part, _Lists).annotations or ()
        kind, field = block
        rest = {name: value for name, value in part.items() if value not in (None, [], given)}
        known = frozenset({field} if kind == "thinking" else {"type", field})
        own = extra(item_fields(item.first), others(rest, known))
        item.open, item.place, item.said, item.annotations = self._number(), place, False, []
        item.parts += 1
        item.logprobs = False
        out.append(BlockStarted(item.open, kind, value=own))
        text = part.get(field)
        if text:
            self._say(item, msgspec.convert(text, str), None, out)
        for annotation in given:
            self._cite(item, annotation, out)

    def _delta(self, event: _Event, out: list[Event]) -> None:
        item = self._items.get(event.output_index)
        if item is None or type(event.delta) is not str:
            raise Broken(malformed(_ORDER))
        self._ready(item, event, out)
        own = None
        if event.logprobs:
            item.logprobs = True
            own = {OWN: {"logprobs": event.logprobs}}
        if event.delta or own is not None:
            self._say(item, event.delta, own, out)

    def _ready(self, item: _Growing, event: _Event, out: list[Event]) -> None:
        """See to it that the part which a delta belongs to has begun: not every server says so."""
        word = _PART_OF.get(event.type)
        if word is None:
            if item.first.get("type") != "function_call":
                raise Broken(malformed(_ORDER))
            return
        place = (word, event.summary_index if word == "summary_text" else event.content_index)
        if item.place != place:
            self._begin_part(item, place, {"type": word}, out)

    def _say(self, item: _Growing, text: str, own: Any, out: list[Event]) -> None:
        item.said = item.said or bool(text)
        out.append(BlockDelta(item.open, text, own))

    def _whole(self, raw: dict[str, Any], out: list[Event]) -> None:
        """A text once more: it is said only if nothing of it was."""
        item = self._item(raw)
        text = raw.get(_WHOLE[raw["type"]])
        if raw["type"] == "response.output_text.done" and isinstance(text, str):
            item.length = len(text)
        if text and not item.said:
            event = _Event(
                raw["type"].removesuffix("done") + "delta",
                _index(raw),
                raw.get("content_index") or 0,
                raw.get("summary_index") or 0,
                text,
            )
            self._delta(event, out)

    def _part_done(self, raw: dict[str, Any], out: list[Event]) -> None:
        item, part = self._item(raw), _fields(raw, "part")
        field = "refusal" if part.get("type") == "refusal" else "text"
        self._rest_of_part(item, part, field, out)

    def _rest_of_part(self, item: _Growing, part: dict[str, Any], field: str, out: list[Event]) -> None:
        """What a complete part has that no event before it had."""
        text = part.get(field)
        if text and not item.said:
            self._say(item, msgspec.convert(text, str), None, out)
        if part.get("type") == "output_text" and isinstance(text, str):
            item.length = len(text)
        lists = msgspec.convert(part, _Lists)
        for annotation in (lists.annotations or ())[len(item.annotations) :]:
            self._cite(item, annotation, out)
        if lists.logprobs and not item.logprobs:
            item.logprobs = True
            out.append(BlockDelta(item.open, "", {OWN: {"logprobs": lists.logprobs}}))

    def _stop(self, item: _Growing, out: list[Event]) -> None:
        if item.open >= 0:
            found = [of_annotation(raw, self._before, item.length) for raw in item.annotations]
            if found:  # for other dialects, now that it is known how long the text is
                out.append(BlockDelta(item.open, "", cites(OWN, found)))
            out.append(BlockStopped(item.open))
            item.open, item.place = -1, None
            self._before += item.length
            item.length = 0

    # --- items and responses that are complete --------------------------------------------------

    def _done_item(self, raw: dict[str, Any], out: list[Event]) -> None:
        self._item_done(_index(raw), _fields(raw, "item"), out)

    def _item_done(self, index: int, last: dict[str, Any], out: list[Event]) -> None:
        parts = read_item(last)
        item = self._items.pop(index, None)
        if index in self._done:
            raise Broken(malformed(_ORDER))
        self._done[index] = parts
        if item is None:
            for part in parts:
                self._at_once(part, out)
            return
        _check_same(item.first, last, parts)
        if item.open < 0:
            for part in parts:
                self._at_once(part, out)
        elif item.first.get("type") in _ON_PARTS:
            self._end_parts(item, last, parts, out)
        elif item.first.get("type") == "function_call":
            (call,) = parts
            assert isinstance(call, ToolCall)
            if call.arguments and not item.said:
                self._say(item, call.arguments, None, out)
            self._stop(item, out)
        else:
            if last != item.first:
                out.append(BlockDelta(item.open, "", {OWN: {"item": last}}))
            self._stop(item, out)

    def _end_parts(
        self, item: _Growing, last: dict[str, Any], parts: tuple[AnyPart, ...], out: list[Event]
    ) -> None:
        """What an item turns out to have when it is complete: more parts, a state, an encrypted form."""
        begun = item.parts
        if item.first.get("type") == "message" and 0 < begun <= len(parts):
            part = last["content"][begun - 1]
            self._rest_of_part(item, part, "refusal" if part["type"] == "refusal" else "text", out)
        fields = item_fields(last)
        sealed = sealed_in(fields) if begun >= len(parts) and item.first.get("type") == "reasoning" else None
        if sealed is not None:
            out.append(_sealed(item.open, sealed, fields))
        elif fields != item_fields(item.first):
            out.append(BlockDelta(item.open, "", {OWN: {"item": fields}}))
        self._stop(item, out)
        for part in parts[begun:]:
            self._at_once(part, out)

    def _at_once(self, part: AnyPart, out: list[Event]) -> None:
        """A block that was not seen growing."""
        index = self._number()
        if isinstance(part, ToolCall):
            out.append(BlockStarted(index, "tool_call", part.id, part.name, part.extra))
            text = part.arguments
        elif isinstance(part, Opaque):
            out.append(BlockStarted(index, "opaque", value=part))
            text = ""
        else:
            kind: BlockKind = "refusal" if isinstance(part, Refusal) else "text"
            out.append(
                BlockStarted(index, "thinking" if isinstance(part, Thinking) else kind, value=part.extra)
            )
            text = getattr(part, "text", "")
        if text:
            out.append(BlockDelta(index, text))
        if isinstance(part, Text):
            found = of_part(part, OWN, self._before)
            out += [BlockDelta(index, "", cites(OWN, found))] if found else []
            self._before += len(text)
        if isinstance(part, Thinking) and part.signature:
            out.append(_sealed(index, part.signature, (part.extra or {}).get(OWN, {}).get("item", {})))
        out.append(BlockStopped(index))

    def _ended(self, raw: dict[str, Any], out: list[Event]) -> None:
        self._finish(_fields(raw, "response"), out)

    def _failed(self, raw: dict[str, Any], out: list[Event]) -> None:  # noqa: ARG002 - every reader's signature
        raise Broken(failure_of(_fields(raw, "response").get("error"), None))

    def _error(self, raw: dict[str, Any], out: list[Event]) -> None:  # noqa: ARG002 - every reader's signature
        raise Broken(failure_of(raw.get("error") or raw, None))

    def _finish(self, response: dict[str, Any], out: list[Event]) -> None:
        if response.get("error"):
            raise Broken(failure_of(response["error"], None))
        self._start(response, out)
        for index, item in enumerate(_listed(response, "output")):
            if index in self._items or (index not in self._done and not self._is_known(item)):
                self._item_done(index, msgspec.convert(item, dict[str, Any]), out)
        if self._items:
            raise Broken(malformed("an item without an end"))
        ended = msgspec.convert(response, Ended)
        finish = finish_of(ended, [part for parts in self._done.values() for part in parts])
        usage, kept = told_of(response)
        out.append(Finished(finish, None, usage, kept))
        self._over = True

    def _is_known(self, item: Any) -> bool:
        """Whether an item has been given out under another number: where a server left one of them out."""
        if not isinstance(item, dict) or not item.get("id"):
            return bool(self._done)
        return any(_id_of(part) == item["id"] for parts in self._done.values() for part in parts)

    def _number(self) -> int:
        self._next += 1
        return self._next - 1

    _readers: ClassVar[dict[str, Callable[["StreamDecoder", dict[str, Any], list[Event]], None]]] = {
        "response.created": _begun,
        "response.queued": _begun,
        "response.in_progress": _begun,
        "response.output_item.added": _item_added,
        "response.content_part.added": _part_added,
        "response.reasoning_summary_part.added": _part_added,
        "response.content_part.done": _part_done,
        "response.reasoning_summary_part.done": _part_done,
        **dict.fromkeys(_WHOLE, _whole),
        "response.output_text.annotation.added": _annotated,
        "response.output_item.done": _done_item,
        "response.completed": _ended,
        "response.incomplete": _ended,
        "response.failed": _failed,
        "error": _error,
    }


_PART_OF: Final = {
    "response.output_text.delta": "output_text",
    "response.refusal.delta": "refusal",
    "response.reasoning_summary_text.delta": "summary_text",
    "response.reasoning_text.delta": "reasoning_text",
}
_BLOCKS: Final[dict[tuple[Any, str], tuple[BlockKind, str]]] = {
    ("message", "output_text"): ("text", "text"),
    ("message", "refusal"): ("refusal", "refusal"),
    ("reasoning", "summary_text"): ("thinking", "text"),
    ("reasoning", "reasoning_text"): ("thinking", "text"),
}
"""The block that a part of an item is, and where its text stands."""


def _check_same(first: dict[str, Any], last: dict[str, Any], parts: tuple[AnyPart, ...]) -> None:
    """What has been judged when an item began must be what it ends as. Raises Broken."""
    same = first.get("type") == last.get("type")
    if first.get("type") == "function_call":
        same = same and all(first.get(name) == last.get(name) for name in ("call_id", "name"))
    elif first.get("type") not in _ON_PARTS:
        (part,) = parts
        same = same and isinstance(part, Opaque) and part.tool == read_opaque(first).tool
    if not same:
        raise Broken(malformed(_CHANGED))


def _sealed(index: int, sealed: str, fields: dict[str, Any]) -> BlockDelta:
    """The encrypted form of a thought: for its own dialect with its item, for others where they keep one."""
    told = {"type": "signature_delta", "signature": sealed}
    return BlockDelta(index, "", {OWN: {"item": fields}, "anthropic-messages": told, "signature": sealed})


def _id_of(part: AnyPart) -> Any:
    if isinstance(part, Opaque):
        return part.value.get("id")
    fields = (part.extra or {}).get(OWN, {})
    return fields.get("item", fields).get("id")


def _index(raw: dict[str, Any]) -> int:
    index = raw.get("output_index")
    if type(index) is not int:
        raise Broken(malformed(_ORDER))
    return index


def _fields(raw: dict[str, Any], name: str) -> dict[str, Any]:
    """An object that must be there. Raises msgspec.ValidationError."""
    return msgspec.convert(raw.get(name), dict[str, Any])


def _listed(raw: dict[str, Any], name: str) -> list[Any]:
    """A list that may be left out. Raises msgspec.ValidationError."""
    return msgspec.convert(raw.get(name) or [], list[Any])
