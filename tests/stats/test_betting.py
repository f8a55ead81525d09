"""Differences of pairs: how often equal ones are called unequal, and how few are needed to tell."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.stats.betting import against_at_least, against_at_most, span
from interlock.stats.sequential import enough

COUNTS = st.dictionaries(
    st.floats(-1, 1).map(lambda value: round(value, 3)), st.integers(1, 200), min_size=1, max_size=6
)


def crosses(seed, *, worse, better, bound, most, alpha=0.05):
    """After how many pairs "the mean is at least `bound`" is ruled out, looked at after each; None: never."""
    draw = random.Random(seed)
    counts: dict[float, int] = {}
    for place in range(1, most + 1):
        chance = draw.random()
        value = -1.0 if chance < worse else 1.0 if chance < worse + better else 0.0
        counts[value] = counts.get(value, 0) + 1
        if against_at_least(counts, bound) >= enough(alpha):
            return place
    return None


@pytest.mark.parametrize(("worse", "better"), [(0.05, 0.0), (0.3, 0.25), (0.1, 0.05)])
def test_pairs_at_the_bound_are_ruled_out_no_more_often_than_stated(worse, better):
    """300 seeds each: 15 are expected at most, and 26 are three standard deviations more."""
    found = [crosses(seed, worse=worse, better=better, bound=-0.05, most=300) for seed in range(300)]
    assert sum(one is not None for one in found) <= 26


def test_pairs_that_agree_need_about_a_hundred_to_show_that_nothing_drops_by_a_twentieth():
    assert against_at_most({0.0: 130}, -0.05) >= enough(0.05)
    assert against_at_most({0.0: 60}, -0.05) < enough(0.05)


@given(COUNTS)
def test_the_span_has_the_mean_in_it_and_lies_between_the_largest_differences_there_can_be(counts):
    mean = sum(value * count for value, count in counts.items()) / sum(counts.values())
    low, high = span(counts, 0.05)
    assert -1 <= low <= mean + 1e-5
    assert mean - 1e-5 <= high <= 1


@given(COUNTS, st.floats(-1, 1), st.floats(-1, 1))
def test_a_higher_bound_is_harder_to_rule_out_from_below(counts, one, other):
    low, high = sorted((one, other))
    assert against_at_most(counts, low) >= against_at_most(counts, high) - 1e-9
    assert against_at_least(counts, high) >= against_at_least(counts, low) - 1e-9


@given(COUNTS, st.floats(-1, 1))
def test_turned_round_it_says_the_same_of_the_other_side(counts, bound):
    turned = {-value: count for value, count in counts.items()}
    assert against_at_least(counts, bound) == pytest.approx(against_at_most(turned, -bound))
