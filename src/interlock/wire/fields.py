"""Fields of decoded JSON objects: each is taken out, checked, or named with what is wrong with it.

Readers take fields out of the object they are given, so that what is left over is exactly what
nobody interpreted.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from interlock.errors import ApiError

Fields = dict[str, Any]
Check = Callable[[Any], Any]
"""Gives the value back if it is of the right kind. Raises Misfit."""
T = TypeVar("T")


class Misfit(Exception):  # noqa: N818 - it is no error yet: only the whole path makes one
    """A field that does not fit. Paths grow on the way out, so that reading good fields costs none."""

    def __init__(self, problem: str, *, path: str = "", hint: str = "") -> None:
        self.problem = problem
        self.path = path
        self.hint = hint
        super().__init__(problem)

    def under(self, outer: str) -> "Misfit":
        """The same misfit, seen from the object that holds `outer`."""
        inner = self.path
        self.path = outer + inner if not inner or inner.startswith("[") else f"{outer}.{inner}"
        return self

    def to_error(self) -> ApiError:
        message = f"`{self.path}`: {self.problem}" if self.path else self.problem
        return ApiError("invalid_request", message, hint=self.hint, param=self.path or None)


def text(value: Any) -> str:
    if type(value) is not str:
        raise Misfit("must be a string")
    return value


def name(value: Any) -> str:
    if type(value) is not str or not value:
        raise Misfit("must be a string that is not empty")
    return value


def flag(value: Any) -> bool:
    if type(value) is not bool:
        raise Misfit("must be true or false")
    return value


def an_object(value: Any) -> Fields:
    if type(value) is not dict:
        raise Misfit("must be an object")
    return value


def a_list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise Misfit("must be a list")
    return value


def whole(least: int) -> Check:
    """A check for integers from `least` up."""

    def check(value: Any) -> int:
        if type(value) is not int or value < least:
            raise Misfit(f"must be an integer of at least {least}")
        return value

    return check


def integer(value: Any) -> int:
    if type(value) is not int:
        raise Misfit("must be an integer")
    return value


def number(least: float, most: float) -> Check:
    """A check for numbers from `least` to `most`."""

    def check(value: Any) -> float:
        if type(value) not in (int, float) or not least <= value <= most:
            raise Misfit(f"must be a number from {least} to {most}")
        return float(value)

    return check


def one_of(*choices: str) -> Check:
    """A check for a string out of few."""

    def check(value: Any) -> str:
        if type(value) is not str or value not in choices:
            raise Misfit("must be one of " + ", ".join(f"`{choice}`" for choice in choices))
        return value

    return check


def take(fields: Fields, key: str, check: Callable[[Any], T]) -> T | None:
    """Take an optional field out; null is as good as absent. Raises Misfit."""
    value = fields.pop(key, None)
    if value is None:
        return None
    try:
        return check(value)
    except Misfit as misfit:
        raise misfit.under(key) from None


def need(fields: Fields, key: str, check: Callable[[Any], T]) -> T:
    """Take a field out that must be there. Raises Misfit."""
    value = fields.pop(key, None)
    if value is None:
        raise Misfit("is missing", path=key)
    try:
        return check(value)
    except Misfit as misfit:
        raise misfit.under(key) from None


def read_fields(
    fields: Fields, readers: Mapping[str, tuple[str, Callable[[Any], Any]]]
) -> tuple[dict[str, Any], Fields]:
    """What the readers made of a body's fields, by their own names, and the fields that have no reader.

    A reader is a name and a check; null is as good as absent. Raises Misfit.
    """
    found: dict[str, Any] = {}
    extra: Fields = {}
    for key, value in fields.items():
        if value is None:
            continue
        reader = readers.get(key)
        if reader is None:
            extra[key] = value
            continue
        field, read = reader
        try:
            found[field] = read(value)
        except Misfit as misfit:
            raise misfit.under(key) from None
    return found, extra


def nothing_else(fields: Fields) -> None:
    """Refuse fields that are left over where nothing could carry them on. Raises Misfit."""
    for key, value in fields.items():
        if value is not None:
            raise Misfit("is not known here", path=key)


def each(values: Iterable[Any], read: Callable[[Any], T]) -> list[T]:
    """Read every item of a list. Raises Misfit with the index of the first that does not fit."""
    out: list[T] = []
    for item in values:
        try:
            out.append(read(item))
        except Misfit as misfit:
            raise misfit.under(f"[{len(out)}]") from None
    return out


def texts(value: Any) -> tuple[str, ...]:
    return tuple(each(a_list(value), text))
