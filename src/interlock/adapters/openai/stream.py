"""The chunks of an OpenAI-compatible stream -> canonical events.

Text, reasoning and refusals follow each other as blocks; tool calls grow side by side, told apart by
their index, and end with the stream: no chunk says that a call is complete. Only `[DONE]` ends a
stream well.
"""

from typing import Any, Final

import msgspec

from interlock.adapters.citing import cites
from interlock.adapters.failures import Broken, code_of, malformed
from interlock.adapters.openai.answer import (
    FINISH,
    MORE_THAN_ONE,
    OWN,
    Piece,
    citations_in,
    failure_of,
    remembered_by,
    said_in,
    unjudged_calls,
)
from interlock.adapters.openai.chunks import (
    NOTHING,
    Call,
    Choice,
    Chunk,
    Delta,
    Function,
    is_rich,
    read_chunk,
    words_alone,
)
from interlock.adapters.openai.usage import read_usage
from interlock.adapters.sse import SseDecoder
from interlock.types.answer import (
    BlockDelta,
    BlockKind,
    BlockStarted,
    BlockStopped,
    Event,
    Finished,
    FinishReason,
    Started,
)
from interlock.types.request import Extra
from interlock.wire.around import PROBE, Around, around

_DONE: Final = b"[DONE]"
_NO_DELTA: Final = Delta()
MOST_GUESSES: Final = 4
"""How often a stream is asked for what its chunks have in common; some pad each with its own random field."""


class StreamDecoder(SseDecoder):
    def __init__(self) -> None:
        super().__init__()
        self._started = False
        self._finish: FinishReason | None = None
        self._usage: Any = None
        self._top: Extra = NOTHING  # the last of each field that is the server's own
        self._last_choice: Extra = NOTHING
        self._last_delta: Extra = NOTHING
        self._next = 0
        self._open: tuple[int, BlockKind] | None = None
        self._block = 0
        self._calls: dict[int, tuple[int, str, str]] = {}
        self._open_calls: list[int] = []
        self._around: Around | None = None
        self._guesses = MOST_GUESSES

    def _take(self, found: list[bytes], out: list[Event]) -> None:
        read, most = 0, len(found)
        while read < most:
            if self._around is not None:
                said, block = self._around.run(found, read), self._block
                out += [BlockDelta(block, words) for words in said]
                read += len(said)
                if read == most:
                    return
            data = found[read]
            if data == _DONE:
                self._done(out)
                self._over = True
                return
            self._read_whole(data, out)
            read += 1

    def _read_whole(self, data: bytes, out: list[Event]) -> None:
        """Read a chunk field by field; if it only adds to the open text, those like it need not be."""
        chunk, own = read_chunk(data)
        words = self._more_text(chunk, own)
        if words is None:
            self._around = None  # it belongs to the block that was open
            self._chunk(chunk, own, out)
            return
        assert self._open is not None, "there is text to add to"
        self._block = self._open[0]
        out.append(BlockDelta(self._block, words))
        if self._guesses:
            self._guesses -= 1
            guess = around(data, words)
            if guess is not None and self._proves(guess):
                self._around = guess

    def _proves(self, guess: Around) -> bool:
        """Whether words are read where a guess has them: a comma's quotation marks stand elsewhere, too."""
        try:
            return self._more_text(*read_chunk(guess.probe())) == PROBE
        except msgspec.DecodeError:
            return False

    def _more_text(self, chunk: Chunk, own: dict[str, Extra]) -> str | None:
        """The words that a chunk adds to the open text, if that is all it does, as nearly all of them."""
        block = self._open
        if block is None or block[1] != "text" or (own is not NOTHING and not self._was_told(own)):
            return None
        return words_alone(chunk)

    def _was_told(self, own: dict[str, Extra]) -> bool:
        """Whether all that a server says in fields of its own is what it has said before of the whole."""
        return own.keys() <= {"top"} and own.get("top", NOTHING).items() <= self._top.items()

    def _chunk(self, chunk: Chunk, own: dict[str, Extra], out: list[Event]) -> None:
        if chunk.error is not None:
            raise Broken(failure_of(chunk.error, None))
        if own is not NOTHING:
            unjudged = unjudged_calls(own)
            if unjudged is not None:
                raise Broken(malformed(f"calls in `{code_of(unjudged)}`"))
            self._top = {**self._top, **own.get("top", NOTHING)}
        if not self._started:
            if not chunk.id and not chunk.choices:
                return  # Azure says what its filter makes of the prompt before the answer begins
            self._start(chunk, out)
        if chunk.usage is not None:
            self._usage = chunk.usage
        for choice in chunk.choices or ():
            if choice.index != 0:
                raise Broken(malformed(MORE_THAN_ONE))
            self._choice(choice, own, out)

    def _start(self, chunk: Chunk, out: list[Event]) -> None:
        self._started = True
        extra = {
            name: value
            for name, value in (
                ("service_tier", chunk.service_tier),
                ("system_fingerprint", chunk.system_fingerprint),
            )
            if value is not None
        }
        out.append(
            Started(
                chunk.id or "",
                chunk.model or "",
                None,
                chunk.created,
                {"openai-chat": extra} if extra else None,
            )
        )

    def _choice(self, choice: Choice, own: dict[str, Extra], out: list[Event]) -> None:
        delta = choice.delta or _NO_DELTA
        rich = None
        if own is not NOTHING or is_rich(choice, delta):
            rich = self._rich(choice, delta, own)  # may be nothing after all
        thought = delta.reasoning_content or delta.reasoning
        if thought or (delta.reasoning_details and not delta.content):
            self._say("thinking", thought or "", rich, out)
            rich = None
        if delta.content or (rich is not None and not delta.refusal):
            self._say_content(delta.content or "", rich, out)
            rich = None
        if delta.refusal:
            self._say("refusal", delta.refusal, rich, out)
        if delta.tool_calls:
            for call in delta.tool_calls:
                self._call(call, out)
        if choice.finish_reason is not None:
            self._finish = FINISH.get(choice.finish_reason)
            if self._finish is None:
                raise Broken(malformed(f"finish_reason `{code_of(choice.finish_reason)}`"))

    def _say_content(self, content: str | list[Piece], extra: Any, out: list[Event]) -> None:
        if isinstance(content, str):
            self._say("text", content, extra, out)
            return
        for kind, text in said_in(content):
            self._say(kind, text, extra, out)
            extra = None

    def _rich(self, choice: Choice, delta: Delta, own: dict[str, Extra]) -> dict[str, Any] | None:
        """What rides along with a delta for callers of the same dialect; the first chunk's is empty.

        What a filter found in words goes with them, and so do the server's own fields. What it says without
        any, or where it says why it ends, is kept for the end.
        """
        more = {
            name: value
            for name, value in (
                ("annotations", delta.annotations),
                ("audio", delta.audio),
                ("reasoning_details", delta.reasoning_details),
            )
            if value is not None
        }
        beside = own.get("choice", NOTHING)
        if choice.content_filter_results:
            beside = {**beside, "content_filter_results": choice.content_filter_results}
        says = delta.content or delta.reasoning_content or delta.reasoning or delta.refusal
        fields: dict[str, Any] = {}
        if says and choice.finish_reason is None:
            more.update(own.get("delta", NOTHING))
            fields = {"choice": beside} if beside else {}
        else:
            self._last_choice = {**self._last_choice, **beside}
            self._last_delta = {**self._last_delta, **own.get("delta", NOTHING)}
        logprobs = choice.logprobs
        if type(logprobs) is dict and any(logprobs.values()):
            fields["logprobs"] = logprobs
        if more:
            fields["delta"] = more
        if not fields:
            return None
        return {OWN: fields, **cites(OWN, citations_in(more, None))}

    def _say(self, kind: BlockKind, text: str, extra: Any, out: list[Event]) -> None:
        block = self._open
        if block is None or block[1] != kind:
            self._close(out)
            block = self._open = (self._next, kind)
            self._next += 1
            out.append(BlockStarted(block[0], kind))
        out.append(BlockDelta(block[0], text, extra))

    def _close(self, out: list[Event]) -> None:
        if self._open is not None:
            out.append(BlockStopped(self._open[0]))
            self._open = None

    def _call(self, call: Call, out: list[Event]) -> None:
        """A call begins with its id and name; what follows under its index are more of its arguments.

        A new id under an old index is a new call, and so is a new name: some servers number every call 0,
        and some of them give none of them an id.
        """
        key = call.index or 0
        function = call.function or Function()
        known = self._calls.get(key)
        if (
            known is None
            or (call.id and call.id != known[1])
            or (function.name and function.name != known[2])
        ):
            if not function.name:
                raise Broken(malformed("a tool call without a name"))
            if known is not None and call.id and call.id == known[1]:
                raise Broken(malformed("a tool call that changes its name"))
            self._close(out)
            known = self._calls[key] = (self._next, call.id or "", function.name)
            self._open_calls.append(self._next)
            self._next += 1
            kept = remembered_by(call.extra_content)
            out.append(BlockStarted(known[0], "tool_call", known[1], function.name, kept))
        if function.arguments:
            out.append(BlockDelta(known[0], function.arguments))

    def _done(self, out: list[Event]) -> None:
        if self._finish is None:
            raise Broken(malformed("no finish_reason"))
        listed = cites(OWN, citations_in(None, self._top)) if self._top else {}
        if listed and self._open is not None and self._open[1] == "text":
            out.append(BlockDelta(self._open[0], "", listed))
            listed = {}
        self._close(out)
        out += [BlockStopped(index) for index in self._open_calls]
        usage, more_usage = read_usage(self._usage)
        places = (
            ("usage", more_usage),
            ("top", self._top),
            ("choice", self._last_choice),
            ("delta", self._last_delta),
        )
        kept = {place: fields for place, fields in places if fields}
        extra = {**({"openai-chat": kept} if kept else {}), **listed}
        out.append(Finished(self._finish, None, usage, extra or None))
