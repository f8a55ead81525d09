"""What one finished record says, by the names that guardrails use."""

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import given as for_all
from hypothesis import strategies as st

from interlock.live.figures import Tally, spread
from interlock.live.routes import is_traffic, route_key
from interlock.measures import MEASURES, is_open, measure
from interlock.types.record import Attempt, Record, Validation
from tests.live.given import AT, attempt, decision, record

JSON = "json_schema of the request"


def test_an_answered_request_has_every_figure_that_is_known():
    found = measure(record(attempts=(attempt(ttft_ms=80.0, tool_calls=2),)))
    assert (found.failed, found.aborted, found.fallback, found.overridden, found.refused) == (False,) * 5
    assert (found.latency_ms, found.ttft_ms, found.cost_usd) == (120.0, 80.0, 0.01)
    assert (found.input_tokens, found.output_tokens, found.tool_calls, found.denied_tool_calls) == (
        10,
        5,
        2,
        0,
    )
    assert found.schema_valid is None


def test_a_count_that_nobody_knows_stays_unknown_and_a_known_one_is_summed():
    unknown = attempt(outcome="timeout", input_tokens=None, output_tokens=None)
    assert measure(record(status="failed", attempts=(unknown,))).input_tokens is None
    assert measure(record(attempts=(unknown, attempt()))).input_tokens == 10
    assert measure(record(attempts=(unknown,), cost_usd=None)).cost_usd is None


@pytest.mark.parametrize(
    ("status", "failed", "aborted", "waited"),
    [
        ("ok", False, False, 120.0),
        ("failed", True, False, None),
        ("cancelled", False, True, 120.0),
        ("denied", None, None, None),
    ],
)
def test_a_denial_says_nothing_of_a_route_and_a_failure_nothing_of_how_long_an_answer_takes(
    status, failed, aborted, waited
):
    found = measure(record(status=status, attempts=(attempt(),)))
    assert (found.failed, found.aborted, found.latency_ms) == (failed, aborted, waited)


def test_a_model_that_stood_in_is_a_fallback_of_the_route_that_was_decided():
    one = record(attempts=(attempt(outcome="timeout"), attempt(model="small")), fallbacks_taken=("small",))
    assert route_key(one).model == "gpt"
    assert measure(one).fallback is True
    assert measure(record(status="denied", attempts=())).fallback is None


@pytest.mark.parametrize("kind", ["edit", "reask", "escalate"])
def test_feedback_that_names_an_override_counts_as_one(kind):
    assert measure(record(outcome={"override": kind})).overridden is True
    assert measure(record(outcome={"success": False})).overridden is False
    assert measure(record(status="failed", outcome={"override": kind})).overridden is None


@pytest.mark.parametrize(
    ("checks", "violations", "valid"),
    [
        ((), (), None),
        (("tool_calls",), ("tool_arguments: no JSON",), None),
        ((JSON,), (), True),
        ((JSON,), ("json_schema: the answer is not JSON, as the request asks",), False),
        ((JSON,), (f"{JSON}: the answer was cut before it was complete",), None),
        (("json of the lane x",), (), True),
    ],
)
def test_schema_validity_speaks_only_of_answers_that_a_schema_has_judged(checks, violations, valid):
    verdict = Validation(verdict="unchecked", checks=checks, violations=violations)
    assert measure(record(attempts=(attempt(validation=verdict),))).schema_valid is valid


def test_an_invalid_answer_counts_although_a_fallback_made_it_good():
    bad = Validation(verdict="failed", checks=(JSON,), violations=("json_schema: /a is missing",))
    good = Validation(verdict="passed", checks=(JSON,))
    tried = (attempt(outcome="schema_invalid", validation=bad), attempt(model="small", validation=good))
    assert measure(record(attempts=tried)).schema_valid is False


def test_withheld_tool_calls_are_counted_and_calls_that_wait_for_a_human_are_not():
    lines = ("tools_denied: the model called `deploy`", "approval: a call of `wire` needs approval")
    assert measure(record(attempts=(attempt(violations=lines),))).denied_tool_calls == 1


def test_dry_runs_counts_and_evals_are_no_traffic():
    assert is_traffic(record())
    assert not is_traffic(record(status="dry_run"))
    assert not is_traffic(record(decision=decision(tenant="interlock-evals")))
    assert not is_traffic(record(decision=decision(endpoint="/v1/messages/count_tokens")))


def test_a_record_that_was_written_before_its_execution_is_open_until_it_is_closed():
    assert is_open(record(status="failed", budgets_used={}))
    assert not is_open(record(status="failed"))
    tally = Tally()
    tally.add(record(status="failed", budgets_used={}))
    (row,) = tally.figures()
    assert (row.unfinished, row.requests, row.errors, row.error_rate.value) == (1, 0, 0, None)


def test_every_measure_has_a_name_and_every_name_reads_a_measure():
    found = measure(record(attempts=(attempt(ttft_ms=1.0),)))
    known = {name: one.value(found) for name, one in MEASURES.items()}
    assert [name for name, value in known.items() if value is None] == ["validation_rate", "schema_valid"]


def test_versions_of_an_alias_are_told_apart_and_a_request_that_nobody_may_serve_is_kept():
    tally = Tally()
    for one in (
        record(),
        record(decision=decision(alias_version=2)),
        record(decision=decision(routed=False), status="denied"),
    ):
        tally.add(one)
    rows = tally.figures()
    assert [(row.alias, row.alias_version, row.model) for row in rows] == [
        (None, None, None),
        ("prod", 1, "gpt"),
        ("prod", 2, "gpt"),
    ]
    assert [(row.requests, row.denied) for row in rows] == [(1, 1), (1, 0), (1, 0)]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@for_all(st.lists(st.integers(0, 1000), min_size=1, max_size=60))
def test_a_quantile_is_a_value_that_was_seen_and_no_larger_share_lies_below_it(values):
    found = spread(values)
    for share, value in ((0.5, found.p50), (0.95, found.p95), (0.99, found.p99)):
        assert value in values
        assert sum(one <= value for one in values) >= share * len(values) - 1e-9
        assert sum(one < value for one in values) < share * len(values) + 1e-9
    assert spread([]).p50 is None


def test_a_record_from_the_store_is_what_is_measured():
    one = record(attempts=(attempt(),))
    assert measure(msgspec.json.decode(msgspec.json.encode(one), type=Record)) == measure(one)
    assert isinstance(one.attempts[0], Attempt)
    assert one.decision.created_at == AT
