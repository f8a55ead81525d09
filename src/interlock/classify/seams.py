"""One value over several texts: what somebody splits over two messages, two parts or two arguments.

The ends of texts are laid end to end, those of one role and then all of them, and looked at like any text.
An agent sends the same texts beside each other with every step, so what has been looked at and is quiet is
remembered by the names of its texts.
"""

from collections.abc import Iterator
from hashlib import sha256
from itertools import compress
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.classify.seen import NAMELESS, Known, Reading, Seen
from interlock.types.request import File, Message, Request, Text, ToolCall, ToolResult

_SEAM: Final = 128  # characters on either side of a seam: longer than a card, an IBAN or most keys
_NEAR: Final = 64  # the same between texts of different kinds
_MOST_NAMES: Final = 8
_OF_ROLE: Final = "messages, role "
_role: Final = attrgetter("role")


class Row(Struct, frozen=True):
    """Texts that follow each other: where, what is known of each, and how near to a seam is looked."""

    where: str
    texts: list[str]
    known: list[Known]
    near: int


def rows(request: Request, reading: Reading) -> list[Row]:
    """All texts that a value could be split over: those of each role, and all."""
    messages, bare = request.messages, reading.bare
    if bare is None or "" in bare:
        return _mixed_rows(messages, reading)
    if len(messages) == 1:
        return []
    every = Row("messages", bare, reading.known, _NEAR)
    said = list(map(_role, messages))
    roles = set(said)
    if len(roles) == len(said):
        return [every]
    found: list[Row] = []
    for role in dict.fromkeys(said):
        by = [other == role for other in said]
        if len(texts := list(compress(bare, by))) > 1:
            found.append(Row(f"{_OF_ROLE}{role}", texts, list(compress(reading.known, by)), _SEAM))
    return found if len(roles) == 1 else [*found, every]


def _mixed_rows(messages: tuple[Message, ...], reading: Reading) -> list[Row]:
    """The same of messages that may hold anything, part by part."""
    if len(messages) == 1 and len(messages[0].parts) == 1 and type(messages[0].parts[0]) is Text:
        return []
    every = Row("messages", [], [], _NEAR)
    roles: dict[str, Row] = {}
    for message in messages:
        for part in message.parts:
            if type(part) is Text:
                if not part.text:
                    continue
                row = roles.get(message.role)
                if row is None:
                    row = roles[message.role] = Row(f"{_OF_ROLE}{message.role}", [], [], _SEAM)
                row.texts.append(part.text)
                row.known.append(reading.of(part.text))
                every.texts.append(part.text)
                every.known.append(row.known[-1])
            elif type(part) is ToolResult or type(part) is ToolCall:
                within = list(_texts_within(part))
                every.texts.extend(within)
                every.known.extend(map(reading.of, within))
    found = [row for row in roles.values() if len(row.texts) > 1]
    count = len(every.texts)
    if count > 1 and (len(found) != 1 or len(found[0].texts) != count):
        found.append(every)
    return found


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
_MARKS: Final = {near: b"%d" % near for near in (_SEAM, _NEAR)}
Stretch = tuple[bytes, str]
"""A text to look at, and the name to remember it by; NAMELESS where one of its texts is."""


def new_stretches(rows: list[Row]) -> list[Stretch]:
    """What of rows is not known to be quiet: from one long text to the next, with all short ones between.

    The middle of a long text is left out, and no mark is long enough to reach over the ends that stay. So
    where each stretch is quiet by itself, nothing stands over a seam of the row.
    """
    found: list[Stretch] = []
    for row in rows:
        texts, known, near = row.texts, row.known, row.near
        begin = 0
        for place in (1,) if len(texts) == 2 else _ends_of_stretches(texts, near):
            name = _name(known[begin : place + 1], near)
            if not name or _QUIET[name] is None:
                found.append((name, _laid(texts[begin : place + 1], near)))
            begin = place
    return found


def _laid(texts: list[str], near: int) -> str:
    return "".join([_ends(text, near) for text in texts])


def is_quiet_pair(request: Request, reading: Reading) -> bool:
    """Whether a request is two bare texts of two roles, and nothing stands over the one seam that it has.

    Instructions and a question are so. It is what `new_stretches` would say of its only row.
    """
    known, messages = reading.known, request.messages
    if len(known) != 2 or messages[0].role == messages[1].role:
        return False
    first, second = known[0].name, known[1].name
    return bool(first and second) and _QUIET[_MARKS[_NEAR] + first + second] is not None


def _ends_of_stretches(texts: list[str], near: int) -> list[int]:
    """The places of all texts whose middle is left out, and of the last one, but not of the first."""
    last = len(texts) - 1
    return [place for place in range(1, last) if len(texts[place]) > 2 * near] + [last]


def _name(known: list[Known], near: int) -> bytes:
    names: list[bytes] = []
    for about in known:
        if not about.name:
            return NAMELESS
        names.append(about.name)
    joined = b"".join(names)
    return _MARKS[near] + (joined if len(names) <= _MOST_NAMES else sha256(joined).digest())


def are_quiet(stretches: list[Stretch]) -> None:
    """Remember that nothing stands in some stretches."""
    for name, _ in stretches:
        if name:
            _QUIET.put(name, True)
