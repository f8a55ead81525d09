"""What is written to a store to release: rollouts that begin and move, their lease, a pool that changed."""

from collections.abc import Sequence
from contextlib import suppress

import apsw

from interlock.rollout.watch import Finding
from interlock.store import aliases, rollouts
from interlock.store.aliases import Change, PoolChange
from interlock.store.rollouts import Move, StoredRollout, Wanted
from interlock.store.sqlite import Store
from interlock.store.writer import Write


def start_rollout(
    store: Store, wanted: Wanted, *, by: str, reason: str | None = None
) -> Write[StoredRollout]:
    """Begin a rollout. Raises UnknownAlias, StaleVersion, or RolloutUnderWay."""
    return store.writer.call(
        lambda db: rollouts.start(db, wanted, by=by, reason=reason, now=rollouts.instant(db)), durable=True
    )


def move_rollout(
    store: Store,
    name: str,
    change: Move,
    *,
    by: str,
    findings: tuple[Finding, ...] | None = None,
    token: int | None = None,
    rev: int | None = None,
) -> Write[StoredRollout]:
    """Let a rollout go on, pause or end; see `rollouts.move`. `change` is told the store's clock.

    Raises UnknownRollout, StaleVersion, Fenced, and what `change` raises.
    """
    return store.writer.call(
        lambda db: rollouts.move(
            db, name, change, by=by, now=rollouts.instant(db), findings=findings, token=token, rev=rev
        ),
        durable=True,
    )


def lease_rollouts(store: Store, holder: str, ttl_us: int) -> Write[int | None]:
    """Take or keep the lease of whoever moves rollouts: its fencing token, None while another has it."""
    return store.writer.call(lambda db: rollouts.take_lease(db, holder, ttl_us, rollouts.instant(db)))


def end_rollout(store: Store, alias: str, why: str) -> None:
    """Abort what is under way for an alias, because the config changed. Blocks: for the start only."""
    store.writer.run(lambda db: rollouts.abort_all(db, alias, why, by="config", now=rollouts.instant(db)))


def follow_pool(store: Store, changes: Sequence[PoolChange], *, now: int) -> None:
    """Make the next version of each alias whose model has become another. Blocks: for the start only.

    An alias that somebody else has moved meanwhile stays where that put it.
    """

    def work(db: apsw.Connection) -> None:
        for one in changes:
            change = Change(by="config", at=now, reason=one.reason)
            rollouts.abort_all(db, one.alias, one.reason, by="config", now=now)
            with suppress(aliases.StaleVersion):
                aliases.promote(
                    db,
                    one.alias,
                    one.model,
                    change,
                    if_version=one.if_version,
                    gate=one.gate,
                    override=None,
                    identity=one.identity,
                )

    if changes:
        store.writer.run(work)
