"""What is left of limits that nobody configured: what an upstream's headers told, less what began since.

A limit that fills up steadily is a bucket: it had `remaining` when the call that told of it came in, and has
all of it again at the reset. One that does not has nothing more until then. What is told is believed for
a minute at most, so no header keeps an upstream out for longer; the next answer tells anew.
"""

from collections.abc import Iterable
from typing import Final

from interlock.resilience.learned import LONGEST_S, UNSAID_S, Said, Unit

Mark = tuple[int, int]
"""How many calls and how many of their tokens had begun, with this one."""
OFTEN_S: Final = 0.25
"""While most of every limit is left, what answers tell is read no more often than this: calls are counted."""
_NOTHING: Final = 1e-9


class Bucket:
    """Mutable: one limit. It has `level` units at the instant `at`, and `rate` more with each second."""

    __slots__ = ("at", "level", "mark", "most", "rate", "unit", "until")

    def __init__(self, told: Said, now: float, sent: float, mark: int, since: int) -> None:
        """`told` by the answer to a call that was sent at `sent`, after which `since` more units began."""
        full_s = now - sent + UNSAID_S if told.full_s is None else told.full_s
        rising = told.steady and told.full_s is not None and told.most is not None and full_s > 0
        missing = max(0, (told.most or 0) - told.remaining)
        self.unit: Unit = told.unit
        self.most = told.most
        self.mark = mark
        self.rate = missing / full_s if rising else 0.0
        self.level = self._capped(told.remaining + self.rate * (now - sent) - since)
        self.at = now
        self.until = now + LONGEST_S if self.rate else min(sent + full_s, now + LONGEST_S)

    def start_at(self, now: float, units: int) -> float:
        """The first instant at which so many units are there. More than all count as all."""
        if now >= self.until:
            return now
        units = units if self.most is None else min(units, self.most)
        lacking = units - self._level(now)
        if lacking <= _NOTHING:
            return now
        return min(now + lacking / self.rate, self.until) if self.rate else self.until

    def take(self, now: float, units: int) -> None:
        self.level = self._level(now) - (units if self.most is None else min(units, self.most))
        self.at = now

    def leaves_half(self, now: float, units: int) -> bool:
        if now >= self.until:
            return True
        return 2 * (self._level(now) - units) >= (self.most or 0)

    def has_plenty(self, now: float) -> bool:
        return self.most is not None and 2 * self._level(now) >= self.most

    def _level(self, now: float) -> float:
        return self._capped(self.level + self.rate * (now - self.at))

    def _capped(self, level: float) -> float:
        return level if self.most is None else min(level, self.most)


class Quota:
    """Mutable: the limits of one model of an account, or of all of it, as its answers tell them."""

    __slots__ = ("_buckets", "_calls_ahead", "_heard_at", "_tokens_ahead", "calls", "tokens")

    def __init__(self) -> None:
        self.calls = 0
        self.tokens = 0
        self._buckets: dict[str, Bucket] = {}
        self._heard_at = 0.0
        self._calls_ahead = 0
        self._tokens_ahead = 0

    def hear(self, told: Iterable[Said], now: float, sent: float, mark: Mark | None) -> None:
        """What the answer tells to a call that began at `mark`, or before this was kept (None).

        A call that began earlier than the one that told of a limit last knows less of it, and is not heard.
        """
        calls, tokens = mark or (0, 0)
        self._heard_at = now
        for limit in told:
            known = self._buckets.get(limit.name)
            if known is not None and calls < known.mark and now < known.until:
                continue
            since = self.calls - calls if limit.unit == "calls" else self.tokens - tokens
            self._buckets[limit.name] = Bucket(limit, now, sent, calls, since)

    def is_known(self, now: float) -> bool:
        """Whether there is no need to hear more just now."""
        return now < self._heard_at + OFTEN_S and all(b.has_plenty(now) for b in self._buckets.values())

    def start_at(self, now: float, tokens: int) -> float:
        """The first instant at which a call with so many tokens fits, after those that wait already."""
        return self._start_at(now, 1 + self._calls_ahead, tokens + self._tokens_ahead)

    def wait(self, tokens: int) -> None:
        """A call with so many tokens waits for its turn, until `wake`."""
        self._calls_ahead += 1
        self._tokens_ahead += tokens

    def wake(self, now: float, tokens: int) -> float:
        """One that waited looks again: `now`, or when to look next. Who else waits is not in its way."""
        self._calls_ahead -= 1
        self._tokens_ahead -= tokens
        return self._start_at(now, 1, tokens)

    def begin(self, now: float, tokens: int) -> Mark:
        """A call begins, which `start_at` or `wake` allowed."""
        for bucket in self._buckets.values():
            bucket.take(now, 1 if bucket.unit == "calls" else tokens)
        self.calls += 1
        self.tokens += tokens
        return self.calls, self.tokens

    def leaves_half(self, now: float, tokens: int) -> bool:
        """Whether one more call with so many tokens leaves half of every limit."""
        return all(b.leaves_half(now, 1 if b.unit == "calls" else tokens) for b in self._buckets.values())

    def _start_at(self, now: float, calls: int, tokens: int) -> float:
        at = now
        for bucket in self._buckets.values():
            at = max(at, bucket.start_at(now, calls if bucket.unit == "calls" else tokens))
        return at


Begun = tuple[tuple[Quota, Mark], ...]
"""In which quotas a call has been counted, and at which mark."""
