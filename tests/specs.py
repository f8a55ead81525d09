"""Vendors' published specifications, read from the real data: a validator for each of their schemas."""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, Literal

import jsonschema_rs
import yaml

from tests.data import path

Spec = Literal["openai", "openresponses"]

_SCHEMA: Final = re.compile(r"^    ([A-Za-z0-9_.-]+):\n", re.MULTILINE)
_REFERENCE: Final = "#/components/schemas/"


@cache
def texts() -> Mapping[str, str]:
    """Each schema of OpenAI's document, as YAML: to read all of it would take longer than all tests of it."""
    text = path("specs", "openai_openapi.yaml").read_text("utf-8")
    sections = re.split(r"^  \w+:\n", text.partition("\ncomponents:\n")[2], flags=re.MULTILINE)
    (section,) = [found for found in sections if "\n    CreateChatCompletionRequest:\n" in found]
    pieces = _SCHEMA.split(section)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


@cache
def _openresponses() -> dict[str, dict[str, Any]]:
    document = json.loads(path("specs", "openresponses_openapi.json").read_text("utf-8"))
    found: dict[str, dict[str, Any]] = document["components"]["schemas"]
    return found


@cache
def schema(spec: Spec, name: str) -> dict[str, Any]:
    """One schema, as it is published; references stay."""
    found = _openresponses()[name] if spec == "openresponses" else yaml.load(texts()[name], yaml.CSafeLoader)
    return _with_nulls(found)  # type: ignore[no-any-return] # an object stays one


def names(spec: Spec) -> tuple[str, ...]:
    return tuple(_openresponses() if spec == "openresponses" else texts())


def _with_nulls(value: Any) -> Any:
    """A schema in which `nullable`, which OpenAI's document has from an older OpenAPI, means something."""
    if isinstance(value, list):
        return [_with_nulls(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    found = {name: _with_nulls(inner) for name, inner in value.items()}
    return {"anyOf": [found, {"type": "null"}]} if found.pop("nullable", None) is True else found


def within(spec: Spec, value: Any) -> set[str]:
    """The names of all schemas that a schema refers to, however far."""
    found: set[str] = set()
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, dict):
            reference = inner.get("$ref")
            if isinstance(reference, str) and (name := reference.removeprefix(_REFERENCE)) not in found:
                found.add(name)
                waiting.append(schema(spec, name))
            waiting += inner.values()
        elif isinstance(inner, list):
            waiting += inner
    return found


@cache
def validator(spec: Spec, name: str) -> jsonschema_rs.Validator:
    """What says whether a value is of a schema."""
    one = schema(spec, name)
    named = {inner: schema(spec, inner) for inner in within(spec, one)}
    return jsonschema_rs.validator_for({**one, "components": {"schemas": named}})


def faults(spec: Spec, name: str, value: Any) -> set[str]:
    """What is wrong with a value by a schema: where, and which keyword it breaks or which field it lacks."""
    found = set()
    for error in validator(spec, name).iter_errors(value):
        where = ".".join("*" if isinstance(step, int) else step for step in error.instance_path)
        lacks = str(error.schema_path[-1]) == "required" or "required" in map(str, error.schema_path[-2:])
        found.add(f"{where or 'all'}: {error.message if lacks else error.schema_path[-1]}")
    return found


@cache
def events(spec: Spec) -> Mapping[str, str]:
    """The schema of each event of a stream of responses, by the event's type."""
    found: dict[str, str] = {}
    for name in names(spec):
        if name.startswith("Response") or name.endswith("StreamingEvent"):
            kinds = schema(spec, name).get("properties", {}).get("type", {}).get("enum", ())
            if len(kinds) == 1 and ("." in kinds[0] or kinds[0] == "error"):
                found.setdefault(kinds[0], name)
    return found
