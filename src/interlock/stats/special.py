"""Quantiles that the standard library lacks: of the beta and of Student's t distribution."""

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Final

NORMAL: Final = NormalDist()
_TINY: Final = 1e-300
_CLOSE: Final = 1e-14
_STEPS: Final = 300
_HALVINGS: Final = 50


def normal_quantile(probability: float) -> float:
    """The point below which a standard normal variable lies with this probability (above 0, below 1)."""
    return NORMAL.inv_cdf(probability)


def normal_cdf(point: float) -> float:
    return NORMAL.cdf(point)


def beta_cdf(point: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction.

    Source: Abramowitz & Stegun, Handbook of Mathematical Functions, 26.5.8, evaluated by Lentz's method.
    """
    if point <= 0:
        return 0.0
    if point >= 1:
        return 1.0
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(point) + b * math.log1p(-point)
    )
    if point < (a + 1) / (a + b + 2):
        return front * _fraction(point, a, b) / a
    return 1 - front * _fraction(1 - point, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, _away(1 - (a + b) * x / (a + 1))
    d = 1 / d
    found = d
    for step in range(1, _STEPS):
        even = step * (b - step) * x / ((a + 2 * step - 1) * (a + 2 * step))
        d = 1 / _away(1 + even * d)
        c = _away(1 + even / c)
        found *= d * c
        odd = -(a + step) * (a + b + step) * x / ((a + 2 * step) * (a + 2 * step + 1))
        d = 1 / _away(1 + odd * d)
        c = _away(1 + odd / c)
        change = d * c
        found *= change
        if abs(change - 1) < _CLOSE:
            break
    return found


def _away(value: float) -> float:
    """The value, kept away from zero, which Lentz's method divides by."""
    return value if abs(value) > _TINY else _TINY


def beta_quantile(probability: float, a: float, b: float) -> float:
    """The point at which `beta_cdf` reaches a probability."""
    return where(lambda point: beta_cdf(point, a, b) >= probability, 0.0, 1.0)


def t_quantile(probability: float, freedom: float) -> float:
    """The quantile of Student's t with so many degrees of freedom (above 0).

    Source: Abramowitz & Stegun, 26.7.1: its tail is an incomplete beta function.
    """
    if probability < 0.5:
        return -t_quantile(1 - probability, freedom)
    tail = 2 * (1 - probability)
    if tail >= 1:
        return 0.0
    x = beta_quantile(tail, freedom / 2, 0.5)
    return math.sqrt(freedom * (1 - x) / x) if x > 0 else math.inf


def t_cdf(point: float, freedom: float) -> float:
    """How probably Student's t lies below a point: the source is that of `t_quantile`."""
    tail = beta_cdf(freedom / (freedom + point * point), freedom / 2, 0.5) / 2
    return 1 - tail if point > 0 else tail


def where(holds: Callable[[float], bool], low: float, high: float) -> float:
    """Where a condition that is false at `low` becomes true on the way to `high`: by halving.

    The end at which it holds is given back, so that rounding falls on the side where the condition is true.
    """
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if holds(middle):
            high = middle
        else:
            low = middle
    return high
