"""What an operator should hear of: written in the transaction in which it happens, and read in that order.

Whoever delivers alerts (a page, a webhook) asks for what came after the last one it has seen. Each function
runs inside its caller's transaction or read.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

import apsw
import msgspec
from msgspec import Struct

from interlock.store import control_log, events

Kind = Literal["guardrail", "recovered", "gate"]
"""A guardrail is breached after a release; it holds again; a gate that ran again did not pass."""
Did = Literal["alerted", "rolled_back"]

_COLUMNS: Final = "seq, at, kind, alias, version, body"


class Alert(Struct, frozen=True, kw_only=True):
    """One thing to be heard. `version` is the one that it is about.

    `did` is what was done, `to_version` where a rollback went, `evidence` what showed it. No content, no
    tenant, no key.
    """

    kind: Kind
    alias: str
    version: int
    what: str
    why: str
    did: Did = "alerted"
    to_version: int | None = None
    evidence: tuple[dict[str, Any], ...] = ()
    record: str | None = None


class Heard(Struct, frozen=True, kw_only=True):
    """An alert as it is kept: its number, and when it was, in microseconds since the epoch."""

    seq: int
    at: int
    alert: Alert


def add(db: apsw.Connection, alert: Alert, *, by: str, now: int) -> int:
    """Add an alert, an entry of the control log with all of it, and an event for webhooks; its number."""
    body = msgspec.json.encode(alert).decode()
    db.execute(
        "INSERT INTO alerts (at, kind, alias, version, body) VALUES (?, ?, ?, ?, ?)",
        (now, alert.kind, alert.alias, alert.version, body),
    )
    seq: int = db.last_insert_rowid()
    told: Mapping[str, Any] = msgspec.to_builtins(alert)
    control_log.append(db, at=now, actor=by, action=f"alert.{alert.kind}", body=told)
    events.put(db, "alert", told, now)
    return seq


def after(db: apsw.Connection, seq: int, most: int) -> tuple[Heard, ...]:
    """Up to so many alerts behind a number, in order."""
    sql = f"SELECT {_COLUMNS} FROM alerts WHERE seq > ? ORDER BY seq LIMIT ?"  # noqa: S608  # our own names
    return tuple(map(_heard, db.execute(sql, (seq, most))))


def newest(db: apsw.Connection, below: int | None, most: int, alias: str | None = None) -> tuple[Heard, ...]:
    """Up to so many alerts about an alias (None: about any), the newest first, of those below a number."""
    sql = (
        f"SELECT {_COLUMNS} FROM alerts WHERE (?1 IS NULL OR seq < ?1) AND (?3 IS NULL OR alias = ?3) "  # noqa: S608  # our own names
        "ORDER BY seq DESC LIMIT ?2"
    )
    return tuple(map(_heard, db.execute(sql, (below, most, alias))))


def counted(db: apsw.Connection) -> list[tuple[dict[str, Any], int]]:
    """How many alerts there have been of each kind about each version, and what was done."""
    rows = db.execute(
        "SELECT alias, version, kind, json_extract(body, '$.did'), count(*) FROM alerts GROUP BY 1, 2, 3, 4"
    )
    return [
        ({"alias": alias, "alias_version": version, "kind": kind, "did": did}, count)
        for alias, version, kind, did, count in rows
    ]


def _heard(row: tuple[Any, ...]) -> Heard:
    seq, at, *_, body = row
    return Heard(seq=seq, at=at, alert=msgspec.json.decode(body, type=Alert))
