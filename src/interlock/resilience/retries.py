"""How many calls of an upstream may be repeats, all requests together.

When an upstream is down, requests that each try three times make three times the load, just then. So a
repeat needs a token: each first call earns `ratio` of one, and `min_per_s` come with time, so that
little traffic may retry too.
"""

from typing import Final

from interlock.config.written import RetryBudget as Rules

MOST_EARNED: Final = 100.0
"""First calls whose share is kept: what a calm hour earned is not spent in one bad minute."""


class RetryBudget:
    """Mutable. In T seconds with N first calls it grants at most `ratio` * N + `min_per_s` * (T + 1) repeats,
    and what earlier calls had left: at most `ratio` * MOST_EARNED.
    """

    __slots__ = ("_at", "_earned", "_free", "rules")

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._earned = 0.0
        self._free = float(rules.min_per_s)
        self._at = 0.0

    def earn(self) -> None:
        """A request calls the upstream for the first time."""
        ratio = self.rules.ratio
        most = MOST_EARNED * ratio
        if self._earned != most:
            self._earned = min(self._earned + ratio, most)

    def take(self, now: float) -> bool:
        """Whether one repeat may be made now; if so, it is counted."""
        most = float(self.rules.min_per_s)
        self._free = min(most, self._free + max(0.0, now - self._at) * most)
        self._at = now
        if self._free >= 1:
            self._free -= 1
        elif self._earned >= 1:
            self._earned -= 1
        else:
            return False
        return True
