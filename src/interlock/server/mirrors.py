"""What a process keeps for rollouts whose requests are copied or whose answers are graded.

A copy is decided under a config and a world of its own: the config without fallbacks and retries, and the
world in which the alias is the candidate. Both are kept by their hashes like any other, so the decision on a
copy is computed again like any other. The candidate's deployments are all that there is to call, with a
health that live traffic does not share.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import apsw
from msgspec import Struct
from msgspec.structs import replace

from interlock.config.alone import without_fallbacks
from interlock.config.checked import Config, encode
from interlock.config.written import RetryBudget
from interlock.errors import StoreError
from interlock.evals.graders.judge import Judge
from interlock.evals.identity import are_related
from interlock.evals.suite import GraderSpec
from interlock.execute.setting import Setting
from interlock.release.graders import restored
from interlock.resilience.health import Health
from interlock.route.arms import on_canary
from interlock.route.ask import model_of
from interlock.route.decide import hash_world
from interlock.route.snapshot import Snapshot, snapshot
from interlock.server.state import State
from interlock.store import grades
from interlock.store.rollouts import StoredRollout
from interlock.store.sqlite import Store
from interlock.types.world import Canary, World
from interlock.wiring import put_world, with_own_health

NOTHING: Final[Mapping[str, "Mirror"]] = MappingProxyType({})
_NO_RETRIES: Final = RetryBudget(ratio=0.0, min_per_s=0)


class Mirror(Struct, frozen=True, kw_only=True):
    """One rollout under one state. `setting` is what copies go by, `judging` what judges do; None: there are
    none. `related` are judges of a family with one of the two models.
    """

    row: StoredRollout
    config_hash: str
    canary: Canary
    graders: Mapping[str, GraderSpec]
    setting: Setting | None = None
    world_hash: str = ""
    judging: Setting | None = None
    judging_hash: str = ""
    related: frozenset[str] = frozenset()


class Mirrors:
    """Mutable: the rollouts that are followed, by alias; replaced whole when one or the state changes."""

    def __init__(self, store: Store, failed: Callable[[str, Exception], object]) -> None:
        """`failed` is told what goes wrong with one of them, and during what."""
        self.by_alias: Mapping[str, Mirror] = NOTHING
        self.health = Health()
        self._failed = failed
        self._store = store
        self._counts: dict[str, dict[str, float]] = {}
        self._made_of: object = None
        self._places: object = None  # a key that is replaced leaves the config's hash as it is
        self._snapshots: dict[str, Snapshot] = {}

    def follow(self, rows: Sequence[StoredRollout], state: State) -> None:
        """Take on what is under way now. Cheap where nothing has changed."""
        wanted = [row for row in rows if row.plan.shadow or row.plan.graders]
        rows_are = [(row.id, row.progress.step) for row in wanted]
        made_of = rows_are, state.world_hash, state.config.config_hash
        if not wanted:
            self.by_alias, self._made_of, self._places = NOTHING, None, None
            self._snapshots.clear()
        elif made_of != self._made_of or self._places is not state.setting.destinations:
            self._made_of, self._places = made_of, state.setting.destinations
            self.by_alias = {row.alias: mirror for row in wanted if (mirror := self._tried(row, state))}

    def count(self, rollout: str, name: str, value: float = 1) -> None:
        """Note what became of a copy; `flush` puts it where all workers count."""
        found = self._counts.setdefault(rollout, {})
        found[name] = found.get(name, 0.0) + value

    async def flush(self) -> None:
        """Put what was counted into the store. Raises StoreError, and has kept it."""
        if not self._counts:
            return
        counts, self._counts = self._counts, {}

        def work(db: apsw.Connection) -> None:
            for rollout, added in counts.items():
                grades.count(db, rollout, added)

        try:
            await self._store.writer.call(work)
        except StoreError:
            for rollout, added in counts.items():
                for name, value in added.items():
                    self.count(rollout, name, value)
            raise

    def _tried(self, row: StoredRollout, state: State) -> Mirror | None:
        """None where it cannot be made: requests are then answered without it, and it is said."""
        try:
            return self._mirror(row, state)
        except Exception as error:  # noqa: BLE001 - what nobody waits for ends no tick, and no start
            self._failed(f"mirror of rollout {row.id}", error)
            if isinstance(error, StoreError):
                self._made_of = None  # the next look tries again
            return None

    def _mirror(self, row: StoredRollout, state: State) -> Mirror:
        canary = Canary(
            rollout=row.id,
            version=row.to_version,
            model=row.candidate,
            weight=row.weight,
            sticky_by=row.plan.sticky_by,
        )
        graders = restored(row.plan.graders)
        mirror = Mirror(row=row, config_hash=state.config.config_hash, canary=canary, graders=graders)
        judges = {spec.model for spec in graders.values() if isinstance(spec, Judge)}
        if judges:
            mirror = replace(
                mirror,
                judging=self._setting(state, state.setting.world, None),
                judging_hash=state.world_hash,
                related=related_judges(state, row, judges),
            )
        if not row.plan.shadow:
            return mirror
        world = _world_of_copies(state.setting.world, row.alias, canary)
        world_hash = hash_world(world)
        put_world(self._store, world_hash, world)
        return replace(mirror, setting=self._setting(state, world, row.candidate), world_hash=world_hash)

    def _setting(self, state: State, world: World, only: str | None) -> Setting:
        """The setting of calls that nobody sees: of one model's, or of all."""
        rules = replace(state.config.resilience, retry_budget=_NO_RETRIES)
        live = with_own_health(state.setting, self.health, rules)
        return replace(
            live,
            snapshot=self._snapshot(state.config),
            world=world,
            destinations={
                where: place for where, place in live.destinations.items() if only is None or where[0] == only
            },
        )

    def _snapshot(self, config: Config) -> Snapshot:
        """The config of copies, made ready; kept like every config that decided something."""
        found = self._snapshots.get(config.config_hash)
        if found is None:
            own = without_fallbacks(config)
            self._store.put_config(own.config_hash, encode(own), policy_hash=own.policy_hash, by="shadow")
            found = snapshot(own)
            self._snapshots = {config.config_hash: found}
        return found


def _world_of_copies(world: World, alias: str, canary: Canary) -> World:
    """The world in which an alias is the candidate, and has no arms."""
    others = {name: other for name, other in world.rollouts.items() if name != alias}
    return replace(on_canary(replace(world, rollouts={alias: canary}), alias), rollouts=others)


def related_judges(state: State, row: StoredRollout, judges: set[str]) -> frozenset[str]:
    """The judges of a family with the candidate or with what is active: they would judge their own."""
    setting = state.setting
    active = setting.world.aliases.get(row.alias)
    models = {row.candidate} | ({active.model} if active is not None else set())
    found = {judge: model_of(judge, setting.snapshot, setting.world) for judge in judges}
    return frozenset(
        judge
        for judge, behind in found.items()
        if behind is None or any(are_related(state.config, behind, model) for model in models)
    )
