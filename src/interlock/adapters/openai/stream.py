"""The chunks of an OpenAI-compatible stream -> canonical events.

Text, reasoning and refusals follow each other as blocks; tool calls grow side by side, told apart by
their index, and end with the stream: no chunk says that a call is complete. Only `[DONE]` ends a
stream well.
"""

from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from interlock.adapters.citing import cites
from interlock.adapters.failures import Broken, code_of, malformed
from interlock.adapters.openai.answer import (
    FINISH,
    MORE_THAN_ONE,
    OWN,
    Piece,
    citations_in,
    failure_of,
    said_in,
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
from interlock.wire.around import PROBE, Around, around

_DONE: Final = b"[DONE]"
_UNJUDGED: Final = "calls that are not in `tool_calls`"


class _Function(Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct, gc=False):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Delta(Struct, gc=False):
    content: str | list[Piece] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    custom_tool_calls: Any = None
    camel_tool_calls: Any = field(name="toolCalls", default=None)
    function_call: Any = None
    annotations: Any = None
    audio: Any = None
    reasoning_details: Any = None


class _Choice(Struct, gc=False):
    delta: _Delta | None = None
    index: int = 0
    finish_reason: str | None = None
    logprobs: Any = None
    content_filter_results: Any = None


class _Chunk(Struct, gc=False):
    choices: list[_Choice] | None = None
    id: str | None = None
    model: str | None = None
    created: int | None = None
    service_tier: str | None = None
    system_fingerprint: str | None = None
    usage: Any = None
    error: Any = None
    tool_calls: Any = None
    moderation: Any = None
    citations: Any = None
    search_results: Any = None
    related_questions: Any = None
    images: Any = None
    prompt_filter_results: Any = None


_AT_THE_END: Final = (
    "moderation",
    "citations",
    "search_results",
    "related_questions",
    "images",
    "prompt_filter_results",
)
"""What a chunk may say of the whole answer (Perplexity, Azure): callers get the last of each with the end."""


_CARRIED: Final = ("choices", "id", "model", "created", "service_tier", "system_fingerprint")
_beside_choices: Final = attrgetter(*(name for name in _Chunk.__struct_fields__ if name not in _CARRIED))
_NOTHING_MORE: Final = _beside_choices(_Chunk())
_beside_delta: Final = attrgetter(*(name for name in _Choice.__struct_fields__ if name != "delta"))
_GOES_ON: Final = _beside_delta(_Choice())
_beside_content: Final = attrgetter(*(name for name in _Delta.__struct_fields__ if name != "content"))
_NOTHING_ELSE: Final = _beside_content(_Delta())

_decode: Final = msgspec.json.Decoder(_Chunk).decode

MOST_GUESSES: Final = 4
"""How often a stream is asked for what its chunks have in common; some pad each with its own random field."""


class StreamDecoder(SseDecoder):
    def __init__(self) -> None:
        super().__init__()
        self._started = False
        self._finish: FinishReason | None = None
        self._usage: Any = None
        self._top: dict[str, Any] = {}
        self._filtered: Any = None
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
        chunk = _decode(data)
        words = self._more_text(chunk)
        if words is None:
            self._around = None  # it belongs to the block that was open
            self._chunk(chunk, out)
            return
        assert self._open is not None, "there is text to add to"
        self._block = self._open[0]
        out.append(BlockDelta(self._block, words))
        if self._guesses:
            self._guesses -= 1
            guess = around(data, words)
            if guess is not None and self._more_text(_decode(guess.probe())) == PROBE:
                self._around = guess

    def _more_text(self, chunk: _Chunk) -> str | None:
        """The words that a chunk adds to the open text, if that is all it does, as nearly all of them."""
        block, choices = self._open, chunk.choices
        if block is None or block[1] != "text" or choices is None or len(choices) != 1:
            return None
        choice = choices[0]
        delta = choice.delta
        if delta is None or type(delta.content) is not str or not delta.content:
            return None
        if _beside_choices(chunk) != _NOTHING_MORE:
            return None
        if _beside_delta(choice) != _GOES_ON or _beside_content(delta) != _NOTHING_ELSE:
            return None
        return delta.content

    def _chunk(self, chunk: _Chunk, out: list[Event]) -> None:
        if chunk.error is not None:
            raise Broken(failure_of(chunk.error, None))
        if chunk.tool_calls:
            raise Broken(malformed(_UNJUDGED))
        if (
            chunk.moderation is not None
            or chunk.citations is not None
            or chunk.search_results is not None
            or chunk.related_questions is not None
            or chunk.images is not None
            or chunk.prompt_filter_results is not None
        ):
            self._keep_for_the_end(chunk)
        if not self._started:
            if not chunk.id and not chunk.choices:
                return  # Azure says what its filter makes of the prompt before the answer begins
            self._start(chunk, out)
        if chunk.usage is not None:
            self._usage = chunk.usage
        for choice in chunk.choices or ():
            if choice.index != 0:
                raise Broken(malformed(MORE_THAN_ONE))
            self._choice(choice, out)

    def _keep_for_the_end(self, chunk: _Chunk) -> None:
        for name in _AT_THE_END:
            value = getattr(chunk, name)
            if value is not None:
                self._top[name] = value

    def _start(self, chunk: _Chunk, out: list[Event]) -> None:
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

    def _choice(self, choice: _Choice, out: list[Event]) -> None:
        delta = choice.delta
        if delta is not None:
            _refuse_unjudged_calls(delta)
            rich = None
            if choice.logprobs is not None or choice.content_filter_results is not None or _is_rich(delta):
                rich = self._rich(choice, delta)  # may be nothing after all
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

    def _rich(self, choice: _Choice, delta: _Delta) -> dict[str, Any] | None:
        """What rides along with a delta for callers of the same dialect; the first chunk's is empty.

        What a filter found in words goes with them; what it says without any is kept for the end.
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
        fields: dict[str, Any] = {"delta": more} if more else {}
        logprobs = choice.logprobs
        if type(logprobs) is dict and any(logprobs.values()):
            fields["logprobs"] = logprobs
        if choice.content_filter_results:
            if delta.content:
                fields["choice"] = {"content_filter_results": choice.content_filter_results}
            else:
                self._filtered = choice.content_filter_results
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

    def _call(self, call: _Call, out: list[Event]) -> None:
        """A call begins with its id and name; what follows under its index are more of its arguments.

        A new id under an old index is a new call, and so is a new name: some servers number every call 0,
        and some of them give none of them an id.
        """
        key = call.index or 0
        function = call.function or _Function()
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
            out.append(BlockStarted(known[0], "tool_call", known[1], function.name))
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
        last = {"content_filter_results": self._filtered} if self._filtered else {}
        places = (("usage", more_usage), ("top", self._top), ("choice", last))
        kept = {place: fields for place, fields in places if fields}
        extra = {**({"openai-chat": kept} if kept else {}), **listed}
        out.append(Finished(self._finish, None, usage, extra or None))


def _is_rich(delta: _Delta) -> bool:
    return delta.annotations is not None or delta.audio is not None or delta.reasoning_details is not None


def _refuse_unjudged_calls(delta: _Delta) -> None:
    """Calls beside `tool_calls` pass by those who judge them. Raises Broken."""
    if delta.custom_tool_calls or delta.camel_tool_calls or delta.function_call:
        raise Broken(malformed(_UNJUDGED))
