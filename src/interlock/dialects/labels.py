"""`trust` and `source`, which a caller may put on a message or on a part of one. Never sent upstream."""

from typing import Any, Final

import msgspec

from interlock.types.labels import Trust
from interlock.types.request import AnyPart
from interlock.wire.fields import Fields, name, one_of, take

_check_trust: Final = one_of("trusted", "untrusted")


def take_trust(fields: Fields) -> Trust | None:
    found: Trust | None = take(fields, "trust", _check_trust)
    return found


def take_source(fields: Fields) -> str | None:
    return take(fields, "source", name)


def take_labels(fields: Fields) -> dict[str, Any]:
    """The labels of a part, as arguments for it, with its other uninterpreted fields. Raises Misfit."""
    if not fields:
        return {}
    labels: dict[str, Any] = {}
    if "trust" in fields:
        labels["trust"] = take_trust(fields)
    if "source" in fields:
        labels["source"] = take_source(fields)
    extra = left_over(fields)
    if extra is not None:
        labels["extra"] = extra
    return labels


def label_all(parts: tuple[AnyPart, ...], trust: Trust | None, source: str | None) -> tuple[AnyPart, ...]:
    """The parts of a message that carries labels itself. A part is trusted only if nobody doubts it."""
    if trust is None and source is None:
        return parts
    return tuple(
        msgspec.structs.replace(
            part,
            trust="untrusted" if "untrusted" in (trust, part.trust) else trust or part.trust,
            source=part.source or source,
        )
        for part in parts
    )


def left_over(fields: Fields) -> Fields | None:
    """What nobody interpreted of an object, once its known fields are out; null is as good as absent."""
    left = {key: value for key, value in fields.items() if value is not None}
    return left or None
