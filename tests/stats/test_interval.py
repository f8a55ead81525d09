"""Intervals hold what they state, and say less where less is known."""

import random
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.stats.interval import Interval, of_means, of_quantile, of_rate, of_scores, p_above
from interlock.stats.special import beta_cdf, beta_quantile, t_quantile


class Known(NamedTuple):
    low: float
    value: float
    high: float


def known(found: Interval) -> Known:
    """An interval of which everything is known."""
    assert found.low is not None
    assert found.value is not None
    assert found.high is not None
    return Known(found.low, found.value, found.high)


@pytest.mark.parametrize(
    ("probability", "freedom", "quantile"),
    [(0.95, 9, 1.8331), (0.975, 30, 2.0423), (0.95, 1, 6.3138), (0.05, 9, -1.8331), (0.95, 1e6, 1.6449)],
)
def test_t_quantiles_are_those_of_the_tables(probability, freedom, quantile):
    assert t_quantile(probability, freedom) == pytest.approx(quantile, abs=1e-3)


@given(st.floats(0.01, 0.99), st.floats(0.5, 300), st.floats(0.5, 300))
def test_a_beta_quantile_is_where_its_distribution_reaches_the_probability(probability, a, b):
    assert beta_cdf(beta_quantile(probability, a, b), a, b) == pytest.approx(probability, abs=1e-6)


def test_a_rate_without_a_miss_needs_as_many_cases_as_the_exact_limit_says():
    assert known(of_rate(298, 298, 0.95)).low < 0.99  # 0.99 ** 298 is just above 0.05
    assert known(of_rate(299, 299, 0.95)).low > 0.99


def test_no_values_give_no_interval_and_one_amount_no_ends():
    assert (of_rate(0, 0, 0.95).value, of_scores([], 0.95).value, of_means([], 0.95).value) == (None,) * 3
    one = of_means([3.0], 0.95)
    assert (one.value, one.low, one.high) == (3.0, None, None)


def test_a_percentile_that_the_sample_is_too_small_for_has_no_upper_limit():
    assert of_quantile([1.0, 2.0, 3.0], 0.95, 0.95).high is None
    found = known(of_quantile([float(value) for value in range(1, 201)], 0.95, 0.95))
    assert found.low < found.value == 190 < found.high


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.floats(0.6, 0.99))
def test_an_interval_of_scores_holds_their_mean_and_stays_within_0_and_1(scores, confidence):
    found = known(of_scores(scores, confidence))
    assert 0 <= found.low <= found.value + 1e-9
    assert found.value - 1e-9 <= found.high <= 1


def test_intervals_of_scores_miss_the_true_mean_no_more_often_than_stated():
    """A quarter of the scores is 0, half is 0.5, a quarter is 1: the mean is 0.5. 1,000 seeds."""
    missed = [0, 0]
    for seed in range(1000):
        draw = random.Random(seed)
        scores = draw.choices((0.0, 0.5, 1.0), (1, 2, 1), k=60)
        found = known(of_scores(scores, 0.9))
        missed[0] += found.low > 0.5
        missed[1] += found.high < 0.5
    assert max(missed) <= 100


def test_p_values_of_bets_are_small_only_where_the_scores_say_so():
    scores = [0.9, 0.8, 1.0, 0.7] * 30
    assert p_above(scores, 0.6, 0.95) < 0.001
    assert p_above(scores, 0.95, 0.95) > 0.5
    assert p_above([], 0.5, 0.95) == p_above(scores, 1.0, 0.95) == 1.0
