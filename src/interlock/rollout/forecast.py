"""After how many requests a plan aborts a candidate that is so bad: said before the rollout begins."""

from typing import Final

from msgspec import Struct

from interlock.config.written import Check
from interlock.measures import MEASURES
from interlock.rollout.plan import Plan
from interlock.rollout.watch import Watch
from interlock.stats.planning import decided_within, likely_counts
from interlock.stats.sequential import Tally

CHANCE: Final = 0.99


class Forecast(Struct, frozen=True, kw_only=True):
    """At most `requests` of the alias, `of_candidate` of them the candidate's, with probability `chance`.

    None: a candidate like that is not aborted by this guardrail.
    """

    plan: str
    metric: str
    bound: str
    weight: float
    candidate: float
    stable: float
    chance: float
    requests: int | None
    of_candidate: int | None


def forecast(plan: Plan, check: Check, candidate: float, stable: float, chance: float = CHANCE) -> Forecast:
    """What one guardrail of a plan makes of these two rates at the plan's first step.

    A step does not end in doubt, so the requests are those of the first one, whatever its time. They are
    counted when they have ended: those under way while the guardrails are judged come on top. Raises
    ValueError for a measure that is no rate.
    """
    if check.metric not in MEASURES or MEASURES[check.metric].kind != "rate":
        raise ValueError(f"`{check.metric}` is no rate")
    weight = next((step.weight for step in plan.steps if step.weight > 0), 0.0)
    place = plan.guardrails.index(check)
    watch = Watch(plan.guardrails, len(plan.steps))
    bound = watch.findings(weight)[place].bound

    def aborts(new: Tally, old: Tally) -> bool:
        watch.count(check.metric, {"canary": new, "stable": old})
        return watch.findings(weight)[place].verdict == "breach"

    within = decided_within(aborts, candidate, stable, weight, chance) if weight > 0 else None
    return Forecast(
        plan=plan.name,
        metric=check.metric,
        bound=bound,
        weight=weight,
        candidate=candidate,
        stable=stable,
        chance=chance,
        requests=within,
        of_candidate=None if within is None else likely_counts(within, weight, (1 - chance) / 4)[1],
    )
