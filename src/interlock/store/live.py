"""Counters that all processes add to, and how far followers have read the records.

A follower reads records in the order of their arrival and moves its place by compare-and-swap, in one
transaction with what it has counted: so each record is counted once, whichever process does it. A record that
was written before its execution (strict logging) is waited for.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeVar

import apsw
import msgspec
from msgspec import Struct

from interlock.store.records import StoredRecord, from_rows
from interlock.store.write import Write
from interlock.store.writer import Writer

T = TypeVar("T")

_ADD: Final = (
    "INSERT INTO live_counters (series, value) VALUES (?, ?) "
    "ON CONFLICT (series) DO UPDATE SET value = value + excluded.value"
)
_COLUMNS: Final = ", ".join(StoredRecord.__struct_fields__)
_AFTER: Final = f"SELECT seq, {_COLUMNS} FROM records WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608  # our own names
_THESE: Final = (
    f"SELECT seq, {_COLUMNS} FROM records WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq"  # noqa: S608  # our own names
)


class Place(Struct, frozen=True, kw_only=True):
    """How far a follower has come: everything up to `seq` but the `waiting`, which were not closed yet."""

    seq: int
    waiting: tuple[int, ...] = ()


class Read(Protocol):
    """Does some reading on a connection of this thread."""

    def __call__(self, work: Callable[[apsw.Connection], T], /) -> T: ...


class Counts:
    """The counters and followers of one store. Every method raises StoreError where the store cannot."""

    def __init__(self, read: Read, writer: Writer) -> None:
        self._read = read
        self._writer = writer

    def place(self, follower: str) -> Place | None:
        """How far a follower has come."""
        return self._read(lambda db: _place(db, follower))

    def newest(self) -> int:
        """The number of the newest record; 0 without any."""
        return self._read(_last)

    def after(self, seen: Place, limit: int) -> list[tuple[int, StoredRecord]]:
        """The waiting records as they are now, then those that came after a place, each with its number."""
        return self._read(lambda db: _after(db, seen, limit))

    def advance(
        self, follower: str, seen: Place | None, to: Place, added: Mapping[str, float] = MappingProxyType({})
    ) -> Write[bool]:
        """Move a follower from the place that was seen and add to counters; False: another was quicker."""
        return self._writer.call(lambda db: _advance(db, follower, seen, to, added))

    def add(self, added: Mapping[str, float]) -> Write[None]:
        """Add to counters, by the text that names each series."""
        return self._writer.call(lambda db: add(db, added))

    def values(self) -> dict[str, float]:
        """Every counter, by the text that names its series."""
        return self._read(_values)


def _place(db: apsw.Connection, follower: str) -> Place | None:
    row: Any = db.execute("SELECT seq, waiting FROM followers WHERE name = ?", (follower,)).fetchone()
    return (
        None if row is None else Place(seq=row[0], waiting=msgspec.json.decode(row[1], type=tuple[int, ...]))
    )


def _last(db: apsw.Connection) -> int:
    return db.execute("SELECT max(seq) FROM records").get or 0


def _after(db: apsw.Connection, seen: Place, limit: int) -> list[tuple[int, StoredRecord]]:
    # Numbers begin anew only where every record had expired: then all that are there are new.
    start = seen.seq if seen.seq <= _last(db) else 0
    rows: list[Any] = [
        *db.execute(_THESE, (_text(seen.waiting),)).fetchall(),
        *db.execute(_AFTER, (start, limit)).fetchall(),
    ]
    numbers = [row[0] for row in rows]
    return list(zip(numbers, from_rows(db, (row[1:] for row in rows)), strict=True))


def _advance(
    db: apsw.Connection, follower: str, seen: Place | None, to: Place, added: Mapping[str, float]
) -> bool:
    if seen is None:
        sql = "INSERT INTO followers (name, seq, waiting) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
        db.execute(sql, (follower, to.seq, _text(to.waiting)))
    else:
        sql = "UPDATE followers SET seq = ?, waiting = ? WHERE name = ? AND seq = ? AND waiting = ?"
        db.execute(sql, (to.seq, _text(to.waiting), follower, seen.seq, _text(seen.waiting)))
    if db.changes() != 1:
        return False
    add(db, added)
    return True


def add(db: apsw.Connection, added: Mapping[str, float]) -> None:
    """Add to counters, by the text that names each series. Inside its caller's transaction."""
    db.executemany(_ADD, list(added.items()))


def _values(db: apsw.Connection) -> dict[str, float]:
    rows: list[Any] = db.execute("SELECT series, value FROM live_counters").fetchall()
    return dict(rows)


def _text(waiting: tuple[int, ...]) -> str:
    return msgspec.json.encode(waiting).decode("ascii")
