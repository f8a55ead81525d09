"""What may pass of an answer: calls of tools that were offered and stayed, and text that meets its schema."""

import pytest

from interlock.config.written import ToolSpec
from interlock.execute.validate import Schema, check_schemas, is_empty, judge_calls, offer_of
from interlock.types.request import Refusal, Text, Thinking, ToolCall
from tests.execute.given import decision, request

SPECS = {"email_send": ToolSpec(effects=("write", "external")), "search": ToolSpec(effects=("read",))}
TRIAGE = {
    "type": "object",
    "properties": {"team": {"type": "string"}},
    "required": ["team"],
    "additionalProperties": False,
}


def call(name, arguments="{}"):
    return ToolCall(id="c", name=name, arguments=arguments)


def judged(*calls, policy=None, **budgets):
    asked = request(tools=("search", "email_send", "deploy", "pay"))
    plan = decision(policy=policy, **budgets)
    found = judge_calls(calls, offer_of(asked, plan, SPECS, ToolSpec()))
    return found and (found.rule, found.code)


@pytest.mark.parametrize(
    ("calls", "found"),
    [
        ([call("search")], None),
        ([call("search", "")], None),
        ([call("search", '{"q":"x"}'), call("email_send")], None),
        ([call("shell")], ("tools_offered", "tool_denied")),
        ([call("deploy")], ("tools_denied", "tool_denied")),
        ([call("search"), call("pay")], ("approval", "approval_required")),
        ([call("search", "{")], ("tool_arguments", "upstream_failed")),
        ([call("search", "[1]")], ("tool_arguments", "upstream_failed")),
        ([call("search")] * 3, ("max_tool_calls", "tool_denied")),
        ([call("email_send")] * 2, ("max_tool_calls_by_effect", "tool_denied")),
    ],
    ids=[
        "an offered tool",
        "no arguments at all",
        "several",
        "a tool that was not offered",
        "a denied tool",
        "a tool that needs a human",
        "arguments that are no JSON",
        "arguments that are no object",
        "too many",
        "too many with one effect",
    ],
)
def test_a2_a_tool_call_is_judged_before_the_caller_sees_it(calls, found):
    policy = {"deny": ("deploy",), "requires_approval_for": ("pay",)}
    assert judged(*calls, policy=policy, max_tool_calls=2, max_tool_calls_by_effect={"write": 1}) == found


def test_a_call_that_needs_a_second_factor_is_withheld_too():
    assert judged(call("pay"), policy={"step_up_for": ("pay",)}) == ("step_up", "approval_required")


def test_a_request_that_offers_no_tools_gets_no_calls():
    offer = offer_of(request(), decision(), {}, ToolSpec())
    found = judge_calls([call("search")], offer)
    assert found is not None
    assert found.code == "tool_denied"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ('{"team": "ops"}', "passed"),
        ('{"team": 1}', "failed"),
        ('{"team": "ops", "x": 1}', "failed"),
        ("The team is ops.", "failed"),
        ("", "failed"),
        ('{"team": "\ud800"}', "failed"),
    ],
)
def test_a_complete_answer_is_checked_against_the_schema(text, verdict):
    assert check_schemas(text, "stop", (Schema("request", TRIAGE),)).verdict == verdict


def test_violations_name_the_schema_and_never_the_answer():
    found = check_schemas('{"team": 4111, "canary": 1}', "stop", (Schema("lane triage", TRIAGE),))
    assert found.violations
    assert not any("4111" in text or "canary" in text for text in found.violations)
    assert all("lane triage" in text for text in found.violations)


@pytest.mark.parametrize("finish", ["length", "tool_calls", "refusal", "content_filter", "pause"])
def test_an_answer_that_is_not_complete_is_not_judged(finish):
    assert check_schemas("{", finish, (Schema("request", TRIAGE),)).verdict == "unchecked"


@pytest.mark.parametrize(
    "schema", [{"$ref": "http://127.0.0.1:1/s.json"}, {"type": "strin"}, {"pattern": "(?=a)"}]
)
def test_a12_a_schema_that_cannot_be_used_judges_nothing_and_fetches_nothing(schema):
    found = check_schemas('"aaa"', "stop", (Schema("request", schema),))
    assert found.verdict == "unchecked"
    assert found.violations == ("the schema of the request cannot be used",)


def test_o8_a_pattern_that_would_backtrack_for_ever_runs_in_linear_time():
    schema = Schema("request", {"type": "string", "pattern": "^(a+)+$"})
    assert check_schemas('"' + "a" * 5000 + '!"', "stop", (schema,)).verdict == "failed"


@pytest.mark.parametrize(
    ("parts", "finish", "empty"),
    [
        ((), "stop", True),
        ((Text(text=""),), "stop", True),
        ((Thinking(text="hm"),), "stop", True),
        ((), "tool_calls", True),
        ((), "length", False),
        ((), "refusal", False),
        ((), "stop_sequence", False),
        ((Text(text="a"),), "stop", False),
        ((Refusal(text="no"),), "stop", False),
        ((call("search"),), "tool_calls", False),
    ],
)
def test_u13_an_answer_that_says_nothing_is_empty_unless_it_was_cut_or_refused(parts, finish, empty):
    assert is_empty(parts, finish) is empty
