"""Watches what is active after its release, and acts: alerts, or takes the release back, as configured.

One of all workers does it, the one that holds the lease of rollouts. What it has seen is in the store with
how far it has read, so that the next one goes on there; what an old holder still wants to write is refused.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

import apsw
import msgspec
from msgspec import Struct

from interlock.config.checked import Config
from interlock.config.written import Check, Reaction, Watched
from interlock.errors import StoreError
from interlock.measures import MEASURES, is_open, is_traffic, read
from interlock.release.controller import LEASE_US, decided
from interlock.release.pool import hashes
from interlock.rollout.after import After, Looked, add, add_late, key, leave_late, look, watchable
from interlock.rollout.watch import Finding
from interlock.store import rollouts, watches
from interlock.store.alerts import Alert, Kind
from interlock.store.aliases import AliasError
from interlock.store.releasing import handle_gate, keep_watch, lease_rollouts
from interlock.store.rollouts import Fenced
from interlock.store.sqlite import Store
from interlock.store.watches import Acted, Again, Release, StoredWatch

PAGES: Final = 5
"""So many pages of records are read in one look; more are left for the next."""
AWAITED_US: Final = 24 * 3_600_000_000
_LEFT_EVERY_US: Final = 3_600_000_000
"""What is noted of an answer counts where it comes within a day. Older ones are left behind by the hour, so
that a look does not count all that there ever was, nor miss what retention deletes meanwhile."""


class Duty(Struct, frozen=True, kw_only=True):
    """What is to be watched of an alias: what is active, the guardrails, and what a breach does."""

    alias: str
    release: Release
    guardrails: tuple[Check, ...]
    written: Watched


def duties(store: Store, config: Config) -> tuple[Duty, ...]:
    """What there is to watch now. Without a word in the config the guardrails of a rollout go on and alert.

    Reads the store, so it blocks. Raises StoreError.
    """
    found, states = [], store.aliases()
    for alias in config.aliases:
        if alias not in states:
            continue
        written = config.watch.get(alias, Watched())
        release = store.read(partial(watches.release, state=states[alias]))
        own = written.guardrails
        if own is None:
            own = release.rollout.plan.guardrails if release.rollout is not None else ()
        guardrails = watchable(own)
        if guardrails or written.gate is not None:
            found.append(Duty(alias=alias, release=release, guardrails=guardrails, written=written))
    return tuple(found)


def pins(config: Config) -> dict[str, str]:
    """By model of the pool, the rule that pins it."""
    return {rule.then.pin: rule.name for rule in config.rules if rule.then.pin is not None}


class Afterwards:
    """Mutable: what this process has in memory of what it watches. `holder` is the one of its rollouts."""

    def __init__(self, store: Store, holder: str, say: Callable[..., None]) -> None:
        self._store = store
        self._holder = holder
        self._say = say
        self._watches: dict[str, StoredWatch] = {}

    async def look(self, config: Config) -> tuple[Duty, ...]:
        """Look once at everything that is watched, if it is this process's turn; what it is responsible for.

        Raises StoreError.
        """
        store = self._store
        found = await asyncio.to_thread(duties, store, config)
        token = await lease_rollouts(store, self._holder, LEASE_US) if found else None
        if token is None:
            self._watches.clear()
            return ()
        pool, pinned = hashes(config), pins(config)
        for duty in found:
            by = pinned.get(duty.release.model)
            try:
                if duty.guardrails:
                    self._tell(await self._watch(duty, token, pool, by))
                self._tell(await self._gate(duty, token, pool, by))
            except (Fenced, AliasError):  # moved by somebody else: what is active then is another duty
                self._watches.pop(duty.alias, None)
            except StoreError as error:
                self._say("store", error=error.problem)
        return found

    async def _watch(self, duty: Duty, token: int, pool: Mapping[str, str], pinned: str | None) -> Acted:
        version = duty.release.version
        watch = self._watches.get(duty.alias)
        if watch is None or watch.version != version:
            watch = await asyncio.to_thread(self._known, duty)
        self._watches.pop(duty.alias, None)  # what is not kept in the end is read again as it is kept
        looked = await asyncio.to_thread(follow, self._store, watch.after, duty)
        late = _late(duty, watch.after)
        if looked is None and not late:
            self._watches[duty.alias] = watch
            return Acted()
        kept, acted = await keep_watch(
            self._store,
            watch,
            told(duty, looked or Looked()),
            duty.written.on_breach,
            late=late,
            token=token,
            pool=pool,
            pinned=pinned,
        )
        self._watches[duty.alias] = kept
        return acted

    def _known(self, duty: Duty) -> StoredWatch:
        version = duty.release.version
        found = self._store.read(partial(watches.find, alias=duty.alias, version=version))
        return found or StoredWatch(alias=duty.alias, version=version, after=After())

    async def _gate(self, duty: Duty, token: int, pool: Mapping[str, str], pinned: str | None) -> Acted:
        """Act on a run of the alias's gate that has ended since."""
        run = self._store.read(partial(watches.again, alias=duty.alias))
        if run is None or run.ended is None or run.handled:
            return Acted()
        gate = duty.written.gate
        reaction: Reaction = gate.on_fail if gate is not None and run.verdict == "fail" else "alert"
        return await handle_gate(
            self._store, run, of_gate(run), reaction, token=token, pool=pool, pinned=pinned
        )

    def _tell(self, acted: Acted) -> None:
        for alert in acted.alerts:
            self._say(
                "alert",
                kind=alert.kind,
                alias=alert.alias,
                version=alert.version,
                what=alert.what,
                did=alert.did,
                to_version=alert.to_version,
                why=alert.why,
            )


def follow(store: Store, after: After, duty: Duty) -> Looked | None:
    """Read what has ended since, and judge after each page; None: there is nothing new. May take long."""
    alias = duty.alias
    again, after.open = frozenset(after.open), []
    breached: list[Finding] = []
    recovered: list[Finding] = []
    judged = [f"{finding.metric} {finding.bound}" for finding in after.findings]
    changed = bool(again) or judged != [*map(key, duty.guardrails)]
    for _ in range(PAGES):
        page = store.read(
            partial(rollouts.ended, alias=alias, since=duty.release.since, after=after.seq, again=again)
        )
        after.seq = page.to
        if not page.rows and not changed:
            return None
        changed = True
        for seq, version, decision, rest in page.rows:
            _add(after, duty, seq, version, decision, rest)
        store.read(partial(_follow_late, after=after, duty=duty, whole=not page.more))
        looked = look(after, duty.guardrails)
        breached += looked.breached
        recovered += looked.recovered
        again = frozenset()
        if not page.more:
            break
    return Looked(breached=tuple(breached), recovered=tuple(recovered))


def _follow_late(db: apsw.Connection, after: After, duty: Duty, *, whole: bool) -> None:
    """Count what has been noted of the answers that have been read. `whole`: those are all there are."""
    if after.late_since is None:
        after.late_since = duty.release.since
    since = after.late_since
    found = _noted(db, after, duty, since)
    add_late(after, duty.guardrails, found, duty.written.baseline)
    now = rollouts.instant(db)
    if whole and now - since > AWAITED_US + _LEFT_EVERY_US:
        leave_late(after, now - AWAITED_US, found, _noted(db, after, duty, now - AWAITED_US))


def _noted(db: apsw.Connection, after: After, duty: Duty, since: int) -> dict[str, int]:
    """By late measure that is watched, of how many of the answers that were read it is noted."""
    is_left = frozenset(after.open).__contains__

    def among(seq: int, version: int, decision: bytes) -> bool | None:
        if version != duty.release.version or is_left(seq):
            return None
        signals = decided(decision).signals
        return is_traffic("ok", signals.tenant, signals.endpoint) or None

    names = {check.metric for check in duty.guardrails if MEASURES[check.metric].late}
    return {name: rollouts.noted(db, name, duty.alias, since, after.seq or 0, among)[True] for name in names}


def _add(after: After, duty: Duty, seq: int, version: int, decision: bytes, rest: bytes) -> None:
    if version != duty.release.version:
        return
    ended, signals = read(rest), decided(decision).signals
    if not is_traffic(ended.status, signals.tenant, signals.endpoint):
        return
    if is_open(ended):
        after.open.append(seq)
    else:
        add(after, duty.guardrails, ended, duty.written.baseline)


def _late(duty: Duty, after: After) -> tuple[Alert, ...]:
    """What is still breached, where the version waits to be taken back for it."""
    if not after.waits or duty.written.on_breach != "roll_back":
        return ()
    return told(duty, Looked(breached=tuple(after.breached.values())))


def told(duty: Duty, looked: Looked) -> tuple[Alert, ...]:
    """What a look has to say, as alerts."""

    def of(kind: Kind, findings: Iterable[Finding]) -> list[Alert]:
        return [
            Alert(
                kind=kind,
                alias=duty.alias,
                version=duty.release.version,
                what=finding.metric,
                why=finding.why,
                evidence=(msgspec.to_builtins(finding),),
            )
            for finding in findings
        ]

    return (*of("guardrail", looked.breached), *of("recovered", looked.recovered))


def of_gate(run: Again) -> tuple[Alert, ...]:
    """What a run of a gate over what is active has to say: nothing where it passed."""
    if run.verdict == "pass":
        return ()
    return (
        Alert(
            kind="gate",
            alias=run.alias,
            version=run.version,
            what=run.verdict or "inconclusive",
            why=run.why or "it ended without a verdict",
            record=run.record,
        ),
    )
