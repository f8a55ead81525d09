"""Leases: one acts at a time, the next when it is over, and no clock that was wrong once holds them up."""

import pytest

from interlock.store import Store, rollouts
from interlock.store.rollouts import Fenced

TTL = 5_000_000
HOUR = 3_600_000_000


@pytest.fixture
def take(tmp_path):
    store = Store.open(tmp_path / "interlock.db", now=lambda: 0)
    yield lambda holder, now, ttl=TTL: store.writer.run(lambda db: rollouts.take_lease(db, holder, ttl, now))
    store.close()


def test_a_lease_is_somebody_elses_until_it_is_over_and_its_holder_keeps_it(take):
    assert take("a", HOUR) == 1
    assert take("b", HOUR) is None
    assert take("b", HOUR + TTL - 1) is None
    assert take("a", HOUR + TTL - 1) == 1
    assert take("b", HOUR + TTL) is None
    assert take("b", HOUR + 2 * TTL) == 2


def test_p4_a_lease_taken_while_the_clock_was_ahead_is_over_when_it_is_set_right(take):
    assert take("a", 2 * HOUR) == 1
    assert take("b", HOUR) == 2
    assert take("a", HOUR) is None


def test_p4_whoever_held_a_lease_from_before_the_clock_was_set_back_keeps_it_or_is_fenced_off(tmp_path):
    store = Store.open(tmp_path / "interlock.db", now=lambda: 0)
    try:

        def run(work):
            return store.writer.run(work)

        old = run(lambda db: rollouts.take_lease(db, "a", TTL, 2 * HOUR))
        assert run(lambda db: rollouts.take_lease(db, "a", TTL, HOUR)) == old, "the holder comes first"
        assert run(lambda db: rollouts.take_lease(db, "b", TTL, HOUR)) is None
        assert run(lambda db: rollouts.take_lease(db, "b", TTL, HOUR - TTL)) == old + 1
        with pytest.raises(Fenced):
            run(lambda db: rollouts.check_token(db, old))
    finally:
        store.close()


def test_a_lease_that_is_given_up_is_nobodys_and_only_ones_own_can_be(take):
    assert take("a", HOUR) == 1
    assert take("b", HOUR, 0) is None
    assert take("b", HOUR) is None, "it is still that of `a`"
    assert take("a", HOUR, 0) == 1
    assert take("b", HOUR) == 2
