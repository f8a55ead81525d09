"""The frames of a Converse stream -> canonical events.

Text and thoughts begin without a word, with their first delta; a call is announced. `messageStop` says why
the model stopped, and `metadata` behind it what it cost: with both, or with the end of the connection, a
stream has ended well. Events of kinds that are not known yet are passed over.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.adapters.bedrock.answer import (
    check_caller,
    failure_of,
    finish_of,
    stop_sequence_of,
    to_citation,
)
from interlock.adapters.bedrock.frames import BadFrameError, Frame, FrameParser
from interlock.adapters.bedrock.usage import read_usage
from interlock.adapters.citing import cites, of_block
from interlock.adapters.failures import Broken, malformed
from interlock.types.answer import (
    BlockDelta,
    BlockKind,
    BlockStarted,
    BlockStopped,
    Event,
    Failure,
    Finished,
    FinishReason,
    Started,
)
from interlock.wire.seals import seal


class _ToolDelta(Struct, gc=False):
    input: str = ""


class _ReasoningDelta(Struct, gc=False, rename="camel"):
    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class _Delta(Struct, gc=False, rename="camel"):
    text: str | None = None
    tool_use: _ToolDelta | None = None
    reasoning_content: _ReasoningDelta | None = None
    citation: dict[str, Any] | None = None


class _BlockDelta(Struct, gc=False, rename="camel"):
    content_block_index: int
    delta: _Delta


class _ToolUse(Struct, gc=False, rename="camel"):
    tool_use_id: str
    name: str
    type: str | None = None


class _Start(Struct, gc=False, rename="camel"):
    tool_use: _ToolUse | None = None


class _BlockStart(Struct, gc=False, rename="camel"):
    content_block_index: int
    start: _Start


class _BlockStop(Struct, gc=False, rename="camel"):
    content_block_index: int


class _MessageStop(Struct, gc=False, rename="camel"):
    stop_reason: str
    additional_model_response_fields: Any = None


class _Metadata(Struct, gc=False):
    usage: Any = None


_decode_delta: Final = msgspec.json.Decoder(_BlockDelta).decode
_decode_start: Final = msgspec.json.Decoder(_BlockStart).decode
_decode_stop: Final = msgspec.json.Decoder(_BlockStop).decode
_decode_end: Final = msgspec.json.Decoder(_MessageStop).decode
_decode_metadata: Final = msgspec.json.Decoder(_Metadata).decode
_decode: Final = msgspec.json.Decoder().decode
_ORDER: Final = "an event where it does not belong"


class StreamDecoder:
    """Mutable: what is known of one stream so far. After its terminal event it gives out nothing more."""

    def __init__(self) -> None:
        self._parser = FrameParser()
        self._over = False
        self._started = False
        self._next = 0
        self._calls = False
        self._open: dict[int, tuple[int, BlockKind]] = {}
        self._finish: FinishReason | None = None
        self._sequence: str | None = None
        self._usage: Any = None
        self._measured = False
        self._said = 0
        self._began = 0
        self._cited: list[dict[str, Any]] = []

    def feed(self, data: bytes) -> list[Event]:
        """The events in the next piece of a stream, however it was cut."""
        if self._over:
            return []
        out: list[Event] = []
        try:
            for frame in self._parser.feed(data):
                self._frame(frame, out)
                if self._finish is not None and self._measured:
                    self._end(self._finish, out)
                    break
        except BadFrameError as bad:
            out += self._fail(malformed(f"not a frame: {bad}"))
        except Broken as broken:
            out += self._fail(broken.failure)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            out += self._fail(malformed(f"not an event: {type(error).__name__}"))
        return out

    def end(self) -> list[Event]:
        """The end of the connection: Finished if `messageStop` has come and no frame is cut; or a Failure."""
        if self._over:
            return []
        if self._finish is None or not self._parser.between:
            return self._fail(malformed("the stream broke off"))
        out: list[Event] = []
        self._end(self._finish, out)
        return out

    def _fail(self, failure: Failure) -> list[Event]:
        self._over = True
        return [failure]

    def _end(self, finish: FinishReason, out: list[Event]) -> None:
        self._over = True
        out.append(Finished(finish, self._sequence, read_usage(self._usage)))

    def _frame(self, frame: Frame, out: list[Event]) -> None:
        headers = frame.headers
        if headers.get(":message-type") != "event":
            raise Broken(_failure(frame))
        if not self._started:
            self._started = True
            out.append(Started("", ""))
        kind = headers.get(":event-type")
        if kind == "contentBlockDelta":
            self._delta(_decode_delta(frame.payload), out)
        elif kind == "contentBlockStart":
            self._block_start(_decode_start(frame.payload), out)
        elif kind == "contentBlockStop":
            self._stop_at(_decode_stop(frame.payload).content_block_index, out)
        elif kind == "messageStop":
            self._message_stop(_decode_end(frame.payload), out)
        elif kind == "metadata":
            self._usage = _decode_metadata(frame.payload).usage
            self._measured = True

    def _delta(self, event: _BlockDelta, out: list[Event]) -> None:
        if self._finish is not None:
            raise Broken(malformed(_ORDER))
        at, delta = event.content_block_index, event.delta
        if delta.text is not None:
            out.append(BlockDelta(self._block(at, "text", out), delta.text))
            self._said += len(delta.text)
        elif delta.tool_use is not None:
            block = self._open.get(at)
            if block is None or block[1] != "tool_call":
                raise Broken(malformed(_ORDER))
            out.append(BlockDelta(block[0], delta.tool_use.input))
        elif delta.reasoning_content is not None:
            self._reason(at, delta.reasoning_content, out)
        elif delta.citation is not None:
            found = to_citation(delta.citation)
            own = {"anthropic-messages": {"type": "citations_delta", "citation": found}}
            out.append(BlockDelta(self._block(at, "text", out), "", own))
            self._cited.append(found)
        else:
            raise Broken(malformed("a delta of an unknown kind"))

    def _reason(self, at: int, delta: _ReasoningDelta, out: list[Event]) -> None:
        if delta.redacted_content is not None:
            self._stop_at(at, out)
            out += (
                BlockStarted(self._next, "redacted", value=seal("bedrock", delta.redacted_content)),
                BlockStopped(self._next),
            )
            self._next += 1
        elif delta.text is not None:
            out.append(BlockDelta(self._block(at, "thinking", out), delta.text))
        elif delta.signature is not None:
            signature = {"type": "signature_delta", "signature": delta.signature}
            extra = {"anthropic-messages": signature, "signature": delta.signature}
            out.append(BlockDelta(self._block(at, "thinking", out), "", extra))

    def _block(self, at: int, kind: BlockKind, out: list[Event]) -> int:
        """Our number of a block of text or thoughts, begun where it is none yet.

        Some models never say that such a block is over: it is, where another one begins.
        """
        block = self._open.get(at)
        if block is None or block[1] != kind:
            self._stop_at(at, out)
            self._stop_words(out)
            block = self._open[at] = (self._next, kind)
            self._next += 1
            self._began = self._said
            out.append(BlockStarted(block[0], kind))
        return block[0]

    def _block_start(self, event: _BlockStart, out: list[Event]) -> None:
        at, use = event.content_block_index, event.start.tool_use
        if use is None or at in self._open or self._finish is not None:
            raise Broken(malformed(_ORDER))
        check_caller(use.type)
        self._stop_words(out)
        self._calls = True
        self._open[at] = (self._next, "tool_call")
        out.append(BlockStarted(self._next, "tool_call", use.tool_use_id, use.name))
        self._next += 1

    def _stop_at(self, at: int, out: list[Event]) -> None:
        """A block that was empty, or is over already, has nothing to stop."""
        block = self._open.pop(at, None)
        if block is None:
            return
        if self._cited and block[1] == "text":
            found = [of_block(raw, self._began, self._said) for raw in self._cited]
            self._cited = []
            out.append(BlockDelta(block[0], "", cites("anthropic-messages", found)))
        out.append(BlockStopped(block[0]))

    def _stop_words(self, out: list[Event]) -> None:
        for at in [at for at, (_, kind) in self._open.items() if kind != "tool_call"]:
            self._stop_at(at, out)

    def _message_stop(self, event: _MessageStop, out: list[Event]) -> None:
        self._finish = finish_of(event.stop_reason, calls=self._calls)
        self._sequence = stop_sequence_of(event.additional_model_response_fields)
        for at in list(self._open):
            self._stop_at(at, out)


def _failure(frame: Frame) -> Failure:
    """What a frame that is no event says went wrong: an exception of AWS's, or an error without a shape."""
    headers = frame.headers
    if headers.get(":message-type") == "error":
        return failure_of(headers.get(":error-code"), headers.get(":error-message"), None)
    try:
        raw = _decode(frame.payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raw = None
    return failure_of(headers.get(":exception-type"), raw.get("message") if type(raw) is dict else None, None)
