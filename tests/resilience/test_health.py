"""What a target's and an account's health make of what happens to them."""

import pytest

from interlock.config.written import Breaker, Limits, Resilience
from interlock.resilience.health import Health, TargetHealth
from interlock.resilience.learned import LONGEST_S, UNSAID_S, peace_s


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [(None, UNSAID_S), (7, 7), (-5, UNSAID_S), (1e9, LONGEST_S), (float("nan"), UNSAID_S), (0, 0)],
)
def test_u5_the_peace_after_a_429(asked, seconds):
    assert peace_s(asked) == seconds


def test_u5_a_target_that_is_cooled_is_not_broken():
    health = TargetHealth(Breaker())
    for now in range(20):
        health.cool(now, 5)
    refusal = health.refuses(20)
    assert refusal is not None
    assert (refusal.kind, refusal.wait_s) == ("cooled", 4)
    assert health.refuses(24) is None
    assert health.breaker.open_until is None


def test_a_shorter_wait_does_not_end_a_longer_one():
    health = TargetHealth(Breaker())
    health.cool(0, 30)
    health.cool(1, 2)
    refusal = health.refuses(2)
    assert refusal is not None
    assert refusal.wait_s == 28


def test_a_reload_keeps_what_is_known_and_takes_the_new_rules():
    health = Health()
    old = health.target("http://a/v1", "m", Resilience())
    old.cool(0, 30)
    fewer = Resilience(breaker=Breaker(failures=2))
    assert health.target("http://a/v1", "m", fewer) is old
    assert old.breaker.rules.failures == 2
    assert health.target("http://b/v1", "m", fewer) is not old
    upstream = health.upstream("p", Resilience(), None)
    assert upstream.throttle is None
    health.upstream("p", Resilience(), Limits(concurrency=2))
    throttle = upstream.throttle
    assert throttle is not None
    health.upstream("p", Resilience(), Limits(concurrency=2))
    assert upstream.throttle is throttle
    health.upstream("p", Resilience(), Limits(concurrency=3))
    assert upstream.throttle is not throttle
