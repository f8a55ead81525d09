"""What is watched after a release, as rows, and what is done where it is not as it was.

Each function runs inside its caller's transaction. Whoever writes holds the lease of rollouts and names the
`rev` that it saw: of two who judge the same, one writes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import apsw
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from interlock.config.written import Reaction
from interlock.rollout.after import After
from interlock.store import alerts, aliases, rollouts
from interlock.store.alerts import Alert
from interlock.store.aliases import AliasError, AliasState, Change
from interlock.store.rollouts import Fenced

BY: Final = "watch"
_encode: Final = msgspec.json.Encoder().encode


class StoredWatch(Struct, frozen=True, kw_only=True):
    """What guardrails have seen of a version. `rev` 0: nothing is kept of it yet."""

    alias: str
    version: int
    after: After
    rev: int = 0


class Release(Struct, frozen=True, kw_only=True):
    """When a version of an alias became what is active (`at`), and the rollout that released it, if one did.

    `since` is when it had its first request: where a rollout released it, when that began.
    """

    version: int
    model: str
    at: int
    since: int
    rollout: rollouts.StoredRollout | None


class Again(Struct, frozen=True, kw_only=True):
    """A run of a gate over what is active. `ended` None: it is under way, or was cut short."""

    alias: str
    version: int
    run: str
    began: int
    ended: int | None = None
    record: str | None = None
    verdict: str | None = None
    why: str | None = None
    handled: bool = False


_AGAIN: Final = ", ".join(Again.__struct_fields__)


class Acted(Struct, frozen=True, kw_only=True):
    """What was done about something: the alerts as they were kept.

    `waits`: the alias was to be rolled back, and what hinders it may go away.
    """

    alerts: tuple[Alert, ...] = ()
    waits: bool = False


class _Tried(Struct, frozen=True, kw_only=True):
    """A rollback: the version that is active by now, or (None) `why` the alias stays, and if that may end."""

    to: int | None = None
    why: str = ""
    waits: bool = False


def release(db: apsw.Connection, state: AliasState) -> Release:
    """The release of what is active under an alias."""
    kind, _, at = _activation(db, state.name, state.active)
    row = next((one for one in rollouts.of_version(db, state.name, state.active)), None)
    by = row if row is not None and row.progress.state == "promoted" else None
    since = by.started_at if by is not None and kind == "promote" else at
    return Release(version=state.active, model=state.model, at=at, since=since, rollout=by)


def find(db: apsw.Connection, alias: str, version: int) -> StoredWatch | None:
    row = db.execute(
        "SELECT state, rev FROM watches WHERE alias = ? AND version = ?", (alias, version)
    ).fetchone()
    if row is None:
        return None
    return StoredWatch(
        alias=alias, version=version, after=msgspec.json.decode(row[0], type=After), rev=row[1]
    )


def everything(db: apsw.Connection) -> tuple[StoredWatch, ...]:
    """What has been seen of every version that is active now, by alias."""
    found = (find(db, name, state.active) for name, state in aliases.states(db).items())
    return tuple(one for one in found if one is not None)


def keep(
    db: apsw.Connection,
    watch: StoredWatch,
    told: Sequence[Alert],
    reaction: Reaction,
    *,
    late: Sequence[Alert] = (),
    token: int,
    now: int,
    pool: Mapping[str, str],
    pinned: str | None,
) -> tuple[StoredWatch, Acted]:
    """Keep what has been seen, and act on what is new in it. `pool` is what each model is now (a hash).

    `late` is what is still so and has been waiting for a rollback: that is tried again, and told of when what
    hindered it is gone. `pinned` is the rule that holds the version's model fast, if one does. Raises Fenced
    where the lease or the row is somebody else's by now, StaleVersion where another version is active.
    """
    rollouts.check_token(db, token)
    aliases.seen(db, watch.alias, watch.version)
    row = db.execute(
        "SELECT rev FROM watches WHERE alias = ? AND version = ?", (watch.alias, watch.version)
    ).fetchone()
    if (0 if row is None else row[0]) != watch.rev:
        raise Fenced(f"`{watch.alias}` is watched by somebody else")
    acted = act(db, told, reaction, now=now, pool=pool, pinned=pinned)
    if _bad(told) is not None:
        watch.after.waits = acted.waits
    elif late:
        more = act(db, late, reaction, now=now, pool=pool, pinned=pinned, retry=True)
        watch.after.waits = more.waits
        acted = replace(acted, alerts=acted.alerts + more.alerts)
    db.execute(
        "INSERT INTO watches (alias, version, state, rev) VALUES (?1, ?2, ?3, ?4) "
        "ON CONFLICT (alias, version) DO UPDATE SET state = ?3, rev = ?4",
        (watch.alias, watch.version, _encode(watch.after).decode(), watch.rev + 1),
    )
    return replace(watch, rev=watch.rev + 1), acted


def act(
    db: apsw.Connection,
    told: Sequence[Alert],
    reaction: Reaction,
    *,
    now: int,
    pool: Mapping[str, str],
    pinned: str | None,
    retry: bool = False,
) -> Acted:
    """Alert, and roll the alias back where that is asked for and can be done; never twice, never to and fro.

    `told` are alerts about one version of one alias, which is active. They say what has been done. A `retry`
    tells nothing while what hindered it is still there.
    """
    bad = _bad(told)
    tried = _Tried()
    if bad is not None and reaction == "roll_back":
        tried = _roll_back(db, bad, now, pool, pinned)
    if retry and tried.waits:
        return Acted(waits=True)
    found = []
    for alert in told:
        back = tried.to is not None and alert.kind != "recovered"
        done = replace(
            alert,
            did="rolled_back" if back else "alerted",
            to_version=tried.to if back else None,
            why=f"{alert.why}; not rolled back: {tried.why}" if tried.why and not back else alert.why,
        )
        alerts.add(db, done, by=BY, now=now)
        found.append(done)
    return Acted(alerts=tuple(found), waits=tried.waits)


def _bad(told: Sequence[Alert]) -> Alert | None:
    return next((alert for alert in told if alert.kind != "recovered"), None)


def _roll_back(
    db: apsw.Connection, alert: Alert, now: int, pool: Mapping[str, str], pinned: str | None
) -> _Tried:
    """Roll an alias back to the version before, if it can be done.

    Only a release is taken back: an alias that was rolled back to where it is stays there, whatever is seen.
    """
    if pinned is not None:
        return _Tried(why=f"the rule `{pinned}` pins its model", waits=True)
    for row in rollouts.live(db, alert.alias):
        return _Tried(why=f"the rollout `{row.id}` is under way", waits=True)
    kind, before, _ = _activation(db, alert.alias, alert.version)
    if kind != "promote" or before is None:
        return _Tried(
            why="it is what the alias was rolled back to" if kind == "rollback" else "it is the first"
        )
    if _was_bad(db, alert.alias, before):
        return _Tried(why=f"version {before} has been taken back itself for what was seen of it")
    change = Change(by=BY, at=now, reason=f"`{alert.what}`: {alert.why}")
    try:
        aliases.rollback(db, alert.alias, before, change, if_version=alert.version, pool=pool)
    except AliasError as error:
        return _Tried(why=str(error), waits=True)
    return _Tried(to=before)


def _activation(db: apsw.Connection, alias: str, version: int) -> tuple[str, int | None, int]:
    """How a version last became the active one: by what kind of move, from which version, and when."""
    row: tuple[str, int | None, int] = db.execute(
        "SELECT kind, from_version, at FROM alias_moves WHERE alias = ? AND to_version = ? "
        "AND from_version IS NOT to_version ORDER BY seq DESC LIMIT 1",
        (alias, version),
    ).get
    return row


def _was_bad(db: apsw.Connection, alias: str, version: int) -> bool:
    """Whether a version has been taken back for what was seen of it."""
    return any(
        msgspec.json.decode(body, type=Alert).did == "rolled_back"
        for (body,) in db.execute("SELECT body FROM alerts WHERE alias = ? AND version = ?", (alias, version))
    )


# Runs of gates over what is active


def again(db: apsw.Connection, alias: str) -> Again | None:
    """The last run over an alias."""
    row = db.execute(f"SELECT {_AGAIN} FROM gates_again WHERE alias = ?", (alias,)).fetchone()  # noqa: S608  # our own names
    return None if row is None else _again(row)


def runs(db: apsw.Connection) -> tuple[Again, ...]:
    """The last run of each gate that has ended and is about what is active."""
    states = aliases.states(db)
    rows = map(_again, db.execute(f"SELECT {_AGAIN} FROM gates_again WHERE ended IS NOT NULL"))  # noqa: S608  # our own names
    return tuple(run for run in rows if run.alias in states and states[run.alias].active == run.version)


def begin_again(
    db: apsw.Connection, alias: str, run: str, *, holder: str, ttl_us: int, now: int
) -> Again | None:
    """Begin a run, or go on with one of this version that was cut short; None while somebody else runs it."""
    if rollouts.take_lease(db, holder, ttl_us, now, name=f"gate:{alias}") is None:
        return None
    state = aliases.seen(db, alias, None)
    last = again(db, alias)
    if last is not None and last.ended is None and last.version == state.active:
        return last
    new = Again(alias=alias, version=state.active, run=run, began=now)
    _put_again(db, new)
    return new


def renew_again(db: apsw.Connection, begun: Again, *, holder: str, ttl_us: int, now: int) -> bool:
    """Keep a run one's own for longer, and begin none; False where it is over or somebody else's by now."""
    if not _is_under_way(db, begun):
        return False
    return rollouts.take_lease(db, holder, ttl_us, now, name=f"gate:{begun.alias}") is not None


def end_again(
    db: apsw.Connection,
    begun: Again,
    *,
    record: str | None,
    verdict: str,
    why: str,
    holder: str,
    now: int,
) -> None:
    """End a run with its verdict, which is about the version that it began with and no other.

    Raises Fenced where another run has begun meanwhile.
    """
    if not _is_under_way(db, begun):
        raise Fenced(f"another run of the gate of `{begun.alias}` has begun")
    _put_again(db, replace(begun, ended=now, record=record, verdict=verdict, why=why))
    rollouts.take_lease(db, holder, 0, now, name=f"gate:{begun.alias}")


def _is_under_way(db: apsw.Connection, begun: Again) -> bool:
    last = again(db, begun.alias)
    return last is not None and last.ended is None and (last.run, last.version) == (begun.run, begun.version)


def handle_again(
    db: apsw.Connection,
    seen: Again,
    told: Sequence[Alert],
    reaction: Reaction,
    *,
    token: int,
    now: int,
    pool: Mapping[str, str],
    pinned: str | None,
) -> Acted:
    """Act on a run that has ended, once. Raises Fenced where somebody else has, StaleVersion as `keep`."""
    rollouts.check_token(db, token)
    last = again(db, seen.alias)
    if last != seen or seen.handled:
        raise Fenced(f"somebody else has acted on the gate of `{seen.alias}`")
    _put_again(db, replace(seen, handled=True))
    if aliases.seen(db, seen.alias, None).active != seen.version:
        return Acted()
    return act(db, told, reaction, now=now, pool=pool, pinned=pinned)


def _put_again(db: apsw.Connection, row: Again) -> None:
    values = [getattr(row, name) for name in Again.__struct_fields__]
    db.execute(
        f"INSERT OR REPLACE INTO gates_again ({_AGAIN}) VALUES ({', '.join('?' * len(values))})",  # noqa: S608  # our own names
        values,
    )


def _again(row: Sequence[Any]) -> Again:
    fields = dict(zip(Again.__struct_fields__, row, strict=True))
    return Again(**{**fields, "handled": bool(fields["handled"])})
