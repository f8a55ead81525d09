"""Confidence intervals of one mean: of rates, of scores in 0..1, of anything else, and of a quantile.

`confidence` is that of each end by itself: with 0.95, the true value lies below `high` in 95 of 100
samples, and above `low` in 95 of 100; between both in 90. That is what one-sided checks need.
"""

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Final

from msgspec import Struct

from interlock.stats.special import beta_cdf, beta_quantile, t_quantile, where

_ALMOST: Final = 0.999
"""How much of its wealth a bet may risk at most: never all of it."""
_FAR: Final = 700.0
"""A log of wealth that `math.exp` can just bear."""


class Interval(Struct, frozen=True, kw_only=True):
    """A mean of `n` values and the ends of its interval; None is unknown: too few values for an end."""

    value: float | None
    low: float | None
    high: float | None
    n: int


def nothing() -> Interval:
    """What is known of a mean of no values."""
    return Interval(value=None, low=None, high=None, n=0)


def of_rate(hits: int, n: int, confidence: float) -> Interval:
    """A share of yes among `n` answers, by the exact (conservative) limits.

    Source: Clopper & Pearson, Biometrika 26 (1934), 404-413, as quantiles of the beta distribution.
    """
    if n == 0:
        return nothing()
    low = beta_quantile(1 - confidence, hits, n - hits + 1) if hits else 0.0
    high = beta_quantile(confidence, hits + 1, n - hits) if hits < n else 1.0
    return Interval(value=hits / n, low=low, high=high, n=n)


def of_scores(scores: Sequence[float], confidence: float) -> Interval:
    """A mean of scores in 0..1. Valid for every distribution and every number of scores.

    Rates are taken as such; other scores by betting against each possible mean: the limits are the means
    whose bets have not multiplied their stake by 1 / (1 - confidence).
    Source: Waudby-Smith & Ramdas, J. R. Stat. Soc. B 86 (2024), 1-27, sections 3 and 4.
    """
    if not scores:
        return nothing()
    if all(score in (0.0, 1.0) for score in scores):
        return of_rate(int(sum(scores)), len(scores), confidence)
    stakes = _stakes(scores, confidence)
    low = _lower(scores, stakes, confidence)
    high = 1 - _lower([1 - score for score in scores], stakes, confidence)
    value = fmean(scores)
    return Interval(value=value, low=min(low, value), high=max(high, value), n=len(scores))


def p_above(scores: Sequence[float], mean: float, confidence: float) -> float:
    """P of "the mean of these scores in 0..1 is above `mean`", by the bets of `of_scores`.

    `confidence` is the one that the bets are sized for; the p-value is valid whatever it is.
    """
    if mean >= 1 or not scores:
        return 1.0
    return math.exp(-_wealth(scores, _stakes(scores, confidence), max(mean, 1e-9), _FAR))


def of_means(values: Sequence[float], confidence: float) -> Interval:
    """A mean of values without bounds (money, time, tokens), by Student's t. Two values at least for an
    interval.

    Source: Student, Biometrika 6 (1908), 1-25. It assumes that the mean of `n` values is close to normal.
    """
    n = len(values)
    if n == 0:
        return nothing()
    mean = fmean(values)
    if n == 1:
        return Interval(value=mean, low=None, high=None, n=1)
    reach = t_quantile(confidence, n - 1) * stdev(values) / math.sqrt(n)
    return Interval(value=mean, low=mean - reach, high=mean + reach, n=n)


def of_quantile(values: Sequence[float], share: float, confidence: float) -> Interval:
    """The value that a share (0.95: the 95th percentile) of all values does not exceed, with exact limits.

    An end that the sample is too small for is None. Source: order statistics, e.g. David & Nagaraja, Order
    Statistics (2003), 7.1: the number of values below the quantile is binomial.
    """
    n = len(values)
    if n == 0:
        return nothing()
    ordered = sorted(values)
    value = ordered[min(n - 1, math.ceil(share * n) - 1)]
    # The count at or below the quantile is at least `r` with probability I_share(r, n - r + 1).
    high = next((ordered[r - 1] for r in range(1, n + 1) if _at_least(r, n, share) <= 1 - confidence), None)
    low = next((ordered[r - 1] for r in range(n, 0, -1) if _at_least(r, n, share) >= confidence), None)
    return Interval(value=value, low=low, high=high, n=n)


def _at_least(r: int, n: int, share: float) -> float:
    return beta_cdf(share, r, n - r + 1)


def _stakes(scores: Sequence[float], confidence: float) -> list[float]:
    """Before each score, how boldly to bet on it: from the scores before it only (the paper's eq. 26).

    For a sample of known size: sqrt(2 log(1/alpha) / (n * variance so far)).
    """
    reach = 2 * math.log(1 / (1 - confidence)) / len(scores)
    total, spread, stakes = 0.5, 0.25, []
    for count, score in enumerate(scores, start=1):
        stakes.append(math.sqrt(reach / (spread / count)))
        total += score
        spread += (score - total / (count + 1)) ** 2
    return stakes


def _lower(scores: Sequence[float], stakes: Sequence[float], confidence: float) -> float:
    """The smallest mean that a bettor on "it is more" has not made a fortune against."""
    enough = math.log(1 / (1 - confidence))
    return where(lambda mean: _wealth(scores, stakes, mean, enough) < enough, 0.0, 1.0)


def _wealth(scores: Sequence[float], stakes: Sequence[float], mean: float, enough: float) -> float:
    """The log of the most that a bettor on "it is more than `mean`" ever had; beyond `enough` it may stop.

    By Ville's inequality it exceeds log(1/alpha) with probability alpha at most, if the mean is what it is.
    """
    wealth = most = 0.0
    for score, stake in zip(scores, stakes, strict=True):
        wealth += math.log1p(min(stake, _ALMOST / mean) * (score - mean))
        most = max(most, wealth)
        if most > enough:
            break
    return most
