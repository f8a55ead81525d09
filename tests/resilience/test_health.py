"""What headers say, and what a target's health makes of it."""

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from interlock.config.written import Breaker, Limits, Resilience
from interlock.resilience.health import Health, TargetHealth
from interlock.resilience.learned import LONGEST_S, UNSAID_S, peace_s, rest_s

DATE = {"date": "Thu, 26 Nov 2026 10:00:00 GMT"}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0),
        ({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "9s"}, 0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "9s"}, 9),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "120ms"}, 0.12),
        (
            {
                "x-ratelimit-remaining-requests": "9",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "6m0s",
            },
            60,
        ),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-reset-requests": "1m0s",
            },
            1,
        ),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "soon"}, 0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "nan"}, 0),
        ({"x-ratelimit-remaining-requests": "0"}, 0),
        (
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-limit": "4",
                "anthropic-ratelimit-requests-reset": "2026-11-26T10:00:20Z",
                **DATE,
            },
            5,
        ),
        (
            {
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-input-tokens-reset": "2026-11-26T10:00:20Z",
            },
            0,
        ),
    ],
)
def test_u5_the_rest_that_headers_ask_for(headers, seconds):
    assert rest_s(headers) == pytest.approx(seconds)


@for_all(
    st.dictionaries(st.sampled_from(["x-ratelimit-limit-requests", "x-ratelimit-reset-requests"]), st.text())
)
def test_u5_no_header_keeps_a_target_out_for_longer_than_a_minute(headers):
    assert 0 <= rest_s({"x-ratelimit-remaining-requests": "0", **headers}) <= LONGEST_S


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
