"""Kept responses as rows: what a row holds, and the statements that write, find and delete them."""

from typing import Any, Final

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
DELETE: Final = "DELETE FROM responses WHERE id = ? AND tenant = ?"
EXPIRE: Final = (
    "DELETE FROM responses WHERE seq IN "  # noqa: S608  # our own number
    f"(SELECT seq FROM responses WHERE created_at < ? ORDER BY created_at LIMIT {PAGE})"
)


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
