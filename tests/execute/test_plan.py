"""The order in which models are tried: each path through a plan is a row."""

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from interlock.execute.plan import FAILS_AS, MOST_CALLS, AttemptEnd, attempts, first_step
from tests.execute.given import decision, fallback

OK = AttemptEnd(outcome="ok")
TIMEOUT = AttemptEnd(outcome="timeout")
REFUSED = AttemptEnd(outcome="connect_failed")
BROKEN = AttemptEnd(outcome="upstream_error")
GARBLED = AttemptEnd(outcome="malformed")
LIMITED = AttemptEnd(outcome="rate_limited")
LONG = AttemptEnd(outcome="context_length")
FILTERED = AttemptEnd(outcome="content_filtered")
INVALID = AttemptEnd(outcome="schema_invalid")
FINAL = AttemptEnd(outcome="upstream_error", final=True)
DEAR = AttemptEnd(outcome="budget", calls=0)
FORBIDDEN = AttemptEnd(outcome="not_permitted", calls=0)
GONE = AttemptEnd(outcome="cancelled")


def walk(plan, *ends):
    """The models that a plan tries when its attempts end like this."""
    flow = attempts(plan, first_step(plan))
    step = next(flow)
    tried = [step.model]
    for end in ends:
        try:
            step = flow.send(end)
        except StopIteration:
            return tried
        tried.append(step.model)
    return [*tried, "…"]


ROWS = (fallback("b", "timeout_or_5xx"), fallback("c", "rate_limit"), fallback("d", "any"))


@pytest.mark.parametrize(
    ("ends", "tried"),
    [
        ([OK], ["a"]),
        ([TIMEOUT, OK], ["a", "b"]),
        ([REFUSED, OK], ["a", "b"]),
        ([BROKEN, OK], ["a", "b"]),
        ([GARBLED, OK], ["a", "b"]),
        ([LIMITED, OK], ["a", "c"]),
        ([LONG, OK], ["a", "d"]),
        ([FILTERED, OK], ["a", "d"]),
        ([INVALID, OK], ["a", "d"]),
        ([TIMEOUT, LIMITED, OK], ["a", "b", "c"]),
        ([TIMEOUT, TIMEOUT, OK], ["a", "b", "d"]),
        ([LIMITED, LIMITED, LIMITED, OK], ["a", "c", "d"]),
        ([FINAL], ["a"]),
        ([TIMEOUT, FINAL], ["a", "b"]),
        ([GONE], ["a"]),
        ([TIMEOUT, FORBIDDEN, OK], ["a", "b", "d"]),
        ([DEAR, OK], ["a", "d"]),
        ([FORBIDDEN, OK], ["a", "d"]),
    ],
    ids=[
        "the first answers",
        "a timeout falls back",
        "a refused connection falls back",
        "a 5xx falls back",
        "a malformed answer falls back as a 5xx does",
        "a rate limit has its own row",
        "a row for any failure takes what no other does",
        "a filtered answer is a failure too",
        "an answer that breaks its schema is a failure too",
        "the next row is looked up by the failure of the model that just failed",
        "a model is not tried twice, the next row is",
        "a plan ends when no row is left",
        "a final failure ends the plan",
        "a final failure of a fallback ends the plan",
        "a cancelled request ends the plan",
        "a fallback that may not serve is passed over, by the same failure",
        "a first model that money does not pay for fails by `budget`",
        "a first model that may not serve fails by `not_permitted`",
    ],
)
def test_attempts(ends, tried):
    assert walk(decision(*ROWS), *ends) == tried


def test_a_row_applies_to_the_model_it_names():
    plan = decision(fallback("b", "timeout_or_5xx", "x"), fallback("c", "timeout_or_5xx", "a"))
    assert walk(plan, TIMEOUT, OK) == ["a", "c"]


def test_max_attempts_counts_every_call_and_no_skipped_step():
    plan = decision(*ROWS, max_attempts=2)
    assert walk(plan, TIMEOUT, TIMEOUT, OK) == ["a", "b"]
    assert walk(plan, TIMEOUT, FORBIDDEN, OK) == ["a", "b", "d"]
    assert walk(decision(*ROWS, max_attempts=1), TIMEOUT) == ["a"]


def test_a_step_says_whether_another_model_waits_behind_it():
    plan = decision(*ROWS, max_attempts=3)
    flow = attempts(plan, first_step(plan))
    assert next(flow).spare
    assert flow.send(TIMEOUT).spare
    assert not flow.send(TIMEOUT).spare


@for_all(st.data())
def test_u3_no_plan_tries_a_model_twice_or_more_often_than_it_may(data):
    names = st.sampled_from("abcde")
    row = st.builds(fallback, names, st.sampled_from([*set(FAILS_AS.values()), "any"]), names | st.just("*"))
    limit = data.draw(st.none() | st.integers(1, 6))
    plan = decision(*data.draw(st.lists(row, max_size=8)), max_attempts=limit)
    ends = data.draw(
        st.lists(st.sampled_from([TIMEOUT, LIMITED, INVALID, FORBIDDEN]), min_size=9, max_size=9)
    )
    tried = walk(plan, *ends)
    assert "…" not in tried
    assert len(set(tried)) == len(tried)
    called = [model for model, end in zip(tried, ends, strict=False) if end.calls]
    assert len(called) <= (limit or MOST_CALLS)
