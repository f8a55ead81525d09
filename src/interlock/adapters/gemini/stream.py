"""The chunks of a Gemini stream -> canonical events.

A call comes whole in one chunk; text and thoughts follow each other as blocks. No event ends a stream:
it ends well where the connection ends in order after a chunk that said why the model stopped. Some
servers say so in every chunk, so the first such word is no end.
"""

from typing import Any

from interlock.adapters.citing import cites
from interlock.adapters.gemini.answer import (
    Candidate,
    Part,
    Reply,
    arguments_of,
    call_id,
    check_kind,
    decode_reply,
    finish_of,
    first_candidate,
    signed,
)
from interlock.adapters.gemini.sources import sources_of, to_logprobs
from interlock.adapters.gemini.usage import read_usage
from interlock.adapters.sse import SseDecoder
from interlock.types.answer import (
    BlockDelta,
    BlockKind,
    BlockStarted,
    BlockStopped,
    Event,
    Finished,
    Started,
    Usage,
)
from interlock.wire.seals import in_extra_content, seal


class StreamDecoder(SseDecoder):
    unreadable = (*SseDecoder.unreadable, AttributeError, TypeError)

    def __init__(self) -> None:
        super().__init__()
        self._started = False
        self._id = ""
        self._word: str | None = None
        self._usage: Any = None
        self._next = 0
        self._calls = 0
        self._open: tuple[int, BlockKind] | None = None
        self._pieces: list[str] = []
        self._grounding: Any = None
        self._citations: Any = None

    def _take(self, found: list[bytes], out: list[Event]) -> None:
        for data in found:
            self._chunk(decode_reply(data), out)

    def _chunk(self, reply: Reply, out: list[Event]) -> None:
        candidate = first_candidate(reply)
        if not self._started:
            self._started = True
            self._id = reply.response_id or ""
            out.append(Started(self._id, reply.model_version or "", _of_input(reply.usage_metadata)))
        if reply.usage_metadata is not None:
            self._usage = reply.usage_metadata
        if candidate is None:
            return
        parts = candidate.content.parts if candidate.content is not None else None
        logprobs = to_logprobs(candidate.logprobs_result) if candidate.logprobs_result is not None else None
        for part in parts or ():
            check_kind(part)
            if part.function_call is not None:
                self._call(part, out)
            elif part.text:
                self._say("thinking" if part.thought else "text", part.text, logprobs, out)
                logprobs = logprobs if part.thought else None
            if part.thought_signature:
                self._sign(part.thought_signature, out)
        self._remember(candidate)

    def _remember(self, candidate: Candidate) -> None:
        if candidate.grounding_metadata is not None:
            self._grounding = candidate.grounding_metadata
        if candidate.citation_metadata is not None:
            self._citations = candidate.citation_metadata
        if candidate.finish_reason is not None:
            self._word = candidate.finish_reason

    def _say(self, kind: BlockKind, text: str, logprobs: Any, out: list[Event]) -> None:
        index = self._block(kind, out)
        extra = None
        if kind == "text":
            self._pieces.append(text)
            extra = {"openai-chat": {"logprobs": logprobs}} if logprobs is not None else None
        out.append(BlockDelta(index, text, extra))

    def _block(self, kind: BlockKind, out: list[Event]) -> int:
        """The block of this kind that is open, begun where there is none."""
        block = self._open
        if block is None or block[1] != kind:
            self._close(out)
            block = self._open = (self._next, kind)
            self._next += 1
            out.append(BlockStarted(block[0], kind))
        return block[0]

    def _close(self, out: list[Event]) -> None:
        if self._open is not None:
            out.append(BlockStopped(self._open[0]))
            self._open = None

    def _call(self, part: Part, out: list[Event]) -> None:
        call = part.function_call
        assert call is not None, "asked for by who has seen one"
        self._close(out)
        index, name = self._next, call_id(call, self._id, self._calls)
        self._next += 1
        self._calls += 1
        out += (
            BlockStarted(index, "tool_call", name, call.name, signed(part.thought_signature)),
            BlockDelta(index, arguments_of(call)),
            BlockStopped(index),
        )

    def _sign(self, signature: str, out: list[Event]) -> None:
        """The signature of what came just before it; without anything before it, it signs nothing."""
        if self._next == 0:
            return
        if self._open is not None and self._open[1] == "text":
            extra = {"openai-chat": {"delta": in_extra_content(seal("gemini", signature))}}
            out.append(BlockDelta(self._open[0], "", extra))
        self._close(out)
        out += (
            BlockStarted(self._next, "redacted", value=seal("gemini", signature)),
            BlockStopped(self._next),
        )
        self._next += 1

    def _hung_up(self, out: list[Event]) -> None:
        """The end of the connection: a good one if a chunk has said why the model stopped."""
        if self._word is None:
            super()._hung_up(out)
        self._finish(out)
        self._over = True

    def _finish(self, out: list[Event]) -> None:
        finish = finish_of(self._word, calls=self._calls > 0)
        if self._grounding is not None or self._citations is not None:
            self._cite(out)
        self._close(out)
        out.append(Finished(finish, None, read_usage(self._usage)))

    def _cite(self, out: list[Event]) -> None:
        """The sources of all that was said, known only at its end."""
        found = sources_of(self._grounding, self._citations, "".join(self._pieces))
        if found:
            out.append(BlockDelta(self._block("text", out), "", cites(None, found)))


def _of_input(raw: Any) -> Usage | None:
    """What a stream's first chunk knows for good: how much was read. What will be written, it does not."""
    usage = read_usage(raw)
    if usage.input_tokens is None:
        return None
    return Usage(input_tokens=usage.input_tokens, cached_tokens=usage.cached_tokens)
