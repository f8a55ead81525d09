"""How many calls at once an upstream has shown it can take. Nobody says so in a header; overload does.

Any number may go until an answer says that it is too much (503, 529, or a 429 that no limit told of
explains). Then three quarters of those under way may, at least one; after as many answers as may be under
way at once, one more. Additive increase and multiplicative decrease, as TCP has it (RFC 5681), which halves:
for calls of seconds that gives too much away, and a second cut follows soon enough.
"""

from typing import Final

CALM_S: Final = 60.0
"""After so long without a sign of overload what was learned is forgotten."""
KEPT: Final = 0.75
LEAST: Final = 2
"""With fewer calls under way it is not their number that is too much."""


class Crowd:
    """Mutable. `most` is None while any number may go; instants are seconds of one monotonic clock."""

    __slots__ = ("_answered", "_answers", "cut_at", "most")

    def __init__(self) -> None:
        self.most: int | None = None
        self.cut_at = 0.0
        self._answers = 0
        self._answered = False

    @property
    def calm_at(self) -> float:
        """When what was learned is forgotten."""
        return self.cut_at + CALM_S

    def overload(self, now: float, began: float, under_way: int) -> bool:
        """A call that began at `began` was too much, one of so many under way. Whether fewer may go now.

        Calls that began before the last cut say how things were then. Where nothing has been answered since,
        it may not be their number that is wrong, which is for the breaker to find out: then one fewer may go.
        """
        if under_way < LEAST or (self.most is not None and began < self.cut_at):
            return False
        before = under_way if self.most is None else min(under_way, self.most)
        sharply = self.most is None or self._answered
        self.most = max(1, int(before * KEPT) if sharply else before - 1)
        self.cut_at, self._answers, self._answered = now, 0, False
        return True

    def succeed(self, now: float) -> None:
        """An answer came."""
        if self.most is None or self.relax(now):
            return
        self._answers += 1
        self._answered = True
        if self._answers >= self.most:
            self.most += 1
            self._answers = 0

    def relax(self, now: float) -> bool:
        """Forget what was learned, if that was long ago."""
        if self.most is None or now < self.calm_at:
            return False
        self.most = None
        return True
