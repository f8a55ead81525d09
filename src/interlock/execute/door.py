"""Whether a step may be called at this very moment, and what its target is told when it was.

Policy, money, the health of the target and the limits of its account are asked in this order. Whoever is
turned away leaves a reason for the record; the plan decides what follows.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from interlock.errors import ApiError
from interlock.execute.admission import Busy, Gate, enter, leave
from interlock.execute.cost import affordable_tokens
from interlock.execute.failures import refused, verdict_on
from interlock.execute.plan import LEAST_S, WORTH_WAITING_S, Skipped, Step, follower
from interlock.execute.setting import Destination, Setting
from interlock.resilience.health import Refusal, TargetHealth, UpstreamHealth
from interlock.resilience.learned import said
from interlock.resilience.quota import Begun
from interlock.route.arms import on_canary
from interlock.route.decide import permits
from interlock.types.answer import Failure
from interlock.types.decision import Decision, Dropped, FallbackStep, Route
from interlock.types.record import Attempt


class Turned(Struct, frozen=True):
    """Turned away: by what, for the plan and the record, and what the caller is told if nobody answers."""

    outcome: Skipped
    dropped: Dropped
    error: ApiError
    wait_s: float | None = None


_TOO_MUCH: Final = (429, 503, 529)
"""Statuses by which an upstream says that it has too much to do."""


class Pass(Struct, frozen=True, gc=False):
    """May be called: where, for how many output tokens (None: no bound), and whether it is a probe.

    `step` is what was asked for, or the same at another deployment of its model: `passed_over` says why.
    `depart` has to follow, however the call ends.
    """

    step: Step
    destination: Destination
    affordable: int | None
    probe: bool
    gate: Gate | None
    begun: Begun = ()
    passed_over: tuple[Dropped, ...] = ()


def admit(step: Step, decision: Decision, setting: Setting, spent_usd: float, now: float) -> Pass | Turned:
    """Let a step through at this instant, or turn it away.

    Where the breaker of its deployment is open, another one of the same model that may serve takes its place.
    Where the account has limits, `queue` comes before: who passes has a place there.
    """
    found = _admit(step, decision, setting, spent_usd, now)
    if isinstance(found, Turned) and found.outcome == "open":
        for other in _elsewhere(step, setting):
            passed = _admit(other, decision, setting, spent_usd, now)
            if isinstance(passed, Pass):
                why = f"at `{step.endpoint}` {found.dropped.why}; `{other.endpoint}` serves"
                return replace(passed, passed_over=(replace(found.dropped, why=why),))
    return found


def _elsewhere(step: Step, setting: Setting) -> Iterator[Step]:
    """The same at each other deployment of its model, whether or not it may serve there."""
    for candidate in setting.snapshot.candidates[step.model]:
        there = candidate.deployment
        if there.endpoint != step.endpoint:
            yield replace(step, endpoint=there.endpoint, region=there.region)


def _admit(step: Step, decision: Decision, setting: Setting, spent_usd: float, now: float) -> Pass | Turned:
    destination = setting.destinations.get((step.model, step.endpoint))
    route, dropped = decision.route, None
    if route is None or step.model != route.model or step.endpoint != route.endpoint:
        # The route itself was judged by the decision, under this snapshot.
        dropped = _objection(step, decision, setting)
    if destination is None or dropped is not None:
        dropped = dropped or Dropped(model=step.model, rule="pool", why="not in the pool")
        return Turned("not_permitted", dropped, _not_permitted(dropped))
    affordable: int | None = None
    if decision.budgets.max_cost_usd is not None:
        affordable = affordable_tokens(
            decision.budgets.max_cost_usd, spent_usd, decision.signals.input_tokens, destination.model.price
        )
        if affordable is not None and affordable < 1:
            why = "what is left of the budget does not pay for a call"
            dropped = Dropped(model=step.model, rule="max_cost_usd", why=why)
            return Turned("budget", dropped, _too_dear(step))
    health, upstream = destination.health, destination.upstream
    probe = False
    if not health.is_well(now):
        refusal = health.refuses(now)
        if refusal is not None:
            return _turned(step, refusal)
        probe = health.breaker.begin(now)
    gate = upstream.throttle
    if gate is None:
        upstream.slots.taken += 1
        _begin(step, upstream)
    return Pass(step, destination, affordable, probe, gate)


def _begin(step: Step, upstream: UpstreamHealth) -> None:
    """A call is made for certain now: who is turned away earns no repeats."""
    if not step.again:
        upstream.retries.earn()


async def queue(
    passed: Pass, step: Step, decision: Decision, setting: Setting, spent_usd: float, deadline: float
) -> Pass | Turned:
    """Wait until the account's limits let a call of `step` begin. Where it is turned away, it has given back
    what it was let through with.

    Where a breaker opens meanwhile, it is asked again who may serve.
    """
    clock = asyncio.get_running_loop().time
    while True:
        found = await _queue(passed, step, decision, deadline)
        if isinstance(found, Pass) or found.outcome != "open":
            return found
        other = admit(step, decision, setting, spent_usd, clock())
        if isinstance(other, Turned) or other.gate is None:
            return other
        passed = other


async def _queue(passed: Pass, step: Step, decision: Decision, deadline: float) -> Pass | Turned:
    health, gate = passed.destination.health, passed.gate
    assert gate is not None, "the account has limits"
    clock = asyncio.get_running_loop().time
    by = deadline - LEAST_S
    if _has_relief(step, decision):
        by = min(by, clock() + WORTH_WAITING_S)
    try:
        found = await enter(gate, health, decision.signals.input_tokens, decision.policy.latency_class, by)
    except BaseException:
        health.breaker.drop(probe=passed.probe)
        raise
    refusal: Refusal | Busy | None
    if isinstance(found, Busy):
        refusal = found
    else:
        refusal = None if passed.probe else health.refuses(clock())
        if refusal is None:
            _begin(passed.step, passed.destination.upstream)
            return replace(passed, begun=found) if found else passed
        leave(gate.slots)
    health.breaker.drop(probe=passed.probe)
    return _turned(step, refusal)


def hear(passed: Pass, headers: Mapping[str, str], now: float, sent: float, *, well: bool) -> bool:
    """Tell the account what the headers of an answer say of its limits, whose call was sent at `sent`.

    `well`: the answer is one. True: nothing is left of one of the limits.
    """
    place = passed.destination
    if well and place.upstream.knows(place.health, now):
        return False
    return place.upstream.hear(place.health, said(headers, now - sent), now, sent, passed.begun)


def _has_relief(step: Step, decision: Decision) -> bool:
    """Whether another model would take over where this one's limits are reached."""
    return any(
        row.model != step.model and row.when in ("rate_limit", "any") and row.from_ in ("*", step.model)
        for row in decision.fallbacks
    )


def depart(
    passed: Pass,
    failure: Failure | None,
    now: float,
    *,
    probe: bool,
    alone: bool,
    output_tokens: int | None,
    began: float,
    explained: bool = False,
) -> None:
    """Tell the target how its call ended, and give its place to the next. `probe`: it is one to the end.

    `explained`: its headers say which limit is reached, so that it is not the number of calls at once.
    """
    health, upstream, gate = passed.destination.health, passed.destination.upstream, passed.gate
    if failure is None:
        health.breaker.succeed(now, probe=probe)
        if upstream.throttle is not None:
            upstream.answered(now)
    else:
        _blame(health, failure, now, probe=probe, alone=alone)
        if failure.status in _TOO_MUCH and not failure.spent and not explained:
            upstream.overloaded(now, began)
    if gate is not None:
        gate.produced(now, output_tokens or 0)
    if upstream.throttle is None:  # then nobody waits
        upstream.slots.taken -= 1
    else:
        leave(upstream.slots)


def _blame(health: TargetHealth, failure: Failure, now: float, *, probe: bool, alone: bool) -> None:
    verdict = verdict_on(failure)
    if verdict == "answered":
        health.breaker.succeed(now, probe=probe)
    elif verdict == "failed":
        health.breaker.fail(now, probe=probe, alone=alone)
    else:
        health.breaker.drop(probe=probe)
    if verdict == "limited":
        health.cool(now, failure.retry_after_s)


def others_are_well(step: Step, decision: Decision, setting: Setting, now: float) -> bool:
    """Whether another model of a decision's plan could take over from a step's, or its own elsewhere."""
    route = decision.route
    assert route is not None, "a decision without a route is never executed"
    plan: tuple[Route | FallbackStep, ...] = (route, *decision.fallbacks)
    return any(place.model != step.model and _is_well(place, setting, now) for place in plan) or any(
        _is_well(other, setting, now) and _objection(other, decision, setting) is None
        for other in _elsewhere(step, setting)
    )


def could_follow(
    decision: Decision, setting: Setting, before: Sequence[Attempt], model: str, clock: Callable[[], float]
) -> bool:
    """Whether another model would be asked now if an answer of `model` were not what it has to be."""
    place = follower(decision, before, model, "schema_invalid")
    return place is not None and _is_well(place, setting, clock())


def _is_well(place: Route | FallbackStep | Step, setting: Setting, now: float) -> bool:
    there = setting.destinations.get((place.model, place.endpoint))
    return there is not None and there.health.is_well(now)


def _objection(step: Step, decision: Decision, setting: Setting) -> Dropped | None:
    """Policy asked again."""
    route, world = decision.route, setting.world
    if route is not None and route.arm == "canary" and route.alias in world.rollouts:
        world = on_canary(world, route.alias)
    return permits(setting.snapshot, decision.signals, world, step.model, step.endpoint)


def _turned(step: Step, refusal: Refusal | Busy) -> Turned:
    if isinstance(refusal, Busy):
        outcome: Skipped = "busy"
        dropped = Dropped(model=step.model, rule=refusal.rule, why=refusal.why)
    else:
        outcome = refusal.kind
        rule = "breaker" if refusal.kind == "open" else "rate_limit"
        dropped = Dropped(model=step.model, rule=rule, why=refusal.why)
    return Turned(outcome, dropped, refused(outcome, dropped, refusal.wait_s), refusal.wait_s)


def _not_permitted(dropped: Dropped) -> ApiError:
    why = dropped.why if dropped.rule == "pool" else f"{dropped.why} ({dropped.rule})"
    return ApiError("policy_denied", f"`{dropped.model}` may not serve this request: {why}")


def _too_dear(step: Step) -> ApiError:
    return ApiError(
        "budget_exceeded",
        f"what is left of the request's budget does not pay for a call of `{step.model}`",
        hint="the limit is `budgets.max_cost_usd` of the decision",
    )
