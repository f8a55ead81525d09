"""What of a stream may go to the caller, and when: a pure state machine over one attempt's events.

Nothing leaves before the first content event, so that until then another model can still answer.
Text leaves at once, but for an end that may be the beginning of the provider's key or, where links are made
inert, of a link; a tool call is held back until it is whole and has been judged. The terminal event
never leaves here: the driver sends it once the record is safe.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from interlock.execute.call_ids import CallIds
from interlock.execute.inert import Inert, inert_value
from interlock.execute.redact import KeyScreen, tells, without_key, without_key_in
from interlock.execute.validation.calls import Calls, nobody
from interlock.execute.validation.findings import Verdict
from interlock.execute.validation.said import Said, calls_of
from interlock.execute.validation.verdict import Expected, conclude, withheld
from interlock.types.answer import (
    BlockDelta,
    BlockKind,
    BlockStarted,
    BlockStopped,
    Event,
    Failure,
    Finished,
    Started,
    Usage,
)
from interlock.types.request import AnyPart, Extra, Refusal, Text, ToolCall
from interlock.wire.seals import is_seal

_WHOLE_AT_START: Final[tuple[BlockKind, ...]] = ("redacted", "opaque")
_WORDS: Final[tuple[BlockKind, ...]] = ("text", "thinking", "refusal")
_NO_WORDS: Final[Sequence[str]] = ()
_NOT_COUNTED: Final = Usage()
_AS_IT_IS: Final[Mapping[BlockKind, Inert]] = {}
"""Where no links are made inert."""
_ENTRY: Final = 256
"""What a block or a call takes beside its characters."""


class _Open:
    """Mutable: a block of words that grows. `pieces` are its words without the key, links as they were.

    `marked`: our mark was taken out of them.
    """

    __slots__ = ("inert", "key", "marked", "pieces")

    def __init__(self, key: KeyScreen | None, inert: Inert | None) -> None:
        self.pieces: list[str] = []
        self.key = key
        self.inert = inert
        self.marked = False
        if inert is not None:
            inert.changed = False

    @property
    def reworded(self) -> bool:
        """Whether what was given out is not what the model has said."""
        found, changed = (
            self.key is not None and self.key.found,
            self.inert is not None and self.inert.changed,
        )
        return self.marked or found or changed


class Flow:
    """Mutable: the notebook of one streamed attempt.

    `committed` is true once content has been given out. The attempt is over when `finished` or `failure`
    is set, or a `verdict` that withholds a call. An answer that came to its end has both `finished` and a
    `verdict`, and only one that `passed` may end as a success.
    """

    __slots__ = (
        "_blocks",
        "_calls",
        "_extras",
        "_held",
        "_id",
        "_ids",
        "_inert_by_kind",
        "_open",
        "_own_calls",
        "_pending",
        "_stands_by",
        "_started",
        "committed",
        "created",
        "expected",
        "failure",
        "finished",
        "mark",
        "name",
        "refused",
        "secret",
        "usage",
        "verdict",
    )

    def __init__(
        self,
        expected: Expected,
        mark: str | None = None,
        created: int | None = None,
        secret: str | None = None,
        name: str = "",
        stands_by: Callable[[], bool] = nobody,
    ) -> None:
        """`created` (seconds since the epoch) is shown where the upstream does not say when it began, and
        `name` where it gives its answer no id.

        `secret` is the provider's key: no text leaves with the whole of it. `stands_by`: whether another
        model would be asked in place of this one, had it not begun to answer.
        """
        self.expected = expected
        self.mark = mark
        self.created = created
        self.secret = secret if tells(secret) else None
        self.name = name
        self.committed = False
        self.refused = False
        self.finished: Finished | None = None
        self.failure: Failure | None = None
        self.verdict: Verdict | None = None
        self.usage = _NOT_COUNTED
        self._stands_by = stands_by
        self._calls: Calls | None = None
        self._own_calls: list[ToolCall] = []
        self._ids: CallIds | None = None
        self._blocks: list[tuple[BlockStarted, Sequence[str]]] = []  # each with its words so far
        self._extras: list[Extra] = []
        self._pending: list[Event] = []
        self._started = False
        self._id = ""
        self._held: dict[int, list[Event]] = {}
        self._open: dict[int, _Open] = {}
        self._inert_by_kind = _AS_IT_IS
        if expected.inert:  # a refusal may stand right behind other words; thinking never does
            said = Inert()
            self._inert_by_kind = {"text": said, "refusal": said, "thinking": Inert()}

    @property
    def over(self) -> bool:
        return self.finished is not None or self.failure is not None or self.verdict is not None

    @property
    def passed(self) -> bool:
        """Whether the answer came to its end and may be passed off as what was asked for."""
        verdict = self.verdict
        return verdict is not None and verdict.failure is None and verdict.violation is None

    @property
    def text(self) -> str:
        """The answer's own words so far."""
        return "".join(piece for block, said in self._blocks if block.kind == "text" for piece in said)

    @property
    def size(self) -> int:
        """About how many characters are held of the answer so far: words, calls, a vendor's own fields."""
        words = sum(len(piece) for _, said in self._blocks for piece in said)
        pieces = (event for held in self._held.values() for event in held if isinstance(event, BlockDelta))
        begun = sum(len(event.text) for event in pieces)
        whole = sum(len(call.arguments) + _ENTRY for call in self._own_calls)
        values = [block.value for block, _ in self._blocks if block.value is not None]
        fields = len(msgspec.json.encode([values, self._extras])) if values or self._extras else 0
        return words + begun + whole + fields + _ENTRY * (len(self._blocks) + len(self._pending))

    @property
    def calls(self) -> list[ToolCall]:
        """The calls so far, as far as they are whole."""
        return self._calls.seen if self._calls is not None else []

    def take(self, events: Iterable[Event]) -> list[Event]:
        """The events that may be sent now, in order; empty while nothing may."""
        out: list[Event] = []
        index, plain = -1, None
        for event in () if self.over else events:
            if type(event) is not BlockDelta:
                self._mark_of_structure(event, out)
                plain = None
                if self.over:
                    break
            elif plain is not None and event.index == index and event.extra is None and event.text:
                plain.append(event.text)
                out.append(event)
            else:
                self._delta(event, out)
                index, plain = event.index, self._plain(event.index)
        if self._pending and (self.committed or self.passed):
            out = [*self._pending, *out]
            self._pending = []
        return out

    def _plain(self, index: int) -> list[str] | None:
        """The words so far of a block from which nothing is ever taken out; None: it is not one."""
        block = self._open.get(index)
        if block is None or block.key is not None or block.inert is not None:
            return None
        return block.pieces if self.committed and self.mark is None else None

    def _delta(self, event: BlockDelta, out: list[Event]) -> None:
        """More of a block. This runs for every token: what is seldom stands last, or apart."""
        block = self._open.get(event.index)
        if block is None:
            self._delta_of_another(event, out)
            return
        text = event.text
        if self.mark is not None and self.mark in text:
            text, block.marked = text.replace(self.mark, " "), True
        if block.key is not None:
            text = block.key.feed(text)
        block.pieces.append(text)
        if block.inert is not None:
            text = block.inert.feed(text)
        if event.extra is None and text is event.text:
            if text:
                self.committed = True
                out.append(event)
        elif event.extra is not None and "signature" in event.extra:
            more = _rest(block)  # its words are whole: nothing may be found in them behind their signature
            self._give_changed(_unsigned(event) if block.reworded else event, text + more, out)
        else:
            self._give_changed(event, text, out)

    def _delta_of_another(self, event: BlockDelta, out: list[Event]) -> None:
        """More of a tool call, which is held until it is whole, or of a block that only its vendor knows."""
        held = self._held.get(event.index)
        if held is not None:
            held.append(event)
        else:
            self._give_changed(event, without_key(event.text, self.secret), out)

    def _give_changed(self, event: BlockDelta, text: str, out: list[Event]) -> None:
        extra = event.extra
        if extra is not None:
            if self.expected.judges:
                self._extras.append(extra)
            extra = self._shown(extra)
        if not text and extra is None:
            return
        # A signature stands for a thought, shown or not. What else a vendor tells of a block waits for words.
        self.committed = self.committed or bool(text) or "signature" in extra
        self._pass(BlockDelta(event.index, text, extra), out)

    def _shown(self, value: Any) -> Any:
        """A vendor's own fields as the caller may see them. What its tools wrote goes back as it came."""
        value = without_key_in(value, self.secret)
        return inert_value(value) if self._inert_by_kind else value

    def _flush(self, index: int, out: list[Event]) -> None:
        """Give out what was held back of a block that ends."""
        block = self._open.pop(index, None)
        if block is None:
            return
        text = _rest(block)
        if text:
            self.committed = True
            out.append(BlockDelta(index, text))

    def _mark_of_structure(self, event: Event, out: list[Event]) -> None:
        """Everything but a delta: where the message and its blocks begin and end."""
        if isinstance(event, BlockStarted):
            self._block_started(event, out)
        elif isinstance(event, BlockStopped):
            held = self._held.pop(event.index, None)
            if held is None:
                self._flush(event.index, out)
                self._pass(event, out)
            else:
                self._release([*held, event], out)
        elif isinstance(event, Started):
            if not self._started:
                self._started = True
                self.usage = event.usage or self.usage
                created = self.created if event.created is None else event.created
                name = self._id = without_key(event.id, self.secret) or self.name
                extra = event.extra if event.extra is None else self._shown(event.extra)
                self._pass(msgspec.structs.replace(event, id=name, created=created, extra=extra), out)
        elif isinstance(event, Finished):
            self._finish(event, out)
        elif isinstance(event, Failure):
            self.failure = event

    def _block_started(self, event: BlockStarted, out: list[Event]) -> None:
        if event.kind == "tool_call":
            self._held[event.index] = [event]
            return
        if event.kind == "opaque" and not all(map(self._may_pass, calls_of((event.value,)))):
            return
        kind, said = event.kind, _NO_WORDS
        if kind in _WORDS:
            key = KeyScreen(self.secret) if self.secret is not None else None
            block = self._open[event.index] = _Open(key, self._inert_by_kind.get(kind))
            said = block.pieces
        self._blocks.append((event, said))
        self.refused = self.refused or kind == "refusal"
        if kind in _WHOLE_AT_START:
            self.committed = True
            event = _with_value(event, without_key_in(event.value, self.secret))
        elif event.value is not None:
            event = _with_value(event, self._shown(event.value))
        self._pass(event, out)

    def _may_pass(self, call: ToolCall) -> bool:
        """Judge a call that is now whole, together with those before it."""
        if self._calls is None:
            self._calls = Calls(self.expected.offer)
        if self._calls.take(call, nobody if self.committed else self._stands_by) is not None:
            self.verdict = withheld(self._calls)
        return self.verdict is None

    def _pass(self, event: Event, out: list[Event]) -> None:
        (out if self.committed else self._pending).append(event)

    def _release(self, events: list[Event], out: list[Event]) -> None:
        """Give out a tool call that is now whole, if it may pass."""
        first = events[0]
        assert isinstance(first, BlockStarted)
        written = "".join(event.text for event in events if isinstance(event, BlockDelta))
        arguments = written if self.mark is None else written.replace(self.mark, " ")
        arguments = without_key(arguments, self.secret)
        if self._ids is None:
            self._ids = CallIds(self._id, self.name)
        call_id = self._ids.settled(without_key(first.call_id, self.secret))
        call = ToolCall(id=call_id, name=first.name, arguments=arguments)
        if not self._may_pass(call):
            return
        self._own_calls.append(call)
        self.committed = True
        more = [event.extra for event in events if isinstance(event, BlockDelta) and event.extra is not None]
        if arguments is not written or more:
            rich = [BlockDelta(first.index, "", self._shown(extra)) for extra in more]
            events = [first, BlockDelta(first.index, arguments), *rich, BlockStopped(first.index)]
        if call.id != first.call_id or first.value is not None:
            events[0] = msgspec.structs.replace(first, call_id=call.id, value=self._shown(first.value))
        out.extend(events)

    def _finish(self, event: Finished, out: list[Event]) -> None:
        self.usage = event.usage
        for index in sorted(self._held):
            self._release([*self._held.pop(index), BlockStopped(index)], out)
            if self.verdict is not None:
                return
        for index in sorted(self._open):
            self._flush(index, out)
        self.refused = self.refused or event.finish == "refusal"
        self.verdict = conclude(self._said(event), self._calls, self.expected.judges)
        shown = event.extra if event.extra is None else self._shown(event.extra)
        self.finished = msgspec.structs.replace(event, extra=shown)

    def _said(self, event: Finished) -> Said:
        """The whole answer, for the checks that need it."""
        parts: list[AnyPart] = []
        extras = self._extras
        for block, said in self._blocks:
            if block.kind == "text":
                parts.append(Text(text="".join(said)))
                extras += [block.value] if block.value is not None else []
            elif block.kind == "refusal":
                parts.append(Refusal(text="".join(said)))
            elif block.kind == "opaque":
                parts.append(block.value)
        parts += self._own_calls
        extras += [event.extra] if event.extra is not None else []
        return Said(parts=tuple(parts), finish=event.finish, extras=tuple(extras))


def _rest(block: _Open) -> str:
    """What was held back of a block's words."""
    text = block.key.flush() if block.key is not None else ""
    block.pieces.append(text)
    return text if block.inert is None else block.inert.feed(text) + block.inert.flush()


def _with_value(event: BlockStarted, value: Any) -> BlockStarted:
    return event if value is event.value else msgspec.structs.replace(event, value=value)


def _unsigned(event: BlockDelta) -> BlockDelta:
    """A delta without what signs a thought that was said in other words; a seal is good for any."""
    extra: Extra = event.extra
    if is_seal(extra["signature"]):
        return event
    left = {name: value for name, value in extra.items() if name not in ("signature", "anthropic-messages")}
    return BlockDelta(event.index, event.text, left or None)
