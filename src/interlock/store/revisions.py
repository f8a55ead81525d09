"""Revisions of the config: each one that began to run here, with its file as written. Added to, never
changed.

Each function runs inside a transaction (or a read) of its caller. Whoever adds a revision is told when it is
what runs already, so that of several workers that load one file, one adds it.
"""

import hashlib
import zlib
from typing import Any, Final, Literal

import apsw
import msgspec
from msgspec import Struct

from interlock.errors import InterlockError
from interlock.store import control_log

Kind = Literal["start", "reload", "rollback"]


class StaleRevision(InterlockError):  # noqa: N818  # it says what is the case
    """Another config began to run meanwhile: `newest` is not the revision that the writer saw."""

    def __init__(self, newest: int) -> None:
        self.newest = newest
        super().__init__(f"the config is at revision {newest} by now")


class Ran(Struct, frozen=True, kw_only=True):
    """A config that is about to run: `body` as `config.encode` gives it, `text` its file (None: not to be
    kept).
    """

    hash: str
    policy_hash: str
    body: bytes
    text: bytes | None

    @property
    def text_hash(self) -> str | None:
        return None if self.text is None else hashlib.sha256(self.text).hexdigest()


class Revision(Struct, frozen=True, kw_only=True):
    """`at` is in microseconds since the epoch; `kind` is how it came, `by` who brought it.

    `text_hash` None: its file was not kept. `effect` is what it would have changed of the traffic before it.
    """

    number: int
    at: int
    hash: str
    policy_hash: str
    kind: Kind
    by: str
    reason: str | None
    text_hash: str | None
    effect: msgspec.Raw | None = None


_SELECT: Final = (
    "SELECT r.number, r.at, r.hash, c.policy_hash, r.kind, r.by, r.reason, r.text_hash, e.body "
    "FROM config_revisions r JOIN configs c USING (hash) LEFT JOIN config_effects e USING (number)"
)


def history(db: apsw.Connection) -> tuple[Revision, ...]:
    """All revisions, the newest first."""
    return tuple(_revision(*row) for row in db.execute(f"{_SELECT} ORDER BY number DESC"))


def newest(db: apsw.Connection) -> Revision | None:
    """The one that began to run last."""
    row = db.execute(f"{_SELECT} ORDER BY number DESC LIMIT 1").fetchone()
    return None if row is None else _revision(*row)


def find(db: apsw.Connection, number: int) -> Revision | None:
    row = db.execute(f"{_SELECT} WHERE number = ?", (number,)).fetchone()
    return None if row is None else _revision(*row)


def text_of(db: apsw.Connection, number: int) -> bytes | None:
    """The file of a revision as it was written; None where it was not kept."""
    row = db.execute("SELECT text FROM config_revisions WHERE number = ?", (number,)).fetchone()
    return None if row is None or row[0] is None else zlib.decompress(row[0])


def is_newest(db: apsw.Connection, ran: Ran) -> bool:
    """Whether this config, from this very file, is what began to run last."""
    last = newest(db)
    return last is not None and (last.hash, last.text_hash) == (ran.hash, ran.text_hash)


def add(
    db: apsw.Connection, ran: Ran, *, kind: Kind, by: str, at: int, reason: str | None = None
) -> Revision | None:
    """Add a revision, and an entry of the control log. None where it is the newest one already."""
    if is_newest(db, ran):
        return None
    before = newest(db)
    db.execute(
        "INSERT INTO configs (hash, first_seen, body, policy_hash, by) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        (ran.hash, at, zlib.compress(ran.body), ran.policy_hash, by),
    )
    text = None if ran.text is None else zlib.compress(ran.text)
    db.execute(
        "INSERT INTO config_revisions (at, hash, kind, by, reason, text, text_hash) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (at, ran.hash, kind, by, reason, text, ran.text_hash),
    )
    added = newest(db)
    assert added is not None, "it was just added"
    body = {
        "revision": added.number,
        "hash": ran.hash,
        "from": None if before is None else before.number,
        "reason": reason,
    }
    control_log.append(db, at=at, actor=by, action=f"config.{kind}", body=body)
    return added


def check_newest(db: apsw.Connection, seen: int) -> None:
    """Raises StaleRevision where another revision than the one that was seen is the newest."""
    last = newest(db)
    if last is None or last.number != seen:
        raise StaleRevision(0 if last is None else last.number)


def put_effect(db: apsw.Connection, number: int, body: bytes) -> None:
    """Keep what a revision would have changed; the first one stays."""
    db.execute(
        "INSERT INTO config_effects (number, body) VALUES (?, ?) ON CONFLICT DO NOTHING",
        (number, body.decode()),
    )


def _revision(number: int, at: int, *rest: Any) -> Revision:
    digest, policy_hash, kind, by, reason, text_hash, effect = rest
    return Revision(
        number=number,
        at=at,
        hash=digest,
        policy_hash=policy_hash,
        kind=kind,
        by=by,
        reason=reason,
        text_hash=text_hash,
        effect=None if effect is None else msgspec.Raw(effect.encode()),
    )
