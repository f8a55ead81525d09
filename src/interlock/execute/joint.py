"""A stream made of several calls, passed on to one `Flow` as if it were one. Pure.

The first call begins the stream; each further one goes on in the same block of text. The end of that block,
and of the stream, is held back until it is known that nothing follows.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from interlock.execute.cited import moved_delta, with_lists
from interlock.execute.continuing import MOST_SEAM, after_seam, total
from interlock.execute.flow import Flow
from interlock.execute.usage import credible
from interlock.types.answer import (
    BlockDelta,
    BlockStarted,
    BlockStopped,
    Event,
    Failure,
    Finished,
    Usage,
)
from interlock.types.request import Extra


class Joint:
    """Mutable. `cut` is set while the stream waits for another call or for `finish`."""

    def __init__(self, flow: Flow, most: int) -> None:
        """At most so many further calls."""
        self.flow = flow
        self.cut: Finished | None = None
        self.calls_left = most
        self._usage: Usage | None = None
        self._text: int | None = None
        self._stopped = False
        self._highest = -1
        self._calls_tools = False
        self._words: list[str] = []
        self.failed = False
        """Whether a further call broke off; what the first one says of its own is the flow's."""
        self._further = False
        self._places: dict[int, int | None] = {}
        self._seam: list[str] | None = None
        self._by = 0  # where in the words of the answer those of this call begin
        self._beside: list[Any] = []
        self._told: Extra | None = None

    @property
    def over(self) -> bool:
        return self.failed or self.cut is not None or self.flow.over

    @property
    def usage(self) -> Usage:
        """The tokens of all calls that have ended."""
        return self._usage or Usage()

    @property
    def size(self) -> int:
        """About how many characters are held of the answer so far."""
        return self.flow.size

    @property
    def text(self) -> str:
        """The words so far, as the model said them: the flow may still hold back some of them."""
        return "".join(self._words)

    def take(self, events: Iterable[Event]) -> list[Event]:
        """The events that may be sent now, in order."""
        out: list[Event] = []
        for event in events:
            if self.over:
                break
            out += self._next(event) if self._further else self._first(event)
        return self.flow.take(out)

    def resume(self) -> "Joint":
        """The same stream, ready for the events of another call."""
        assert self.cut is not None, "nothing is left to be said"
        self.calls_left -= 1
        self.cut, self._further, self._places, self._seam = None, True, {}, []
        self._by = len(self.text)
        return self

    def finish(self, cut: Finished) -> list[Event]:
        """The end, where nothing follows: the stream stays cut as it was."""
        self.cut = None
        usage = self._usage or cut.usage
        last = msgspec.structs.replace(cut, usage=usage, extra=with_lists(self._told, cut.extra))
        ends = [*self._flushed(), *self._block_end(), last]
        return self.flow.take(ends)

    def _first(self, event: Event) -> list[Event]:
        if isinstance(event, BlockStarted):
            self._highest = max(self._highest, event.index)
            before = self._block_end()
            self._text = event.index if event.kind == "text" else None
            self._calls_tools |= event.kind not in ("text", "thinking", "redacted")
            return [*before, event]
        if isinstance(event, BlockDelta):
            if event.index == self._text:
                self._words.append(event.text)
            return [event]
        if isinstance(event, BlockStopped) and event.index == self._text:
            self._stopped = True
            return []
        if isinstance(event, Finished):
            return self._end(event)
        return [event]

    def _next(self, event: Event) -> list[Event]:
        if isinstance(event, BlockDelta):
            place = self._places.get(event.index)
            if place is None:
                return []
            if place == self._text and self._seam is not None:
                self._seam.append(event.text)
                self._beside += [event.extra] if event.extra is not None else []
                return self._flushed() if sum(map(len, self._seam)) >= MOST_SEAM else []
            if place == self._text:
                self._words.append(event.text)
            extra = moved_delta(event.extra, self._by)
            return [BlockDelta(place, event.text, extra)] if event.text or extra is not None else []
        if isinstance(event, BlockStarted):
            return self._next_block(event)
        if isinstance(event, BlockStopped):
            place = self._places.get(event.index)
            return [] if place is None or place == self._text else [BlockStopped(place)]
        if isinstance(event, Finished):
            return [*self._flushed(), *self._end(event)]
        self.failed = isinstance(event, Failure)
        return []

    def _next_block(self, event: BlockStarted) -> list[Event]:
        """Words go on in the block that is open; thoughts about how to go on are not the answer's."""
        if event.kind == "text" and self._text is not None:
            self._places[event.index] = self._text
            return []
        if event.kind in ("thinking", "redacted"):
            self._places[event.index] = None
            return []
        self._calls_tools = True
        self._highest += 1
        self._places[event.index] = self._highest
        before = [*self._flushed(), *self._block_end()]
        return [*before, msgspec.structs.replace(event, index=self._highest)]

    def _end(self, event: Finished) -> list[Event]:
        told = credible(event.usage)
        self._usage = told if self._usage is None else total(self._usage, told)
        can_go_on = self._text is not None and bool(self.text) and not self._calls_tools
        if event.finish == "length" and self.calls_left > 0 and can_go_on:
            self.cut = event
            self._told = with_lists(self._told, event.extra)
            return []
        extra = with_lists(self._told, event.extra)
        return [*self._block_end(), msgspec.structs.replace(event, usage=self._usage, extra=extra)]

    def _block_end(self) -> list[Event]:
        """The end of the block of text that was held back, if one was."""
        if self._text is None or not (self._stopped or self._further):
            return []
        stop = BlockStopped(self._text)
        self._text, self._stopped = None, False
        return [stop]

    def _flushed(self) -> list[Event]:
        """The words at the seam, once enough of them are here to see whether the model repeats itself."""
        if self._seam is None or self._text is None:
            return []
        more, self._seam = "".join(self._seam), None
        rest = after_seam(self.text, more)
        self._words.append(rest)
        self._by -= len(more) - len(rest)
        beside = [moved_delta(extra, self._by) for extra in self._beside]
        self._beside = []
        words = [BlockDelta(self._text, rest)] if rest else []
        return [*words, *(BlockDelta(self._text, "", extra) for extra in beside if extra is not None)]
