"""Canonical events -> the chunks of an OpenAI chat stream.

Blocks that this dialect has no place for (a vendor's own blocks) leave no chunk. What signs a thought, or
stands for one, goes with the call that follows, or comes last.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from interlock.dialects.citing import beside, cited, to_annotation
from interlock.dialects.openai_chat.answer import FINISH, OWN, error_of, usage_of
from interlock.dialects.openai_chat.thoughts import Keeping
from interlock.dialects.vendor import vendor_fields
from interlock.errors import ApiError
from interlock.types.answer import BlockDelta, BlockStarted, Citation, Event, Finished, Started
from interlock.types.request import Opaque, Request

_encode: Final = msgspec.json.Encoder().encode
_DONE: Final = b"data: [DONE]\n\n"
_CHOICE: Final = b',"choices":[{"index":0,"delta":'
_OPEN_CHOICE: Final = b',"logprobs":null,"finish_reason":null}]'
_THOUGHT: Final = "reasoning_content"
_FIELDS: Final = {"text": "content", "refusal": "refusal"}


class StreamEncoder:
    """Mutable: the stream so far. Everything but the text itself is encoded once per block.

    `_around` has what stands before and behind a block's words, and the name of their field if they are words
    of the message itself.
    """

    __slots__ = ("_around", "_calls", "_cited", "_head", "_include_usage", "_keeping", "_model", "_tail")

    def __init__(self, request: Request, model: str) -> None:
        self._model = model
        self._include_usage = request.include_usage
        self._head = b""
        self._tail = b""
        self._around: dict[int, tuple[bytes, bytes, str | None]] = {}
        self._calls = 0
        self._cited: list[Citation] = []
        self._keeping: Keeping | None = None

    def encode(self, events: Sequence[Event]) -> bytes:
        """The chunks for a run of events."""
        out: list[bytes] = []
        index, behind, between = -1, b"", b""  # of a run of words in one block
        for event in events:
            if type(event) is BlockDelta and event.index == index and event.extra is None:
                out.append(between)
                out.append(_encode(event.text))
                continue
            out.append(behind)
            index, behind = -1, b""
            if type(event) is BlockDelta:
                around = self._around.get(event.index)
                if around is None:
                    self._think(event, out)
                    continue
                if event.extra is None:
                    index, behind, between = event.index, around[1], around[1] + around[0]
                    out += (around[0], _encode(event.text))
                else:
                    self._rich_delta(event, around, out)
            elif isinstance(event, BlockStarted):
                self._block(event, out)
            elif isinstance(event, Started):
                self._start(event, out)
            elif isinstance(event, Finished):
                self._finish(event, out)
        out.append(behind)
        return b"".join(out)

    def fail(self, error: ApiError) -> bytes:
        """The error that ends a stream in place of `[DONE]`."""
        return b"data: " + _encode(error_of(error)) + b"\n\n"

    def _start(self, event: Started, out: list[bytes]) -> None:
        if self._head:
            return
        fields = {
            "id": event.id,
            "object": "chat.completion.chunk",
            "created": event.created or 0,
            "model": self._model,
            **vendor_fields(event.extra, "openai-chat"),
        }
        self._head = b"data: " + _encode(fields)[:-1]
        self._tail = b',"usage":null}\n\n' if self._include_usage else b"}\n\n"
        out.append(self._chunk(b'{"role":"assistant","content":""}'))

    def _chunk(self, delta: bytes) -> bytes:
        return b"".join((self._head, _CHOICE, delta, _OPEN_CHOICE, self._tail))

    def _block(self, event: BlockStarted, out: list[bytes]) -> None:
        field = _FIELDS.get(event.kind)
        if field is not None:
            if self._keeping is not None:
                self._keeping.speak()
            before = b"".join((self._head, _CHOICE, b'{"', field.encode("ascii"), b'":'))
            self._around[event.index] = (before, b"".join((b"}", _OPEN_CHOICE, self._tail)), field)
        elif event.kind == "tool_call":
            index = self._calls
            self._calls += 1
            call = {
                "index": index,
                "id": event.call_id,
                "type": "function",
                "function": {"name": event.name, "arguments": ""},
                **vendor_fields(event.value, "openai-chat"),
                **(self._keeping.take() if self._keeping is not None else {}),
            }
            out.append(self._chunk(_encode({"tool_calls": [call]})))
            delta = b'{"tool_calls":[{"index":%d,"function":{"arguments":' % index
            before = b"".join((self._head, _CHOICE, delta))
            self._around[event.index] = (before, b"".join((b"}}]}", _OPEN_CHOICE, self._tail)), None)
        else:
            self._begin_thought(event)

    def _begin_thought(self, event: BlockStarted) -> None:
        """A thought, or a block that may stand for one."""
        if self._keeping is None:
            self._keeping = Keeping(spoke=any(field for _, _, field in self._around.values()))
        if event.kind == "thinking":
            self._keeping.think(event.index)
        elif event.kind == "redacted":
            self._keeping.hide(event.value)
        elif isinstance(event.value, Opaque):
            self._keeping.add(event.value)

    def _think(self, event: BlockDelta, out: list[bytes]) -> None:
        """More of a thought, or what signs it. Anything else has no place here."""
        keeping = self._keeping
        if keeping is None or not keeping.thinks(event.index):
            return
        keeping.add_words(event.index, event.text)
        fields = vendor_fields(event.extra, "openai-chat")
        if fields:
            out.append(self._rich_chunk(event, _THOUGHT, fields))
        elif event.text:
            out.append(self._chunk(_encode({_THOUGHT: event.text})))
        if event.extra is not None:
            keeping.sign(event.index, event.extra.get("signature"))

    def _rich_delta(
        self, event: BlockDelta, around: tuple[bytes, bytes, str | None], out: list[bytes]
    ) -> None:
        fields = vendor_fields(event.extra, OWN)
        self._cited += cited(event.extra, OWN)
        if fields:
            out.append(self._rich_chunk(event, around[2], fields))
        elif event.text:
            out += (around[0], _encode(event.text), around[1])

    def _rich_chunk(self, event: BlockDelta, field: str | None, fields: dict[str, Any]) -> bytes:
        """A chunk with more than words: log probabilities, annotations."""
        delta = {field: event.text} if field is not None and event.text else {}
        choice = {
            "index": 0,
            "delta": {**delta, **fields.get("delta", {})},
            "logprobs": fields.get("logprobs"),
            "finish_reason": None,
            **fields.get("choice", {}),
        }
        return b"".join((self._head, b',"choices":', _encode([choice]), self._tail))

    def _finish(self, event: Finished, out: list[bytes]) -> None:
        kept = self._keeping.take() if self._keeping is not None else None
        if kept:
            out.append(self._chunk(_encode(kept)))
        fields = vendor_fields(event.extra, OWN)
        annotations = [to_annotation(one) for one in self._cited if one["url"] is not None]
        if annotations:  # in one chunk: to some SDKs a second list of the same field is an error
            out.append(self._chunk(_encode({"annotations": annotations})))
        homeless = [one for one in self._cited if one["url"] is None] + cited(event.extra, OWN)
        last = {
            "index": 0,
            "delta": fields.get("delta", {}),
            "logprobs": None,
            "finish_reason": FINISH[event.finish],
            **fields.get("choice", {}),
        }
        top = {**fields.get("top", {}), **beside(homeless)}
        more = b"," + _encode(top)[1:-1] if top else b""
        out += (self._head, b',"choices":', _encode([last]), more, self._tail)
        if self._include_usage:
            end = {"choices": [], "usage": usage_of(event.usage, fields.get("usage", {}))}
            out += (self._head, b",", _encode(end)[1:], b"\n\n")
        out.append(_DONE)
