"""In what two checked configs differ: path by path, as an operator would say it. Pure.

Parts that have a name (rules, lanes, keys, deployments) are compared by it, wherever they stand; that they
stand in another order is a difference of its own. Paths are those of the file where it has the part.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.config.checked import Config, encode

_DERIVED: Final = ("config_hash", "policy_hash")
_AS_WRITTEN: Final = {"rules": "policy", "default_tool": "tools.default", "default_model": "default.model"}


class Difference(Struct, frozen=True, kw_only=True):
    """`before` and `after` are plain values; None where that side lacks the part."""

    path: str
    before: Any
    after: Any


def differences(before: Config, after: Config) -> tuple[Difference, ...]:
    """Every difference, in the order of the sections."""
    # As they come back from JSON: a tuple is a list, whatever made it.
    was, now = (msgspec.json.decode(encode(config)) for config in (before, after))
    return tuple(
        found
        for section in now
        if section not in _DERIVED
        for found in _between(_AS_WRITTEN.get(section, section), was[section], now[section])
    )


def _between(path: str, was: Any, now: Any) -> Iterator[Difference]:
    if was == now:
        return
    if isinstance(was, dict) and isinstance(now, dict):
        yield from _of_dicts(path, was, now)
    elif _has_structs(was) and _has_structs(now):
        yield from _of_lists(path, was, now)
    else:
        yield Difference(path=path, before=_bare(was), after=_bare(now))


def _of_dicts(path: str, was: dict[str, Any], now: dict[str, Any]) -> Iterator[Difference]:
    for name in dict.fromkeys((*was, *now)):
        below = f"{path}.{name}"
        if name in was and name in now:
            yield from _between(below, was[name], now[name])
        else:
            yield Difference(path=below, before=_bare(was.get(name)), after=_bare(now.get(name)))


def _of_lists(path: str, was: list[Any], now: list[Any]) -> Iterator[Difference]:
    named_was, named_now = _by_name(was), _by_name(now)
    if named_was is not None and named_now is not None:
        yield from _of_dicts(path, named_was, named_now)
        common = [name for name in named_was if name in named_now]
        order = [name for name in named_now if name in named_was]
        if common != order:
            yield Difference(path=f"{path} (order)", before=common, after=order)
        return
    gone, new = [row for row in was if row not in now], [row for row in now if row not in was]
    for row in gone:
        yield Difference(path=path, before=_bare(row), after=None)
    for row in new:
        yield Difference(path=path, before=None, after=_bare(row))
    if not gone and not new:
        yield Difference(path=f"{path} (order)", before=_bare(was), after=_bare(now))


def _has_structs(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _by_name(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The rows by their names; None where one has none, or two have the same."""
    names = [_name(row) for row in rows]
    found = {name: row for name, row in zip(names, rows, strict=True) if name is not None}
    return found if len(found) == len(rows) else None


def _name(row: dict[str, Any]) -> str | None:
    name = row.get("name") or row.get("id") or row.get("caller", {}).get("key")
    return name if isinstance(name, str) else None


def _bare(value: Any) -> Any:
    """A value without its unset parts, which would only hide what is set."""
    if isinstance(value, dict):
        bare = {name: _bare(inner) for name, inner in value.items()}
        return {name: inner for name, inner in bare.items() if inner not in (None, {}, [])}
    if isinstance(value, list):
        return [_bare(inner) for inner in value]
    return value
