"""What a caller says about its own request, in headers and in the body's `metadata`.

Said twice, the stricter word counts. What only chooses (task, lane, latency class, session) has no
stricter word: two that differ are refused. A bad value is refused too; it is never passed over.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final, NamedTuple

from interlock.dialects.control import refuse_control_metadata
from interlock.types.labels import DATA_CLASSES, LATENCY_CLASSES, RANK, RISK_TIERS
from interlock.types.request import NO_HINTS, Hints
from interlock.wire.fields import Misfit, an_object, name, one_of

_MOST_NAME: Final = 256


def _label(value: Any) -> str:
    """A name as callers choose them: one line, not endless."""
    found = name(value)
    if len(found) > _MOST_NAME or not found.isprintable():
        raise Misfit(f"must be one line of at most {_MOST_NAME} characters")
    return found


def _places(value: Any) -> tuple[str, ...]:
    """One place, or several with commas between, or a list of them."""
    given = value if type(value) is list else name(value).split(",")
    return tuple(dict.fromkeys(_label(place.strip() if type(place) is str else place) for place in given))


def _milliseconds(value: Any) -> int:
    if type(value) is str and value.isascii() and value.isdigit() and len(value) <= 15:
        value = int(value)
    if type(value) is not int or value <= 0:
        raise Misfit("must be a positive number of milliseconds")
    return value


def _dollars(value: Any) -> float:
    if type(value) is str:
        try:
            value = float(value)
        except ValueError:
            raise Misfit("must be an amount of US dollars") from None
    if type(value) not in (int, float) or not 0 <= value < math.inf:
        raise Misfit("must be an amount of US dollars")
    return float(value)


def _higher(one: str, other: str) -> str:
    return max(one, other, key=RANK.__getitem__)


def _both(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))


def _same(one: str, other: str) -> str:
    if one != other:
        raise Misfit("header and metadata differ", hint="send it once")
    return one


class _Hint(NamedTuple):
    """How a hint is read, and what two of them come to."""

    field: str
    read: Callable[[Any], Any]
    join: Callable[[Any, Any], Any]


_HINTS: Final[dict[str, _Hint]] = {
    "data_class": _Hint("data_class", one_of(*DATA_CLASSES), _higher),
    "risk_tier": _Hint("risk_tier", one_of(*RISK_TIERS), _higher),
    "latency_class": _Hint("latency_class", one_of(*LATENCY_CLASSES), _same),
    "residency": _Hint("residencies", _places, _both),
    "task": _Hint("task", _label, _same),
    "difficulty": _Hint("difficulty", _label, _same),
    "lane": _Hint("lane", _label, _same),
    "session": _Hint("session", _label, _same),
    "deadline_ms": _Hint("deadline_ms", _milliseconds, min),
    "max_cost_usd": _Hint("max_cost_usd", _dollars, min),
}
_PREFIX: Final = "x-interlock-"
_HEADERS: Final = {f"{_PREFIX}{key.replace('_', '-')}": key for key in _HINTS}
_LETTERS: Final = {key.replace("_", ""): key for key in _HINTS}


@lru_cache(maxsize=64)
def _hints_among(headers: tuple[str, ...]) -> tuple[str, ...]:
    """Which headers give hints. Kept, as a caller sends the same headers with every request.

    Raises Misfit for a name that is nearly a hint's: passed over, it would loosen the request.
    """
    for header in headers:
        if header not in _HEADERS and header.lower().replace("_", "-").startswith(_PREFIX):
            meant = _hint_like(header)
            hint = f"did you mean `{_PREFIX}{meant.replace('_', '-')}`?" if meant else ""
            raise Misfit("is not a hint", path=header, hint=hint or f"hints are {', '.join(_HEADERS)}")
    return tuple([header for header in headers if header in _HEADERS])


def _refuse_mistyped(metadata: dict[str, Any]) -> None:
    """Raises Misfit for a key that is nearly a hint's."""
    for key in metadata:
        if key not in _HINTS and (meant := _hint_like(key)):
            raise Misfit("is not a hint", path=f"metadata.{key}", hint=f"did you mean `{meant}`?")


def _hint_like(written: str) -> str | None:
    """The hint whose name has the same letters, whatever their case and the signs between them."""
    letters = "".join(char for char in written.lower() if char not in "-_ \t")
    return _LETTERS.get(letters.removeprefix("xinterlock"))


def _header_text(value: str) -> str:
    """A header as its sender meant it: servers read its bytes as Latin-1, senders mostly write UTF-8."""
    if not value.isascii():
        with suppress(UnicodeError):
            value = value.encode("latin-1").decode()
    return value.strip()


def read_hints(headers: Mapping[str, str], metadata: dict[str, Any]) -> Hints:
    """The hints of a request; those in `metadata` are taken out of it. Raises Misfit."""
    given = _hints_among(tuple(headers)) if headers else ()
    if not given and not metadata:
        return NO_HINTS
    _refuse_mistyped(metadata)
    said: dict[str, Any] = {}
    for header in given:
        key = _HEADERS[header]
        try:
            said[key] = _HINTS[key].read(_header_text(headers[header]))
        except Misfit as misfit:
            raise misfit.under(header) from None
    for key in _HINTS.keys() & metadata.keys():
        value = metadata.pop(key)
        try:
            found = _HINTS[key].read(value.strip() if type(value) is str else value)
            said[key] = _HINTS[key].join(said[key], found) if key in said else found
        except Misfit as misfit:
            raise misfit.under(f"metadata.{key}") from None
    return Hints(**{_HINTS[key].field: value for key, value in said.items()}) if said else NO_HINTS


def read_metadata(value: Any) -> dict[str, Any]:
    """The `metadata` of a body before its hints are taken out. Raises Misfit."""
    metadata = an_object(value)
    refuse_control_metadata(metadata)
    return metadata


def check_rest(metadata: dict[str, Any]) -> dict[str, str]:
    """What is left of `metadata` without its hints: names with strings, as the vendors have them."""
    for key, value in metadata.items():
        if type(value) is not str:
            raise Misfit("must be a string", path=f"metadata.{key}")
    return metadata
