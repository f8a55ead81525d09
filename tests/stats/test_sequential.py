"""Evidence that may be looked at always: its risk over many seeds, its limits, its edges."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.stats.sequential import (
    Tally,
    against,
    against_at_least,
    against_at_most,
    against_no_less,
    against_no_more,
    enough,
    limits,
)

ALPHA = 0.05
SEEDS = 1000


def equal(mean):
    return mean


def by(margin):
    return lambda mean: mean + margin


def relative(margin):
    return lambda mean: mean * (1 + margin)


def ever_above(seed, rate, weight, most, every):
    """Whether two equal arms are ever told apart, looked at again and again."""
    draw = random.Random(seed)
    counts = {True: [0, 0], False: [0, 0]}
    for count in range(1, most + 1):
        arm = counts[draw.random() < weight]
        arm[0] += draw.random() < rate
        arm[1] += 1
        if count % every == 0:
            new, old = (Tally(float(counts[side][0]), counts[side][1]) for side in (True, False))
            if against_no_more(new, old, equal) >= enough(ALPHA):
                return True
    return False


@pytest.mark.parametrize(("rate", "weight"), [(0.05, 0.5), (0.3, 0.1)])
def test_o6_over_a_thousand_seeds_equal_arms_are_told_apart_no_more_often_than_alpha(rate, weight):
    false = sum(ever_above(seed, rate, weight, 600, 20) for seed in range(SEEDS))
    assert false <= ALPHA * SEEDS


def test_the_risk_of_one_arm_against_a_number_is_alpha_too():
    false = 0
    for seed in range(SEEDS):
        draw, total = random.Random(seed), 0.0
        for count in range(1, 401):
            total += draw.random() < 0.1
            if against_at_most(Tally(total, count), 0.1) >= enough(ALPHA):
                false += 1
                break
    assert false <= ALPHA * SEEDS


def test_values_between_0_and_1_keep_the_risk():
    false = 0
    for seed in range(SEEDS):
        draw, total = random.Random(seed), 0.0
        for count in range(1, 301):
            total += draw.betavariate(0.3, 1.2)
            if against_at_most(Tally(total, count), 0.2) >= enough(ALPHA):
                false += 1
                break
    assert false <= ALPHA * SEEDS


tallies = st.integers(1, 400).flatmap(
    lambda n: st.floats(0, 1).map(lambda share: Tally(round(share * n, 6), n))
)


@given(tallies, tallies, st.floats(-0.5, 0.5))
@settings(max_examples=200, deadline=None)
def test_the_evidence_against_a_region_is_no_more_than_against_any_point_of_it(new, old, margin):
    more, less = against_no_more(new, old, by(margin)), against_no_less(new, old, by(margin))
    for step in range(21):
        p = step / 20
        for q in (p + margin, p + margin - 0.2, p + margin + 0.2):
            if not 0 <= q <= 1:
                continue
            point = against(new, q) + against(old, p)
            if q <= p + margin:
                assert more <= point + 0.05
            if q >= p + margin:
                assert less <= point + 0.05


@given(tallies, tallies)
@settings(max_examples=50, deadline=None)
def test_limits_hold_the_difference_that_was_seen(new, old):
    low, high = limits(new, old, by, -1.0, 1.0, ALPHA)
    seen = new.total / new.n - old.total / old.n
    assert low - 1e-3 <= seen <= high + 1e-3
    assert -1 <= low <= high <= 1


def test_limits_close_in_as_data_come():
    widths = []
    for n in (100, 1_000, 10_000):
        low, high = limits(Tally(0.06 * n, n), Tally(0.02 * n, n), by, -1.0, 1.0, ALPHA)
        widths.append(high - low)
    assert widths[0] > widths[1] > widths[2]
    assert widths[2] < 0.03


def test_a_rise_by_a_share_is_found_and_ruled_out():
    old = Tally(2_000.0, 10_000)
    assert against_no_more(Tally(3_000.0, 10_000), old, relative(0.2)) > enough(0.01)
    assert against_no_less(Tally(2_000.0, 10_000), old, relative(0.2)) > enough(0.01)
    assert against_no_more(Tally(2_100.0, 10_000), old, relative(0.2)) < 0


def test_without_data_there_is_no_evidence():
    empty = Tally()
    assert empty.mean is None
    assert against(empty, 0.3) == pytest.approx(0)
    assert against_no_more(empty, Tally(3, 10), by(0.1)) < enough(0.5)
    assert against_at_least(empty, 0.9) == pytest.approx(0)
    assert against_at_most(empty, 0.1) == pytest.approx(0)


def test_what_cannot_be_is_ruled_out_at_once():
    assert against(Tally(1, 1), 0.0) == math.inf
    assert against(Tally(0, 1), 1.0) == math.inf
    assert against_at_most(Tally(1, 1), 0.0) == math.inf
