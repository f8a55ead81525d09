"""What guardrails see of two arms, and when they speak: over many seeds, so that risks are measured."""

import random

import msgspec
import pytest

from interlock.config.written import Check
from interlock.measures import MEASURES, is_open, measure, read
from interlock.rollout.plan import Verdict
from interlock.rollout.watch import Watch, overall
from interlock.types.labels import Arm


def ended(**fields):
    """A request that has ended well after 100 ms for $0.01, but for these fields."""
    attempt = {
        "provider": "alpha",
        "model": "gpt",
        "outcome": "ok",
        "started_at": "2026-11-26T09:00:00Z",
        "latency_ms": 90.0,
        "output_tokens": 20,
    }
    given = {
        "status": "ok",
        "attempts": [{**attempt, **fields.pop("attempt", {})}],
        "cost_usd": 0.01,
        "budgets_used": {"deadline_ms": 100.0},
        **fields,
    }
    return read(msgspec.json.encode(given))


OK = ended()
FAILED = ended(status="failed", error="upstream_failed: x")
JSON = {"checks": ["json_schema of the request"]}
VALID = ended(attempt={"validation": {"verdict": "passed", **JSON}})
INVALID = ended(
    attempt={"validation": {"verdict": "failed", "violations": ["json_schema: /a is missing"], **JSON}}
)


def run(rate, base, check, seed, most, *, weight=0.5, steps=3, every=25):
    """Errors by chance at these rates, looked at again and again: the verdict, and how many of the canary."""
    draw = random.Random(seed)
    watch = Watch((check,), steps)
    for count in range(1, most + 1):
        arm: Arm = "canary" if draw.random() < weight else "stable"
        watch.add(arm, FAILED if draw.random() < (rate if arm == "canary" else base) else OK)
        if count % every == 0:
            verdict, _ = overall(watch.findings(weight))
            if verdict != "undecided":
                return verdict, watch.requests["canary"]
    return "undecided", watch.requests["canary"]


ERRORS = Check(metric="error_rate", rise_at_most=0.01)


def test_o6_two_equal_arms_are_called_a_breach_no_more_often_than_stated():
    """At the edge of the null. A thousand seeds: `tests/stats/test_sequential.py`."""
    edge = Check(metric="error_rate", rise_at_most=0.0)
    false = sum(run(0.05, 0.05, edge, seed, 600, steps=1, every=50)[0] == "breach" for seed in range(60))
    assert false <= 3


def test_o6_a_canary_with_five_more_errors_in_a_hundred_is_aborted_within_4000_of_its_requests():
    """N, stated in the docs: base 2 %, margin 1 %, a plan of three steps, half of the traffic."""
    found = [run(0.07, 0.02, ERRORS, seed, 8_000, every=100) for seed in range(40)]
    assert all(verdict == "breach" for verdict, _ in found)
    assert max(count for _, count in found) <= 4_000


def test_o6_a_canary_that_is_no_worse_holds_and_doubt_is_neither():
    loose = Check(metric="error_rate", rise_at_most=0.05)
    assert [run(0.02, 0.02, loose, seed, 4_000)[0] for seed in range(10)] == ["holds"] * 10
    assert run(0.02, 0.02, loose, 1, 50)[0] == "undecided"
    assert overall(Watch((loose,), 1).findings(0.5))[0] == "undecided"


@pytest.mark.parametrize("margin", [0.25])
@pytest.mark.parametrize(("factor", "expected"), [(1.0, "holds"), (2.0, "breach")])
def test_a_slow_canary_is_told_from_an_equal_one_by_its_95th_percentile(factor, margin, expected):
    draw = random.Random(3)
    watch = Watch((Check(metric="latency_p95_ms", rise_at_most=margin),), 1)
    for _ in range(12_000):
        arm: Arm = "canary" if draw.random() < 0.5 else "stable"
        latency = draw.lognormvariate(5, 0.3) * (factor if arm == "canary" else 1)
        watch.add(arm, ended(budgets_used={"deadline_ms": latency}))
    (finding,) = watch.findings(0.5)
    assert finding.verdict == expected, finding
    assert finding.value == pytest.approx(243 * factor, rel=0.06)


def test_equal_latencies_are_called_a_breach_no_more_often_than_stated():
    false = 0
    for seed in range(100):
        draw = random.Random(seed)
        watch = Watch((Check(metric="latency_p95_ms", rise_at_most=0.0),), 1)
        spoken = False
        for count in range(600):
            arm: Arm = "canary" if draw.random() < 0.5 else "stable"
            watch.add(arm, ended(budgets_used={"deadline_ms": draw.lognormvariate(5, 0.5)}))
            spoken = spoken or (count % 60 == 0 and watch.findings(0.5)[0].verdict == "breach")
        false += spoken
    assert false <= 5


@pytest.mark.parametrize(("factor", "expected"), [(1.0, "holds"), (2.0, "breach")])
def test_a_dear_canary_is_told_from_an_equal_one(factor, expected):
    draw = random.Random(5)
    watch = Watch((Check(metric="cost_per_request", rise_at_most=0.5),), 1)
    for _ in range(6_000):
        arm: Arm = "canary" if draw.random() < 0.5 else "stable"
        cost = draw.uniform(0.5, 1.5) * (factor if arm == "canary" else 1)
        watch.add(arm, ended(cost_usd=cost))
    (finding,) = watch.findings(0.5)
    assert finding.verdict == expected, finding
    assert finding.value is not None
    assert finding.value == pytest.approx(factor, rel=0.05)
    assert finding.low is not None
    assert finding.high is not None
    assert finding.low < factor - 1 < finding.high


CASES = [
    ("error_rate", FAILED, 1.0),
    ("error_rate", OK, 0.0),
    ("abort_rate", ended(status="cancelled"), 1.0),
    ("fallback_rate", ended(fallbacks_taken=["b"]), 1.0),
    ("schema_valid", OK, None),
    ("schema_valid", INVALID, 0.0),
    ("schema_valid", VALID, 1.0),
    ("refusal_rate", ended(attempt={"refused": True}), 1.0),
    ("refusal_rate", FAILED, None),
    ("cut_rate", ended(attempt={"finish": "length"}), 1.0),
    ("cut_rate", ended(attempt={"finish": "stop"}), 0.0),
    ("cut_rate", FAILED, None),
    ("latency_p95_ms", OK, 100.0),
    ("latency_p95_ms", FAILED, None),
    ("cost_per_request", ended(cost_usd=None), None),
    ("output_tokens_per_request", OK, 20.0),
    ("output_tokens_per_request", ended(attempt={"output_tokens": None}), None),
    ("tool_calls_per_request", ended(attempt={"tool_calls": 2}), 2.0),
    (
        "denied_tool_calls_per_request",
        ended(attempt={"violations": ["tools_denied: x", "schema: y", "max_tool_calls: z"]}),
        2.0,
    ),
]


@pytest.mark.parametrize(("metric", "one", "value"), CASES)
def test_each_measure_reads_its_number_and_unknown_is_none(metric, one, value):
    assert MEASURES[metric].value(measure(one)) == value


def test_overrides_are_counted_as_feedback_comes():
    watch = Watch((Check(metric="override_rate", at_most=0.1),), 1)
    for _ in range(200):
        watch.add("canary", OK)
    watch.late("override_rate", {"canary": 60})
    (finding,) = watch.findings(0.5)
    assert (finding.verdict, finding.value, finding.n) == ("breach", 0.3, 200)


@pytest.mark.parametrize(
    ("check", "values", "expected"),
    [
        (Check(metric="error_rate", at_most=0.1), [FAILED] * 30, "breach"),
        (Check(metric="error_rate", at_most=0.1), [OK] * 100, "holds"),
        (
            Check(metric="schema_valid", at_least=0.9),
            [INVALID] * 30,
            "breach",
        ),
        (
            Check(metric="schema_valid", at_least=0.9),
            [VALID] * 100,
            "holds",
        ),
        (Check(metric="latency_p95_ms", at_most=50), [OK] * 30, "breach"),
        (Check(metric="latency_p95_ms", at_most=200), [OK] * 200, "holds"),
        (Check(metric="cost_per_request", at_most=0.001), [OK] * 200, "breach"),
        (Check(metric="cost_per_request", at_most=0.015), [OK] * 300, "holds"),
        (Check(metric="schema_valid", at_least=0.9), [OK] * 100, "undecided"),
    ],
)
def test_a_bound_of_the_candidate_alone_is_kept_or_not(check, values, expected):
    watch = Watch((check,), 1)
    for one in values:
        watch.add("canary", one)
    verdict: Verdict = watch.findings(1.0)[0].verdict
    assert verdict == expected


def test_a_refusal_by_policy_and_a_dry_run_are_no_requests_of_an_arm():
    watch = Watch((ERRORS,), 1)
    for status in ("denied", "dry_run"):
        watch.add("canary", ended(status=status))
    assert watch.requests["canary"] == 0
    assert is_open(ended(status="failed", attempts=[], budgets_used={}))
