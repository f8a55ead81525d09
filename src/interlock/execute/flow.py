"""What of a stream may go to the caller, and when: a pure state machine over one attempt's events.

Nothing leaves before the first content event, so that until then another model can still answer.
Text leaves at once; a tool call is held back until it is whole and has been judged. The terminal
event never leaves here: the driver sends it once the record is safe.
"""

from collections.abc import Iterable

import msgspec

from interlock.execute.redact import without_key
from interlock.execute.validate import Offer, Violation, calls_of, judge_calls
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
from interlock.types.request import ToolCall

_WHOLE_AT_START: tuple[BlockKind, ...] = ("redacted", "opaque")


class Flow:
    """Mutable: the notebook of one streamed attempt.

    `committed` is true once content has been given out. One of `finished`, `failure` and
    `violation` is set when the attempt is over.
    """

    def __init__(
        self,
        offer: Offer,
        mark: str | None = None,
        created: int | None = None,
        secret: str | None = None,
    ) -> None:
        """`created` (seconds since the epoch) is shown where the upstream does not say when it began.

        `secret` is the provider's key: an event that holds the whole of it leaves without.
        """
        self.offer = offer
        self.mark = mark
        self.created = created
        self.secret = secret
        self.committed = False
        self.refused = False
        self.finished: Finished | None = None
        self.failure: Failure | None = None
        self.violation: Violation | None = None
        self.calls: list[ToolCall] = []
        self.usage = Usage()
        self._pieces: list[str] = []
        self._pending: list[Event] = []
        self._started = False
        self._text_blocks: set[int] = set()
        self._held: dict[int, list[Event]] = {}

    @property
    def over(self) -> bool:
        return self.finished is not None or self.failure is not None or self.violation is not None

    @property
    def text(self) -> str:
        """The answer's own words so far."""
        return "".join(self._pieces)

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
        if self._pending and (self.committed or self.finished is not None):
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
            self._give_text(event, out)
        elif event.text or event.extra is not None:
            self.committed = True
            self._give_text(event, out)
        else:
            self._pending.append(event)

    def _give_text(self, event: BlockDelta, out: list[Event]) -> None:
        if event.index in self._text_blocks:
            self._pieces.append(event.text)
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
        if event.kind == "opaque" and not self._may_pass(event):
            return
        if event.kind == "text":
            self._text_blocks.add(event.index)
        elif event.kind == "refusal":
            self.refused = True
        if event.kind in _WHOLE_AT_START:
            self.committed = True
        self._pass(event, out)

    def _may_pass(self, event: BlockStarted) -> bool:
        """Judge a call that the provider carries out itself: its start has all that is judged."""
        called = calls_of((event.value,))
        if called:
            self.calls += called
            self.violation = judge_calls(self.calls, self.offer)
        return self.violation is None

    def _pass(self, event: Event, out: list[Event]) -> None:
        (out if self.committed else self._pending).append(event)

    def _release(self, events: list[Event], out: list[Event]) -> None:
        """Judge a tool call that is now whole, together with those before it; give it out if it may pass."""
        first = events[0]
        assert isinstance(first, BlockStarted)
        arguments = "".join(event.text for event in events if isinstance(event, BlockDelta))
        self.calls.append(ToolCall(id=first.call_id, name=first.name, arguments=arguments))
        self.violation = judge_calls(self.calls, self.offer)
        if self.violation is None:
            self.committed = True
            out.extend(events)

    def _finish(self, event: Finished, out: list[Event]) -> None:
        self.usage = event.usage
        for index in sorted(self._held):
            self._release([*self._held.pop(index), BlockStopped(index)], out)
            if self.violation is not None:
                return
        if not self.committed and event.finish == "content_filter":
            self.failure = Failure(
                outcome="content_filtered", message="the provider's content filter stopped the answer"
            )
        elif not self.committed and event.finish in ("stop", "tool_calls"):
            self.failure = Failure(outcome="malformed", message="the provider's answer is empty")
        else:
            self.refused = self.refused or event.finish == "refusal"
            self.finished = event
