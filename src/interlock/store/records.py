"""Records as rows: what a row holds, and the statements that write, find and list them."""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any, Final

import apsw
from msgspec import Struct

from interlock.errors import InterlockError
from interlock.store.shapes import Shapes
from interlock.types.record import Noticed, Status

PAGE: Final = 200
"""How many rows a scan reads at a time, so that no read stays open and holds up the checkpoint."""


class BadCursor(InterlockError):  # noqa: N818  # it says what is the case
    """The place where a listing should go on is not one of its rows."""


class StoredRecord(Struct, frozen=True, kw_only=True):
    """One request as the store keeps it. `created_at` is in microseconds since the epoch.

    `decision` is the very bytes that were decided, `rest` the JSON of the record's other fields,
    `outcome` the feedback (JSON) and `noticed` what its caller did next; `put_record` leaves both alone.
    Field order is column order.
    """

    id: str
    created_at: int
    tenant: str
    key: str | None = None
    team: str | None = None
    status: Status
    alias: str | None = None
    alias_version: int | None = None
    provider: str | None = None
    model: str | None = None
    lane: str | None = None
    config_hash: str
    world_hash: str
    session: str | None = None
    decision: bytes
    rest: bytes
    outcome: bytes | None = None
    noticed: Noticed | None = None


_COLUMNS: Final = StoredRecord.__struct_fields__
_SHARED: Final = (
    "tenant",
    "key",
    "team",
    "alias",
    "alias_version",
    "provider",
    "model",
    "lane",
    "config_hash",
)
"""The columns that decisions of one shape have in common."""
WRITTEN: Final = ("id", "created_at", "status", "world_hash", "session", "decision", "rest", *_SHARED)
_ALL: Final = ", ".join(_COLUMNS)


def put(columns: Sequence[str]) -> str:
    """The statement that writes a record's row by these columns. Raises ValueError for one that is none.

    A record that is written early (strict logging) is written again with its end; its outcome is left alone.
    """
    if "id" not in columns or not set(columns) <= set(_COLUMNS):
        raise ValueError("not the columns of a record")
    changes = [f"{name} = excluded.{name}" for name in columns if name != "id"]
    return (
        f"INSERT INTO records ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))}) "  # noqa: S608  # our own names
        f"ON CONFLICT (id) DO UPDATE SET {', '.join(changes)}"
    )


PUT: Final = put(WRITTEN)
GET: Final = f"SELECT {_ALL} FROM records WHERE id = ?1 AND (?2 IS NULL OR tenant = ?2)"  # noqa: S608  # our own names
PUT_OUTCOME: Final = "UPDATE records SET outcome = ?3 WHERE id = ?1 AND (?2 IS NULL OR tenant = ?2)"
NOTICE: Final = "UPDATE records SET noticed = ?2 WHERE id = ?1 AND noticed IS NULL"
PLACE: Final = "SELECT created_at, seq FROM records WHERE id = ?1 AND (?2 IS NULL OR tenant = ?2)"
LAST: Final = "SELECT max(seq) FROM records"
AFTER: Final = (
    f"SELECT seq, {_ALL} FROM records WHERE (created_at, seq) > (?, ?) AND seq <= ? "  # noqa: S608  # our own names
    f"ORDER BY created_at, seq LIMIT {PAGE}"
)
EXPIRE: Final = (
    "DELETE FROM records WHERE seq IN "  # noqa: S608  # our own number
    f"(SELECT seq FROM records WHERE created_at < ? ORDER BY created_at, seq LIMIT {PAGE})"
)

_FILTERS: Final = {
    "tenant": "tenant = ?",
    "key": "key = ?",
    "status": "status = ?",
    "alias": "alias = ?",
    "model": "model = ?",
    "since": "created_at >= ?",
}


written_row: Final = attrgetter(*WRITTEN)
"""The values of PUT, of a record."""
shared: Final = attrgetter(*_SHARED)
"""The last of them, of a record."""


def from_rows(db: apsw.Connection, rows: Iterable[tuple[Any, ...]]) -> list[StoredRecord]:
    """The records of rows, in full. Raises apsw.CorruptError where one cannot be made whole."""
    plain = Shapes(db).plain
    found = []
    for row in rows:
        fields = dict(zip(_COLUMNS, row, strict=True))
        fields["decision"], fields["rest"] = plain(fields["decision"]), plain(fields["rest"])
        found.append(StoredRecord(**fields))
    return found


def listing(
    filters: dict[str, Any], below: tuple[int, int] | None, limit: int
) -> tuple[str, tuple[Any, ...]]:
    """The statement and values that list records newest first, below a place in that order."""
    given = {name: value for name, value in filters.items() if value is not None}
    conditions = [_FILTERS[name] for name in given]
    values = [*given.values()]
    if below is not None:
        conditions.append("(created_at, seq) < (?, ?)")
        values.extend(below)
    where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
    sql = f"SELECT {_ALL} FROM records {where}ORDER BY created_at DESC, seq DESC LIMIT ?"  # noqa: S608  # our own names
    return sql, (*values, limit)
