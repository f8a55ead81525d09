"""What is said beforehand about how long a sequential test takes holds, and errs on one side."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.stats.planning import decided_within, likely_counts
from interlock.stats.sequential import Tally, against_no_more, enough


@given(st.integers(0, 400), st.floats(0, 1), st.sampled_from([0.001, 0.01, 0.2]))
def test_likely_counts_are_in_order_and_hold_the_mean_of_the_middle(n, rate, risk):
    low, high = likely_counts(n, rate, risk)
    assert 0 <= low <= high <= n
    assert low - 1 <= n * rate <= high + 1


def test_likely_counts_leave_out_no_more_than_the_risk():
    """A fair coin 10 times: 0 and 1 heads together have 11 chances in 1,024."""
    assert likely_counts(10, 0.5, 11.5 / 1024) == (2, 8)
    assert likely_counts(10, 0.5, 10.5 / 1024) == (1, 9)
    assert likely_counts(10, 1.0, 0.01) == (10, 10)
    assert likely_counts(10, 0.0, 0.01) == (0, 0)
    assert likely_counts(0, 0.3, 0.01) == (0, 0)


def speaks(new: Tally, old: Tally) -> bool:
    return against_no_more(new, old, lambda mean: mean + 0.1) >= enough(0.01)


@pytest.mark.parametrize(("new", "old", "share"), [(1.0, 0.0, 0.5), (0.6, 0.05, 0.5), (0.8, 0.0, 0.2)])
def test_a_test_has_spoken_by_the_number_that_is_said_as_often_as_is_said(new, old, share):
    stated = decided_within(speaks, new, old, share, 0.95)
    assert stated is not None
    late = needed = 0
    for seed in range(200):
        took = requests_until_spoken(random.Random(seed), new, old, share, stated)
        late += took is None
        needed += took or stated
    assert late <= 0.05 * 200
    assert stated <= 4 * needed / 200, "a number that is far too large would help nobody"


def requests_until_spoken(draw: random.Random, new: float, old: float, share: float, most: int) -> int | None:
    ours, theirs = Tally(), Tally()
    for count in range(1, most + 1):
        if draw.random() < share:
            ours = ours.plus(float(draw.random() < new))
        else:
            theirs = theirs.plus(float(draw.random() < old))
        if speaks(ours, theirs):
            return count
    return None


def test_what_the_bound_allows_is_never_decided_against():
    assert decided_within(speaks, 0.05, 0.05, 0.5, 0.9) is None


def test_to_be_surer_takes_more():
    numbers = [decided_within(speaks, 0.7, 0.1, 0.5, chance) for chance in (0.5, 0.9, 0.99, 0.9999)]
    known = [number for number in numbers if number is not None]
    assert known == sorted(set(known))
    assert len(known) == 4
