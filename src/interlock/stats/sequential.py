"""Always-valid statistics: evidence that may be looked at after every observation, at no extra risk.

An observation lies in 0..1: a yes or no, or an amount as a share of a cap. For a null hypothesis "the mean
is p" a bettor spreads one unit of money over all other means by the Jeffreys density Beta(1/2, 1/2) and
bets on each of them; what the money has become after `n` observations is

    M(p) = B(s + 1/2, n - s + 1/2) / B(1/2, 1/2) / (p^s (1 - p)^(n - s)),    s = their sum.

If the mean given the past is p each time, M(p) is a supermartingale that begins at 1 (for values between 0
and 1 by convexity: (a/p)^y ((1-a)/(1-p))^(1-y) lies below the line between y = 0 and y = 1), so it ever
exceeds 1/alpha with probability alpha at most, however often it is looked at. Two independent streams
multiply, and for a null hypothesis of many pairs of means the least evidence against any of them counts.

Sources: Ville, Étude critique de la notion de collectif (1939); Robbins, Ann. Math. Stat. 41 (1970),
1397-1409 (the mixture); Howard, Ramdas, McAuliffe & Sekhon, Ann. Stat. 49 (2021), 1055-1080 (time-uniform
bounds).

What it assumes: the mean of each stream does not drift while it is watched. Requests of one session are
alike, so where shares stick to sessions the risk is that of a sample of sessions, and above the stated one
where a few sessions make most of the traffic.
"""

import math
from collections.abc import Callable
from typing import Final

from msgspec import Struct

_HALF_BETA: Final = math.log(math.pi)
"""log B(1/2, 1/2)."""
_GOLDEN: Final = (math.sqrt(5) - 1) / 2
_STEPS: Final = 32
_HALVINGS: Final = 16

Bound = Callable[[float], float]
"""From the old stream's mean to what the new one's is compared with. It rises, and keeps lines straight."""


class Tally(Struct, frozen=True):
    """`n` observations in 0..1 and their sum."""

    total: float = 0.0
    n: int = 0

    @property
    def mean(self) -> float | None:
        return self.total / self.n if self.n else None

    def plus(self, value: float) -> "Tally":
        return Tally(self.total + value, self.n + 1)


def against(tally: Tally, mean: float) -> float:
    """The log of the evidence against "the mean is `mean`": log M."""
    s, f = tally.total, tally.n - tally.total
    if (mean <= 0 and s > 0) or (mean >= 1 and f > 0):
        return math.inf
    mixture = math.lgamma(s + 0.5) + math.lgamma(f + 0.5) - math.lgamma(tally.n + 1) - _HALF_BETA
    null = (s * math.log(mean) if s > 0 else 0.0) + (f * math.log1p(-mean) if f > 0 else 0.0)
    return mixture - null


def against_at_most(tally: Tally, bound: float) -> float:
    """The log of the evidence against "the mean is at most `bound`"."""
    return against(tally, min(bound, 1.0) if _mean(tally) > bound else _mean(tally))


def against_at_least(tally: Tally, bound: float) -> float:
    """The log of the evidence against "the mean is at least `bound`"."""
    return against(tally, max(bound, 0.0) if _mean(tally) < bound else _mean(tally))


def against_no_more(new: Tally, old: Tally, bound: Bound) -> float:
    """The log of the evidence against "the new mean is at most bound(old mean)"."""
    if _mean(new) <= bound(_mean(old)):
        return against(new, _mean(new)) + against(old, _mean(old))
    low, high = _inside(bound)
    least = _least(lambda p: against(new, bound(p)) + against(old, p), low, high)
    if high < 1:  # beyond, the bound is above 1 and rules nothing out
        least = min(least, against(new, _mean(new)) + against(old, max(high, _mean(old))))
    return least


def against_no_less(new: Tally, old: Tally, bound: Bound) -> float:
    """The log of the evidence against "the new mean is at least bound(old mean)"."""
    if _mean(new) >= bound(_mean(old)):
        return against(new, _mean(new)) + against(old, _mean(old))
    low, high = _inside(bound)
    least = _least(lambda p: against(new, bound(p)) + against(old, p), low, high)
    if low > 0:  # below, the bound is under 0 and rules nothing out
        least = min(least, against(new, _mean(new)) + against(old, min(low, _mean(old))))
    return least


def enough(alpha: float) -> float:
    """The log of the evidence from which on a null hypothesis is given up at a risk of `alpha`."""
    return math.log(1 / alpha)


def limits(
    new: Tally, old: Tally, bound_at: Callable[[float], Bound], low: float, high: float, alpha: float
) -> tuple[float, float]:
    """A confidence sequence for how far the new mean is from the old: the margins not yet ruled out.

    `bound_at` makes the bound of a margin between `low` and `high`. Each end by itself has the risk `alpha`.
    """
    needed = enough(alpha)
    lower = _edge(lambda m: against_no_more(new, old, bound_at(m)) >= needed, low, high)
    upper = _edge(lambda m: against_no_less(new, old, bound_at(m)) < needed, low, high)
    return lower, upper


def _mean(tally: Tally) -> float:
    return tally.total / tally.n if tally.n else 0.5


def _inside(bound: Bound) -> tuple[float, float]:
    """The old means for which the bound is a mean too. The bound is a straight line."""
    start, end = bound(0.0), bound(1.0)
    slope = end - start
    return min(max(-start / slope, 0.0), 1.0), max(min((1 - start) / slope, 1.0), 0.0)


def _least(f: Callable[[float], float], low: float, high: float) -> float:
    """The least value of a convex function, by golden section; what it finds is never below the least."""
    a, b = low, high
    x, y = b - _GOLDEN * (b - a), a + _GOLDEN * (b - a)
    fx, fy = f(x), f(y)
    for _ in range(_STEPS):
        if fx <= fy:
            b, y, fy = y, x, fx
            x = b - _GOLDEN * (b - a)
            fx = f(x)
        else:
            a, x, fx = x, y, fy
            y = a + _GOLDEN * (b - a)
            fy = f(y)
    return min(fx, fy, f(low), f(high))


def _edge(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Where a condition that holds at the low end stops to hold; `low` where it never does."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return (low + high) / 2
