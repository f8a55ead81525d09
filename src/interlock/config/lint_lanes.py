"""What is wrong with lanes: who serves them, how one of several is chosen, who ever reaches them."""

import math
from collections.abc import Iterator
from typing import Final

from interlock.config.problems import error, listed, suggest, warning
from interlock.config.reach import Condition, always, removed
from interlock.config.whole import Whole, mentions
from interlock.config.written import Lane, Rule
from interlock.errors import Problem
from interlock.policy.satisfy import satisfiable

MAX_EARLIER: Final = 8
"""How many earlier lanes a proof of "never reached" looks at: the cost grows with each."""
_STAND_INS: Final = ("not_permitted", "any")


def check_lanes(whole: Whole) -> Iterator[Problem]:
    for name, lane in whole.file.lanes.items():
        path = f"lanes.{name}"
        yield from _who(path, lane)
        yield from _weights(whole, path, lane)
        yield from _cascade(path, lane)
    yield from _matches(whole)
    yield from _emptied(whole)
    yield from _essential(whole)


def _essential(whole: Whole) -> Iterator[Problem]:
    rules = whole.file.resilience
    if "essential_lanes" in rules.degrade and not rules.essential_lanes:
        yield warning(
            "resilience.degrade",
            "`essential_lanes` is a mode here, but no lane is named as essential, so none is given up",
            "write `essential_lanes: [LANE]` beside it",
        )


def _who(path: str, lane: Lane) -> Iterator[Problem]:
    if lane.models and lane.cascade:
        yield error(path, "has both `models` and `cascade`", "a lane has one or the other; keep one")
    elif not lane.models and not lane.cascade:
        yield error(path, "has neither `models` nor `cascade`", "say who serves it: `models: [NAME]`")
    doubled = sorted({name for name in lane.models if lane.models.count(name) > 1})
    if doubled:
        yield warning(f"{path}.models", f"{listed(doubled)} stands there twice", "name each once")


def _weights(whole: Whole, path: str, lane: Lane) -> Iterator[Problem]:
    where = f"{path}.weights"
    if lane.select != "weighted":
        if lane.weights:
            yield warning(where, f"not read by `select: {lane.select}`", "write `select: weighted`")
        return
    if not lane.weights:
        yield error(path, "`select: weighted` without `weights`", "write `weights: {NAME: 0.9, OTHER: 0.1}`")
        return
    served = {*lane.models, *(whole.model_of(name) for name in lane.models)}
    for name in lane.weights:
        if name not in served:
            yield error(
                f"{where}.{name}", f"`{name}` is not among the lane's models", suggest(name, lane.models)
            )
    total = sum(lane.weights.values())
    if not math.isclose(total, 1.0, abs_tol=0.001):
        yield error(
            where, f"the weights add up to {total:g}, not to 1", "shares are fractions of all traffic"
        )
    without = [name for name in lane.models if not lane.weights.keys() & {name, whole.model_of(name)}]
    if without:
        yield warning(
            where, f"{listed(without)} has no weight, so it never goes first", "give it one, or `0` to say so"
        )


def _cascade(path: str, lane: Lane) -> Iterator[Problem]:
    for place, step in enumerate(lane.cascade):
        last = place == len(lane.cascade) - 1
        if last and step.escalate_when:
            yield warning(
                f"{path}.cascade[{place}].escalate_when", "the last step has nowhere to go", "remove it"
            )
        elif not last and not step.escalate_when:
            yield error(
                f"{path}.cascade[{place}]",
                "nothing leads from this step to the next",
                "add `escalate_when: [schema_invalid]`",
            )


def _matches(whole: Whole) -> Iterator[Problem]:
    chosen = {rule.then.lane for rule in whole.file.policy}
    earlier: list[Condition] = []
    for name, lane in whole.file.lanes.items():
        path = f"lanes.{name}"
        if lane.match is None:
            if name not in chosen:
                yield warning(
                    path,
                    f"only requests that ask for `lane:{name}` come here: it has no `match`",
                    "add a `match`",
                )
            continue
        if whole.match_faults[name]:
            continue
        asked = next(mentions(lane.match, "lane", f"{path}.match"), None)
        if asked is not None:
            yield error(
                asked[0], "a `match` cannot ask for the lane: it is what chooses one", "use other signals"
            )
        elif not satisfiable(lane.match):
            yield error(
                f"{path}.match", "can never hold: no request meets it", "its parts exclude each other"
            )
        elif earlier and not satisfiable(lane.match, never=earlier[:MAX_EARLIER]):
            yield warning(
                f"{path}.match", "earlier lanes take every request that this one matches", "move it up"
            )
        earlier.append(lane.match)


def _emptied(whole: Whole) -> Iterator[Problem]:
    """Lanes whose models policy always removes, whatever a request of the lane looks like."""
    restricting = [rule for _, rule in whole.sound_rules]
    for name, lane in whole.file.lanes.items():
        if whole.match_faults[name] or (lane.match is not None and not satisfiable(lane.match)):
            continue
        kind: tuple[Condition, ...] = (lane.match, {"lane": name})
        rules = [rule for rule in restricting if always(rule, kind)]
        places = [(f"models[{place}]", model) for place, model in enumerate(lane.models)]
        places += [(f"cascade[{place}].model", step.model) for place, step in enumerate(lane.cascade)]
        known = [(at, model) for at, given in places if (model := whole.model_of(given)) is not None]
        gone = {model: why for _, model in known if (why := removed(whole, model, kind, rules)) is not None}
        if known and all(model in gone for _, model in known):
            yield _nobody_left(whole, name, gone, kind, rules)
            continue
        for at, model in known:
            if model in gone:
                yield warning(
                    f"lanes.{name}.{at}", f"`{model}` can never serve here: {gone[model]}", "remove it"
                )


def _nobody_left(
    whole: Whole, name: str, gone: dict[str, str], kind: tuple[Condition, ...], rules: list[Rule]
) -> Problem:
    why = "; ".join(f"`{model}`: {reason}" for model, reason in gone.items())
    for row in whole.file.fallbacks:
        origin = row.from_ if row.from_ == "*" else whole.model_of(row.from_)
        target = whole.model_of(row.to)
        if row.when not in _STAND_INS or target is None or target in gone or origin not in ("*", *gone):
            continue
        if removed(whole, target, kind, rules) is None:
            return warning(
                f"lanes.{name}",
                f"its own models never serve, only the fallback `{row.to}`: {why}",
                "name it here",
            )
    return error(
        f"lanes.{name}",
        f"policy always removes every model of this lane: {why}",
        "add a model that the rules allow, or narrow a rule",
    )
