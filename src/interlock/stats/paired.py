"""Two candidates on the same cases: how much worse may the new one be, and is that shown?

For a margin, each comparison has two tests: that the drop is smaller than the margin (it may pass), and
that it is greater (it must fail). Neither shown is no verdict. Both tests are one-sided; a p-value says how
often at most such data come about where the drop is exactly the margin.
"""

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Final

from msgspec import Struct

from interlock.stats.interval import of_scores, p_above
from interlock.stats.special import normal_cdf, normal_quantile, t_cdf, t_quantile, where

# Corrections for continuity, in cases. An exact enumeration over sample sizes, margins and shares of
# differing pairs shows that with these the tests keep their level (tests/stats/test_paired.py); without,
# they exceed it.
_TO_PASS: Final = 0.5
_TO_FAIL: Final = 1.0
_NO_SPREAD: Final = 1e-18
MOST_RISE: Final = 100.0
"""A hundredfold: limits of a rise beyond it are not looked for."""


class Paired(Struct, frozen=True, kw_only=True):
    """A comparison at one margin. `value` is new minus old; `low` and `high` are one-sided limits of it.

    `power` is how probably a drop of twice the margin is shown to exceed it, with pairs that differ as often
    as these do; None where that is not known.
    """

    n: int
    value: float | None
    low: float | None
    high: float | None
    p_pass: float
    p_fail: float
    power: float | None = None


def compare_rates(gains: int, losses: int, n: int, margin: float, confidence: float) -> Paired:
    """Pairs of yes and no: `gains` where only the new one is right, `losses` where only the old one is.

    The score test for the difference of paired proportions, with a correction for continuity. `margin` is in
    0..1 (0: no drop at all). Source: Tango, Statistics in Medicine 17 (1998), 891-908.
    """
    if n == 0:
        return Paired(n=0, value=None, low=None, high=None, p_pass=1.0, p_fail=1.0)
    alpha = 1 - confidence
    return Paired(
        n=n,
        value=(gains - losses) / n,
        low=-_limit(gains, losses, n, alpha),
        high=_limit(losses, gains, n, alpha),
        p_pass=_p_smaller(gains, losses, n, margin, _TO_PASS),
        p_fail=_p_greater(gains, losses, n, margin, _TO_FAIL),
        power=power_of_rates(n, (gains + losses) / n, margin, confidence),
    )


def power_of_rates(n: int, differing: float, margin: float, confidence: float) -> float:
    """How probably `n` pairs show a drop of twice the margin to be greater than the margin.

    `differing` is the share of pairs that differ; such a drop needs at least twice the margin of them. The
    normal approximation to the test above: Tango (1998), section 4.
    """
    drop = 2 * margin
    if n == 0 or margin <= 0 or drop >= 1:
        return 0.0
    differing = min(max(differing, drop), 1.0)
    gains = (differing - drop) / 2
    null = 2 * _least_gains(gains * n, (gains + drop) * n, n, margin) + margin * (1 - margin)
    true = differing - drop * drop
    reach = n * margin - _TO_FAIL - normal_quantile(confidence) * math.sqrt(n * null)
    return normal_cdf(reach / math.sqrt(n * true)) if true > 0 else float(reach > 0)


def compare_scores(new: Sequence[float], old: Sequence[float], margin: float, confidence: float) -> Paired:
    """Pairs of scores in 0..1. Yes and no go to `compare_rates`; for others the difference is bet on.

    A difference in -1..1 is a score in 0..1 once halved and moved: the limits hold for every distribution.
    Source: as `interval.of_scores`. `power` is unknown.
    """
    if all(value in (0.0, 1.0) for value in (*new, *old)):
        gains = sum(a > b for a, b in zip(new, old, strict=True))
        losses = sum(a < b for a, b in zip(new, old, strict=True))
        return compare_rates(gains, losses, len(new), margin, confidence)
    moved = [(a - b + 1) / 2 for a, b in zip(new, old, strict=True)]
    found = of_scores(moved, confidence)
    if found.value is None or found.low is None or found.high is None:
        return Paired(n=0, value=None, low=None, high=None, p_pass=1.0, p_fail=1.0)
    at = (1 - margin) / 2
    return Paired(
        n=len(moved),
        value=2 * found.value - 1,
        low=2 * found.low - 1,
        high=2 * found.high - 1,
        p_pass=p_above(moved, at, confidence),
        p_fail=p_above([1 - value for value in moved], 1 - at, confidence),
    )


def compare_means(new: Sequence[float], old: Sequence[float], rise: float, confidence: float) -> Paired:
    """Pairs of amounts (money, time, tokens): by what factor does the mean rise? `rise` 0.1 allows ten per
    cent.

    `value`, `low` and `high` are relative: 0.1 is ten per cent more. Tests that the mean of new - (1 +
    rise) * old is not 0, by Student's t; the limits are Fieller's. Source: Fieller, J. R. Stat. Soc. B 16
    (1954), 175-185.
    """
    if len(new) < 2 or fmean(old) <= 0:
        return Paired(n=len(new), value=None, low=None, high=None, p_pass=1.0, p_fail=1.0)
    moments = _moments(new, old)
    alpha = 1 - confidence
    above = _p_above(moments, rise)
    return Paired(
        n=moments.n,
        value=moments.new / moments.old - 1,
        low=_bound(-where(lambda fall: _p_above(moments, -fall) <= alpha, -MOST_RISE, 1.0), -1.0),
        high=_bound(where(lambda up: 1 - _p_above(moments, up) <= alpha, -1.0, MOST_RISE), MOST_RISE),
        p_pass=1 - above,
        p_fail=above,
        power=_power_of_means(moments, rise, confidence),
    )


class _Moments(Struct, frozen=True, kw_only=True):
    """Means, variances and covariance of pairs: all that a ratio of means needs."""

    n: int
    new: float
    old: float
    var_new: float
    var_old: float
    covar: float


def _moments(new: Sequence[float], old: Sequence[float]) -> _Moments:
    n, mean_new, mean_old = len(new), fmean(new), fmean(old)
    away = [(a - mean_new, b - mean_old) for a, b in zip(new, old, strict=True)]
    return _Moments(
        n=n,
        new=mean_new,
        old=mean_old,
        var_new=sum(a * a for a, _ in away) / (n - 1),
        var_old=sum(b * b for _, b in away) / (n - 1),
        covar=sum(a * b for a, b in away) / (n - 1),
    )


def _p_above(moments: _Moments, rise: float) -> float:
    """P of "the mean has risen by more than `rise`"."""
    n, factor = moments.n, 1 + rise
    over = moments.new - factor * moments.old
    variance = moments.var_new - 2 * factor * moments.covar + factor * factor * moments.var_old
    if variance <= _NO_SPREAD * (moments.new + moments.old) ** 2:
        return 0.5 if abs(over) <= _NO_SPREAD * moments.old else float(over < 0)
    t = over / math.sqrt(variance / n)
    return t_cdf(-t, n - 1)


def _bound(found: float, end: float) -> float | None:
    """A limit, unless the search came to its end without one."""
    return None if abs(found - end) < 1e-6 else found


def _power_of_means(moments: _Moments, rise: float, confidence: float) -> float | None:
    """How probably a rise of twice the margin is shown to exceed it, at the spread seen here: a normal
    approximation.
    """
    if rise <= 0 or moments.new <= 0:
        return None
    # The new amounts as they would be, had they risen by twice the margin.
    scale = (1 + 2 * rise) * moments.old / moments.new
    factor = 1 + rise
    variance = (
        scale * scale * moments.var_new
        - 2 * scale * factor * moments.covar
        + factor * factor * moments.var_old
    )
    if variance <= 0:
        return 1.0
    reach = rise * moments.old / math.sqrt(variance / moments.n)
    return normal_cdf(reach - t_quantile(confidence, moments.n - 1))


def _least_gains(gains: float, losses: float, n: int, margin: float) -> float:
    """The most likely share of gains, were the drop exactly the margin: the root of Tango's equation (4)."""
    b = (gains + losses) - margin * (2 * n - losses + gains)
    return max(0.0, (b + math.sqrt(b * b + 8 * n * gains * margin * (1 - margin))) / (4 * n))


def _p_smaller(gains: float, losses: float, n: int, margin: float, correction: float) -> float:
    """P of "the drop is smaller than the margin". A negative margin asks for a gain."""
    if margin < 0:
        return _p_greater(losses, gains, n, -margin, correction)
    spread = _spread(gains, losses, n, margin)
    return 1 - normal_cdf((n * margin - (losses - gains) - correction) / spread) if spread > 0 else 1.0


def _p_greater(gains: float, losses: float, n: int, margin: float, correction: float) -> float:
    if margin < 0:
        return _p_smaller(losses, gains, n, -margin, correction)
    spread = _spread(gains, losses, n, margin)
    return 1 - normal_cdf(((losses - gains) - n * margin - correction) / spread) if spread > 0 else 1.0


def _spread(gains: float, losses: float, n: int, margin: float) -> float:
    return math.sqrt(n * (2 * _least_gains(gains, losses, n, margin) + margin * (1 - margin)))


def _limit(gains: int, losses: int, n: int, alpha: float) -> float:
    """The largest drop that is not excluded at this level."""
    return where(lambda drop: _p_smaller(gains, losses, n, drop, _TO_PASS) <= alpha, -1.0, 1.0)
