"""Moves rollouts on: one of all workers at a time, chosen by a lease in the store.

Everything it knows it reads from the store, so whoever takes over, or starts again after a crash, goes on
where the last one was: at the same step, with the same records. What an old holder still wants to write is
refused by its token.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec
from msgspec import Struct

from interlock.errors import StoreError
from interlock.measures import LATE, is_open, is_traffic, read
from interlock.rollout.plan import Plan, Progress, advance
from interlock.rollout.watch import Finding, Watch, overall
from interlock.store import grades, rollouts
from interlock.store.releasing import lease_rollouts, move_rollout
from interlock.store.rollouts import Fenced, StoredRollout
from interlock.store.sqlite import Store
from interlock.types.labels import Arm
from interlock.types.record import Status

LEASE_US: Final = 5_000_000
BY: Final = "rollouts"


class _Route(Struct):
    arm: Arm


class _Why(Struct):
    propensity: float


class _Signals(Struct):
    tenant: str = "default"
    endpoint: str = ""


class Decided(Struct):
    """What of a decision says whose requests it is among."""

    route: _Route | None
    why: _Why
    signals: _Signals


decided: Final = msgspec.json.Decoder(Decided).decode


class Followed:
    """Mutable: one step of one rollout, and how far its records have been read."""

    def __init__(self, row: StoredRollout) -> None:
        self.began = row.progress.began
        self.watch = Watch(row.plan.guardrails, len(row.plan.steps), row.plan.graders)
        self.after: int | None = None
        self.graded = 0
        self.open: set[int] = set()

    def follow(self, store: Store, row: StoredRollout) -> tuple[Finding, ...]:
        """Read what has ended since, and judge. May take long."""
        again, self.open = self.open, set()
        more = True
        while more:
            page = store.read(
                partial(rollouts.ended, alias=row.alias, since=self.began, after=self.after, again=again)
            )
            for seq, version, decision, rest in page.rows:
                self._add(row, seq, version, decision, rest)
            self.after, more, again = page.to, page.more, set()
        self._count_late(store, row)
        if row.plan.graders or row.plan.shadow:
            self._read_grades(store, row)
        return self.watch.findings(row.weight)

    def _count_late(self, store: Store, row: StoredRollout) -> None:
        """Count what has been noted of the answers that have been read, and of no others."""

        def among(seq: int, version: int, decision: bytes) -> Arm | None:
            return None if seq in self.open else _arm(row, version, "ok", decided(decision))

        watched = {check.metric for check in row.plan.guardrails}
        for name in LATE:
            if name in watched:
                count = partial(rollouts.noted, name=name, alias=row.alias, since=self.began)
                self.watch.late(name, store.read(partial(count, to=self.after or 0, among=among)))

    def _read_grades(self, store: Store, row: StoredRollout) -> None:
        more = True
        while more:
            found = store.read(
                partial(grades.known_since, rollout=row.id, since=self.began, after=self.graded)
            )
            for one in found:
                self.graded = one.seq
                if one.arm == "shadow":
                    self.watch.compare(one.grader, one.score, one.live)
                else:
                    self.watch.grade(one.arm, one.grader, one.score)
            more = len(found) >= grades.PAGE

    def _add(self, row: StoredRollout, seq: int, version: int, decision: bytes, rest: bytes) -> None:
        ended = read(rest)
        arm = _arm(row, version, ended.status, decided(decision))
        if arm is None:
            return
        if is_open(ended):
            self.open.add(seq)
        else:
            self.watch.add(arm, ended)


def _arm(row: StoredRollout, version: int, status: Status, found: Decided) -> Arm | None:
    """The arm that a request counts for; None: it is no part of the comparison."""
    if version not in (row.from_version, row.to_version):
        return None
    # Neither is who could not have been on the other arm.
    if found.route is None or (row.weight < 1 and found.why.propensity >= 1):
        return None
    is_wanted = is_traffic(status, found.signals.tenant, found.signals.endpoint)
    return found.route.arm if is_wanted else None


class Controller:
    """Mutable: the rollouts that this process follows while it has the lease. `holder` names the process."""

    def __init__(self, store: Store, holder: str, say: Callable[..., None]) -> None:
        self._store = store
        self.holder = holder
        self._say = say
        self._followed: dict[str, Followed] = {}

    async def look(self) -> bool:
        """Look once at every rollout under way, if it is this process's turn; whether one has moved."""
        store = self._store
        live = store.read(rollouts.live)
        if not live:
            self._followed.clear()
            return False
        token = await lease_rollouts(store, self.holder, LEASE_US)
        if token is None:
            self._followed.clear()
            return False
        moved = False
        self._followed = {row.id: self._followed[row.id] for row in live if row.id in self._followed}
        for row in live:
            try:
                moved = await self._move(row, token) or moved
            except Fenced:
                self._followed.pop(row.id, None)
            except StoreError as error:
                self._say("store", error=error.problem)
        return moved

    async def _move(self, row: StoredRollout, token: int) -> bool:
        followed = self._followed.get(row.id)
        if followed is None or followed.began != row.progress.began:
            followed = self._followed[row.id] = Followed(row)
        findings = await asyncio.to_thread(followed.follow, self._store, row)
        verdict, why = overall(findings)

        def change(plan: Plan, progress: Progress, now: int) -> Progress:
            return advance(plan, progress, verdict, why, now)

        moved = await move_rollout(
            self._store, row.id, change, by=BY, findings=findings, token=token, rev=row.rev
        )
        changed = moved.progress != row.progress
        if changed:
            self._say(
                "rollout",
                id=row.id,
                alias=row.alias,
                state=moved.progress.state,
                step=moved.progress.step,
                why=moved.progress.why,
            )
        return changed
