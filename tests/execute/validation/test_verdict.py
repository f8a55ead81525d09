"""The verdict on an answer: what was checked, what was found, what follows, whole or streamed."""

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from interlock.config.written import ToolSpec
from interlock.execute.flow import Flow
from interlock.execute.validation.contract import Contract
from interlock.execute.validation.verdict import NOTHING_EXPECTED, Expected, expect, judge_answer
from interlock.types.answer import (
    Answer,
    BlockDelta,
    BlockKind,
    BlockStarted,
    BlockStopped,
    Event,
    Finished,
    Started,
)
from interlock.types.request import (
    Message,
    Opaque,
    Refusal,
    ResponseFormat,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from tests import data
from tests.execute.given import decision, request

TRIAGE = {
    "type": "object",
    "properties": {"team": {"type": "string"}},
    "required": ["team"],
    "additionalProperties": False,
}
LANE = "lane triage"
KB = Tool(name="kb", parameters={"type": "object", "required": ["q"]})


def answer(*parts, finish="stop", extra=None):
    return Answer(id="a", upstream_model="m", parts=parts, finish=finish, extra=extra)


def says(text, finish="stop"):
    return answer(Text(text=text), finish=finish)


def call(name="kb", arguments='{"q":1}'):
    return ToolCall(id="c", name=name, arguments=arguments)


def expected(*, contract=None, schema=None, messages=None, **fields):
    asked = request(**fields)
    if schema is not None:
        asked = msgspec.structs.replace(asked, response_format=ResponseFormat(json_schema=schema))
    if messages is not None:
        asked = msgspec.structs.replace(asked, messages=messages)
    return Expected(asked, decision(), contract, {}, ToolSpec())


def asking(tools=(KB,), **fields):
    asked = msgspec.structs.replace(request(), tools=tools, **fields)
    return Expected(asked, decision(), None, {}, ToolSpec())


def judged(found, **given):
    return judge_answer(found, expected(**given)).validation


KINDS: dict[Any, BlockKind] = {
    Text: "text",
    Refusal: "refusal",
    Thinking: "thinking",
    ToolCall: "tool_call",
}


def events_of(whole, cut=10**6):
    """The stream that says the same as a whole answer, its texts in pieces of `cut` characters."""
    out: list[Event] = [Started(whole.id, whole.upstream_model)]
    for index, part in enumerate(whole.parts):
        kind = KINDS[type(part)]
        names = (part.id, part.name) if kind == "tool_call" else ("", "")
        said = part.arguments if kind == "tool_call" else part.text
        out.append(BlockStarted(index, kind, *names))
        out += [BlockDelta(index, said[at : at + cut]) for at in range(0, len(said), cut)]
        if part.extra is not None:
            out.append(BlockDelta(index, "", part.extra))
        out.append(BlockStopped(index))
    return [*out, Finished(whole.finish, extra=whole.extra)]


def streamed(whole, wanted, cut=10**6):
    flow = Flow(wanted)
    for event in events_of(whole, cut):
        flow.take([event])
    assert flow.verdict is not None
    return flow.verdict


# --- schemas ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ('{"team": "ops"}', "passed"),
        ('{"team": 1}', "failed"),
        ('{"team": "ops", "x": 1}', "failed"),
        ("The team is ops.", "failed"),
        ('{"team": "\ud800"}', "failed"),
        ("[" * 99999, "failed"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_complete_answer_is_checked_against_the_schema(text, verdict, stream):
    wanted = expected(schema=TRIAGE)
    found = streamed(says(text), wanted) if stream else judge_answer(says(text), wanted)
    assert found.validation.verdict == verdict
    assert found.validation.checks == ("json_schema of the request",)
    assert (found.failure is not None) == (verdict == "failed")
    assert found.validation.triggers == (("schema_invalid",) if verdict == "failed" else ())


def test_violations_name_the_schema_and_never_the_answer():
    lane = Contract(owner=LANE, json_schema=TRIAGE)
    found = judged(says('{"team": 4111, "canary": 1}'), contract=lane)
    assert found.violations
    assert not any("4111" in text or "canary" in text for text in found.violations)
    assert all(LANE in text for text in found.violations)


@pytest.mark.parametrize("finish", ["length", "refusal", "content_filter", "pause"])
def test_an_answer_that_is_not_complete_is_not_judged_and_that_is_no_pass(finish):
    found = judge_answer(says("{", finish), expected(schema=TRIAGE))
    assert found.validation.verdict == "unchecked"
    assert found.validation.violations
    assert found.failure is None


def test_a_schema_asks_nothing_of_an_answer_that_calls_tools_first():
    wanted = Expected(
        msgspec.structs.replace(request(), tools=(KB,), response_format=ResponseFormat(json_schema=TRIAGE)),
        decision(),
        None,
        {},
        ToolSpec(),
    )
    found = judge_answer(answer(call(), finish="tool_calls"), wanted).validation
    assert (found.verdict, found.checks) == ("passed", ("tool_calls",))


@pytest.mark.parametrize(("text", "verdict"), [("[1]", "passed"), ("1,", "failed")])
def test_json_mode_without_a_schema_asks_for_json(text, verdict):
    found = judge_answer(says(text), asking(tools=(), response_format=ResponseFormat()))
    assert (found.validation.verdict, found.validation.checks) == (verdict, ("json of the request",))


@pytest.mark.parametrize(
    "schema", [{"$ref": "http://127.0.0.1:1/s.json"}, {"type": "strin"}, {"pattern": "(?=a)"}]
)
def test_a12_a_schema_that_cannot_be_used_judges_nothing_and_fetches_nothing(schema):
    found = judged(says('"aaa"'), contract=Contract(owner=LANE, json_schema=schema))
    assert found.verdict == "unchecked"
    assert found.violations == (f"json_schema of the {LANE}: the schema of the {LANE} cannot be used",)


@pytest.mark.parametrize("strict", [True, None])
def test_c11_a_callers_schema_that_cannot_be_used_is_refused_before_anything_is_called(strict):
    assert expected(schema={"type": 5}).impossible().param == "response_format"
    tool = Tool(name="t", parameters={"type": 5}, strict=strict)
    assert (asking(tools=(tool,)).impossible() is not None) == bool(strict)


def test_o8_a_pattern_that_would_backtrack_for_ever_runs_in_linear_time():
    schema = {"type": "string", "pattern": "^(a+)+$"}
    assert judged(says('"' + "a" * 5000 + '!"'), schema=schema).verdict == "failed"


def test_real_schemas_are_usable_and_refuse_what_they_should():
    usable = 0
    for row in data.rows("json-schema", "jsonschemabench_sample.jsonl"):
        wanted = expected(schema=row["schema"])
        if wanted.impossible() is not None:
            continue
        usable += 1
        assert judge_answer(says("not JSON"), wanted).validation.verdict == "failed"
        if row["schema"].get("required") and row["schema"].get("type") == "object":
            assert judge_answer(says("{}"), wanted).validation.verdict == "failed", row["id"]
    assert usable > 40


# --- empty, refused, cut ----------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("parts", "finish", "outcome"),
    [
        ((), "stop", "malformed"),
        ((Text(text=""),), "stop", "malformed"),
        ((Thinking(text="hm"),), "stop", "malformed"),
        ((), "tool_calls", "malformed"),
        ((), "content_filter", "content_filtered"),
        ((Thinking(text="hm"),), "content_filter", "content_filtered"),
        ((Text(text="a"),), "content_filter", None),
        ((), "length", None),
        ((), "refusal", None),
        ((), "stop_sequence", None),
        ((Text(text="a"),), "stop", None),
        ((Refusal(text="no"),), "stop", None),
    ],
)
def test_u13_an_answer_that_says_nothing_is_none_unless_it_was_cut_or_refused(parts, finish, outcome, stream):
    whole = answer(*parts, finish=finish)
    found = streamed(whole, expected()) if stream else judge_answer(whole, expected())
    assert (found.failure and found.failure.outcome) == outcome


@pytest.mark.parametrize("parts", [(), (Opaque(kind="reasoning", dialect="openai-responses", value={}),)])
def test_an_empty_answer_failed_its_check(parts):
    found = judged(answer(*parts))
    assert (found.verdict, found.checks) == ("failed", ("not_empty",))


@pytest.mark.parametrize(
    "whole",
    [answer(Refusal(text="I will not.")), says("I will not.", "refusal")],
    ids=["a refusal by the model", "a stop by the vendor"],
)
@pytest.mark.parametrize("schema", [None, TRIAGE])
def test_a_refusal_passes_as_what_it_is_and_is_a_trigger(whole, schema):
    found = judge_answer(whole, expected(schema=schema))
    assert found.failure is None
    assert (found.validation.verdict, found.validation.triggers) == ("unchecked", ("refused",))


def test_an_answer_of_which_nothing_is_asked_is_unchecked():
    found = judged(says("hello"))
    assert (found.verdict, found.checks, found.violations, found.triggers) == ("unchecked", (), (), ())


# --- tools ------------------------------------------------------------------------------------


def test_a_withheld_call_has_failed_its_check():
    found = judge_answer(answer(call("shell"), finish="tool_calls"), asking())
    assert found.violation is not None
    assert (found.validation.verdict, found.validation.checks) == ("failed", ("tool_calls",))
    assert found.validation.triggers == ("schema_invalid",)


def test_a_call_that_waits_for_a_human_broke_no_rule():
    asked = msgspec.structs.replace(request(), tools=(KB,))
    plan = decision(policy={"requires_approval_for": ("kb",)})
    found = judge_answer(answer(call(), finish="tool_calls"), Expected(asked, plan, None, {}, ToolSpec()))
    assert found.violation is not None
    assert (found.validation.verdict, found.validation.triggers) == ("unchecked", ())


def test_a_call_against_its_schema_passes_with_a_verdict_that_says_so():
    found = judge_answer(answer(call(arguments="{}"), finish="tool_calls"), asking())
    assert (found.failure, found.violation) == (None, None)
    assert (found.validation.verdict, found.validation.triggers) == ("failed", ("schema_invalid",))


@pytest.mark.parametrize("choice", [ToolChoice(mode="required"), ToolChoice(mode="tool", name="kb")])
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_without_the_call_that_tool_choice_demands_is_incomplete(choice, stream):
    wanted = asking(tool_choice=choice)
    found = streamed(says("no"), wanted) if stream else judge_answer(says("no"), wanted)
    assert found.failure is not None
    assert found.failure.outcome == "schema_invalid"
    assert found.validation.triggers == ("tools_incomplete",)
    assert judge_answer(answer(call()), wanted).failure is None


USER = Message(role="user", parts=(Text(text="q"),))
CALLED = Message(role="assistant", parts=(call(),))
RESULT = Message(role="tool", parts=(ToolResult(call_id="c", content=(Text(text="r"),)),))
SAID = Message(role="assistant", parts=(Text(text="so"),))
REQUIRES = Contract(owner=LANE, require_tools=("kb",))


def requiring(*messages):
    asked = msgspec.structs.replace(request(), tools=(KB,), messages=messages)
    return Expected(asked, decision(), REQUIRES, {}, ToolSpec())


@pytest.mark.parametrize(
    ("messages", "complete"),
    [
        ((USER,), False),
        ((USER, CALLED, RESULT), True),
        ((USER, CALLED, RESULT, USER), True),
        ((USER, CALLED, RESULT, SAID, USER), False),
    ],
    ids=["never called", "called in this turn", "with words beside its result", "called in an earlier turn"],
)
def test_a_lane_that_requires_a_tool_takes_no_final_answer_before_it_was_called(messages, complete):
    found = judge_answer(says("so"), requiring(*messages))
    assert (found.failure is None) == complete
    assert found.validation.triggers == (() if complete else ("tools_incomplete",))


def test_a_lane_that_requires_a_tool_lets_the_model_call_others_first():
    found = judge_answer(answer(call(), finish="tool_calls"), requiring(USER))
    assert found.validation.verdict == "passed"


def test_a_required_tool_that_the_request_does_not_offer_is_refused_before_anything_is_called():
    error = expected(contract=REQUIRES).impossible()
    assert (error.code, error.param) == ("invalid_request", "tools")
    assert expected(contract=REQUIRES, messages=(USER, CALLED, RESULT)).impossible() is None


def test_a_required_tool_that_policy_denies_is_tool_denied():
    asked = msgspec.structs.replace(request(), tools=(KB,))
    plan = decision(policy={"deny": ("kb",)})
    error = Expected(asked, plan, REQUIRES, {}, ToolSpec()).impossible()
    assert error is not None
    assert error.code == "tool_denied"


# --- laws -------------------------------------------------------------------------------------

TEXTS = st.sampled_from(["", "x", "so [1]", '{"team": "ops"}', '{"team": 1}', "[1"])
PARTS = st.one_of(
    TEXTS.map(lambda text: Text(text=text)),
    TEXTS.map(lambda text: Thinking(text=text)),
    TEXTS.map(lambda text: Refusal(text=text)),
    st.builds(
        call, st.sampled_from(["kb", "shell"]), st.sampled_from(["", "{}", '{"q":1}', "[", '{"q":1,"q":1}'])
    ),
)
ANSWERS = st.builds(
    lambda parts, finish: answer(*parts, finish=finish),
    st.lists(PARTS, max_size=4),
    st.sampled_from(["stop", "length", "tool_calls", "stop_sequence", "content_filter", "refusal", "pause"]),
)
CONTRACTS = st.none() | st.builds(
    lambda schema, tools, cites, strict: Contract(
        owner=LANE, json_schema=schema, require_tools=tools, citations=cites, strict_arguments=strict
    ),
    st.sampled_from([None, TRIAGE]),
    st.sampled_from([(), ("kb",)]),
    st.booleans(),
    st.booleans(),
)


@for_all(ANSWERS, CONTRACTS, st.booleans(), st.integers(1, 5))
def test_the_verdict_does_not_depend_on_how_an_answer_comes(whole, contract, structured, cut):
    asked = msgspec.structs.replace(
        request(),
        tools=(KB,),
        response_format=ResponseFormat(json_schema=TRIAGE) if structured else None,
    )
    wanted = Expected(asked, decision(), contract, {}, ToolSpec())
    assert streamed(whole, wanted, cut) == judge_answer(whole, wanted)


@for_all(ANSWERS, CONTRACTS)
def test_a_verdict_is_consistent_with_what_follows_from_it(whole, contract):
    asked = msgspec.structs.replace(request(), tools=(KB,))
    found = judge_answer(whole, Expected(asked, decision(), contract, {}, ToolSpec()))
    validation = found.validation
    if found.violation is not None or (found.failure and found.failure.outcome == "schema_invalid"):
        assert validation.verdict == "failed"
        assert validation.triggers
    assert (validation.verdict == "failed") <= bool(validation.violations)
    assert (validation.verdict == "passed") <= (bool(validation.checks) and not validation.violations)


@for_all(st.lists(st.integers(1, 30), unique=True))
def test_the_verdict_does_not_depend_on_how_events_are_batched(cuts):
    whole = answer(Text(text='{"team": "ops"}'), call(), finish="tool_calls")
    events = events_of(whole, 2)
    flow = Flow(asking())
    for a, b in pairwise([0, *sorted(cut for cut in cuts if cut < len(events)), len(events)]):
        flow.take(events[a:b])
    assert flow.verdict == judge_answer(whole, asking())


def test_verdicts_are_kept_as_json():
    found = judged(says("no"), schema=TRIAGE)
    assert json.loads(msgspec.json.encode(found))["triggers"] == ["schema_invalid"]


@pytest.mark.parametrize(
    "whole",
    [
        says("so"),
        says(""),
        says("{", finish="length"),
        answer(Text(text="a"), Text(text="b")),
        answer(call(), finish="tool_calls"),
        answer(Refusal(text="no")),
    ],
)
def test_where_nothing_is_asked_one_value_judges_as_the_requests_own_would(whole):
    asked, plan = asking()._asked.request, decision()
    plain = msgspec.structs.replace(asked, tools=())
    assert expect(plain, plan, None, {}, ToolSpec()) is NOTHING_EXPECTED
    own = Expected(plain, plan, None, {}, ToolSpec())
    assert judge_answer(whole, NOTHING_EXPECTED) == judge_answer(whole, own)
    assert NOTHING_EXPECTED.impossible() is own.impossible() is None
    assert (NOTHING_EXPECTED.offer, NOTHING_EXPECTED.inert) == (own.offer, own.inert)
    boxed = decision(policy={"safety_mode": "sandbox"})
    assert expect(plain, boxed, None, {}, ToolSpec()).inert
    assert expect(asked, plan, None, {}, ToolSpec()) is not NOTHING_EXPECTED
