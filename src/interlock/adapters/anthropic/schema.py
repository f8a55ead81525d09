"""JSON Schemas of other dialects -> the part of JSON Schema that Anthropic compiles to a grammar.

The vendor takes closed objects only, and answers 400 to bounds on numbers, lengths and counts. So what is
sent is never wider than what was asked for, and as narrow as the vendor can make it; bounds that it cannot
enforce are told to the model in words, and the answer is checked against the caller's own schema anyway.
Source: the vendor's page on structured outputs, "JSON Schema limitations".
"""

from collections.abc import Callable
from typing import Any, Final

Schema = dict[str, Any]

_SAYS_WHAT: Final = ("type", "enum", "const", "$ref", "anyOf", "allOf")
_MUTE: Final = frozenset({"$schema", "$id", "$comment", "additionalProperties"})
"""Keywords about the schema itself, and the one that every object is given."""
_FORMATS: Final = frozenset(
    {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
)
_ENFORCED: Final[dict[str, Callable[[Any], bool]]] = {
    "format": lambda value: isinstance(value, str) and value in _FORMATS,
    "minItems": lambda value: value in (0, 1),
}
"""Bounds that the vendor enforces for some values."""
_OF_NUMBERS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_OF_TYPE: Final[dict[str, tuple[str, ...]]] = {
    "string": ("format", "pattern", "minLength", "maxLength"),
    "integer": _OF_NUMBERS,
    "number": _OF_NUMBERS,
    "array": ("items", "minItems", "maxItems", "uniqueItems"),
    "object": ("properties", "required", "additionalProperties"),
}
_TYPED: Final = frozenset(name for names in _OF_TYPE.values() for name in names)


class _CannotBeSaidError(Exception):
    """The vendor has no way to ask for what this schema asks for."""


def narrowed(schema: Schema) -> Schema | None:
    """The schema as the vendor takes it; None where it has no such thing as what the schema asks for.

    That is an object whose keys are not known beforehand (a mapping), a value of no stated type, and what
    is no JSON Schema at all (`properties` that is a list): nobody has read a caller's schema before.
    """
    try:
        return _narrowed(schema)
    except _CannotBeSaidError:
        return None


def _narrowed(schema: Any) -> Schema:
    if not isinstance(schema, dict):  # `true` is a schema as well, of anything
        raise _CannotBeSaidError
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return _narrowed(_one_type_each(schema, kinds))
    found: Schema = {}
    bounds: list[str] = []
    for name, value in schema.items():
        carry = _KEYWORDS.get(name)
        if carry is not None:
            found["anyOf" if name == "oneOf" else name] = carry(value)
        elif name in _ENFORCED and _ENFORCED[name](value):
            found[name] = value
        elif name not in _MUTE:
            bounds.append(f"{name}: {value}")
    if not any(name in found for name in _SAYS_WHAT):
        raise _CannotBeSaidError
    if kinds == "object":
        _close(found, schema.get("additionalProperties"))
    if bounds:
        words = f"({', '.join(bounds)})"
        found["description"] = f"{found['description']}\n{words}" if "description" in found else words
    return found


def _as_it_is(value: Any) -> Any:
    return value


def _each(value: Any) -> list[Schema]:
    if not isinstance(value, list):
        raise _CannotBeSaidError
    return [_narrowed(inner) for inner in value]


def _by_name(value: Any) -> dict[str, Schema]:
    if not isinstance(value, dict):
        raise _CannotBeSaidError
    return {name: _narrowed(inner) for name, inner in value.items()}


_KEYWORDS: Final[dict[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(("type", "description", "title", "default", "enum", "const", "required"), _as_it_is),
    "$ref": _as_it_is,
    "items": _narrowed,
    **dict.fromkeys(("anyOf", "oneOf", "allOf"), _each),
    **dict.fromkeys(("properties", "$defs", "definitions"), _by_name),
}
"""What the vendor compiles."""


def _one_type_each(schema: Schema, kinds: list[Any]) -> Schema:
    """A value of several types as one of several values, each with the keywords that concern it."""
    if not kinds or not all(isinstance(kind, str) for kind in kinds):
        raise _CannotBeSaidError
    shared = {name: value for name, value in schema.items() if name in ("description", "title", "$defs")}
    rest = {name: value for name, value in schema.items() if name not in ("type", *shared)}
    variants = [
        {
            "type": kind,
            **{
                name: value
                for name, value in rest.items()
                if name in _OF_TYPE.get(kind, ()) or name not in _TYPED
            },
        }
        for kind in kinds
    ]
    return {**shared, "anyOf": variants} if len(variants) > 1 else {**shared, **variants[0]}


def _close(found: Schema, others: Any) -> None:
    """An object has the keys that it names. One that lives by the others cannot be asked for."""
    if isinstance(others, dict) or (not found.get("properties") and others is not False):
        raise _CannotBeSaidError
    found["additionalProperties"] = False
