"""Tool calls of an answer: what was offered and stayed may be called, as often as the decision allows."""

import json

import msgspec
import pytest

from interlock.config.written import ToolSpec
from interlock.execute.validation.calls import Calls, offer_of, read_arguments
from interlock.types.request import Tool, ToolCall
from tests import data
from tests.execute.given import decision, request

SPECS = {"email_send": ToolSpec(effects=("write", "external")), "search": ToolSpec(effects=("read",))}
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def call(name, arguments="{}"):
    return ToolCall(id="c", name=name, arguments=arguments)


def judged(*calls, policy=None, **budgets):
    asked = request(tools=("search", "email_send", "deploy", "pay"))
    notebook = Calls(offer_of(asked, decision(policy=policy, **budgets), SPECS, ToolSpec()))
    for one in calls:
        notebook.take(one)
    found = notebook.violation
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
    notebook = Calls(offer_of(request(), decision(), {}, ToolSpec()))
    found = notebook.take(call("search"))
    assert found is not None
    assert found.code == "tool_denied"


def offering(*tools):
    return msgspec.structs.replace(request(), tools=tools)


def weather(*, strict=None, lane=False):
    tool = Tool(name="weather", parameters=CITY, strict=strict)
    return Calls(offer_of(offering(tool), decision(), {}, ToolSpec(), strict=lane))


def test_u18_arguments_against_the_tools_schema_are_noted_and_pass():
    notebook = weather()
    assert notebook.take(call("weather", '{"city": 1}')) is None
    assert [one.rule for one in notebook.noted] == ["tool_arguments"]


@pytest.mark.parametrize("how", [{"strict": True}, {"lane": True}], ids=["a strict tool", "a strict lane"])
def test_u18_arguments_against_the_schema_of_a_strict_tool_are_withheld(how):
    found = weather(**how).take(call("weather", '{"city": 1}'))
    assert found is not None
    assert (found.rule, found.noted) == ("tool_arguments", False)
    assert weather(**how).take(call("weather", '{"city": "Rome"}')) is None


def test_violations_name_the_tool_and_never_the_arguments():
    notebook = weather(strict=True)
    notebook.take(call("weather", '{"city": 4111}'))
    assert "4111" not in str(notebook.violation)


TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": None, "String": "string"}


def normal(schema):
    """BFCL's dialect of JSON Schema as JSON Schema."""
    if isinstance(schema, list):
        return [normal(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    known = {name: normal(value) for name, value in schema.items()}
    kind = known.get("type")
    if isinstance(kind, str) and kind in TYPES:
        known["type"] = TYPES[kind]
        if known["type"] is None:
            del known["type"]
    return known


def chosen(accepted):
    """Of the values that BFCL accepts for each argument the first; "" stands for leaving it out."""
    return {field: inner(values[0]) for field, values in accepted.items() if values[0] != ""}


def inner(value):
    if isinstance(value, list):
        return [inner(item) for item in value]
    return chosen(value) if isinstance(value, dict) else value


@pytest.mark.parametrize("name", ["bfcl_v4_simple_python.jsonl", "bfcl_v4_multiple.jsonl"])
def test_published_calls_pass_and_those_that_lack_an_argument_do_not(name):
    lacking = 0
    for row in data.rows("tool-calls", name):
        tools = tuple(
            Tool(name=function["name"], parameters=normal(function["parameters"]), strict=True)
            for function in row["function"]
        )
        schemas = {tool.name: tool.parameters for tool in tools}
        offer = offer_of(offering(*tools), decision(), {}, ToolSpec())
        ((called, accepted),) = row["ground_truth"][0].items()
        arguments = chosen(accepted)
        required = (schemas[called] or {}).get("required", [])
        if not set(required) <= set(arguments):
            continue  # the data leaves out what its own schema requires
        assert Calls(offer).take(written(called, arguments)) is None, row["id"]
        for field in required:
            without = {key: value for key, value in arguments.items() if key != field}
            assert Calls(offer).take(written(called, without)) is not None, row["id"]
            lacking += 1
    assert lacking > 100


def written(name, arguments):
    return call(name, json.dumps(arguments))


@pytest.mark.parametrize(
    ("text", "value"),
    [("", {}), ('{"a":1}', {"a": 1}), ("[]", None), ("{", None), ('{"a":1,"a":2}', None), ("[" * 9999, None)],
)
def test_c8_arguments_that_two_parsers_could_read_differently_are_none(text, value):
    assert read_arguments(text) == value
