"""Content as both of OpenAI's APIs write it: a string, or a list of parts that each name their kind."""

from collections.abc import Callable, Mapping
from typing import Any

from interlock.dialects.labels import take_source, take_trust
from interlock.types.labels import Dialect
from interlock.types.request import AnyPart, Opaque, Text
from interlock.wire.fields import Fields, Misfit, an_object, each, name, need


def read_content(value: Any, read_part: Callable[[Any], AnyPart]) -> tuple[AnyPart, ...]:
    """The parts of a content. Raises Misfit."""
    if type(value) is str:
        return (Text(text=value),)
    if type(value) is not list:
        raise Misfit("must be a string or a list of parts")
    return tuple(each(value, read_part))


def part_of(raw: Any, readers: Mapping[str, Callable[[Fields], AnyPart]], dialect: Dialect) -> AnyPart:
    """One part, by the reader of its kind; of a kind that has none it is kept as it is. Raises Misfit."""
    fields = an_object(raw)
    kind = need(fields, "type", name)
    read = readers.get(kind)
    return opaque_of(kind, fields, dialect) if read is None else read(fields)


def opaque_of(kind: str, fields: Fields, dialect: Dialect) -> Opaque:
    """What only this dialect's vendor knows, without our labels."""
    trust, source = take_trust(fields), take_source(fields)
    return Opaque(dialect=dialect, kind=kind, value={"type": kind, **fields}, trust=trust, source=source)
