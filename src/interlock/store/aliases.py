"""Aliases: versions are added and never changed; releasing and rolling back move a pointer.

Each function runs inside a transaction of its caller. A writer names the version that it saw active,
and is told where another was faster. Every change is in the control log by the same transaction.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

import apsw
import msgspec
from msgspec import Struct

from interlock.errors import InterlockError
from interlock.store import control_log

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class AliasError(InterlockError):
    """A change of an alias that was not made: its state is as before."""


class UnknownAlias(AliasError):  # noqa: N818  # it says what is the case
    def __init__(self, alias: str) -> None:
        self.alias = alias
        super().__init__(f"there is no alias `{alias}`")


class UnknownVersion(AliasError):  # noqa: N818  # it says what is the case
    """There is no such version, or (`version` None) none before the active one."""

    def __init__(self, alias: str, version: int | None) -> None:
        self.alias = alias
        self.version = version
        what = "has no earlier version" if version is None else f"has no version {version}"
        super().__init__(f"alias `{alias}` {what}")


class StaleVersion(AliasError):  # noqa: N818  # it says what is the case
    """Another change came first: `active` is not the version that the writer saw."""

    def __init__(self, alias: str, active: int) -> None:
        self.alias = alias
        self.active = active
        super().__init__(f"alias `{alias}` is at version {active} by now")


class TargetGone(AliasError):  # noqa: N818  # it says what is the case
    """The pool no longer has what answered under that version."""

    def __init__(self, alias: str, version: int, model: str) -> None:
        self.alias = alias
        self.version = version
        self.model = model
        super().__init__(
            f"version {version} of `{alias}` was a `{model}` that the pool does not have any more"
        )


class AliasState(Struct, frozen=True, kw_only=True):
    """Which version of an alias is active, its model, and the hash of what answers (None: not known)."""

    name: str
    active: int
    model: str
    identity: str | None = None


class AliasVersion(Struct, frozen=True, kw_only=True):
    """One release. `at` is RFC 3339; `gate` names the gate's record, `override` is why there was none.

    `identity` is what really answers, part by part; None for a version from before it was kept.
    """

    version: int
    model: str
    at: str
    by: str
    reason: str | None
    gate: str | None
    override: str | None
    identity: dict[str, Any] | None = None


class AliasHistory(Struct, frozen=True, kw_only=True):
    """An alias with all its versions, oldest first: what `GET /v1/aliases/{name}` shows."""

    name: str
    active: int
    model: str
    versions: tuple[AliasVersion, ...]


class Change(Struct, frozen=True, kw_only=True):
    """Who changes an alias, when (microseconds since the epoch), and why."""

    by: str
    at: int
    reason: str | None = None


class PoolChange(Struct, frozen=True, kw_only=True):
    """An alias's model that is another one by now, though its name is the same. `identity` is JSON."""

    alias: str
    model: str
    if_version: int
    identity: str
    gate: str | None
    reason: str


_STATES: Final = (
    "SELECT alias, active, model, identity FROM aliases JOIN alias_versions USING (alias) "
    "WHERE version = active"
)


def states(db: apsw.Connection) -> dict[str, AliasState]:
    rows = db.execute(f"{_STATES} ORDER BY alias")
    return {row[0]: _state(*row) for row in rows}


def history(db: apsw.Connection, alias: str) -> AliasHistory | None:
    with db:  # versions and pointer of one moment
        state = _find(db, alias)
        rows: list[tuple[Any, ...]] = db.execute(
            "SELECT version, model, at, by, reason, gate, override, identity FROM alias_versions "
            "WHERE alias = ? ORDER BY version",
            (alias,),
        ).fetchall()
    if state is None:
        return None
    versions = tuple(
        AliasVersion(
            version=version,
            model=model,
            at=rfc3339(at),
            by=by,
            reason=reason,
            gate=gate,
            override=override,
            identity=None if identity is None else msgspec.json.decode(identity),
        )
        for version, model, at, by, reason, gate, override, identity in rows
    )
    return AliasHistory(name=alias, active=state.active, model=state.model, versions=versions)


def seed(
    db: apsw.Connection, file_aliases: Mapping[str, str], identities: Mapping[str, str], change: Change
) -> None:
    """Version 1 of each alias of the file that the store does not know yet. `identities` go by model."""
    known = states(db)
    for alias, model in file_aliases.items():
        if alias not in known:
            _add_version(db, alias, 1, model, change, identity=identities.get(model))
            _move(db, alias, "seed", None, 1, change, {"model": model})


def promote(
    db: apsw.Connection,
    alias: str,
    to_model: str,
    change: Change,
    *,
    if_version: int | None,
    gate: str | None,
    override: str | None,
    identity: str | None = None,
) -> AliasState:
    """Release a model as the next version. Where exactly that is active already, nothing changes.

    `if_version` is the version that the writer saw active; None takes whatever is. `identity` is the JSON of
    what will answer.
    """
    state = seen(db, alias, if_version)
    if state.model == to_model and (identity is None or state.identity == _digest(identity)):
        return state
    version = add_next(db, alias, to_model, change, gate=gate, override=override, identity=identity)
    digest = None if identity is None else _digest(identity)
    details = {"model": to_model, "gate": gate, "override": override, "identity": digest}
    _move(db, alias, "promote", state.active, version, change, details)
    return AliasState(name=alias, active=version, model=to_model, identity=digest)


def add_next(
    db: apsw.Connection,
    alias: str,
    model: str,
    change: Change,
    *,
    gate: str | None,
    override: str | None,
    identity: str | None,
) -> int:
    """Make the next version, and leave the active one as it is; the number of the new one."""
    version = _newest(db, alias) + 1
    _add_version(db, alias, version, model, change, gate=gate, override=override, identity=identity)
    return version


def activate(db: apsw.Connection, alias: str, version: int, change: Change, *, if_version: int) -> None:
    """Make a version active that was made before. Raises StaleVersion."""
    state = seen(db, alias, if_version)
    model, gate, override = db.execute(
        "SELECT model, gate, override FROM alias_versions WHERE alias = ? AND version = ?", (alias, version)
    ).get
    details = {"model": model, "gate": gate, "override": override}
    _move(db, alias, "promote", state.active, version, change, details)


def note_taken_back(db: apsw.Connection, alias: str, change: Change) -> None:
    """Note that a release was taken back before it was active: a plain `rollback` then has nothing to do."""
    state = seen(db, alias, None)
    _note_move(db, alias, "rollback", state.active, state.active, change)


def rollback(
    db: apsw.Connection,
    alias: str,
    to_version: int | None,
    change: Change,
    *,
    if_version: int | None,
    pool: Mapping[str, str] | None = None,
) -> AliasState:
    """Make an earlier version active again; without `to_version`, take back the last release.

    `pool` is what each model of the pool is now (a hash); a version whose model is gone or has become another
    one raises TargetGone, and the alias stays. None does not look.

    Without `to_version`, an alias that was just rolled back stays where it is: two operators (or an
    operator and a guardrail) who both pull the cord do not undo each other, nor go back twice.
    """
    state = seen(db, alias, if_version)
    if to_version is None:
        kind, before = db.execute(
            "SELECT kind, from_version FROM alias_moves WHERE alias = ? ORDER BY seq DESC LIMIT 1", (alias,)
        ).get
        to_version = state.active if kind == "rollback" else before
    if to_version == state.active:
        return state
    if to_version is None or not 1 <= to_version <= _newest(db, alias):
        raise UnknownVersion(alias, to_version)
    model, identity = db.execute(
        "SELECT model, identity FROM alias_versions WHERE alias = ? AND version = ?", (alias, to_version)
    ).get
    target = _state(alias, to_version, model, identity)
    if pool is not None and (model not in pool or target.identity not in (None, pool[model])):
        raise TargetGone(alias, to_version, model)
    _move(db, alias, "rollback", state.active, to_version, change, {"model": model})
    return target


def seen(db: apsw.Connection, alias: str, if_version: int | None) -> AliasState:
    """An alias as it is. Raises UnknownAlias, or StaleVersion where another version is active."""
    state = _find(db, alias)
    if state is None:
        raise UnknownAlias(alias)
    if if_version is not None and if_version != state.active:
        raise StaleVersion(alias, state.active)
    return state


def _find(db: apsw.Connection, alias: str) -> AliasState | None:
    row = db.execute(f"{_STATES} AND alias = ?", (alias,)).fetchone()
    return None if row is None else _state(*row)


def _state(alias: str, version: int, model: str, identity: str | None) -> AliasState:
    digest = None if identity is None else _digest(identity)
    return AliasState(name=alias, active=version, model=model, identity=digest)


def _note_move(
    db: apsw.Connection,
    alias: str,
    kind: Literal["seed", "promote", "rollback"],
    from_version: int | None,
    to_version: int,
    change: Change,
) -> None:
    db.execute(
        "INSERT INTO alias_moves (alias, from_version, to_version, kind, at, by, reason) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (alias, from_version, to_version, kind, change.at, change.by, change.reason),
    )


def _digest(identity: str) -> str:
    return hashlib.sha256(identity.encode()).hexdigest()


def _newest(db: apsw.Connection, alias: str) -> int:
    """Versions are numbered from 1 without gaps."""
    newest: int = db.execute("SELECT max(version) FROM alias_versions WHERE alias = ?", (alias,)).get
    return newest


def _add_version(
    db: apsw.Connection,
    alias: str,
    version: int,
    model: str,
    change: Change,
    *,
    gate: str | None = None,
    override: str | None = None,
    identity: str | None = None,
) -> None:
    db.execute(
        "INSERT INTO alias_versions (alias, version, model, at, by, reason, gate, override, identity) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (alias, version, model, change.at, change.by, change.reason, gate, override, identity),
    )


def _move(
    db: apsw.Connection,
    alias: str,
    kind: Literal["seed", "promote", "rollback"],
    from_version: int | None,
    to_version: int,
    change: Change,
    details: Mapping[str, Any],
) -> None:
    """Move the pointer, and put the move into both logs."""
    db.execute(
        "INSERT INTO aliases (alias, active) VALUES (?, ?) "
        "ON CONFLICT (alias) DO UPDATE SET active = excluded.active",
        (alias, to_version),
    )
    _note_move(db, alias, kind, from_version, to_version, change)
    body = {"alias": alias, "from": from_version, "to": to_version, "reason": change.reason, **details}
    control_log.append(db, at=change.at, actor=change.by, action=f"alias.{kind}", body=body)


def rfc3339(at: int) -> str:
    """An instant (microseconds since the epoch) as text."""
    return (_EPOCH + timedelta(microseconds=at)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
