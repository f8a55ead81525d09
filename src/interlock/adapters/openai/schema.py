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
_FORMATS: Final = ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")


def is_strict(schema: dict[str, Any]) -> bool:
    """Whether strict mode takes the schema: an object, every object closed and every key required."""
    return schema.get("type") == "object" and _is_strict(schema)


def _is_strict(schema: Any) -> bool:
    if not isinstance(schema, dict) or not schema.keys() <= _KNOWN:
        return False
    if "format" in schema and schema["format"] not in _FORMATS:
        return False
    keys = schema.get("properties", {})
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False or set(schema.get("required", ())) != set(keys):
            return False
    elif not any(name in schema for name in ("type", "enum", "const", "anyOf", "$ref")):
        return False
    inner = [*keys.values(), *schema.get("$defs", {}).values(), *schema.get("definitions", {}).values()]
    inner += schema.get("anyOf", ())
    if "items" in schema:
        inner.append(schema["items"])
    return all(map(_is_strict, inner))
