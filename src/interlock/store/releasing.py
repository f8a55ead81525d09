"""What is written to a store to release: rollouts that begin and move, their lease, a pool that changed, and
what is watched after a release.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import apsw

from interlock.config.written import Reaction
from interlock.rollout.watch import Finding
from interlock.store import aliases, rollouts, watches
from interlock.store.alerts import Alert
from interlock.store.aliases import Change, PoolChange
from interlock.store.rollouts import Move, StoredRollout, Wanted
from interlock.store.sqlite import Store
from interlock.store.watches import Acted, Again, StoredWatch
from interlock.store.write import Write


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


def lease(store: Store, name: str, holder: str, ttl_us: int) -> Write[int | None]:
    """Take or keep another lease, by its name; see `lease_rollouts`."""
    return store.writer.call(lambda db: rollouts.take_lease(db, holder, ttl_us, rollouts.instant(db), name))


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


def keep_watch(
    store: Store,
    watch: StoredWatch,
    told: Sequence[Alert],
    reaction: Reaction,
    *,
    late: Sequence[Alert] = (),
    token: int,
    pool: Mapping[str, str],
    pinned: str | None,
) -> Write[tuple[StoredWatch, Acted]]:
    """Keep what has been seen of a version, and act on it; see `watches.keep`."""
    return store.writer.call(
        lambda db: watches.keep(
            db,
            watch,
            told,
            reaction,
            late=late,
            token=token,
            now=rollouts.instant(db),
            pool=pool,
            pinned=pinned,
        ),
        durable=bool(told or late),
    )


def handle_gate(
    store: Store,
    run: Again,
    told: Sequence[Alert],
    reaction: Reaction,
    *,
    token: int,
    pool: Mapping[str, str],
    pinned: str | None,
) -> Write[Acted]:
    """Act on a run of a gate that has ended; see `watches.handle_again`."""
    return store.writer.call(
        lambda db: watches.handle_again(
            db, run, told, reaction, token=token, now=rollouts.instant(db), pool=pool, pinned=pinned
        ),
        durable=True,
    )


def begin_gate(store: Store, alias: str, run: str, holder: str, ttl_us: int) -> Write[Again | None]:
    """Begin a run of an alias's gate over what is active, or go on with one; see `watches.begin_again`."""
    return store.writer.call(
        lambda db: watches.begin_again(
            db, alias, run, holder=holder, ttl_us=ttl_us, now=rollouts.instant(db)
        ),
        durable=True,
    )


def renew_gate(store: Store, begun: Again, holder: str, ttl_us: int) -> Write[bool]:
    """Keep such a run one's own for longer; see `watches.renew_again`."""
    return store.writer.call(
        lambda db: watches.renew_again(db, begun, holder=holder, ttl_us=ttl_us, now=rollouts.instant(db))
    )


def end_gate(
    store: Store, begun: Again, holder: str, *, record: str | None, verdict: str, why: str
) -> Write[None]:
    """End such a run with its verdict; see `watches.end_again`."""
    return store.writer.call(
        lambda db: watches.end_again(
            db,
            begun,
            record=record,
            verdict=verdict,
            why=why,
            holder=holder,
            now=rollouts.instant(db),
        ),
        durable=True,
    )
