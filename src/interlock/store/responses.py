"""Kept responses as rows: what a row holds, and the statements that write, find and delete them."""

from collections.abc import Iterable
from typing import Any, Final

import apsw
import msgspec
from msgspec import Struct

from interlock.types.labels import DATA_CLASSES, DataClass

PAGE: Final = 50
"""How many rows are deleted at a time: they are large."""
MOST_TURNS: Final = 1000
"""The longest conversation that can be gone on with."""


class StoredResponse(Struct, frozen=True, kw_only=True):
    """One answer that its caller may ask for again. `created_at` is in microseconds since the epoch.

    `input` is the JSON list of the items that this turn added, `body` the response as it was given out.
    `data_class` and `residency` are those of its request: what goes on from it has them too.
    """

    id: str
    tenant: str
    created_at: int
    key: str | None = None
    previous: str | None = None
    data_class: DataClass
    residency: tuple[str, ...] = ()
    input: bytes
    body: bytes


_COLUMNS: Final = StoredResponse.__struct_fields__
_ALL: Final = ", ".join(_COLUMNS)
PUT: Final = f"INSERT INTO responses ({_ALL}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608  # our own names
# What has grown too old is gone, also while nobody has deleted it yet.
GET: Final = f"SELECT {_ALL} FROM responses WHERE id = ? AND tenant = ? AND created_at >= ?"  # noqa: S608  # our own names
TURNS: Final = (
    "WITH RECURSIVE turns (turn, id, previous) AS ("  # noqa: S608  # our own names
    "SELECT 0, id, previous FROM responses WHERE id = ?1 AND tenant = ?2 AND created_at >= ?3 "
    "UNION ALL SELECT turn + 1, r.id, r.previous FROM responses r JOIN turns ON r.id = turns.previous "
    f"WHERE r.tenant = ?2 AND r.created_at >= ?3 AND turn < {MOST_TURNS}) "
    f"SELECT {', '.join(f'r.{name}' for name in _COLUMNS)} "
    "FROM turns JOIN responses r ON r.id = turns.id ORDER BY turn DESC"
)
PUT_ITEM: Final = (
    "INSERT INTO response_items (tenant, item, response) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
)
HOLDERS: Final = (
    "SELECT r.id FROM response_items i JOIN responses r ON r.seq = i.response "
    "WHERE i.tenant = ? AND i.item = ? AND r.data_class <= ? AND r.created_at >= ? LIMIT 2"
)
DELETE: Final = "DELETE FROM responses WHERE id = ? AND tenant = ?"
EXPIRE: Final = (
    "DELETE FROM responses WHERE seq IN "  # noqa: S608  # our own number
    f"(SELECT seq FROM responses WHERE created_at < ? ORDER BY created_at LIMIT {PAGE})"
)


def put(db: apsw.Connection, response: StoredResponse, items: Iterable[str]) -> None:
    """Keep a response, to be found by the names of these items too. Inside a transaction of the caller's."""
    db.execute(PUT, to_row(response))
    number = db.last_insert_rowid()
    for item in items:
        db.execute(PUT_ITEM, (response.tenant, item, number))


def delete(db: apsw.Connection, response_id: str, tenant: str) -> bool:
    """Delete a response, with the names of its items; False if the tenant has none of that id."""
    db.execute(DELETE, (response_id, tenant))
    return db.changes() == 1


def to_row(response: StoredResponse) -> tuple[Any, ...]:
    """The values of PUT."""
    return (
        response.id,
        response.tenant,
        response.created_at,
        response.key,
        response.previous,
        DATA_CLASSES.index(response.data_class),
        msgspec.json.encode(response.residency).decode(),
        response.input,
        response.body,
    )


def from_row(row: tuple[Any, ...]) -> StoredResponse:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["data_class"] = DATA_CLASSES[values["data_class"]]
    values["residency"] = tuple(msgspec.json.decode(values["residency"]))
    return StoredResponse(**values)
