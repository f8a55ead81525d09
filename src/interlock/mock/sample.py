"""A small value that keeps a JSON Schema, for answers that must be one.

Plain schemas only: what applications ask models for. Patterns, formats and `not` are not looked at.
"""

from typing import Any, Final

_DEEPEST: Final = 20
_PLAIN: Final[dict[str, Any]] = {"string": "x", "boolean": True, "null": None}


def smallest(schema: Any) -> Any:
    """A value with the required properties only, and the first of every choice."""
    return _value(schema, schema, 0)


def _value(schema: Any, root: Any, depth: int) -> Any:
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return {}
    if "$ref" in schema:
        return _value(_target(str(schema["$ref"]), root), root, depth + 1)
    if "const" in schema:
        return schema["const"]
    for choices in ("enum", "examples"):
        if schema.get(choices):
            return schema[choices][0]
    for several in ("anyOf", "oneOf", "allOf"):
        if schema.get(several):
            return _value(schema[several][0], root, depth + 1)
    return _of_type(schema, root, depth)


def _of_type(schema: dict[str, Any], root: Any, depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0]
    kind = str(kind).lower()  # Gemini's older schemas shout
    match kind:
        case "object":
            properties = schema.get("properties", {})
            return {
                name: _value(properties.get(name, {"type": "string"}), root, depth + 1)
                for name in schema.get("required", ())
            }
        case "array":
            return [_value(schema.get("items", {}), root, depth + 1)] * schema.get("minItems", 0)
        case "integer" | "number":
            return schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        case "string":
            return "x" * max(1, schema.get("minLength", 1))
    return _PLAIN.get(kind, {})


def _target(reference: str, root: Any) -> Any:
    """What a reference inside the schema points at; nothing for any other."""
    found = root
    for name in reference.removeprefix("#").strip("/").split("/") if reference != "#" else ():
        found = found.get(name) if isinstance(found, dict) else None
    return found
