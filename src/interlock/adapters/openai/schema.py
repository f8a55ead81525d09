"""Which JSON Schemas OpenAI enforces: those of its strict mode. Others it takes as a wish.

Source: the vendor's guide to structured outputs, "Supported schemas".
"""

from typing import Any, Final

_KNOWN: Final = frozenset(
    {
        *("type", "description", "title", "enum", "const", "anyOf", "$ref", "$defs", "definitions"),
        *(
            "properties",
            "required",
            "additionalProperties",
            "items",
            "minItems",
            "maxItems",
            "pattern",
            "format",
        ),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    }
)
_SHAPES: Final[dict[str, type]] = {
    "properties": dict,
    "required": list,
    "anyOf": list,
    "$defs": dict,
    "definitions": dict,
}
"""What keywords hold that are looked into. Nobody has read a caller's schema before."""
_FORMATS: Final = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")


def is_strict(schema: dict[str, Any]) -> bool:
    """Whether strict mode takes the schema: an object, every object closed and every key required."""
    return schema.get("type") == "object" and _is_strict(schema)


def _is_strict(schema: Any) -> bool:
    if not isinstance(schema, dict) or not schema.keys() <= _KNOWN:
        return False
    if "format" in schema and schema["format"] not in _FORMATS:
        return False
    if not all(isinstance(schema[name], shape) for name, shape in _SHAPES.items() if name in schema):
        return False
    keys, required = schema.get("properties", {}), schema.get("required", [])
    if schema.get("type") == "object":
        closed = schema.get("additionalProperties") is False
        if not closed or not all(isinstance(key, str) for key in required) or set(required) != set(keys):
            return False
    elif not any(name in schema for name in ("type", "enum", "const", "anyOf", "$ref")):
        return False
    inner = [*keys.values(), *schema.get("$defs", {}).values(), *schema.get("definitions", {}).values()]
    inner += schema.get("anyOf", ())
    if "items" in schema:
        inner.append(schema["items"])
    return all(map(_is_strict, inner))
