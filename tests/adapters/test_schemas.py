"""JSON Schemas across dialects: what one vendor enforces, the other is asked to enforce, or is not asked."""

import json
from typing import Any

import pytest

from interlock.adapters import ADAPTERS
from interlock.adapters.anthropic.schema import narrowed
from interlock.adapters.openai.schema import is_strict
from interlock.types.request import ResponseFormat, Tool
from tests.adapters.test_requests import chat, message, sent

TEXT = {"type": "string"}
OPEN = {"type": "object", "properties": {"a": TEXT}, "required": ["a"]}
CLOSED = {**OPEN, "additionalProperties": False}
OPTIONAL = {**CLOSED, "properties": {"a": TEXT, "b": TEXT}}


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "additionalProperties": False}


NARROWED = [
    (OPEN, CLOSED),
    (OPTIONAL, OPTIONAL),
    ({**OPEN, "additionalProperties": True, "$schema": "x"}, CLOSED),
    (
        obj(n={"type": "integer", "minimum": 1, "maximum": 9}),
        obj(n={"type": "integer", "description": "(minimum: 1, maximum: 9)"}),
    ),
    (
        obj(s={"type": "string", "description": "a word", "maxLength": 5}),
        obj(s={"type": "string", "description": "a word\n(maxLength: 5)"}),
    ),
    (obj(s={"type": "string", "format": "date"}), obj(s={"type": "string", "format": "date"})),
    (obj(s={"type": "string", "format": "iban"}), obj(s={"type": "string", "description": "(format: iban)"})),
    (
        obj(l={"type": "array", "items": OPEN, "minItems": 1}),
        obj(l={"type": "array", "items": CLOSED, "minItems": 1}),
    ),
    (obj(l={"type": "array", "minItems": 3}), obj(l={"type": "array", "description": "(minItems: 3)"})),
    (obj(u={"oneOf": [TEXT, {"type": "null"}]}), obj(u={"anyOf": [TEXT, {"type": "null"}]})),
    (
        obj(u={"type": ["string", "integer", "null"], "maxLength": 5, "minimum": 1, "description": "d"}),
        obj(
            u={
                "description": "d",
                "anyOf": [
                    {"type": "string", "description": "(maxLength: 5)"},
                    {"type": "integer", "description": "(minimum: 1)"},
                    {"type": "null"},
                ],
            }
        ),
    ),
    (
        {**obj(r={"$ref": "#/$defs/R"}), "$defs": {"R": OPEN}},
        {**obj(r={"$ref": "#/$defs/R"}), "$defs": {"R": CLOSED}},
    ),
    (obj(e={"enum": ["a", 1, None]}, c={"const": 1}), obj(e={"enum": ["a", 1, None]}, c={"const": 1})),
]  # fmt: skip
CANNOT = [
    {"type": "object"},
    {"type": "object", "properties": {}},
    {"type": "object", "additionalProperties": TEXT},
    {"type": "object", "properties": {"a": TEXT}, "additionalProperties": TEXT},
    obj(anything={}),
    obj(anything=True),
    obj(inner={"type": "object"}),
    {"type": "array", "items": {"type": "object"}},
]


@pytest.mark.parametrize(("schema", "sent_as"), NARROWED)
def test_anthropic_is_asked_for_closed_objects_and_told_of_bounds_in_words(schema, sent_as):
    assert narrowed(schema) == sent_as
    assert narrowed(sent_as) == sent_as


@pytest.mark.parametrize("schema", CANNOT)
def test_objects_with_unknown_keys_and_values_of_any_type_cannot_be_asked_of_anthropic(schema):
    assert narrowed(schema) is None
    request = chat(response_format=ResponseFormat(json_schema=schema))
    assert ADAPTERS["anthropic"].cannot_carry(request) == ("response_format",)


def test_a_schema_reaches_anthropic_narrowed_unless_it_comes_from_a_caller_of_its_own_dialect():
    asked = ResponseFormat(json_schema=OPEN)
    across = sent("anthropic", chat(response_format=asked))["output_config"]["format"]
    assert across == {"type": "json_schema", "schema": CLOSED}
    own = sent("anthropic", message(response_format=asked))["output_config"]["format"]
    assert own == {"type": "json_schema", "schema": OPEN}


def test_the_arguments_of_a_strict_tool_are_narrowed_and_those_of_another_stay():
    strict = Tool(name="f", parameters=OPEN, strict=True)
    plain = Tool(name="g", parameters=OPEN)
    tools = sent("anthropic", chat(tools=(strict, plain)))["tools"]
    assert [tool["input_schema"] for tool in tools] == [CLOSED, OPEN]
    mapping = Tool(name="f", parameters={"type": "object", "additionalProperties": TEXT}, strict=True)
    assert ADAPTERS["anthropic"].cannot_carry(chat(tools=(mapping,))) == ("tools[].function.strict",)


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (CLOSED, True),
        ({**obj(r={"$ref": "#/$defs/R"}), "required": ["r"], "$defs": {"R": CLOSED}}, True),
        ({**obj(l={"type": "array", "items": CLOSED}), "required": ["l"]}, True),
        (OPEN, False),
        (OPTIONAL, False),
        ({**obj(l={"type": "array", "items": OPEN}), "required": ["l"]}, False),
        ({**obj(a={"allOf": [TEXT]}), "required": ["a"]}, False),
        ({**obj(a={"type": "string", "format": "uri"}), "required": ["a"]}, False),
        ({**obj(a={}), "required": ["a"]}, False),
        ({"anyOf": [CLOSED]}, False),
        (TEXT, False),
    ],
    ids=json.dumps,
)
def test_openai_enforces_another_dialects_schema_where_its_strict_mode_takes_it(schema, strict):
    assert is_strict(schema) is strict
    body = sent("openai", message(response_format=ResponseFormat(json_schema=schema)))
    assert body["response_format"]["json_schema"].get("strict") is (True if strict else None)
    responses = sent("openai-responses", message(response_format=ResponseFormat(json_schema=schema)))
    assert responses["text"]["format"].get("strict") is (True if strict else None)
    own = sent("openai", chat(response_format=ResponseFormat(json_schema=schema)))
    assert "strict" not in own["response_format"]["json_schema"]


def test_a_strict_tool_whose_schema_openai_cannot_enforce_is_refused_by_name():
    tool = Tool(name="f", parameters=OPTIONAL, strict=True)
    enforced = Tool(name="f", parameters=CLOSED, strict=True)
    for wire in (ADAPTERS["openai"], ADAPTERS["openai-responses"]):
        assert wire.cannot_carry(message(tools=(tool,))) == ("tools[].strict",)
        assert wire.cannot_carry(message(tools=(enforced,))) == ()


NO_SCHEMAS = [
    {"type": []},
    {"type": [{}], "enum": [1]},
    {"type": "string", "format": {}},
    {"type": "object", "properties": ["a"]},
    {"type": "object", "properties": {}, "required": 5, "additionalProperties": False},
    {"type": "object", "properties": {}, "required": [{}], "additionalProperties": False},
    {"type": "object", "properties": {"a": {"anyOf": 5}}, "required": ["a"], "additionalProperties": False},
    {"$defs": 3},
]


@pytest.mark.parametrize("schema", NO_SCHEMAS, ids=json.dumps)
def test_what_is_no_schema_is_a_reason_not_to_ask_and_never_a_fault(schema):
    assert not is_strict(schema)
    for asked in (Tool(name="f", parameters=schema, strict=True), ResponseFormat(json_schema=schema)):
        request = chat(tools=(asked,)) if isinstance(asked, Tool) else chat(response_format=asked)
        for adapter in ADAPTERS.values():
            adapter.cannot_carry(request)
