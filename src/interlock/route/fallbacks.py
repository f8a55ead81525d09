"""Which models may take over: while deciding, and later when a model that was tried has failed."""

from collections.abc import Callable

from interlock.config.written import Fallback
from interlock.route.ask import model_of
from interlock.route.select import Eligible
from interlock.route.snapshot import Snapshot
from interlock.types.decision import FallbackStep
from interlock.types.labels import When
from interlock.types.world import World

Judge = Callable[[str], Eligible | None]
"""The eligible deployment of a model of the pool; None (with its reasons noted) if it may not serve."""


def stand_in(
    dropped: list[tuple[str, When]], snapshot: Snapshot, world: World, judge: Judge
) -> Eligible | None:
    """Who serves where every candidate was dropped while deciding: the first row, in listed order,
    whose `from` was dropped by its `when` and whose `to` may serve.
    """
    for row in snapshot.fallbacks:
        origin = _origin(row, snapshot, world)
        if not any(origin in ("*", model) and row.when in (kind, "any") for model, kind in dropped):
            continue
        target = model_of(row.to, snapshot, world)
        if target is not None and all(target != model for model, _ in dropped):
            found = judge(target)
            if found is not None:
                return found
    return None


def later(
    first: Eligible, rest: list[Eligible], snapshot: Snapshot, world: World, judge: Judge
) -> tuple[FallbackStep, ...]:
    """The plan after the first model: the other candidates on any failure, then the config's rows.

    Rows that nothing in this plan can reach, and rows to a model that may not serve, are left out;
    `not_permitted` rows have done their work while deciding.
    """
    steps = [_step(entry, "any", "*") for entry in rest]
    reachable = {first.candidate.model.name, *(entry.candidate.model.name for entry in rest)}
    rows = [
        (row, origin, target)
        for row in snapshot.fallbacks
        if row.when != "not_permitted"
        and (target := model_of(row.to, snapshot, world)) is not None
        and (origin := _origin(row, snapshot, world)) is not None
        and target != first.candidate.model.name
    ]
    kept: dict[int, Eligible] = {}
    grew = True
    while grew:
        grew = False
        for place, (_, origin, target) in enumerate(rows):
            if place not in kept and (origin == "*" or origin in reachable):
                found = judge(target)
                if found is not None:
                    kept[place] = found
                    grew = target not in reachable or grew
                    reachable.add(target)
    steps += [_step(kept[place], rows[place][0].when, rows[place][1]) for place in sorted(kept)]
    return tuple(steps)


def _origin(row: Fallback, snapshot: Snapshot, world: World) -> str | None:
    return "*" if row.from_ == "*" else model_of(row.from_, snapshot, world)


def _step(entry: Eligible, when: When, origin: str) -> FallbackStep:
    candidate = entry.candidate
    return FallbackStep(
        provider=candidate.provider.name,
        model=candidate.model.name,
        when=when,
        from_=origin,
        region=candidate.deployment.region,
        endpoint=candidate.deployment.endpoint,
    )
