"""The answer is JSON and meets a JSON Schema."""

from typing import Any, Final

import jsonschema_rs
import msgspec

from interlock.evals.answers import as_json
from interlock.evals.sample import Grade
from interlock.evals.seen import Seen, skip, verdict
from interlock.evals.suite import GraderSpec

MEASURE: Final = "schema_valid"


class JsonSchema(GraderSpec, frozen=True, kw_only=True):
    """`schema` is the schema itself by the time that it grades; a suite may name a file instead."""

    schema: Any = None
    fenced: bool = False


def problem(spec: JsonSchema) -> str | None:
    if spec.schema is None:
        return None
    if not isinstance(spec.schema, dict):
        return "needs a JSON Schema: the path of its file, or the schema itself"
    try:
        _validator(spec.schema)
    except (ValueError, jsonschema_rs.ReferencingError) as failure:
        return f"is not a JSON Schema: {str(failure).splitlines()[0]}"
    return None


def grade(spec: JsonSchema, seen: Seen) -> Grade:
    schema = spec.schema if spec.schema is not None else seen.case.expect.get("schema")
    if not isinstance(schema, dict):
        return skip("no schema is expected")
    found, value = as_json(seen.sample.text, fenced=spec.fenced)
    if not found:
        return verdict(False, "the answer is not JSON")
    errors = list(_validator(schema).iter_errors(value))
    where = "/".join(map(str, errors[0].schema_path)) if errors else ""
    return verdict(not errors, f"the answer breaks `{where}` of the schema")


def _validator(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    plain = msgspec.json.decode(msgspec.json.encode(schema))
    return jsonschema_rs.validator_for(plain, pattern_options=jsonschema_rs.RegexOptions(), offline=True)
