"""Whether a target is left alone because it keeps failing.

It opens after `failures` failures in a row within `window_s`, or when half of the calls of a window, and at
least RATE_CALLS of them, failed. It stays open for `open_s`, and for twice, three times … that where
it opens again soon; then exactly one call, the probe, may find out. Only the probe's result counts
while it is open: calls that began before say how things were then.
"""

from typing import Final

from interlock.config.written import Breaker as Rules

RATE_CALLS: Final = 20
RATE: Final = 0.5
LONGEST_OPEN_S: Final = 300.0


class Breaker:
    """Mutable. `open_until` is None while it is closed; instants are seconds of one monotonic clock.

    `openings` is how often it has opened after it was closed, ever.
    """

    __slots__ = (
        "_calls",
        "_closed_at",
        "_failed",
        "_in_a_row",
        "_opened",
        "_row_since",
        "_since",
        "open_until",
        "openings",
        "probing",
        "rules",
    )

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.open_until: float | None = None
        self.probing = False
        self.openings = 0
        self._opened = 0
        self._closed_at = 0.0
        self._in_a_row, self._row_since = 0, 0.0
        self._since, self._calls, self._failed = 0.0, 0, 0

    def wait_s(self, now: float) -> float | None:
        """None where a call may begin; else how long to leave it alone, in seconds."""
        if self.open_until is None:
            return None
        if now < self.open_until:
            return self.open_until - now
        return self.rules.open_s if self.probing else None

    def begin(self, now: float) -> bool:
        """A call begins, which `wait_s` allowed. True: it is the probe."""
        if self.open_until is None:
            return False
        assert now >= self.open_until, "not before its time"
        assert not self.probing, "one probe at a time"
        self.probing = True
        return True

    def succeed(self, now: float, *, probe: bool) -> None:
        """A call ended with an answer, whatever that said."""
        if probe:
            self.probing = False
            self.open_until = None
            self._closed_at = now
            self._in_a_row = 0
            self._since, self._calls, self._failed = now, 0, 0
        elif self.open_until is None:
            self._in_a_row = 0
            if now - self._since > self.rules.window_s:
                self._since, self._calls, self._failed = now, 0, 0
            self._calls += 1

    def fail(self, now: float, *, probe: bool, alone: bool) -> None:
        """A call failed in a way that says something about the target.

        `alone`: no other target could take over. Then a share of failures does not open it: some of
        its answers are better than none. An unbroken row of them does.
        """
        if probe:
            self.probing = False
            self._open(now)
        elif self.open_until is None:
            if now - self._since > self.rules.window_s:
                self._since, self._calls, self._failed = now, 0, 0
            self._calls += 1
            self._failed += 1
            if self._in_a_row == 0 or now - self._row_since > self.rules.window_s:
                self._in_a_row, self._row_since = 0, now
            self._in_a_row += 1
            if self._in_a_row >= self.rules.failures or (self.is_half_failing and not alone):
                self._open(now)

    def drop(self, *, probe: bool) -> None:
        """A call ended without telling anything: it was cancelled, or never left."""
        if probe:
            self.probing = False

    @property
    def is_half_failing(self) -> bool:
        return self._calls >= RATE_CALLS and self._failed >= RATE * self._calls

    def _open(self, now: float) -> None:
        if self.open_until is None:
            self.openings += 1
            if now - self._closed_at > self.rules.window_s:
                self._opened = 0
        self._opened += 1
        self.open_until = now + self._open_s()

    def _open_s(self) -> float:
        once = float(self.rules.open_s)
        return max(once, min(once * self._opened, LONGEST_OPEN_S))
