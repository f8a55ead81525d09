"""Scores of copies beside those of the live answers to the same requests, and the evidence in them.

The two scores of a pair depend on each other through the request, so they are not two streams whose evidence
multiplies. What is watched is one stream: their difference.
"""

from interlock.config.written import Check
from interlock.stats import betting
from interlock.stats.sequential import Tally, against_at_least, against_at_most


class Pairs:
    """Mutable: what one grader says of the copies of a step. Scores lie in 0..1."""

    def __init__(self) -> None:
        self.copies = Tally()
        self.live = Tally()
        self.differences: dict[float, int] = {}

    def add(self, copy: float, live: float | None) -> None:
        """A pair. `live` None: the grader compares the copy with the live answer, which has no score."""
        self.copies = self.copies.plus(copy)
        if live is not None:
            self.live = self.live.plus(live)
            difference = round(copy - live, 3)  # nearly all scores are 0 or 1: there are few differences
            self.differences[difference] = self.differences.get(difference, 0) + 1

    def evidence(self, check: Check) -> tuple[float, float]:
        """The logs of the evidence that the copies are beyond a guardrail's bound, and within it."""
        if check.at_most is not None:
            return against_at_most(self.copies, check.at_most), against_at_least(self.copies, check.at_most)
        if check.at_least is not None:
            return against_at_least(self.copies, check.at_least), against_at_most(self.copies, check.at_least)
        bound = check.rise_at_most if check.rise_at_most is not None else -(check.drop_at_most or 0.0)
        above = betting.against_at_most(self.differences, bound)
        below = betting.against_at_least(self.differences, bound)
        return (above, below) if check.rise_at_most is not None else (below, above)

    def difference(self, alpha: float) -> tuple[float, float]:
        """How far the copies' mean is from that of the live answers: what is not ruled out."""
        return betting.span(self.differences, alpha)
