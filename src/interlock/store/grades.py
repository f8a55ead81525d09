"""Scores of answers under a rollout, and what became of its copies. Texts are not kept, here or elsewhere."""

from collections.abc import Mapping
from typing import Any, Final, Literal

import apsw
from msgspec import Struct

GradedArm = Literal["stable", "canary", "shadow"]
PAGE: Final = 5000
PUT: Final = (
    "INSERT INTO rollout_grades (rollout, at, decision, arm, grader, score, live) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
EXPIRE: Final = (
    "DELETE FROM rollout_grades WHERE seq IN "
    "(SELECT seq FROM rollout_grades WHERE at < ? ORDER BY at LIMIT 1000)"
)
_ADD: Final = (
    "INSERT INTO shadow_counts (rollout, name, value) VALUES (?, ?, ?) "
    "ON CONFLICT (rollout, name) DO UPDATE SET value = value + excluded.value"
)
SPENT: Final = "spent_usd"
"""What the copies of a rollout have cost, with what those under way may cost."""


class Graded(Struct, frozen=True):
    """One score. `live` is that of the live answer beside a copy's."""

    seq: int
    arm: GradedArm
    grader: str
    score: float
    live: float | None


class Comparison(Struct, frozen=True, kw_only=True):
    """What one grader says of one arm: the mean of `n` scores, and of `unknown` ones nobody knows.

    `live` is the mean of the live answers to the same requests, over the `n_live` that have one.
    """

    grader: str
    arm: GradedArm
    value: float | None
    n: int
    unknown: int
    live: float | None = None
    n_live: int = 0


def known_since(db: apsw.Connection, rollout: str, since: int, after: int) -> list[Graded]:
    """Up to PAGE known scores of a rollout behind a number, of decisions since an instant."""
    sql = (
        "SELECT seq, arm, grader, score, live FROM rollout_grades "
        "WHERE rollout = ? AND seq > ? AND at >= ? AND score IS NOT NULL ORDER BY seq LIMIT ?"
    )
    return [Graded(*row) for row in db.execute(sql, (rollout, after, since, PAGE))]


def compared(db: apsw.Connection, rollout: str) -> tuple[Comparison, ...]:
    """All that has been graded under a rollout, by grader and arm."""
    sql = (
        "SELECT grader, arm, avg(score), count(score), count(*) - count(score), avg(live), count(live) "
        "FROM rollout_grades WHERE rollout = ? GROUP BY grader, arm ORDER BY grader, arm"
    )
    names = Comparison.__struct_fields__
    return tuple(Comparison(**dict(zip(names, row, strict=True))) for row in db.execute(sql, (rollout,)))


def counts(db: apsw.Connection, rollout: str) -> dict[str, float]:
    """What became of the copies of a rollout, by name."""
    rows: list[Any] = db.execute(
        "SELECT name, value FROM shadow_counts WHERE rollout = ?", (rollout,)
    ).fetchall()
    return dict(rows)


def count(db: apsw.Connection, rollout: str, added: Mapping[str, float]) -> None:
    db.executemany(_ADD, [(rollout, name, value) for name, value in added.items()])


def reserve(db: apsw.Connection, rollout: str, usd: float, most_usd: float) -> bool:
    """Set money aside for a copy, if there is so much left of what all copies of the rollout may cost."""
    row = db.execute(
        "SELECT value FROM shadow_counts WHERE rollout = ? AND name = ?", (rollout, SPENT)
    ).fetchone()
    if (0.0 if row is None else row[0]) + usd > most_usd:
        return False
    count(db, rollout, {SPENT: usd})
    return True
