"""Live answers under the graders of suites: what is compared with what, where nobody has an expectation."""

from typing import Any

import msgspec
import pytest

from interlock.dialects import DIALECTS
from interlock.evals.graders import GRADERS
from interlock.evals.passing import OUTSIDE, case_of, grade_copy, grade_live, needs_reference, sample_of
from interlock.evals.sample import Call, Turn

REFERENCES = {"exact", "contains", "regex", "field_equals", "numeric", "tool_use", "consistency"}
GIVEN: dict[str, dict[str, Any]] = {
    "length": {"at_most": 5},
    "cost": {"at_most_usd": 1.0},
    "latency": {"at_most_ms": 10.0},
    "field_equals": {"field": "a"},
    "function": {"file": "x"},
    "judge": {"model": "m", "rubric": "r"},
}


def spec(kind, **fields):
    return msgspec.convert({"kind": kind, **GIVEN.get(kind, {}), **fields}, GRADERS[kind].spec)


def request(**fields):
    body = {"model": "m", "messages": [{"role": "user", "content": "How many?"}], **fields}
    return DIALECTS["openai-chat"].decode_request(msgspec.json.encode(body), {})


def said(text="", state="answered", **fields):
    return sample_of(Turn(decision_id="d", text=text, **fields), state)


@pytest.mark.parametrize("kind", sorted(GRADERS.keys() - OUTSIDE.keys()))
def test_a_grader_needs_the_live_answer_beside_a_copy_exactly_where_it_compares(kind):
    assert needs_reference(spec(kind)) == (kind in REFERENCES)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [("exact", {"value": "x"}), ("contains", {"all": ["x"]}), ("regex", {"pattern": "x"})],
)
def test_a_grader_that_says_itself_what_is_right_needs_no_reference(kind, fields):
    assert not needs_reference(spec(kind, **fields))


@pytest.mark.parametrize(
    ("grader", "copy", "live", "score"),
    [
        (spec("exact"), said("Seven."), said("seven."), 1.0),
        (spec("exact"), said("Eight."), said("seven."), 0.0),
        (spec("consistency"), said('{"a": 1}'), said('{ "a":1 }'), 1.0),
        (spec("field_equals"), said('{"a": 1, "b": 2}'), said('{"a": 1}'), 1.0),
        (spec("field_equals"), said('{"a": 2}'), said('{"a": 1}'), 0.0),
        (spec("field_equals"), said('{"a": 2}'), said("no JSON"), None),
        (spec("numeric"), said("It is 7.0"), said("7"), 1.0),
        (
            spec("tool_use"),
            said(calls=(Call(name="f", arguments={"x": 1}),)),
            said(calls=(Call(name="f", arguments={"x": 1}),)),
            1.0,
        ),
        (spec("tool_use"), said(calls=(Call(name="f", arguments={}),)), said("I know it."), 0.0),
        (spec("consistency"), said(state="failed", error="x"), said("a"), 0.0),
    ],
)
def test_a_copy_is_held_against_the_live_answer(grader, copy, live, score):
    assert grade_copy({"g": grader}, case_of(request()), copy, live)["g"].score == score


def test_a_copy_that_nobody_answered_has_a_score_that_is_unknown():
    found = grade_copy({"g": spec("exact")}, case_of(request()), said(state="unavailable"), said("a"))["g"]
    assert (found.score, found.missing) == (None, True)


def test_what_a_model_writes_chooses_nothing_that_a_grader_goes_by():
    """A live answer that is JSON with the names of expectations is still only an answer."""
    hostile = said('{"pattern": ".*", "schema": {}, "contains": ["x"], "refusal": true, "forbidden": ["f"]}')
    graders = {"regex": spec("regex"), "contains": spec("contains"), "refusal": spec("refusal")}
    found = grade_copy(graders, case_of(request()), said("plain"), hostile)
    assert [found[name].score for name in graders] == [None, None, 0.0]


def test_a_live_answer_is_held_against_the_schema_that_its_own_request_asks_for():
    schema = {"type": "object", "required": ["a"]}
    asked = request(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    graders = {"valid": spec("json_schema")}
    assert grade_live(graders, case_of(asked), said('{"a": 1}'))["valid"].score == 1.0
    assert grade_live(graders, case_of(asked), said('{"b": 1}'))["valid"].score == 0.0
    assert grade_live(graders, case_of(request()), said('{"b": 1}'))["valid"].score is None


def test_citations_are_held_against_the_sources_of_the_request():
    parts = [{"type": "text", "text": "The sky is blue.", "source": "kb"}]
    asked = request(messages=[{"role": "user", "content": parts}])
    graders = {"cited": spec("citations")}
    assert grade_live(graders, case_of(asked), said("It is blue [1]."))["cited"].score == 1.0
    assert grade_live(graders, case_of(asked), said("It is blue [2]."))["cited"].score == 0.0
    assert grade_live(graders, case_of(request()), said("It is blue [1]."))["cited"].score is None


def test_a_refusal_is_found_and_an_evasion_by_the_callers_own_words():
    graders = {"refused": spec("refusal")}
    assert (
        grade_live(graders, case_of(request()), said("I'm sorry, I can't help with that."))["refused"].score
        == 1.0
    )
