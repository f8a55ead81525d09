"""The control log: who changed what and when, each entry bound to the one before by its hash.

The chain shows edits by hand, rows taken out or put in, and rows in another order. Whoever can write
the file and knows this program can forge the whole chain; against that only a copy elsewhere helps.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import apsw
import msgspec

GENESIS: Final = "0" * 64
_encode: Final = msgspec.json.Encoder(order="sorted").encode


def append(db: apsw.Connection, *, at: int, actor: str, action: str, body: Mapping[str, Any]) -> int:
    """Add an entry inside the caller's transaction; the number it got."""
    last, prev_hash = _head(db)
    seq, text = last + 1, _encode(body).decode()
    digest = _hash(prev_hash, seq, at, actor, action, text)
    db.execute(
        "INSERT INTO control_log (seq, at, actor, action, body, prev_hash, hash) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (seq, at, actor, action, text, prev_hash, digest),
    )
    db.execute(
        "INSERT INTO control_head (one, seq, hash) VALUES (1, ?, ?) "
        "ON CONFLICT (one) DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
        (seq, digest),
    )
    return seq


def first_broken(db: apsw.Connection) -> int | None:
    """The first entry that is not what it was, where it was; None if the chain holds to its end."""
    seq, prev = 0, GENESIS
    with db:  # one state of the file, whoever appends meanwhile
        for found, at, actor, action, body, prev_hash, digest in db.execute(
            "SELECT seq, at, actor, action, body, prev_hash, hash FROM control_log ORDER BY seq"
        ):
            seq += 1
            if found != seq or prev_hash != prev or digest != _hash(prev, seq, at, actor, action, body):
                return seq
            prev = digest
        last, head_hash = _head(db)
    if last != seq:
        return min(last, seq) + 1
    return None if head_hash == prev else seq


def _head(db: apsw.Connection) -> tuple[int, str]:
    row = db.execute("SELECT seq, hash FROM control_head").fetchone()
    return (0, GENESIS) if row is None else row


def _hash(prev_hash: str, seq: int, at: int, actor: str, action: str, body: str) -> str:
    return hashlib.sha256(_encode((prev_hash, seq, at, actor, action, body))).hexdigest()
