"""Structured output: an answer's text against JSON Schema. Also the compiled schemas of tools' arguments."""

from collections.abc import Iterable
from functools import lru_cache, partial
from itertools import islice
from typing import Any, Final

import jsonschema_rs
import msgspec

from interlock.execute.validation.contract import Asked
from interlock.execute.validation.findings import PASSED, Finding, Judge, Violation
from interlock.execute.validation.said import Said, text_of

MOST_VIOLATIONS: Final = 8
_encode = msgspec.json.Encoder(order="sorted").encode


def judges(asked: Asked) -> Iterable[Judge]:
    """One for the caller's own format, one for the lane's schema."""
    own, contract = asked.request.response_format, asked.contract
    if own is not None:
        yield _judge_of("request", own.json_schema)
    if contract is not None and contract.json_schema is not None:
        yield _judge_of(contract.owner, contract.json_schema)


def validator_of(schema: dict[str, Any]) -> jsonschema_rs.Validator | None:
    """A compiled validator; None for a schema that cannot be used, which then judges nothing.

    A caller's schema must cost linear time and fetch nothing: patterns run on the engine without
    backtracking, and a reference to another document is an unusable schema.
    """
    return _compiled(_encode(schema))


@lru_cache(maxsize=256)
def _compiled(schema: bytes) -> jsonschema_rs.Validator | None:
    try:
        return jsonschema_rs.validator_for(
            msgspec.json.decode(schema), pattern_options=jsonschema_rs.RegexOptions(), offline=True
        )
    except (ValueError, jsonschema_rs.ReferencingError):
        return None


def _judge_of(owner: str, schema: dict[str, Any] | None) -> Judge:
    """Without a schema the answer has to be JSON, whichever."""
    name = f"json of the {owner}" if schema is None else f"json_schema of the {owner}"
    return Judge(name, partial(_judge, owner=owner, schema=schema))


def _judge(said: Said, owner: str, schema: dict[str, Any] | None) -> Finding:
    try:
        value = msgspec.json.decode(text_of(said.parts))
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return Finding((_violation(f"the answer is not JSON, as the {owner} asks"),))
    if schema is None:
        return PASSED
    validator = validator_of(schema)
    if validator is None:
        return Finding(unchecked=f"the schema of the {owner} cannot be used")
    if validator.is_valid(value):
        return PASSED
    errors = islice(validator.iter_errors(value), MOST_VIOLATIONS)
    return Finding(tuple(_violation(_where(error.schema_path, owner)) for error in errors))


def _where(path: Iterable[str | int], owner: str) -> str:
    return f"the answer breaks `{'/'.join(str(step) for step in path)}` in the schema of the {owner}"


def _violation(message: str) -> Violation:
    return Violation(rule="json_schema", message=message)
