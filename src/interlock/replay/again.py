"""Recorded decisions computed again: under their own recorded inputs, or under another config. Pure.

It reads no store; whoever calls it brings the records, configs and worlds. Signals are taken as they
were recorded: content is not kept, so a config that classifies differently shows only in what policy
and routing make of the same signals.
"""

import msgspec
from msgspec import Struct

from interlock.config.checked import Config
from interlock.execute.cost import cost_usd
from interlock.route.decide import decide
from interlock.route.snapshot import Snapshot
from interlock.types.answer import Usage
from interlock.types.decision import Decision, Dropped
from interlock.types.record import Record
from interlock.types.world import World


class Place(Struct, frozen=True, kw_only=True):
    """Where a decision sends a request."""

    provider: str
    model: str
    region: str | None


class Change(Struct, frozen=True, kw_only=True):
    """One recorded decision against another config.

    `cost_delta_usd` prices the same tokens at both places; None where a price is unknown. `changed`
    is true where place or cost differ.
    """

    id: str
    changed: bool
    before: Place | None
    after: Place | None
    cost_delta_usd: float | None
    why: str


def recompute(decision: Decision, snapshot: Snapshot, world: World) -> Decision:
    """The decision that the same recorded inputs give: under its own config and world, the same bytes."""
    return decide(
        id=decision.id,
        now=decision.created_at,
        signals=decision.signals,
        snapshot=snapshot,
        world=world,
        world_hash=decision.provenance.world_hash,
        draw=decision.provenance.draw,
    )


def against(record: Record, old: Config, new: Snapshot, world: World) -> Change:
    """What another config would have decided, and what the difference costs and comes from."""
    before = record.decision
    after = recompute(before, new, _as_written(world, new.config))
    delta = cost_delta(record, before, after, old, new.config)
    was, now = place_of(before), place_of(after)
    return Change(
        id=before.id,
        changed=was != now or bool(delta),
        before=was,
        after=now,
        cost_delta_usd=delta,
        why=_why(before, after, delta),
    )


def cost_delta(record: Record, before: Decision, after: Decision, old: Config, new: Config) -> float | None:
    """What the tokens of a record cost more where `after` sends them, in US dollars; None: a price is
    unknown.
    """
    usage = _usage(record)
    cost_before, cost_after = _cost(before, usage, old), _cost(after, usage, new)
    return None if cost_before is None or cost_after is None else round(cost_after - cost_before, 9)


def _as_written(world: World, config: Config) -> World:
    """The world without aliases that were never released: for those the new file has the say.

    An alias at a later version was moved by a release, and no edit of the file moves it back.
    """
    released = {
        name: active
        for name, active in world.aliases.items()
        if active.version > 1 and active.model in config.models
    }
    return msgspec.structs.replace(world, aliases=released)


def place_of(decision: Decision) -> Place | None:
    """Where a decision sends its request; None: nowhere."""
    route = decision.route
    if route is None:
        return None
    return Place(provider=route.provider, model=route.model, region=route.region)


def _usage(record: Record) -> Usage:
    """The tokens of the answer that was given; without one, those that were counted and allowed."""
    for attempt in reversed(record.attempts):
        if attempt.outcome == "ok" and attempt.input_tokens is not None:
            return Usage(
                input_tokens=attempt.input_tokens,
                cached_tokens=attempt.cached_tokens,
                output_tokens=attempt.output_tokens,
            )
    budgets = record.decision.budgets
    return Usage(
        input_tokens=record.decision.signals.input_tokens, output_tokens=budgets.max_output_tokens or 0
    )


def _cost(decision: Decision, usage: Usage, config: Config) -> float | None:
    """What these tokens cost where the decision sends them; nothing where it sends them nowhere."""
    if decision.route is None:
        return 0.0
    model = config.models.get(decision.route.model)
    return None if model is None else cost_usd(usage, model.price)


def _why(before: Decision, after: Decision, delta: float | None) -> str:
    was, now = place_of(before), place_of(after)
    if was == now:
        return _same_place(before, after, delta)
    if now is None:
        return after.why.denied or "nobody may serve it any more"
    if was is None:
        return f"`{now.model}` may serve it now; before: {before.why.denied or 'nobody might'}"
    drop = new_drop(before, after, was.model)
    if drop is not None:
        return f"`{was.model}` is left out: {drop.why} ({drop.rule})"
    if was.model == now.model:
        return f"`{now.model}` is served from elsewhere"
    drop = new_drop(after, before, now.model)
    if drop is not None:
        return f"`{now.model}` may serve it now; it was left out: {drop.why} ({drop.rule})"
    assert after.route is not None
    if after.route.alias is not None:
        return f"the alias `{after.route.alias}` leads to `{now.model}`"
    return f"chosen by {after.why.selected_by}, before by {before.why.selected_by}"


def new_drop(before: Decision, after: Decision, model: str) -> Dropped | None:
    """Why `after` leaves out a model that `before` chose."""
    known = before.why.dropped
    return next((drop for drop in after.why.dropped if drop.model == model and drop not in known), None)


def _same_place(before: Decision, after: Decision, delta: float | None) -> str:
    said = ["the price differs"] if delta else []
    said += ["budgets differ"] if before.budgets != after.budgets else []
    said += ["policy differs"] if before.policy != after.policy else []
    said += ["fallbacks differ"] if before.fallbacks != after.fallbacks else []
    return f"the same place; {', '.join(said)}" if said else "the same"
