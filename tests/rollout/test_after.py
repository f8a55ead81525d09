"""Guardrails after a rollout: silent while a version is what it was, and soon heard when it is not."""

import random

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlock.config.written import Check
from interlock.measures import read
from interlock.rollout.after import WINDOWS, After, add, add_late, look
from tests.rollout.test_watch import FAILED, INVALID, OK, VALID, ended

ERRORS = Check(metric="error_rate", rise_at_most=0.02)
TOKENS = Check(metric="output_tokens_per_request", rise_at_most=0.25)
BASELINE = 1_000


def follow(checks, requests, *, every=50, baseline=BASELINE):
    """Feed requests to a watch, looked at again and again: what was heard, and after which request."""
    after, heard = After(), []
    for count, one in enumerate(requests, 1):
        add(after, checks, one, baseline)
        if count % every == 0:
            looked = look(after, checks)
            heard += [(count, "breach", finding) for finding in looked.breached]
            heard += [(count, "recovered", finding) for finding in looked.recovered]
    return after, heard


def errors(draw, rate, count):
    return [FAILED if draw.random() < rate else OK for _ in range(count)]


def tokens(draw, mean, count):
    return [ended(attempt={"output_tokens": round(draw.uniform(0.5, 1.5) * mean)}) for _ in range(count)]


def test_a_version_that_stays_at_the_edge_of_its_bound_is_called_a_breach_no_more_often_than_stated():
    edge = Check(metric="error_rate", rise_at_most=0.0)
    false = 0
    for seed in range(60):
        draw = random.Random(seed)
        _, heard = follow((edge,), errors(draw, 0.05, 4_000), every=100)
        false += any(kind == "breach" for _, kind, _ in heard)
    assert false <= 3


def test_a_change_that_comes_late_is_found_within_a_thousand_requests():
    """N, stated in the docs: from 2 to 12 errors in a hundred, a bound of 0.02, after 20,000 good ones."""
    for seed in range(3):
        draw = random.Random(seed)
        good, bad = errors(draw, 0.02, BASELINE + 20_000), errors(draw, 0.12, 1_000)
        _, heard = follow((ERRORS, TOKENS), [*good, *bad], every=100)
        breaches = [(count, finding) for count, kind, finding in heard if kind == "breach"]
        assert [count > len(good) for count, _ in breaches] == [True]
        finding = breaches[0][1]
        assert finding.metric == "error_rate"
        assert finding.value is not None
        assert finding.baseline is not None
        assert finding.low is not None
        assert finding.value > finding.baseline + 0.02
        assert finding.low > 0.02


def test_verbosity_that_creeps_up_is_found_because_the_past_is_frozen():
    draw = random.Random(2)
    requests = tokens(draw, 100, BASELINE + 2_000)
    for step in range(1, 17):
        requests += tokens(draw, 100 + 5 * step, 1_500)
    _, heard = follow((TOKENS,), requests, every=100)
    (count, kind, finding) = heard[0]
    assert (kind, finding.metric) == ("breach", "output_tokens_per_request")
    assert finding.baseline == pytest.approx(100, rel=0.05)
    assert finding.value is not None
    assert finding.value > 125
    assert count > BASELINE + 2_000 + 5 * 1_500


def test_a_breach_is_told_once_and_its_end_when_what_came_after_holds():
    draw = random.Random(4)
    check = Check(metric="error_rate", rise_at_most=0.05)
    requests = [*errors(draw, 0.02, BASELINE), *errors(draw, 0.4, 4_000), *errors(draw, 0.02, 6_000)]
    after, heard = follow((check,), requests)
    assert [kind for _, kind, _ in heard] == ["breach", "recovered"]
    assert heard[0][0] < BASELINE + 1_000
    assert heard[1][0] > BASELINE + 4_000
    assert after.breached == {}


@pytest.mark.parametrize("metric", ["error_rate", "output_tokens_per_request", "latency_p95_ms"])
def test_a_bound_of_the_version_by_itself_is_kept_from_its_first_requests_on(metric):
    bound = {"error_rate": 0.2, "output_tokens_per_request": 10, "latency_p95_ms": 50}[metric]
    check = Check(metric=metric, at_most=bound)
    bad = FAILED if metric == "error_rate" else OK
    _, heard = follow((check,), [bad] * 400, every=10)
    ((count, kind, finding),) = heard
    assert (kind, finding.metric) == ("breach", metric)
    assert count < 350


def test_a_bound_of_the_version_by_itself_takes_no_more_risk_for_it():
    edge, false = Check(metric="error_rate", at_most=0.05), 0
    for seed in range(60):
        draw = random.Random(seed)
        _, heard = follow((edge,), errors(draw, 0.05, 2_500), every=50)
        false += bool(heard)
    assert false <= 3


def test_nothing_is_said_before_the_past_is_known():
    after, heard = follow((ERRORS,), [FAILED] * BASELINE)
    assert heard == []
    assert after.findings[0].verdict == "undecided"


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (Check(metric="schema_valid", drop_at_most=0.05), VALID, INVALID),
        (Check(metric="refusal_rate", rise_at_most=0.05), OK, ended(attempt={"refused": True})),
        (Check(metric="fallback_rate", rise_at_most=0.05), OK, ended(fallbacks_taken=["small"])),
        (Check(metric="abort_rate", at_most=0.05), OK, ended(status="cancelled")),
        (Check(metric="tool_calls_per_request", rise_at_most=0.5), OK, ended(attempt={"tool_calls": 3})),
        (
            Check(metric="denied_tool_calls_per_request", rise_at_most=0.1),
            OK,
            ended(attempt={"violations": ["tools_denied: deploy"]}),
        ),
        (Check(metric="cost_per_request", rise_at_most=0.2), OK, ended(cost_usd=0.02)),
        (Check(metric="latency_p95_ms", rise_at_most=0.25), OK, ended(budgets_used={"deadline_ms": 300.0})),
        (TOKENS, OK, ended(attempt={"output_tokens": 60})),
        (ERRORS, OK, FAILED),
    ],
    ids=lambda value: value.metric if isinstance(value, Check) else "",
)
def test_every_measure_is_watched_and_a_change_of_it_is_heard(check, good, bad):
    _, heard = follow((check,), [*[good] * (BASELINE + 1_500), *[bad] * 1_500])
    assert [(kind, finding.metric) for _, kind, finding in heard] == [("breach", check.metric)]
    assert heard[0][0] > BASELINE + 1_500


def test_feedback_that_comes_later_is_set_against_the_answers_of_its_time():
    check = Check(metric="override_rate", rise_at_most=0.05)
    after, noted, heard = After(), 0, []
    for look_number in range(120):
        for _ in range(50):
            add(after, (check,), OK, BASELINE)
        noted += 1 if look_number < 60 else 10
        add_late(after, (check,), {"override_rate": noted}, BASELINE)
        heard += [(look_number, finding) for finding in look(after, (check,)).breached]
    ((number, finding),) = heard
    assert number > 60
    assert finding.baseline == pytest.approx(0.02)
    assert after.late["override_rate"] == noted


def test_what_has_been_seen_survives_its_own_encoding_and_goes_on_as_if_nothing_had_been():
    draw = random.Random(6)
    requests = [*errors(draw, 0.02, BASELINE + 3_000), *errors(draw, 0.2, 600)]
    checks = (ERRORS, TOKENS, Check(metric="latency_p95_ms", rise_at_most=0.25))
    whole, _ = follow(checks, requests)
    halves = After()
    for count, one in enumerate(requests, 1):
        add(halves, checks, one, BASELINE)
        if count % 50 == 0:
            look(halves, checks)
            halves = msgspec.json.decode(msgspec.json.encode(halves), type=After)
    assert msgspec.json.encode(halves) == msgspec.json.encode(whole)
    assert len(msgspec.json.encode(whole)) < 20_000


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=30)
@given(st.lists(st.booleans(), max_size=4_000))
def test_a_window_counts_what_came_since_it_began_and_no_window_is_larger_than_its_size(failed):
    after = After()
    for one in failed:
        add(after, (ERRORS,), FAILED if one else OK, 200)
    line = after.lines.get("error_rate")
    late = failed[200:]
    for size, window in zip(WINDOWS, line.windows if line else (), strict=line is not None):
        assert window.n <= size
        assert (window.number - 1) * size + window.n == len(late)
        assert window.total == sum(late[len(late) - window.n :])


def test_a_guardrail_that_is_no_longer_configured_is_breached_no_more():
    after, _ = follow((ERRORS,), [*[OK] * BASELINE, *[FAILED] * 500])
    assert [*after.breached] == ["error_rate rise_at_most 0.02"]
    look(after, ())
    assert after.breached == {}
    assert read(b'{"status": "ok"}').status == "ok"
