"""What webhooks are told: written in the transaction in which it happens, and told in that order.

So nothing happens without its event, and there is no event of what did not happen. How far each webhook has
been told is kept here too, moved on by compare-and-swap: another process that tells the same may do so
twice, under the same id, and never moves a webhook back.
"""

import secrets
from collections.abc import Mapping
from typing import Any, Final

import apsw
import msgspec
from msgspec import Struct

EXPIRE: Final = (
    "DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE at < ? ORDER BY seq LIMIT 1000)"
)


class Event(Struct, frozen=True):
    """`at` is in microseconds since the epoch, `data` JSON."""

    seq: int
    id: str
    at: int
    kind: str
    data: str


class Told(Struct, frozen=True):
    """How far a webhook has been told. What follows has been tried so often; it is due at `next_at`."""

    seq: int
    tries: int = 0
    next_at: int = 0


def put(db: apsw.Connection, kind: str, data: Mapping[str, Any], now: int) -> None:
    """Add an event. `data` has names and numbers of ours: never what a request or an answer said, a key or
    a tenant.
    """
    db.execute(
        "INSERT INTO events (id, at, kind, data) VALUES (?, ?, ?, ?)",
        (f"evt_{secrets.token_hex(12)}", now, kind, msgspec.json.encode(data).decode()),
    )


def newest(db: apsw.Connection) -> int:
    """The number of the newest event; 0 without any."""
    return db.execute("SELECT max(seq) FROM events").get or 0


def told(db: apsw.Connection) -> dict[str, Told]:
    """How far each webhook has been told, by its name."""
    rows: list[Any] = db.execute("SELECT name, seq, tries, next_at FROM webhooks").fetchall()
    return {name: Told(*rest) for name, *rest in rows}


def after(db: apsw.Connection, seq: int, most: int) -> list[Event]:
    """Up to so many events behind a number, in order."""
    sql = "SELECT seq, id, at, kind, data FROM events WHERE seq > ? ORDER BY seq LIMIT ?"
    rows: list[Any] = db.execute(sql, (seq, most)).fetchall()
    return [Event(number, name, at, kind, data) for number, name, at, kind, data in rows]


def begin(db: apsw.Connection, names: list[str]) -> None:
    """A webhook that is new hears of what comes from now on."""
    for name in names:
        db.execute(
            "INSERT INTO webhooks (name, seq) VALUES (?, ?) ON CONFLICT DO NOTHING", (name, newest(db))
        )


def move(db: apsw.Connection, name: str, seen: Told, to: Told) -> bool:
    """Move a webhook on from where it was seen; False: another process was quicker."""
    sql = "UPDATE webhooks SET seq = ?, tries = ?, next_at = ? WHERE name = ? AND seq = ? AND tries = ?"
    db.execute(sql, (to.seq, to.tries, to.next_at, name, seen.seq, seen.tries))
    return db.changes() == 1
