"""What the caller asked for, by name: an alias, `auto`, `lane:NAME`, a model, or PROVIDER/MODEL.

The answer is a list of models in the order they would be tried, and by what they were chosen.
Whether they may serve is judged later; only names are resolved here.
"""

from msgspec import Struct

from interlock.config.checked import Lane
from interlock.policy.condition import Lanes
from interlock.policy.rules import Ruling
from interlock.route.snapshot import Snapshot
from interlock.types.labels import SelectedBy
from interlock.types.signals import Signals
from interlock.types.world import ActiveAlias, World


class Named(Struct, frozen=True, kw_only=True):
    """A model reached by a name: `alias` and its version where the name was an alias."""

    model: str
    alias: str | None = None
    alias_version: int | None = None


class Ask(Struct, frozen=True, kw_only=True):
    """`lane` routes the request (its models, `select`, output contract); None without one.

    `unknown` says what could not be resolved; `refused` why this key may not ask for it.
    """

    models: tuple[Named, ...] = ()
    selected_by: SelectedBy
    lane: Lane | None = None
    unknown: str | None = None
    refused: str | None = None


def active(alias: str, snapshot: Snapshot, world: World) -> ActiveAlias | None:
    """An alias of the config at its active version: the store's where it has one, else the file's."""
    model = snapshot.config.aliases.get(alias)
    if model is None:
        return None
    return world.aliases.get(alias) or ActiveAlias(version=1, model=model)


def model_of(name: str, snapshot: Snapshot, world: World) -> str | None:
    """The pool's key that a name in the config (alias or model) stands for now."""
    alias = active(name, snapshot, world)
    if alias is not None:
        return alias.model
    return name if name in snapshot.candidates else None


def lane_before_policy(signals: Signals, snapshot: Snapshot) -> Lanes:
    """The lane the caller chose, else the first in file order whose `match` holds."""
    if signals.lane is not None:
        return (signals.lane,)
    for lane, test in snapshot.matches:
        if test(signals, (), ()):
            return (lane.name,)
    return ()


def resolve(signals: Signals, snapshot: Snapshot, world: World, before: Lanes, ruling: Ruling) -> Ask:
    """Resolve the name that was asked for. `before` is the lane before policy."""
    name = signals.model
    lane = _routing_lane(snapshot, before, ruling)
    if name == "auto":
        return _auto(signals, snapshot, world, lane, before)
    if name.startswith("lane:"):
        return _lane(name.removeprefix("lane:"), signals, snapshot, world)
    if name in snapshot.config.aliases:
        found = _named(name, snapshot, world)
        refused = _refusal(signals, "aliases", name)
        return Ask(models=found, selected_by="alias", lane=lane, refused=refused)
    if name in snapshot.candidates:
        refused = _refusal(signals, "models", name)
        return Ask(models=(Named(model=name),), selected_by="model", lane=lane, refused=refused)
    return _direct(name, signals, snapshot, lane)


def _routing_lane(snapshot: Snapshot, before: Lanes, ruling: Ruling) -> Lane | None:
    """A lane that a rule chose goes before one that merely matches; among several, file order."""
    chosen = [lane for lane in snapshot.config.lanes if lane.name in ruling.lanes]
    by_rule = [lane for lane in chosen if lane.name not in before]
    return next(iter(by_rule or chosen), None)


def _auto(signals: Signals, snapshot: Snapshot, world: World, lane: Lane | None, before: Lanes) -> Ask:
    if lane is not None:
        selected_by: SelectedBy = "lane" if lane.name in before else "rule"
        return Ask(
            models=_of_lane(lane, snapshot, world),
            selected_by=selected_by,
            lane=lane,
            refused=_refusal(signals, "lanes", lane.name),
        )
    default = snapshot.config.default_model
    if default is None:
        return Ask(selected_by="default", unknown="`auto` found no lane, and the config has no default model")
    kind = "aliases" if default in snapshot.config.aliases else "models"
    return Ask(
        models=_named(default, snapshot, world),
        selected_by="default",
        refused=_refusal(signals, kind, default),
    )


def _lane(name: str, signals: Signals, snapshot: Snapshot, world: World) -> Ask:
    lane = snapshot.lanes.get(name)
    if lane is None:
        return Ask(selected_by="lane", unknown=f"no lane is called `{name}`")
    return Ask(
        models=_of_lane(lane, snapshot, world),
        selected_by="lane",
        lane=lane,
        refused=_refusal(signals, "lanes", name),
    )


def _of_lane(lane: Lane, snapshot: Snapshot, world: World) -> tuple[Named, ...]:
    names = tuple(step.model for step in lane.cascade) or lane.models
    return tuple(found for name in names for found in _named(name, snapshot, world))


def _named(name: str, snapshot: Snapshot, world: World) -> tuple[Named, ...]:
    alias = active(name, snapshot, world)
    if alias is None:
        return (Named(model=name),)
    return (Named(model=alias.model, alias=name, alias_version=alias.version),)


def _direct(name: str, signals: Signals, snapshot: Snapshot, lane: Lane | None) -> Ask:
    """PROVIDER/MODEL names a model of the pool past every alias: for operators, and keys that allow it."""
    provider, _, model = name.partition("/")
    for key, deployments in snapshot.candidates.items():
        entry = deployments[0].model
        if entry.provider == provider and model in (key, entry.upstream):
            allowed = signals.allow is not None and name in signals.allow.models
            refused = (
                None
                if allowed or signals.role in ("operator", "admin")
                else "PROVIDER/MODEL is for operators and for keys that allow it"
            )
            return Ask(models=(Named(model=key),), selected_by="model", lane=lane, refused=refused)
    return Ask(selected_by="model", unknown=f"no alias, lane or model is called `{name}`")


def _refusal(signals: Signals, kind: str, name: str) -> str | None:
    """Why the key may not ask for this name. A key without `allow` may ask for every name."""
    allow = signals.allow
    if allow is None or name in getattr(allow, kind):
        return None
    return f"the key may not use the {kind.rstrip('s') if kind != 'aliases' else 'alias'} `{name}`"
