"""Values of a JSON Schema, made up: what a caller could send by a specification, or nearly so."""

import random
from collections.abc import Callable, Mapping
from typing import Any, Final

Look = Callable[[str], dict[str, Any]]
"""A schema by its name in `components`."""

DEPTH: Final = 7
_REFERENCE: Final = "#/components/schemas/"
_TEXTS: Final = (
    "",
    "hi",
    "a\nb",
    "ünïcödé 漢字 😀",
    '{"a": 1}',
    "https://example.com/a.png",
    "data:image/png;base64,QQ==",
)
_ODD: Final[tuple[Any, ...]] = (
    None,
    True,
    0,
    -1,
    1.5,
    2**40,
    "",
    "odd",
    [],
    [None],
    {},
    {"odd": {"odd": []}},
)


class Made:
    """Mutable: makes values, all from one source of chance. `given` are values for schemas, by name."""

    def __init__(self, look: Look, chance: random.Random, given: Mapping[str, tuple[Any, ...]]) -> None:
        self._look = look
        self._chance = chance
        self._given = given

    def of(self, schema: dict[str, Any], depth: int = 0) -> Any:
        """A value of a schema. Where it goes deep, only what has to be there is."""
        chance = self._chance
        reference = schema.get("$ref")
        if reference is not None:
            name = reference.removeprefix(_REFERENCE)
            if name in self._given:
                return chance.choice(self._given[name])
            return self.of(self._look(name), depth)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return chance.choice(schema["enum"])
        for choices in ("anyOf", "oneOf"):
            if choices in schema:
                return self.of(chance.choice(schema[choices]), depth)
        if "allOf" in schema:
            return (
                self._object(self._joined(schema), depth)
                if self._is_object(schema)
                else self._any_of_all(schema, depth)
            )
        return self._plain(schema, depth)

    def odd(self, value: Any) -> Any:
        """The value with one thing in it that is of some other kind, or with a field that nobody knows."""
        chance = self._chance
        if isinstance(value, dict) and value and chance.random() < 0.85:
            name = chance.choice([*value])
            return {**value, name: self.odd(value[name])}
        if isinstance(value, dict) and chance.random() < 0.5:
            return {**value, "unheard_of": chance.choice(_ODD)}
        if isinstance(value, list) and value and chance.random() < 0.85:
            place = chance.randrange(len(value))
            return [*value[:place], self.odd(value[place]), *value[place + 1 :]]
        return chance.choice(_ODD)

    def _plain(self, schema: dict[str, Any], depth: int) -> Any:
        kind = schema.get("type") or ("object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = self._chance.choice(kind)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            least, most = schema.get("minItems", 0), min(schema.get("maxItems", 3), 3)
            count = least if depth > DEPTH else self._chance.randint(least, max(least, most))
            return [self.of(schema.get("items", {}), depth + 1) for _ in range(count)]
        return self._atom(kind, schema)

    def _atom(self, kind: str, schema: dict[str, Any]) -> Any:
        chance = self._chance
        if kind in ("integer", "number"):
            least, most = schema.get("minimum", 0), schema.get("maximum", 100 if kind == "integer" else 1)
            low, high = min(least, most), max(least, most)
            return (
                chance.randint(int(low), int(high))
                if kind == "integer"
                else round(chance.uniform(low, high), 2)
            )
        if kind == "boolean":
            return chance.random() < 0.5
        return chance.choice(_TEXTS) if kind == "string" else None

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        chance, needed = self._chance, schema.get("required", ())
        rate = 0.15 if depth == 0 else 0.4 if depth < DEPTH else 0.0
        found = {
            name: self.of(inner, depth + 1)
            for name, inner in schema.get("properties", {}).items()
            if name in needed or chance.random() < rate
        }
        more = schema.get("additionalProperties")
        if isinstance(more, dict) and more and depth < DEPTH:
            found |= {f"k{place}": self.of(more, depth + 1) for place in range(chance.randint(0, 2))}
        return found

    def _is_object(self, schema: dict[str, Any]) -> bool:
        joined = self._joined(schema)
        return bool(joined["properties"])

    def _joined(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The properties of everything that an object has to be, together."""
        found: dict[str, Any] = {"properties": {}, "required": []}
        waiting = [schema]
        while waiting:
            one = waiting.pop()
            if "$ref" in one:
                waiting.append(self._look(one["$ref"].removeprefix(_REFERENCE)))
            waiting += one.get("allOf", ())
            found["properties"] |= one.get("properties", {})
            found["required"] += one.get("required", ())
        return found

    def _any_of_all(self, schema: dict[str, Any], depth: int) -> Any:
        """Of what is no object: the first that says what it is; what stands beside it are words about it."""
        says = [one for one in schema["allOf"] if one.keys() - {"description"}]
        return self.of(says[0], depth) if says else {}
