"""Samples of evals and records of gates as rows. Each function runs inside its caller's transaction or
read.
"""

import zlib
from typing import Any, Final

import apsw
from msgspec import Struct

from interlock.store import control_log

PUT_SAMPLE: Final = (
    "INSERT INTO eval_samples (key, at, model, body) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
)


class StoredGate(Struct, frozen=True, kw_only=True):
    """A gate's record as it is kept. `at` is in microseconds since the epoch."""

    id: str
    at: int
    alias: str
    verdict: str
    body: bytes
    signature: str


_COLUMNS: Final = StoredGate.__struct_fields__
_ALL: Final = ", ".join(_COLUMNS)


def sample_row(key: str, at: int, model: str, body: bytes) -> tuple[Any, ...]:
    """The values of PUT_SAMPLE."""
    return key, at, model, zlib.compress(body)


def sample(db: apsw.Connection, key: str) -> bytes | None:
    row = db.execute("SELECT body FROM eval_samples WHERE key = ?", (key,)).fetchone()
    return None if row is None else zlib.decompress(row[0])


def put_gate(db: apsw.Connection, gate: StoredGate, actor: str) -> None:
    """Add a record, and an entry of the control log that names it and its signature."""
    db.execute(
        f"INSERT INTO gate_records ({_ALL}) VALUES ({', '.join('?' * len(_COLUMNS))})",  # noqa: S608  # our own names
        tuple(getattr(gate, name) for name in _COLUMNS),
    )
    body = {"id": gate.id, "alias": gate.alias, "verdict": gate.verdict, "signature": gate.signature}
    control_log.append(db, at=gate.at, actor=actor, action="gate.run", body=body)


def gates(db: apsw.Connection, alias: str | None) -> tuple[StoredGate, ...]:
    """The records of an alias (None: of all), the newest first."""
    sql = f"SELECT {_ALL} FROM gate_records WHERE (?1 IS NULL OR alias = ?1) ORDER BY seq DESC"  # noqa: S608  # our own names
    return tuple(StoredGate(**dict(zip(_COLUMNS, row, strict=True))) for row in db.execute(sql, (alias,)))
