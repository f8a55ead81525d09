"""How many repeats an upstream gets, and that waits are drawn evenly."""

import math
import random

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from interlock.config.written import RetryBudget as Rules
from interlock.execute.plan import BASE_S, LONGEST_BACKOFF_S, backoff_s
from interlock.resilience.retries import MOST_EARNED, RetryBudget


def test_a_tenth_of_many_calls_may_be_repeated():
    budget = RetryBudget(Rules(ratio=0.1, min_per_s=0))
    granted = 0
    for _ in range(2000):
        budget.earn()
        granted += budget.take(1.0)
    assert granted == pytest.approx(200, abs=1)


def test_little_traffic_may_retry_too():
    budget = RetryBudget(Rules(ratio=0, min_per_s=3))
    assert [budget.take(1.0) for _ in range(4)] == [True, True, True, False]
    assert budget.take(1.4)
    assert not budget.take(1.4)


def test_nothing_may_be_repeated_where_nothing_is_allowed():
    budget = RetryBudget(Rules(ratio=0, min_per_s=0))
    budget.earn()
    assert not budget.take(1000.0)


def test_p4_a_clock_that_goes_back_gives_nothing_away():
    budget = RetryBudget(Rules(ratio=0, min_per_s=1))
    assert budget.take(100.0)
    assert not budget.take(50.0)
    assert not budget.take(50.5)


@for_all(
    st.floats(0, 1),
    st.integers(0, 5),
    st.lists(st.tuples(st.floats(0, 2), st.integers(0, 5), st.integers(0, 5)), max_size=40),
)
def test_no_history_is_granted_more_than_its_share(ratio, floor, steps):
    budget = RetryBudget(Rules(ratio=ratio, min_per_s=floor))
    now, calls, granted = 0.0, 0, 0
    for seconds, firsts, repeats in steps:
        now += seconds
        for _ in range(firsts):
            budget.earn()
        calls += firsts
        granted += sum(budget.take(now) for _ in range(repeats))
        assert granted <= ratio * calls + floor * (now + 1) + 1e-6
        assert granted <= ratio * MOST_EARNED + ratio * calls + floor * (now + 1) + 1e-6


def test_u3_waits_are_spread_evenly():
    """Kolmogorov and Smirnov's test on a thousand waits: full jitter, not a little of it."""
    drawn = random.Random(7)
    waits = sorted(backoff_s(BASE_S, 2, drawn.random()) / (BASE_S * 4) for _ in range(1000))
    distance = max(abs(wait - rank / 1000) for rank, wait in enumerate(waits))
    assert distance < 1.63 / math.sqrt(1000)


@for_all(st.integers(0, 500), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_never_longer_than_its_cap(repeats, draw):
    assert 0 <= backoff_s(BASE_S, repeats, draw) <= LONGEST_BACKOFF_S
