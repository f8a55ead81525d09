"""One value over several texts: what somebody splits over two messages, two parts or two arguments.

The ends of texts are laid end to end, those of one role and then all of them, and looked at like any text.
An agent sends the same texts beside each other with every step, so what has been looked at and is quiet is
remembered by the names of its texts.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.classify.seen import Known, Reading, Seen
from interlock.types.request import File, Message, Request, Text, ToolCall, ToolResult

_SEAM: Final = 128  # characters on either side of a seam: longer than a card, an IBAN or most keys
_NEAR: Final = 64  # the same between texts of different kinds
_MOST_NAMES: Final = 8


class Row(Struct, frozen=True):
    """Texts that follow each other: where, what is known of each, and how near to a seam is looked."""

    where: str
    texts: list[str]
    known: list[Known]
    near: int


def rows(request: Request, reading: Reading) -> list[Row]:
    """All texts that a value could be split over."""
    messages, bare = request.messages, reading.bare
    if len(messages) == 1 and (bare is not None or _is_one_text(messages[0])):
        return []
    if bare is not None and "" not in bare and len({message.role for message in messages}) == len(bare):
        return [Row("messages", bare, reading.known, _NEAR)]
    every = Row("messages", [], [], _NEAR)
    roles: dict[str, Row] = {}
    for place, message in enumerate(messages):
        for part in message.parts:
            if type(part) is Text:
                text = part.text
                if not text:
                    continue
                known = reading.of(text) if bare is None else reading.known[place]
                row = roles.get(message.role)
                if row is None:
                    row = roles[message.role] = Row(f"messages, role {message.role}", [], [], _SEAM)
                row.texts.append(text)
                row.known.append(known)
                every.texts.append(text)
                every.known.append(known)
            elif type(part) is ToolResult or type(part) is ToolCall:
                within = list(_texts_within(part))
                every.texts.extend(within)
                every.known.extend(map(reading.of, within))
    found = [row for row in roles.values() if len(row.texts) > 1]
    count = len(every.texts)
    if count > 1 and (len(found) != 1 or len(found[0].texts) != count):
        found.append(every)
    return found


def _is_one_text(message: Message) -> bool:
    return len(message.parts) == 1 and type(message.parts[0]) is Text


def _texts_within(part: ToolResult | ToolCall) -> Iterator[str]:
    """The texts of a result, or the values of a call's arguments, in order."""
    if type(part) is ToolResult:
        yield from (inner.text for inner in part.content if isinstance(inner, Text | File) and inner.text)
    elif isinstance(part, ToolCall):
        try:
            yield from _string_values(msgspec.json.decode(part.arguments))
        except (msgspec.DecodeError, RecursionError):
            yield part.arguments


def _string_values(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += reversed(value.values())
        elif isinstance(value, list):
            waiting += reversed(value)
        elif isinstance(value, str) and value:
            yield value


def lay(row: Row) -> tuple[str, tuple[int, ...]]:
    """The ends of a row's texts, end to end, and the offsets of the seams."""
    pieces: list[str] = []
    offsets: list[int] = []
    length = 0
    for text in row.texts:
        piece = _ends(text, row.near)
        if pieces:
            offsets.append(length)
        pieces.append(piece)
        length += len(piece)
    return "".join(pieces), tuple(offsets)


def _ends(text: str, near: int) -> str:
    return text if len(text) <= 2 * near else f"{text[:near]}\n{text[-near:]}"


# --- what has been looked at --------------------------------------------------------------------

_QUIET: Final = Seen[bool]()
Stretches = dict[bytes, str]
"""Texts to look at, by the name to remember them by."""


def new_stretches(rows: list[Row]) -> Stretches:
    """What of rows is not known to be quiet: from one long text to the next, with all short ones between.

    The middle of a long text is left out, and no mark is long enough to reach over the ends that stay. So
    where each stretch is quiet by itself, nothing stands over a seam of the row.
    """
    found: Stretches = {}
    for row in rows:
        texts, near = row.texts, row.near
        begin, last = 0, len(texts) - 1
        for place in range(1, last + 1):
            if place < last and len(texts[place]) <= 2 * near:
                continue
            name = _name(row, begin, place)
            if name is None or _QUIET.get(name) is None:
                text = "".join([_ends(text, near) for text in texts[begin : place + 1]])
                found[name or b"%d" % len(found)] = text
            begin = place
    return found


def _name(row: Row, begin: int, end: int) -> bytes | None:
    """The name of a stretch; None where it is too long to be kept in mind."""
    if end - begin >= _MOST_NAMES:
        return None
    return b"%d" % row.near + b"".join([known.name for known in row.known[begin : end + 1]])


def are_quiet(stretches: Stretches) -> None:
    """Remember that nothing stands in some stretches."""
    for name in stretches:
        _QUIET.put(name, True)
