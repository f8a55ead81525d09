"""The events of an Anthropic stream -> canonical ones.

Deltas of text, by far the most of a stream, are decoded into one flat type; everything else is rare
and read as it comes. Events of kinds that are not known yet are passed over, as the vendor asks.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.adapters.anthropic.answer import (
    FINISH,
    as_it_was,
    failure_of,
    for_own_dialect,
    others,
    read_block,
)
from interlock.adapters.anthropic.usage import read_usage
from interlock.adapters.citing import cites, of_block
from interlock.adapters.failures import Broken, code_of, malformed
from interlock.adapters.sse import SseDecoder
from interlock.types.answer import (
    BlockDelta,
    BlockStarted,
    BlockStopped,
    Event,
    Finished,
    Started,
)
from interlock.types.request import Text, Thinking, ToolCall


class _Delta(Struct, gc=False):
    type: str = ""
    text: str = ""
    partial_json: str = ""
    thinking: str = ""


class _Event(Struct, gc=False):
    type: str
    index: int = -1
    delta: _Delta | None = None


_decode: Final = msgspec.json.Decoder(_Event).decode
_decode_any: Final = msgspec.json.Decoder().decode
_KINDS: Final = (
    "message_start",
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "message_delta",
    "message_stop",
    "ping",
    "error",
)
_MESSAGE: Final = frozenset(
    {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"}
)
_LAST_DELTA: Final = frozenset({"stop_reason", "stop_sequence"})
_LAST_EVENT: Final = frozenset({"type", "delta", "usage"})


_ORDER: Final = "an event where it does not belong"
_UNCITED: Final[tuple[int, list[Any]]] = (0, [])


class StreamDecoder(SseDecoder):
    def __init__(self) -> None:
        super().__init__()
        self._started = False
        self._open: dict[int, str] = {}
        self._seen: set[int] = set()
        self._usage: dict[str, Any] = {}
        self._last: dict[str, Any] = {}
        self._said = 0
        self._cited: dict[int, tuple[int, list[Any]]] = {}

    def _take(self, found: list[bytes], out: list[Event]) -> None:
        for data in found:
            event = _event(data)
            if event.type == "content_block_delta":
                self._delta(event, data, out)
            elif event.type == "message_stop":
                self._message_stop(out)
                self._over = True
                break
            else:
                self._rare(event.type, data, out)

    def _rare(self, kind: str, data: bytes, out: list[Event]) -> None:
        match kind:
            case "message_start":
                self._start(_decode_any(data), out)
            case "content_block_start":
                self._block_start(_decode_any(data), out)
            case "content_block_stop":
                self._block_stop(_decode_any(data), out)
            case "message_delta":
                self._message_delta(_decode_any(data))
            case "error":
                raise Broken(failure_of(_decode_any(data).get("error"), None))

    def _delta(self, event: _Event, data: bytes, out: list[Event]) -> None:
        kind, delta = self._open.get(event.index), event.delta
        if kind is None or delta is None:
            raise Broken(malformed(_ORDER))
        word = delta.type
        if word == "text_delta" and kind == "text":
            text = delta.text
            self._said += len(text)
        elif word == "input_json_delta" and kind == "tool_call":
            text = delta.partial_json
        elif word == "thinking_delta" and kind == "thinking":
            text = delta.thinking
        else:  # a signature, a citation, or more of a block that only the vendor knows
            raw = _decode_any(data)["delta"]
            extra = {"anthropic-messages": raw}
            if word == "signature_delta":
                extra["signature"] = raw.get("signature")
            elif word == "citations_delta" and kind == "text":
                self._cited[event.index][1].append(raw.get("citation"))
            out.append(BlockDelta(event.index, "", extra))
            return
        if text:
            out.append(BlockDelta(event.index, text))

    def _start(self, raw: dict[str, Any], out: list[Event]) -> None:
        """The first event. A second message may take its place only while nothing of it has been said."""
        message = _fields(raw, "message")
        usage = message.get("usage")
        if self._seen or type(message.get("id")) is not str:
            raise Broken(malformed(_ORDER))
        self._usage = usage if type(usage) is dict else {}
        if self._started:
            return
        self._started = True
        counts, more_usage = read_usage(usage)
        extra = for_own_dialect(top=others(message, _MESSAGE), usage=more_usage)
        out.append(Started(message["id"], str(message.get("model", "")), counts, None, extra))

    def _block_start(self, raw: dict[str, Any], out: list[Event]) -> None:
        index, block = raw.get("index"), _fields(raw, "content_block")
        if type(index) is not int or index in self._seen or not self._started:
            raise Broken(malformed(_ORDER))
        self._seen.add(index)
        part = read_block(block)
        if isinstance(part, Text):
            self._begin(BlockStarted(index, "text", value=part.extra), part.text, out)
            given = block.get("citations")
            self._cited[index] = (self._said, list(given) if isinstance(given, list) else [])
            self._said += len(part.text)
        elif isinstance(part, ToolCall):
            called = BlockStarted(index, "tool_call", part.id, part.name, part.extra)
            self._begin(called, part.arguments if block["input"] else "", out)
        elif isinstance(part, Thinking) and part.redacted is None:
            self._begin(BlockStarted(index, "thinking", value=part.extra), part.text, out)
            if part.signature:
                signature = {"type": "signature_delta", "signature": part.signature}
                extra = {"anthropic-messages": signature, "signature": part.signature}
                out.append(BlockDelta(index, "", extra))
        elif isinstance(part, Thinking):
            self._begin(BlockStarted(index, "redacted", value=part.redacted), "", out)
        else:
            self._begin(BlockStarted(index, "opaque", value=part), "", out)

    def _begin(self, event: BlockStarted, text: str, out: list[Event]) -> None:
        self._open[event.index] = event.kind
        out.append(event)
        if text:
            out.append(BlockDelta(event.index, text))

    def _block_stop(self, raw: dict[str, Any], out: list[Event]) -> None:
        index = raw.get("index")
        if type(index) is not int or self._open.pop(index, None) is None:
            raise Broken(malformed(_ORDER))
        self._end(index, out)

    def _end(self, index: int, out: list[Event]) -> None:
        """The end of a block, and before it where its citations stand: all of its text is cited."""
        start, cited = self._cited.get(index, _UNCITED)
        if cited:
            found = [of_block(raw, start, self._said) for raw in cited]
            out.append(BlockDelta(index, "", cites("anthropic-messages", found)))
        out.append(BlockStopped(index))

    def _message_delta(self, raw: dict[str, Any]) -> None:
        _fields(raw, "delta")
        usage = raw.get("usage")
        if not self._started:
            raise Broken(malformed(_ORDER))
        if type(usage) is dict:
            self._usage |= {name: count for name, count in usage.items() if count is not None}
        self._last = raw

    def _message_stop(self, out: list[Event]) -> None:
        last = self._last.get("delta", {})
        word, sequence = last.get("stop_reason"), last.get("stop_sequence")
        finish = FINISH.get(word) if type(word) is str else None
        if finish is None or not (sequence is None or type(sequence) is str):
            raise Broken(malformed(f"stop_reason `{code_of(word)}`"))
        for index in self._open:
            self._end(index, out)
        usage, _ = read_usage(self._usage)
        _, more_usage = read_usage(self._last.get("usage"))
        extra = for_own_dialect(
            delta=others(last, _LAST_DELTA) | as_it_was(word),
            top=others(self._last, _LAST_EVENT),
            usage=more_usage,
        )
        out.append(Finished(finish, sequence, usage, extra))


def _event(data: bytes) -> _Event:
    """An event. Only one of a known kind must have fields of the right types. Raises msgspec.DecodeError."""
    try:
        return _decode(data)
    except msgspec.ValidationError:
        raw = _decode_any(data)
        kind = raw.get("type") if type(raw) is dict else None
        if type(kind) is not str or kind in _KINDS:
            raise
        return _Event(kind)


def _fields(raw: dict[str, Any], name: str) -> dict[str, Any]:
    """An object that must be there. Raises msgspec.ValidationError."""
    return msgspec.convert(raw.get(name), dict[str, Any])
