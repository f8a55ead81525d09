"""Rollouts as rows, and the lease of who moves them. Each function runs inside its caller's transaction.

Instants are the store's: read from SQLite inside the transaction, so that whoever holds a clock that is
wrong neither shortens a step nor takes a lease that is not over.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, TypeVar

import apsw
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from interlock.config.written import EventKind
from interlock.rollout.plan import LIVE, Plan, Progress, abort, begin, weight
from interlock.rollout.watch import Finding
from interlock.store import aliases, control_log, events
from interlock.store.aliases import AliasError, AliasState, Change
from interlock.store.shapes import Shapes

T = TypeVar("T")
Move = Callable[[Plan, Progress, int], Progress]
"""From a plan, where it stands and the instant to where it stands then."""


class UnknownRollout(AliasError):  # noqa: N818  # it says what is the case
    def __init__(self, name: str) -> None:
        super().__init__(f"there is no rollout `{name}`")


class RolloutUnderWay(AliasError):  # noqa: N818  # it says what is the case
    """An alias is changed by one at a time."""

    def __init__(self, alias: str, name: str) -> None:
        self.alias = alias
        self.rollout = name
        super().__init__(f"the rollout `{name}` of `{alias}` is under way")


class Fenced(AliasError):  # noqa: N818  # it says what is the case
    """Somebody else moves rollouts by now, or this one has changed since it was looked at."""


class StoredRollout(Struct, frozen=True, kw_only=True):
    """A rollout as it is kept. `started_at` is in microseconds since the epoch.

    `findings` are the last verdicts on its guardrails, `evidence` those that ended it (None: it has not
    ended, or nothing had been judged by then).
    """

    id: str
    alias: str
    from_version: int
    to_version: int
    candidate: str
    plan: Plan
    progress: Progress
    findings: tuple[Finding, ...] = ()
    evidence: tuple[Finding, ...] | None = None
    by: str
    reason: str | None = None
    started_at: int
    rev: int = 0

    @property
    def weight(self) -> float:
        return weight(self.plan, self.progress)


class Wanted(Struct, frozen=True, kw_only=True):
    """A rollout that is to begin. `identity` is the JSON of what will answer."""

    id: str
    alias: str
    model: str
    identity: str
    plan: Plan
    if_version: int | None = None
    gate: str | None = None
    override: str | None = None


class Page(Struct, frozen=True, kw_only=True):
    """Records of an alias, as number, alias version, decision and rest each; whether there are `more`.

    `to` is the number up to which all have been read, those of other aliases as well, so that nobody passes
    over them again; None: nothing has been.
    """

    rows: list[tuple[int, int, bytes, bytes]]
    to: int | None
    more: bool


_COLUMNS: Final = (
    "id, alias, from_version, to_version, candidate, plan, progress, findings, evidence, by, reason, "
    "started_at, rev"
)
PAGE: Final = 2000
ROLLOUTS: Final = "rollouts"
"""The lease of whoever moves rollouts, and watches what they have released."""
_OURS: Final = (ROLLOUTS, "config")
"""Who moves a rollout without being anybody."""
_LIVE_ROWS: Final = "state IN ('running', 'paused')"
_NEXT: Final = (
    "SELECT seq, alias_version, decision, rest FROM records WHERE seq > ? AND alias = ? ORDER BY seq LIMIT ?"
)
_AGAIN: Final = (
    "SELECT seq, alias_version, decision, rest FROM records WHERE seq IN (SELECT value FROM json_each(?))"
)
NOTED: Final = {
    "override_rate": (
        "outcome IS NOT NULL AND json_extract(CAST(outcome AS TEXT), '$.override') IS NOT NULL"
    ),
    "reask_rate": "noticed IS NOT NULL AND noticed = 'reask'",
    "edit_rate": "noticed IS NOT NULL AND noticed = 'edit'",
}
"""By late measure, which records it is one of; each has an index of only those."""
_encode: Final = msgspec.json.Encoder().encode


def instant(db: apsw.Connection) -> int:
    """Now, in microseconds since the epoch, by the clock of the store."""
    now: int = db.execute("SELECT CAST(unixepoch('subsec') * 1000000 AS INTEGER)").get
    return now


def start(db: apsw.Connection, wanted: Wanted, *, by: str, reason: str | None, now: int) -> StoredRollout:
    """Begin a rollout: the candidate gets the alias's next version, which is not active yet.

    Raises UnknownAlias, StaleVersion, or RolloutUnderWay.
    """
    state = aliases.seen(db, wanted.alias, wanted.if_version)
    refuse_under_way(db, wanted.alias)
    change = Change(by=by, at=now, reason=reason)
    version = aliases.add_next(
        db,
        wanted.alias,
        wanted.model,
        change,
        gate=wanted.gate,
        override=wanted.override,
        identity=wanted.identity,
    )
    row = StoredRollout(
        id=wanted.id,
        alias=wanted.alias,
        from_version=state.active,
        to_version=version,
        candidate=wanted.model,
        plan=wanted.plan,
        progress=begin(wanted.plan, now),
        by=by,
        reason=reason,
        started_at=now,
    )
    db.execute(
        f"INSERT INTO rollouts ({_COLUMNS}, state) VALUES ({', '.join('?' * 14)})",  # noqa: S608  # our own names
        (*_values(row), row.progress.state),
    )
    details = {"gate": wanted.gate, "override": wanted.override, "plan": msgspec.to_builtins(wanted.plan)}
    _log(db, row, "start", by, now, details)
    _announce(db, row, "rollout.started", by, now)
    if not row.progress.is_live:
        _announce(db, row, _kind(row.progress, row.progress), by, now)
    _follow(db, row, by, now)
    return row


def move(
    db: apsw.Connection,
    name: str,
    change: Move,
    *,
    by: str,
    now: int,
    findings: tuple[Finding, ...] | None = None,
    token: int | None = None,
    rev: int | None = None,
) -> StoredRollout:
    """Let a rollout go on, pause or end. Where it ends promoted, the alias moves in the same transaction.

    `findings` are new verdicts. A controller brings its `token` and the `rev` that it judged: raises
    Fenced where either is old. Raises UnknownRollout, StaleVersion (the alias has left the version that it
    began from), and whatever `change` raises.
    """
    row = find(db, name)
    if row is None:
        raise UnknownRollout(name)
    if rev not in (None, row.rev) or (token is not None and token != _token(db)):
        raise Fenced(f"the rollout `{name}` is moved by somebody else")
    progress = change(row.plan, row.progress, now)
    if progress == row.progress and findings in (None, row.findings):
        return row
    moved = replace(
        row, progress=progress, findings=row.findings if findings is None else findings, rev=row.rev + 1
    )
    if row.progress.is_live and not progress.is_live:
        moved = replace(moved, evidence=moved.findings or None)
    _put(db, moved)
    if progress != row.progress:
        _log(db, moved, "move", by, now, {"was": row.progress.state, "at": row.progress.step})
        _announce(db, moved, _kind(row.progress, moved.progress), by, now)
        _follow(db, moved, by, now)
    return moved


def abort_all(db: apsw.Connection, alias: str, why: str, *, by: str, now: int) -> bool:
    """Abort what is under way for an alias, because the alias itself is moved; whether there was anything."""
    found = live(db, alias)
    for row in found:
        move(db, row.id, lambda _, progress, at: abort(progress, why, at), by=by, now=now)
    return bool(found)


def roll_back(
    db: apsw.Connection,
    alias: str,
    to_version: int | None,
    change: Change,
    *,
    if_version: int | None,
    pool: Mapping[str, str] | None,
) -> AliasState:
    """`aliases.rollback`, and an end of what is under way: that is what a plain one takes back first."""
    if to_version is None and live(db, alias):
        state = aliases.seen(db, alias, if_version)
    else:
        state = aliases.rollback(db, alias, to_version, change, if_version=if_version, pool=pool)
    abort_all(db, alias, "the alias was rolled back", by=change.by, now=change.at)
    return state


def refuse_under_way(db: apsw.Connection, alias: str) -> None:
    """Raises RolloutUnderWay where there is one for the alias."""
    for row in live(db, alias):
        raise RolloutUnderWay(alias, row.id)


def find(db: apsw.Connection, name: str) -> StoredRollout | None:
    row = db.execute(f"SELECT {_COLUMNS} FROM rollouts WHERE id = ?", (name,)).fetchone()  # noqa: S608  # our own names
    return None if row is None else _row(row)


def live(db: apsw.Connection, alias: str | None = None) -> tuple[StoredRollout, ...]:
    """The rollouts under way, of an alias (None: of all)."""
    sql = f"SELECT {_COLUMNS} FROM rollouts WHERE {_LIVE_ROWS} AND (?1 IS NULL OR alias = ?1) ORDER BY alias"  # noqa: S608  # our own names
    return tuple(_row(row) for row in db.execute(sql, (alias,)))


def everything(db: apsw.Connection) -> tuple[StoredRollout, ...]:
    """All rollouts, the newest first."""
    sql = f"SELECT {_COLUMNS} FROM rollouts ORDER BY started_at DESC, id"  # noqa: S608  # our own names
    return tuple(_row(row) for row in db.execute(sql))


def of_version(db: apsw.Connection, alias: str, version: int) -> tuple[StoredRollout, ...]:
    """The rollouts that have led to a version: one, if any."""
    sql = f"SELECT {_COLUMNS} FROM rollouts WHERE alias = ? AND to_version = ?"  # noqa: S608  # our own names
    return tuple(_row(row) for row in db.execute(sql, (alias, version)))


def check_token(db: apsw.Connection, token: int) -> None:
    """Raises Fenced where somebody else moves rollouts by now."""
    if token != _token(db):
        raise Fenced("rollouts are moved by somebody else")


def take_lease(db: apsw.Connection, holder: str, ttl_us: int, now: int, name: str = ROLLOUTS) -> int | None:
    """The fencing token of the one who may act under a name; None while that is somebody else.

    A lease that ends later than one would that is taken now is from before the clock was set back, and over:
    its holder may be gone, and is fenced off otherwise. `ttl_us` 0 gives one's own up, and takes nobody's.
    """
    row = db.execute("SELECT holder, token, until FROM leases WHERE name = ?", (name,)).fetchone()
    if row is not None and row[0] != holder and row[2] > now and (ttl_us == 0 or row[2] <= now + ttl_us):
        return None
    token = 1 if row is None else row[1] + (row[0] != holder)
    db.execute(
        "INSERT INTO leases (name, holder, token, until) VALUES (?4, ?1, ?2, ?3) "
        "ON CONFLICT (name) DO UPDATE SET holder = ?1, token = ?2, until = ?3",
        (holder, token, now + ttl_us, name),
    )
    return int(token)


def ended(
    db: apsw.Connection, alias: str, since: int, after: int | None, again: Collection[int] = ()
) -> Page:
    """Up to PAGE records of an alias in order of arrival.

    From behind the number `after`; at first (None) from the first since an instant. Before them, those
    numbered `again`.
    """
    if after is None:
        row = db.execute(
            "SELECT seq FROM records WHERE created_at >= ? ORDER BY created_at, seq LIMIT 1", (since,)
        ).fetchone()
        if row is None:
            return Page(rows=[], to=None, more=False)
        after = row[0] - 1
    # Read first: up to here nothing can be missing in what is read next, whatever is written meanwhile.
    newest = db.execute("SELECT max(seq) FROM records").get or 0
    found: list[tuple[Any, ...]] = db.execute(_NEXT, (after, alias, PAGE)).fetchall()
    more = len(found) >= PAGE
    last = found[-1][0] if found else after
    plain = Shapes(db).plain
    return Page(
        rows=[
            (seq, version, plain(decision), plain(rest))
            for seq, version, decision, rest in (
                *db.execute(_AGAIN, (_encode(list(again)).decode(),)).fetchall(),
                *found,
            )
        ],
        to=last if more else max(last, newest),
        more=more,
    )


def noted(
    db: apsw.Connection,
    name: str,
    alias: str,
    since: int,
    to: int,
    among: Callable[[int, int, bytes], T | None],
) -> Counter[T]:
    """Of how many answers since an instant, up to the number `to`, a late measure is one of: see NOTED.

    Each record counts once, whatever was said of it how often. `among` has a record's number, alias version
    and decision, and says what it is counted under; None: not at all.
    """
    rows: Iterable[tuple[int, int, bytes]] = db.execute(
        "SELECT seq, alias_version, decision FROM records "  # noqa: S608  # our own conditions
        f"WHERE alias = ? AND created_at >= ? AND seq <= ? AND status = 'ok' AND {NOTED[name]}",
        (alias, since, to),
    )
    plain = Shapes(db).plain
    counted = (among(seq, version, plain(decision)) for seq, version, decision in rows)
    return Counter(under for under in counted if under is not None)


def _token(db: apsw.Connection) -> int | None:
    row = db.execute("SELECT token FROM leases WHERE name = ?", (ROLLOUTS,)).fetchone()
    return None if row is None else row[0]


def _follow(db: apsw.Connection, row: StoredRollout, by: str, now: int) -> None:
    """Where a rollout has ended: promoted, its version becomes active; aborted, the alias stays as it is."""
    change = Change(by=by, at=now, reason=f"rollout {row.id}: {row.progress.why}")
    if row.progress.state == "aborted":
        aliases.note_taken_back(db, row.alias, change)
    if row.progress.state == "promoted":
        aliases.activate(db, row.alias, row.to_version, change, if_version=row.from_version)


def _put(db: apsw.Connection, row: StoredRollout) -> None:
    db.execute(
        "UPDATE rollouts SET state = ?2, progress = ?3, findings = ?4, evidence = ?5, rev = ?6 WHERE id = ?1",
        (
            row.id,
            row.progress.state,
            _encode(row.progress).decode(),
            _encode(row.findings).decode(),
            None if row.evidence is None else _encode(row.evidence).decode(),
            row.rev,
        ),
    )


def _log(
    db: apsw.Connection, row: StoredRollout, action: str, by: str, now: int, details: dict[str, Any]
) -> None:
    body = {
        "id": row.id,
        "alias": row.alias,
        "from": row.from_version,
        "to": row.to_version,
        "state": row.progress.state,
        "step": row.progress.step,
        "why": row.progress.why,
        **details,
    }
    if row.evidence is not None:
        body["evidence"] = msgspec.to_builtins(row.evidence)
    control_log.append(db, at=now, actor=by, action=f"rollout.{action}", body=body)


def _kind(was: Progress, now: Progress) -> EventKind:
    """What has become of a rollout, in the words of webhooks."""
    if now.state == "promoted":
        return "rollout.promoted"
    if now.state == "aborted":
        return "rollout.aborted"
    if now.state == "paused":
        return "rollout.awaiting_approval" if now.waits_for == "human" else "rollout.paused"
    return "rollout.resumed" if now.step == was.step else "rollout.step"


def _announce(db: apsw.Connection, row: StoredRollout, kind: EventKind, by: str, now: int) -> None:
    """Tell webhooks. An operator's name and reason may name a tenant, so they stay here."""
    ours = by in _OURS
    data = {
        "rollout": row.id,
        "alias": row.alias,
        "from_version": row.from_version,
        "to_version": row.to_version,
        "candidate": row.candidate,
        "plan": row.plan.name,
        "state": row.progress.state,
        "step": row.progress.step,
        "weight": row.weight,
        "waits_for": row.progress.waits_for,
        "by": by if ours else "operator",
        "why": row.progress.why if ours else None,
        "guardrails": msgspec.to_builtins(row.findings),
        "evidence": None if row.evidence is None else msgspec.to_builtins(row.evidence),
    }
    events.put(db, kind, data, now)


def _values(row: StoredRollout) -> tuple[Any, ...]:
    return (
        row.id,
        row.alias,
        row.from_version,
        row.to_version,
        row.candidate,
        _encode(row.plan).decode(),
        _encode(row.progress).decode(),
        _encode(row.findings).decode(),
        None if row.evidence is None else _encode(row.evidence).decode(),
        row.by,
        row.reason,
        row.started_at,
        row.rev,
    )


def _row(row: tuple[Any, ...]) -> StoredRollout:
    name, alias, start_at, to, candidate, plan, progress, findings, evidence, by, reason, at, rev = row
    read = msgspec.json.decode
    return StoredRollout(
        id=name,
        alias=alias,
        from_version=start_at,
        to_version=to,
        candidate=candidate,
        plan=read(plan, type=Plan),
        progress=read(progress, type=Progress),
        findings=read(findings, type=tuple[Finding, ...]),
        evidence=None if evidence is None else read(evidence, type=tuple[Finding, ...]),
        by=by,
        reason=reason,
        started_at=at,
        rev=rev,
    )


assert LIVE == ("running", "paused"), "as in _LIVE_ROWS and in the schema"
