"""Canonical events -> the events of an Anthropic stream.

Blocks are numbered in the order in which they begin; a block that this dialect has no place for gets
no number.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from interlock.dialects.anthropic_messages.answer import OWN, error_of, opaque_block, stop_reason, usage_of
from interlock.dialects.citing import beside, cited, to_web_location
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
    Usage,
)
from interlock.types.request import Request

_encode: Final = msgspec.json.Encoder().encode
_DELTAS: Final = {
    "text": b'"text_delta","text":',
    "refusal": b'"text_delta","text":',
    "thinking": b'"thinking_delta","thinking":',
    "tool_call": b'"input_json_delta","partial_json":',
}
_DELTA: Final = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":%b'
)
_DELTA_END: Final = b"}}\n\n"
_STOP: Final = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'
_MESSAGE_STOP: Final = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


def _event(kind: str, fields: dict[str, Any]) -> bytes:
    data = _encode({"type": kind, **fields})
    return b"".join((b"event: ", kind.encode("ascii"), b"\ndata: ", data, b"\n\n"))


class StreamEncoder:
    """Mutable: the stream so far, and which of its blocks has which number here."""

    def __init__(self, request: Request, model: str) -> None:  # noqa: ARG002 - every dialect's signature
        self._model = model
        self._started = False
        self._numbers: dict[int, int] = {}
        self._before: dict[int, bytes] = {}
        self._citing: set[int] = set()  # blocks that may have citations
        self._next = 0
        self._calls = False
        self._refused = False
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
                self._stop(event, out)
            elif isinstance(event, Started):
                self._start(event, out)
            elif isinstance(event, Finished):
                self._finish(event, out)
        return b"".join(out)

    def fail(self, error: ApiError) -> bytes:
        """The error that ends a stream in place of `message_stop`."""
        return b"event: error\ndata: " + _encode(error_of(error)) + b"\n\n"

    def _start(self, event: Started, out: list[bytes]) -> None:
        if self._started:
            return
        self._started = True
        fields = vendor_fields(event.extra, "anthropic-messages")
        message = {
            "id": event.id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": usage_of(event.usage or Usage(), fields.get("usage", {})),
            **fields.get("top", {}),
        }
        out.append(_event("message_start", {"message": message}))

    def _block(self, event: BlockStarted, out: list[bytes]) -> None:
        block = self._first_form(event)
        if block is None:
            return
        number = self._numbers[event.index] = self._next
        self._next += 1
        if event.kind == "text":
            self._citing.add(event.index)
        delta = _DELTAS.get(event.kind)
        if delta is not None:
            self._before[event.index] = _DELTA % (number, delta)
        out.append(_event("content_block_start", {"index": number, "content_block": block}))

    def _first_form(self, event: BlockStarted) -> dict[str, Any] | None:
        """A block as it is before anything is added to it; None if it has no place here."""
        kind, value = event.kind, event.value
        if kind == "redacted":
            return {"type": "redacted_thinking", "data": value}
        if kind == "opaque":
            return opaque_block(value)
        more = vendor_fields(value, "anthropic-messages")
        if kind == "tool_call":
            self._calls = True
            return {"type": "tool_use", "id": event.call_id, "name": event.name, "input": {}, **more}
        if kind == "thinking":
            return {"type": "thinking", "thinking": "", "signature": "", **more}
        self._refused = self._refused or kind == "refusal"
        return {"type": "text", "text": "", **more}

    def _delta(self, event: BlockDelta, out: list[bytes]) -> None:
        if event.text:
            before = self._before.get(event.index)
            if before is not None:
                out += (before, _encode(event.text), _DELTA_END)
        if event.extra is not None:
            delta = vendor_fields(event.extra, "anthropic-messages")
            number = self._numbers.get(event.index)
            if delta and number is not None:
                out.append(_event("content_block_delta", {"index": number, "delta": delta}))
            for one in cited(event.extra, OWN):
                if one["url"] is None or number is None or event.index not in self._citing:
                    self._homeless.append(one)
                else:
                    delta = {"type": "citations_delta", "citation": to_web_location(one)}
                    out.append(_event("content_block_delta", {"index": number, "delta": delta}))

    def _stop(self, event: BlockStopped, out: list[bytes]) -> None:
        number = self._numbers.pop(event.index, None)
        if number is not None:
            out.append(_STOP % number)

    def _finish(self, event: Finished, out: list[bytes]) -> None:
        out += [_STOP % number for number in self._numbers.values()]
        fields = vendor_fields(event.extra, "anthropic-messages")
        delta = {
            "stop_reason": stop_reason(event.finish, calls=self._calls, refused=self._refused),
            "stop_sequence": event.stop_sequence,
            **fields.get("delta", {}),
        }
        usage = usage_of(event.usage, fields.get("usage", {}))
        more = {**fields.get("top", {}), **beside([*self._homeless, *cited(event.extra, OWN)])}
        out.append(_event("message_delta", {"delta": delta, "usage": usage, **more}))
        out.append(_MESSAGE_STOP)
