"""What is wrong with the ways between models: fallbacks that lead in circles, models nobody reaches."""

from collections.abc import Iterator
from typing import Final, get_args

from interlock.config.problems import error, listed, warning
from interlock.config.reach import always, removed
from interlock.config.whole import Whole
from interlock.errors import Problem
from interlock.types.labels import When
from interlock.types.signals import EMBEDS

_WHENS: Final = tuple(when for when in get_args(When) if when != "any")


def check_routes(whole: Whole) -> Iterator[Problem]:
    yield from _selves(whole)
    yield from _cycles(whole)
    yield from _unreachable(whole)
    yield from _other_vectors(whole)


def _selves(whole: Whole) -> Iterator[Problem]:
    for place, row in enumerate(whole.file.fallbacks):
        target = whole.model_of(row.to)
        if target is not None and target == whole.model_of(row.from_):
            same = "" if row.from_ == row.to else f": both are the model `{target}`"
            yield error(
                f"fallbacks[{place}]",
                f"`{row.from_}` falls back to itself{same}",
                "name another model in `to`",
            )


def _cycles(whole: Whole) -> Iterator[Problem]:
    """Named models that reach themselves by one `when`. A row from "*" names nobody."""
    reported: set[frozenset[str]] = set()
    for when in _WHENS:
        edges: dict[str, list[tuple[str, int]]] = {}
        for place, row in enumerate(whole.file.fallbacks):
            origin, target = whole.model_of(row.from_), whole.model_of(row.to)
            if row.when in (when, "any") and origin is not None and target is not None and origin != target:
                edges.setdefault(origin, []).append((target, place))
        for start, ways in edges.items():
            cycle = _way_back(start, edges)
            if cycle is None or frozenset(cycle) in reported:
                continue
            reported.add(frozenset(cycle))
            place = next(place for target, place in ways if target == cycle[1])
            yield error(
                f"fallbacks[{place}]",
                f"a cycle by `{when}`: {' → '.join(f'`{name}`' for name in cycle)}",
                "remove one of these rows: a model that has failed is not tried again",
            )


def _way_back(start: str, edges: dict[str, list[tuple[str, int]]]) -> list[str] | None:
    """The shortest way from a model to itself, breadth first; None if there is none."""
    ways = [[start]]
    seen: set[str] = set()
    while ways:
        way = ways.pop(0)
        for target, _ in edges.get(way[-1], ()):
            if target == start:
                return [*way, start]
            if target not in seen:
                seen.add(target)
                ways.append([*way, target])
    return None


def _unreachable(whole: Whole) -> Iterator[Problem]:
    """Models that rules without any condition remove from every request, and fallbacks to them."""
    rules = [rule for _, rule in whole.sound_rules if always(rule, ())]
    gone = {model: why for model in whole.models if (why := removed(whole, model, (), rules)) is not None}
    if gone and len(gone) == len(whole.models):
        yield error(
            "policy",
            f"these rules leave nobody to serve any request: {listed(rule.name for rule in rules)}",
            "give them a `when`, or allow more",
        )
        return
    for model, why in gone.items():
        yield warning(f"models.{model}", f"can never serve: {why}", "remove it, or narrow the rule")
    named = _named(whole)
    alone = [model for model in whole.models if model not in named and model not in gone]
    if alone and None not in named:
        yield warning(
            "models",
            f"nothing leads to {listed(alone)}, only requests that name them",
            "give them an alias or a lane, or remove them",
        )


def _named(whole: Whole) -> set[str | None]:
    """The models that something in the file leads to; with None where a name leads nowhere."""
    file = whole.file
    names = [*file.aliases.values(), *(row.to for row in file.fallbacks)]
    names += [file.default.model] if file.default is not None else []
    for lane in file.lanes.values():
        names += [*lane.models, *(step.model for step in lane.cascade)]
    names += [rule.then.pin for rule in file.policy if rule.then.pin is not None]
    allowed = [name for key in file.keys if key.allow is not None for name in key.allow.models]
    return {whole.model_of(name) for name in names} | {
        whole.model_of(name.split("/")[-1]) for name in allowed
    }


def _other_vectors(whole: Whole) -> Iterator[Problem]:
    """Embedding models that stand in for others: one index must hold the vectors of one model."""
    embedders = {
        name: model for name, model in whole.config.models.items() if EMBEDS in (model.capabilities or ())
    }
    for place, row in enumerate(whole.file.fallbacks):
        stand_in = embedders.get(whole.model_of(row.to) or "")
        if stand_in is None:
            continue
        origin = whole.model_of(row.from_)
        others = [
            name
            for name, model in embedders.items()
            if model.upstream != stand_in.upstream and origin in (name, None)
        ]
        if others:
            yield warning(
                f"fallbacks[{place}]",
                f"vectors of `{stand_in.name}` cannot be compared with those of {listed(others)}",
                "let the same model of another provider stand in",
            )
