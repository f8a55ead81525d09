"""A plain tree to `written.File`: strict, and with every problem, not just the first.

The walk follows the types of `written` themselves, so a field added there is checked here. After
an unknown key it recovers as a compiler does: a key that is plainly a misspelling is read as what
was meant, so that one slip does not hide the rest of the file or blame what is right.
"""

import math
import operator
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar, get_args

import msgspec
import re2
from msgspec import inspect

from interlock.config.descriptions import FIELDS
from interlock.config.environment import FromEnvironment
from interlock.config.problems import below, error, listed, nearest, suggest
from interlock.config.source import plain_scalar
from interlock.config.written import File
from interlock.errors import Problem
from interlock.types import labels

T = TypeVar("T")
Fields = Mapping[str, Mapping[str, str]]

_UNUSABLE: Final = object()
"""Stands for a value that the walk could not make sense of."""
_LARGEST: Final = 2**53
_SCALES: Final = tuple(
    get_args(scale)
    for scale in (
        labels.DataClass,
        labels.RiskTier,
        labels.LatencyClass,
        labels.Trust,
        labels.Effect,
        labels.SafetyMode,
        labels.Layout,
        labels.Logging,
        labels.Role,
        labels.ServiceTier,
        labels.When,
        labels.EscalateWhen,
        labels.Kind,
        labels.Capability,
    )
)


def decode_file(tree: Any) -> tuple[File | None, tuple[Problem, ...]]:
    """The file, and every problem of its shape. None where too little is right to look further."""
    return decode_tree(tree, File, FIELDS, "the file is a mapping of sections: `providers:`, `models:`, …")


def decode_tree(
    tree: Any, kind: type[T], fields: Fields, about: str, path: str = ""
) -> tuple[T | None, tuple[Problem, ...]]:
    """A plain tree as a Struct: what `decode_file` does, for any of our files.

    `fields` has a sentence for the fields of each Struct, by the Struct's name; `about` one for the whole.
    """
    walk = _Walk(fields, about)
    cleaned = walk.value(tree, inspect.type_info(kind), path)
    if cleaned is _UNUSABLE:
        return None, tuple(walk.problems)
    try:
        return msgspec.convert(cleaned, kind), tuple(walk.problems)
    except msgspec.ValidationError as failure:
        # The walk and msgspec read the same types; this stands guard, should they ever disagree.
        return None, (*walk.problems, error(path, str(failure)))


class _Walk:
    """Collects problems, and gives the value back cleaned. Lives for one file."""

    def __init__(self, fields: Fields, about: str) -> None:
        self.problems: list[Problem] = []
        self._fields = fields
        self._about = about
        """What the field at hand is for: the hint where there is no better one."""

    def value(self, value: Any, kind: inspect.Type, path: str) -> Any:  # noqa: C901 - a row for each kind of type
        kind = _bare(kind)
        if isinstance(value, FromEnvironment) and not value.known:
            return str(value) if isinstance(kind, inspect.StrType) else _UNUSABLE
        match kind:
            case inspect.UnionType():
                if value is None:
                    return None
                return self.value(
                    value, next(t for t in kind.types if not isinstance(t, inspect.NoneType)), path
                )
            case inspect.StructType():
                return self._struct(value, kind, path)
            case inspect.DictType():
                return self._mapping(value, kind, path)
            case inspect.VarTupleType():
                return self._list(value, kind.item_type, path)
            case inspect.LiteralType():
                return self._literal(value, kind, path)
            case inspect.IntType() | inspect.FloatType():
                return self._number(value, kind, path)
            case inspect.BoolType():
                return self._flag(value, path)
            case inspect.StrType():
                return self._text(value, kind, path)
        return _plain(value)

    def _refuse(self, path: str, problem: str, hint: str = "") -> Any:
        self.problems.append(error(path, problem, hint))
        return _UNUSABLE

    def _wrong(self, path: str, expected: str, value: Any, hint: str = "") -> Any:
        if value is None:
            return self._refuse(path, f"is empty, but needs {expected}", "fill it in, or leave the key out")
        return self._refuse(path, f"needs {expected}, not {_shown(value)}", hint or self._about)

    def _struct(self, value: Any, kind: inspect.StructType, path: str) -> Any:
        fields = {field.encode_name: field for field in kind.fields}
        if not isinstance(value, Mapping):
            return self._wrong(path, f"a mapping with {_some(fields)}", value)
        found: dict[str, Any] = {}
        for key, inner in value.items():
            here = below(path, key)
            if key in fields:
                self._describe(kind.cls.__name__, key)
                found[key] = self.value(inner, fields[key].type, here)
                continue
            self._refuse(here, f"unknown key `{key}`", suggest(key, list(fields), where=" here"))
            meant = nearest(key, fields)
            if meant is not None and meant not in value:
                # Read quietly: what a misread key holds is not to be judged, or shown, as another's value.
                found[meant] = _Walk(self._fields, self._about).value(inner, fields[meant].type, here)
        usable = all(item is not _UNUSABLE for item in found.values())
        for name, field in fields.items():
            if field.required and name not in found:
                self._refuse(path, f"`{name}` is missing", _example(name, field.type))
                usable = False
        return found if usable else _UNUSABLE

    def _describe(self, struct: str, key: str) -> None:
        sentence = self._fields.get(struct, {}).get(key)
        if sentence is not None:
            self._about = f"`{key}`: {sentence}"

    def _mapping(self, value: Any, kind: inspect.DictType, path: str) -> Any:
        if not isinstance(value, Mapping):
            return self._wrong(path, "a mapping of names", value, "write `name: …` on a line below")
        found: dict[str, Any] = {}
        usable = True
        for key, inner in value.items():
            here = below(path, key)
            name = self.value(key, kind.key_type, here)
            item = self.value(inner, kind.value_type, here)
            if name is _UNUSABLE or item is _UNUSABLE:
                usable = False
            else:
                found[name] = item
        return found if usable else _UNUSABLE

    def _list(self, value: Any, kind: inspect.Type, path: str) -> Any:
        if not isinstance(value, list):
            hint = (
                f"write `[{value}]`" if isinstance(value, str | int) and not isinstance(value, bool) else ""
            )
            return self._wrong(path, "a list", value, hint)
        items = [self.value(item, kind, below(path, place)) for place, item in enumerate(value)]
        return _UNUSABLE if any(item is _UNUSABLE for item in items) else items

    def _literal(self, value: Any, kind: inspect.LiteralType, path: str) -> Any:
        choices = list(_ordered(kind.values))
        if isinstance(value, FromEnvironment) and not isinstance(choices[0], str):
            value = plain_scalar(value)
        if value in choices and not isinstance(value, bool):
            return str(value) if isinstance(value, str) else value
        names = [str(choice) for choice in choices]
        hint = (
            suggest(value, names) if isinstance(value, str) and not isinstance(value, FromEnvironment) else ""
        )
        one_of = f"one of {listed(names)}" if len(names) > 1 else f"`{names[0]}`"
        return self._wrong(path, one_of, value, hint if hint.startswith("did") else "")

    def _number(self, value: Any, kind: inspect.IntType | inspect.FloatType, path: str) -> Any:
        reference = value
        if isinstance(value, FromEnvironment):
            value = plain_scalar(value)
        whole = isinstance(kind, inspect.IntType)
        what = "a whole number" if whole else "a number"
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            return self._wrong(path, what, reference, _number_hint(reference))
        if not math.isfinite(value):
            return self._wrong(path, what, reference)
        if abs(value) > _LARGEST:
            return self._wrong(path, f"{what} up to {_LARGEST}", reference)
        limits = _limits(kind)
        if any(not holds(value) for _, holds in limits):
            return self._wrong(
                path, f"{what} {' and '.join(words for words, _ in limits if words)}", reference
            )
        return value if whole else float(value)

    def _flag(self, value: Any, path: str) -> Any:
        reference = value
        if isinstance(value, FromEnvironment):
            value = plain_scalar(value)
        if isinstance(value, bool):
            return value
        meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(str(value).lower())
        return self._wrong(path, "`true` or `false`", reference, f"write `{meant}`" if meant else "")

    def _text(self, value: Any, kind: inspect.StrType, path: str) -> Any:
        if not isinstance(value, str):
            quotable = isinstance(value, bool | int | float)
            return self._wrong(
                path, "text", value, f'write "{_scalar_text(value)}" in quotes' if quotable else ""
            )
        if kind.pattern is not None and not re2.fullmatch(kind.pattern, value):
            # `written` has one pattern: the length of time.
            return self._wrong(path, "a length of time, such as `250ms`, `10s`, `5m`, `1h` or `1d`", value)
        return str(value)


def _bare(kind: inspect.Type) -> inspect.Type:
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


def _plain(value: Any) -> Any:
    """A value whose shape another check knows (`when`, `match`), free of our own text type."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, str) else value


def _shown(value: Any) -> str:
    """A value as a message may show it; what came from the environment as its reference."""
    if isinstance(value, FromEnvironment):
        return f"what `{value.reference}` holds"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = _scalar_text(value)
    return f"`{text if len(text) <= 60 else text[:59] + '…'}`"


def _scalar_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _some(fields: Mapping[str, inspect.Field]) -> str:
    required = [name for name, field in fields.items() if field.required]
    return listed(required or list(fields)[:3]) + ("" if required else ", …")


def _example(name: str, kind: inspect.Type) -> str:
    kind = _bare(kind)
    if isinstance(kind, inspect.LiteralType):
        return f"add `{name}:` with one of {listed(str(choice) for choice in _ordered(kind.values))}"
    return f"add `{name}:`"


def _ordered(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Choices in the order a reader expects: scales upwards, others as msgspec sorts them."""
    return next((scale for scale in _SCALES if set(scale) == set(values)), values)


def _number_hint(value: Any) -> str:
    if isinstance(value, str) and not isinstance(value, FromEnvironment):
        digits = value.replace("_", "").replace(",", "")
        if digits != value and digits.isdecimal():
            return f"write `{digits}`"
        if isinstance(plain_scalar(value), int | float) and not isinstance(plain_scalar(value), bool):
            return "remove the quotes"
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST:
        return f"write `{int(value)}`"
    return ""


def _limits(kind: inspect.IntType | inspect.FloatType) -> list[tuple[str, Callable[[float], bool]]]:
    """The bounds of a number, each in words and as a test."""
    if kind.ge is not None and kind.le is not None:
        return [
            (f"from {kind.ge} to {kind.le}", partial(_within, operator.ge, kind.ge)),
            ("", partial(_within, operator.le, kind.le)),
        ]
    bounds: tuple[tuple[str, float | None, Callable[[float, float], bool]], ...] = (
        ("of at least", kind.ge, operator.ge),
        ("above", kind.gt, operator.gt),
        ("of at most", kind.le, operator.le),
        ("below", kind.lt, operator.lt),
    )
    return [
        (f"{words} {bound}", partial(_within, holds, bound))
        for words, bound, holds in bounds
        if bound is not None
    ]


def _within(holds: Callable[[float, float], bool], bound: float, value: float) -> bool:
    return holds(value, bound)
