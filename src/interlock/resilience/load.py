"""What is given up when there is more to do than can be done: requests that can wait, then comforts.

Load is a number: 0 is idle, 1 is as much as this process can carry. It is the larger of how late the event
loop runs (against LATE_S) and of the requests under way (against `resilience.max_in_flight`, if set). A loop
that was late once was held up; only one that is late each time, for a while, has too much to do.
"""

from collections import deque
from typing import Final

from interlock.types.labels import Degraded, DegradeMode, LatencyClass

LATE_S: Final = 0.5
"""A loop that is always so late with its work carries as much as it can."""
MEASURES: Final = 8
"""How many of the latest measures count: the least late of them is taken."""
SHED_AT: Final[dict[LatencyClass, float]] = {"batch": 0.7, "background": 0.85, "interactive": 1.0}
"""The load at which new requests of a class are turned away: always those that can wait before others."""
RETRY_S: Final[dict[LatencyClass, int]] = {"batch": 30, "background": 10, "interactive": 2}
"""When to come back, in seconds: those that can wait, later."""

ENTER: Final = 0.8
LEAVE: Final = 0.5
ENTER_S: Final = 2.0
LEAVE_S: Final = 15.0
"""Above ENTER for ENTER_S the next mode is entered, below LEAVE for LEAVE_S the last is left: in between, and
for a moment, nothing changes, so that modes do not flap."""


class Load:
    """Mutable: how busy this process is. `in_flight` is counted by whoever serves.

    `held` are the bytes of large bodies of requests that have not ended.
    """

    __slots__ = ("_late_s", "_measures", "held", "in_flight", "max_in_flight")

    def __init__(self, max_in_flight: int | None = None) -> None:
        self.max_in_flight = max_in_flight
        self.in_flight = 0
        self.held = 0
        self._late_s = 0.0
        self._measures = deque([0.0] * MEASURES, MEASURES)

    def measure(self, late_s: float) -> None:
        """The event loop was so late with something, in seconds. Called a few times a second."""
        self._measures.append(late_s)
        self._late_s = min(self._measures)

    @property
    def value(self) -> float:
        load = self._late_s / LATE_S
        most = self.max_in_flight
        return load if most is None else max(load, self.in_flight / most)

    def sheds(self, latency_class: LatencyClass) -> bool:
        """Whether a new request of this class is turned away."""
        return self.value >= SHED_AT[latency_class]


class Degrade:
    """Mutable: which of the configured modes are in force, from the first listed to the deepest."""

    __slots__ = ("_busy_since", "_calm_since", "depth", "modes")

    def __init__(self, modes: tuple[Degraded, ...] = ()) -> None:
        self.modes = modes
        self.depth = 0
        self._busy_since: float | None = None
        self._calm_since: float | None = None

    @property
    def mode(self) -> DegradeMode:
        """The deepest mode in force; those listed before it are in force too."""
        depth = min(self.depth, len(self.modes))
        return self.modes[depth - 1] if depth else "none"

    def observe(self, now: float, load: float) -> None:
        """The load at an instant of a monotonic clock; called a few times a second."""
        self._busy_since = (self._busy_since or now) if load >= ENTER else None
        self._calm_since = (self._calm_since or now) if load < LEAVE else None
        if self._busy_since is not None and now - self._busy_since >= ENTER_S:
            self.depth = min(self.depth + 1, len(self.modes))
            self._busy_since = now
        elif self._calm_since is not None and now - self._calm_since >= LEAVE_S:
            self.depth = max(0, min(self.depth, len(self.modes)) - 1)
            self._calm_since = now
