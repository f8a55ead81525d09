"""Comparisons keep their level: by exact enumeration where the outcomes can be counted, by 1,000 seeds
elsewhere.
"""

import math
import random

import pytest

from interlock.stats.many import holm
from interlock.stats.paired import compare_means, compare_rates, compare_scores, power_of_rates

ALPHA = 0.05
SPREAD = 6.5
"""In standard deviations: outcomes further out are too rare to count."""


def chances(n, gain, loss):
    """Every likely (gains, losses) of `n` pairs with its probability."""
    logs = [math.lgamma(count + 1) for count in range(n + 1)]

    def likely(share):
        middle, reach = n * share, SPREAD * math.sqrt(n * share) + 1
        return range(max(0, int(middle - reach)), min(n, int(middle + reach)) + 1)

    def term(count, share):
        return count * math.log(share) if count and share else (-math.inf if count else 0.0)

    for gains in likely(gain):
        for losses in likely(loss):
            same = n - gains - losses
            if same >= 0:
                log = logs[n] - logs[gains] - logs[losses] - logs[same]
                log += term(gains, gain) + term(losses, loss) + term(same, 1 - gain - loss)
                yield gains, losses, math.exp(log)


def how_often(n, gain, loss, margin):
    """How often such pairs pass and fail, exactly."""
    passes = fails = 0.0
    for gains, losses, chance in chances(n, gain, loss):
        found = compare_rates(gains, losses, n, margin, 1 - ALPHA)
        passes += chance * (found.p_pass <= ALPHA)
        fails += chance * (found.p_fail <= ALPHA)
    return passes, fails


@pytest.mark.parametrize("margin", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("n", [40, 100, 200])
def test_a_drop_of_exactly_the_margin_passes_and_fails_no_more_often_than_the_level(n, margin):
    for gain in (0.0, 0.002, 0.01, 0.03, 0.1):
        passes, fails = how_often(n, gain, gain + margin, margin)
        assert passes <= ALPHA, (gain, passes)
        assert fails <= ALPHA, (gain, fails)


@pytest.mark.parametrize(("n", "differing", "margin"), [(200, 0.2, 0.1), (300, 0.1, 0.05), (150, 0.3, 0.1)])
def test_a_drop_of_twice_the_margin_is_found_with_the_power_that_is_stated(n, differing, margin):
    gain = (differing - 2 * margin) / 2
    _, found = how_often(n, max(gain, 0.0), max(gain, 0.0) + 2 * margin, margin)
    stated = power_of_rates(n, differing, margin, 1 - ALPHA)
    assert found >= stated - 0.02
    assert found <= stated + 0.06, "the stated power says too little to plan with"


def test_the_limits_are_where_the_tests_turn():
    found = compare_rates(6, 11, 200, 0.05, 0.95)
    assert found.low is not None
    assert found.high is not None
    assert found.value == -0.025
    assert found.low < -0.025 < found.high
    assert compare_rates(6, 11, 200, -found.low + 1e-6, 0.95).p_pass <= ALPHA
    assert compare_rates(6, 11, 200, -found.low - 1e-3, 0.95).p_pass > ALPHA


def test_pairs_that_never_differ_still_need_enough_cases():
    assert compare_rates(0, 0, 5, 0.02, 0.95).p_pass > ALPHA
    assert compare_rates(0, 0, 200, 0.02, 0.95).p_pass <= ALPHA
    same = [0.25, 0.75] * 10
    assert compare_scores(same, same, 0.02, 0.95).p_pass > ALPHA
    assert compare_scores(same * 20, same * 20, 0.02, 0.95).p_pass <= ALPHA


def test_no_pairs_show_nothing():
    nothing: list[float] = []
    for found in (
        compare_rates(0, 0, 0, 0.1, 0.95),
        compare_scores(nothing, nothing, 0.1, 0.95),
        compare_means(nothing, nothing, 0.1, 0.95),
    ):
        assert (found.value, found.p_pass, found.p_fail) == (None, 1.0, 1.0)


def graded(seed: int, n: int, drop: float) -> tuple[list[float], list[float]]:
    """Scores in quarters: old ones, and new ones that are lower by `drop` on average."""
    draw = random.Random(seed)
    old = [draw.choice((0.5, 0.75, 1.0)) for _ in range(n)]
    new = [score - (0.5 if draw.random() < 2 * drop else 0.0) for score in old]
    return new, old


def test_graded_pairs_at_the_margin_pass_no_more_often_than_the_level_over_1000_seeds():
    passed = sum(compare_scores(*graded(seed, 120, 0.1), 0.1, 0.95).p_pass <= ALPHA for seed in range(1000))
    assert passed <= 50


def test_graded_pairs_that_are_equal_pass_and_those_at_twice_the_margin_fail():
    assert compare_scores(*graded(1, 300, 0.0), 0.1, 0.95).p_pass <= ALPHA
    assert compare_scores(*graded(1, 300, 0.25), 0.1, 0.95).p_fail <= ALPHA


def amounts(seed: int, n: int, factor: float) -> tuple[list[float], list[float]]:
    draw = random.Random(seed)
    old = [draw.lognormvariate(0, 0.4) for _ in range(n)]
    return [value * factor * draw.lognormvariate(-0.02, 0.2) for value in old], old


def test_a_rise_of_exactly_the_margin_passes_no_more_often_than_the_level_over_1000_seeds():
    found = [compare_means(*amounts(seed, 60, 1.1), rise=0.1, confidence=0.95) for seed in range(1000)]
    assert sum(pair.p_pass <= ALPHA for pair in found) <= 50 + 3 * 7  # three standard errors of a count of 50
    assert sum(pair.p_fail <= ALPHA for pair in found) <= 50 + 3 * 7


def test_a_rise_is_relative_and_its_limits_hold_it():
    new, old = amounts(7, 400, 1.25)
    found = compare_means(new, old, 0.1, 0.95)
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.25 < found.high
    assert found.p_fail < 0.001


def test_amounts_that_all_agree_decide_by_their_sign():
    assert compare_means([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], 0.1, 0.95).p_pass == 0.0
    assert compare_means([2.0, 2.0, 2.0], [1.0, 1.0, 1.0], 0.1, 0.95).p_fail == 0.0


def test_holm_multiplies_the_smallest_most_and_keeps_the_order():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert holm([]) == ()
    assert holm([0.9, 0.8]) == (1.0, 1.0)
