"""What of a stream may go to the caller, and when: a pure state machine over one attempt's events.

Nothing leaves before the first content event, so that until then another model can still answer.
Text leaves at once; a tool call is held back until it is whole and has been judged. The terminal
event never leaves here: the driver sends it once the record is safe.
"""

from collections.abc import Iterable

import msgspec

from interlock.execute.redact import without_key
from interlock.execute.validation.calls import Calls
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

_WHOLE_AT_START: tuple[BlockKind, ...] = ("redacted", "opaque")


class Flow:
    """Mutable: the notebook of one streamed attempt.

    `committed` is true once content has been given out. The attempt is over when `finished` or `failure`
    is set, or a `verdict` that withholds a call. An answer that came to its end has both `finished` and a
    `verdict`, and only one that `passed` may end as a success.
    """

    def __init__(
        self,
        expected: Expected,
        mark: str | None = None,
        created: int | None = None,
        secret: str | None = None,
    ) -> None:
        """`created` (seconds since the epoch) is shown where the upstream does not say when it began.

        `secret` is the provider's key: an event that holds the whole of it leaves without.
        """
        self.expected = expected
        self.mark = mark
        self.created = created
        self.secret = secret
        self.committed = False
        self.refused = False
        self.finished: Finished | None = None
        self.failure: Failure | None = None
        self.verdict: Verdict | None = None
        self.usage = Usage()
        self._calls: Calls | None = None
        self._own_calls: list[ToolCall] = []
        self._blocks: list[BlockStarted] = []
        self._pieces: dict[int, list[str]] = {}
        self._extras: list[Extra] = []
        self._pending: list[Event] = []
        self._started = False
        self._held: dict[int, list[Event]] = {}

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
        kinds = ((block.index, block.kind) for block in self._blocks)
        return "".join(piece for index, kind in kinds if kind == "text" for piece in self._pieces[index])

    @property
    def calls(self) -> list[ToolCall]:
        """The calls so far, as far as they are whole."""
        return self._calls.seen if self._calls is not None else []

    def take(self, events: Iterable[Event]) -> list[Event]:
        """The events that may be sent now, in order; empty while nothing may."""
        out: list[Event] = []
        for event in events:
            if self.over:
                break
            if type(event) is BlockDelta:
                self._delta(event, out)
            else:
                self._mark_of_structure(event, out)
        if self._pending and (self.committed or self.passed):
            out = [*self._pending, *out]
            self._pending = []
        return out

    def _delta(self, event: BlockDelta, out: list[Event]) -> None:
        if self.mark is not None and self.mark in event.text:
            event = msgspec.structs.replace(event, text=event.text.replace(self.mark, " "))
        if self.secret and self.secret in event.text:
            event = msgspec.structs.replace(event, text=without_key(event.text, self.secret))
        held = self._held.get(event.index)
        if held is not None:
            held.append(event)
        elif self.committed:
            self._give(event, out)
        elif event.text or event.extra is not None:
            self.committed = True
            self._give(event, out)
        else:
            self._pending.append(event)

    def _give(self, event: BlockDelta, out: list[Event]) -> None:
        pieces = self._pieces.get(event.index)
        if pieces is not None:
            pieces.append(event.text)
        if event.extra is not None and self.expected.judges:
            self._extras.append(event.extra)
        out.append(event)

    def _mark_of_structure(self, event: Event, out: list[Event]) -> None:
        """Everything but a delta: where the message and its blocks begin and end."""
        if isinstance(event, BlockStarted):
            self._block_started(event, out)
        elif isinstance(event, BlockStopped):
            held = self._held.pop(event.index, None)
            if held is None:
                self._pass(event, out)
            else:
                self._release([*held, event], out)
        elif isinstance(event, Started):
            if not self._started:
                self._started = True
                self.usage = event.usage or self.usage
                if self.secret and self.secret in event.id:
                    event = msgspec.structs.replace(event, id=without_key(event.id, self.secret))
                if event.created is None and self.created is not None:
                    event = msgspec.structs.replace(event, created=self.created)
                self._pass(event, out)
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
        self._blocks.append(event)
        if event.kind in ("text", "refusal"):
            self._pieces[event.index] = []
            self.refused = self.refused or event.kind == "refusal"
        if event.kind in _WHOLE_AT_START:
            self.committed = True
        self._pass(event, out)

    def _may_pass(self, call: ToolCall) -> bool:
        """Judge a call that is now whole, together with those before it."""
        if self._calls is None:
            self._calls = Calls(self.expected.offer)
        if self._calls.take(call) is not None:
            self.verdict = withheld(self._calls)
        return self.verdict is None

    def _pass(self, event: Event, out: list[Event]) -> None:
        (out if self.committed else self._pending).append(event)

    def _release(self, events: list[Event], out: list[Event]) -> None:
        """Give out a tool call that is now whole, if it may pass."""
        first = events[0]
        assert isinstance(first, BlockStarted)
        arguments = "".join(event.text for event in events if isinstance(event, BlockDelta))
        call = ToolCall(id=first.call_id, name=first.name, arguments=arguments)
        if self._may_pass(call):
            self._own_calls.append(call)
            self.committed = True
            out.extend(events)

    def _finish(self, event: Finished, out: list[Event]) -> None:
        self.usage = event.usage
        for index in sorted(self._held):
            self._release([*self._held.pop(index), BlockStopped(index)], out)
            if self.verdict is not None:
                return
        self.refused = self.refused or event.finish == "refusal"
        self.finished = event
        self.verdict = conclude(self._said(event), self._calls, self.expected.judges)

    def _said(self, event: Finished) -> Said:
        """The whole answer, for the checks that need it."""
        parts: list[AnyPart] = []
        extras = self._extras
        for block in self._blocks:
            if block.kind == "text":
                parts.append(Text(text="".join(self._pieces[block.index])))
                extras += [block.value] if block.value is not None else []
            elif block.kind == "refusal":
                parts.append(Refusal(text="".join(self._pieces[block.index])))
            elif block.kind == "opaque":
                parts.append(block.value)
        parts += self._own_calls
        extras += [event.extra] if event.extra is not None else []
        return Said(parts=tuple(parts), finish=event.finish, extras=tuple(extras))
