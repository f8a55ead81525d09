"""Models that a process leaves alone because they keep failing: said when a breaker opens or shuts."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from interlock.execute.setting import Setting
from interlock.live.exposition import BREAKERS, series
from interlock.resilience.health import TargetHealth


class Outages:
    """Mutable: the breakers as they were at the last look. `counts` are the series of how often each opened.

    A look is cheap and taken a few times a second, so that nothing is added to the way of a request; what
    opened and shut in between is told all the same.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._met: dict[TargetHealth, int] = {}
        self._open: set[TargetHealth] = set()

    def look(self, setting: Setting, now: float, say: Callable[..., Any]) -> None:
        """Tell what has changed at the destinations of a setting. `now` is an instant of the loop's clock."""
        for (model, endpoint), destination in setting.destinations.items():
            health = destination.health
            breaker = health.breaker
            times = breaker.openings - self._met.get(health, 0)
            is_open = breaker.open_until is not None
            if not times and is_open == (health in self._open):
                continue
            where = {"provider": destination.model.provider, "model": model, "endpoint": endpoint}
            self._met[health] = breaker.openings
            if times:
                self.counts[series(BREAKERS, {**where, "endpoint": endpoint or ""})] += times
                self._open.add(health)
                until = breaker.open_until
                say("breaker", **where, state="open", for_s=None if until is None else round(until - now, 1))
            if not is_open:
                self._open.discard(health)
                say("breaker", **where, state="closed")
