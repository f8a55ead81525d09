"""`decide`: a pure function from recorded inputs to a decision. The same inputs give the same bytes.

The steps are those of the contract: resolve the name, let policy rule, drop candidates with their
reasons, order the rest, add fallbacks. A request that nobody may serve gets a decision too, with
`route: null` and every reason.
"""

import hashlib
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from interlock.config.checked import Lane
from interlock.errors import ErrorCode
from interlock.policy.condition import Lanes
from interlock.policy.rules import Ruling, rule_on
from interlock.policy.tools import ToolVerdict, judge_tools
from interlock.route.arms import on_canary, point
from interlock.route.ask import Ask, Named, lane_before_policy, resolve
from interlock.route.degrade import fewer_calls, in_force, not_essential, without_effects
from interlock.route.fallbacks import later, stand_in
from interlock.route.limits import Sourced, smallest, sources
from interlock.route.objections import WIRE_RULE, Objection, objections
from interlock.route.select import Eligible, order, score
from interlock.route.snapshot import Candidate, Snapshot
from interlock.types.decision import (
    Budgets,
    CascadeStep,
    Decision,
    Dropped,
    Escalation,
    FallbackStep,
    PolicyOutcome,
    Provenance,
    Route,
    Score,
    Why,
)
from interlock.types.labels import RANK, RISK_TIERS, SAFETY_MODES, Degraded, SelectedBy, When
from interlock.types.signals import ANY_TOOL, Signals
from interlock.types.world import Canary, World

ROUTER_VERSION: Final = "rules"

_CODES: Final[dict[When, ErrorCode]] = {
    "context_length": "context_too_large",
    "budget": "budget_exceeded",
}
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Decision)


def encode_decision(decision: Decision) -> bytes:
    """The bytes of a decision: what is recorded, answered and compared by replay."""
    return _encoder.encode(decision)


def decode_decision(data: bytes) -> Decision:
    """The decision that `encode_decision` gave these bytes for."""
    return _decoder.decode(data)


def hash_world(world: World) -> str:
    """The name of a world snapshot: equal worlds, equal name."""
    return hashlib.sha256(msgspec.json.encode(world, order="sorted")).hexdigest()[:16]


class Denial(Struct, frozen=True):
    """Why the whole request is refused: a code for the caller, a sentence, and the rule."""

    code: ErrorCode
    why: str
    rule: str


class Bench:
    """Judges models of the pool for one request, once each, and keeps what was dropped.

    Mutable on purpose: it is the notebook of a single call of `decide` and never leaves it.
    """

    def __init__(self, signals: Signals, snapshot: Snapshot, world: World, ruling: Ruling) -> None:
        self.signals = signals
        self.snapshot = snapshot
        self.world = world
        self.ruling = ruling
        self.modes = in_force(snapshot.config, world)
        self.found = sources(signals, snapshot, ruling)
        if "fewer_tools" in self.modes:
            self.found = fewer_calls(self.found)
        self.budgets, self.limits = smallest(self.found)
        self.dropped: list[Dropped] = []
        self.reasons: list[tuple[str, Objection]] = []
        self._judged: dict[str, Candidate | None] = {}

    def judge(self, model: str) -> Eligible | None:
        """The first deployment of a model that nothing objects to; None notes every objection."""
        return self.judge_named(Named(model=model))

    def judge_named(self, named: Named) -> Eligible | None:
        if named.model not in self._judged:
            self._judged[named.model] = self._first_permitted(named.model)
        candidate = self._judged[named.model]
        return None if candidate is None else Eligible(named, candidate)

    def _first_permitted(self, model: str) -> Candidate | None:
        against: dict[tuple[str, str], Objection] = {}
        deployments = self.snapshot.candidates.get(model, ())
        if not deployments:
            against["pool", ""] = Objection("pool", "not in the pool", "not_permitted")
        for candidate in deployments:
            found = objections(
                candidate, self.signals, self.snapshot, self.world, self.ruling, self.budgets, self.limits
            )
            if not found:
                return candidate
            against.update(((objection.rule, objection.why), objection) for objection in found)
        for objection in against.values():
            self.dropped.append(Dropped(model=model, rule=objection.rule, why=objection.why))
            self.reasons.append((model, objection))
        return None


def decide(
    *,
    id: str,  # noqa: A002 - the decision's own field name
    now: str,
    signals: Signals,
    snapshot: Snapshot,
    world: World,
    world_hash: str,
    draw: float,
) -> Decision:
    """Decide where a request may run.

    `now` is RFC 3339 with microseconds, `draw` in [0, 1) a hash of the session, else of the
    request's id. Never raises for a request; `route` None carries `why.denied` and its code.
    """
    provenance = _provenance(snapshot, world_hash, draw)
    stable = _decide_in(world, id, now, signals, snapshot, provenance)
    if not world.rollouts or stable.route is None or stable.why.selected_by == "pin":
        return stable
    alias = stable.route.alias
    canary = world.rollouts.get(alias) if alias is not None else None
    if alias is None or canary is None or canary.weight <= 0:
        return stable
    other = _decide_in(on_canary(world, alias), id, now, signals, snapshot, provenance)
    return _arm(stable, other, canary, point(canary, signals, id, draw))


def _arm(stable: Decision, other: Decision, canary: Canary, at: float) -> Decision:
    """The decision of the arm that a request is on. Where the candidate may not serve it, there is none."""
    route, why = other.route, stable.why
    if route is None or route.model != canary.model or route.alias_version != canary.version:
        reasons = tuple(drop for drop in other.why.dropped if drop.model == canary.model)
        reasons = reasons or (
            Dropped(model=canary.model, rule="rollout", why="it is not the first choice for this request"),
        )
        return replace(stable, why=replace(why, dropped=tuple(dict.fromkeys((*why.dropped, *reasons)))))
    if at < canary.weight:
        share = round(other.why.propensity * canary.weight, 9)
        return replace(
            other,
            route=replace(route, arm="canary"),
            why=replace(other.why, selected_by="canary", propensity=share),
        )
    return replace(stable, why=replace(why, propensity=round(why.propensity * (1 - canary.weight), 9)))


def _decide_in(
    world: World,
    id: str,  # noqa: A002 - the decision's own field name
    now: str,
    signals: Signals,
    snapshot: Snapshot,
    provenance: Provenance,
) -> Decision:
    """Decide in a world in which each alias is one version."""
    before = lane_before_policy(signals, snapshot)
    ruling = rule_on(snapshot.rules, signals, before)
    ask = resolve(signals, snapshot, world, before, ruling)
    bench = Bench(signals, snapshot, world, ruling)
    lanes = _restricting_lanes(ask, ruling, snapshot)
    policy, tools = _policy_outcome(signals, snapshot, ruling, lanes, bench.modes)
    denial = _denial(signals, ruling, ask, tools) or _given_up(ask, lanes, bench)
    if denial is None:
        ranked, scores, propensity = _ranked(ask, bench, provenance.draw)
        if not ranked:
            denial = _nobody(bench, signals)
    if denial is not None:
        ranked, scores, propensity = [], [], 1.0
        _drop_all(denial, ask, bench)
    budgets, limits = bench.budgets, bench.limits
    route: Route | None = None
    fallbacks: tuple[FallbackStep, ...] = ()
    if ranked:
        budgets, limits = _with_model(bench.found, ranked[0].candidate)
        route = _route(ranked[0], ask)
        rest = [] if ask.lane is not None and ask.lane.cascade else ranked[1:]
        fallbacks = later(ranked[0], rest, snapshot, world, bench.judge)
    return Decision(
        id=id,
        created_at=now,
        route=route,
        budgets=budgets,
        policy=policy,
        fallbacks=fallbacks,
        cascade=_cascade(ask, bench) if route is not None else (),
        why=Why(
            rules=tuple(dict.fromkeys(rule.name for rule in ruling.matched)),
            selected_by=_selected_by(ask, ruling, route),
            dropped=tuple(bench.dropped),
            scores=tuple(scores),
            propensity=propensity,
            degrade_mode=bench.modes[-1] if bench.modes else "none",
            denied=denial.why if denial is not None else None,
            denied_code=denial.code if denial is not None else None,
            limits=limits,
        ),
        signals=signals,
        provenance=provenance,
    )


def permits(
    snapshot: Snapshot, signals: Signals, world: World, model: str, endpoint: str | None
) -> Dropped | None:
    """Policy asked again for one candidate that is about to be tried: None, or why it may not be."""
    ruling = rule_on(snapshot.rules, signals, lane_before_policy(signals, snapshot))
    budgets, limits = smallest(sources(signals, snapshot, ruling))
    for candidate in snapshot.candidates.get(model, ()):
        if candidate.deployment.endpoint == endpoint:
            found = objections(candidate, signals, snapshot, world, ruling, budgets, limits)
            return Dropped(model=model, rule=found[0].rule, why=found[0].why) if found else None
    return Dropped(model=model, rule="pool", why="not in the pool")


def _restricting_lanes(ask: Ask, ruling: Ruling, snapshot: Snapshot) -> tuple[Lane, ...]:
    """Every lane whose budgets, tools and modes apply: all in force, and the one that routes."""
    names: Lanes = tuple(dict.fromkeys((*ruling.lanes, *((ask.lane.name,) if ask.lane else ()))))
    return tuple(snapshot.lanes[name] for name in names if name in snapshot.lanes)


def _policy_outcome(
    signals: Signals,
    snapshot: Snapshot,
    ruling: Ruling,
    lanes: tuple[Lane, ...],
    modes: tuple[Degraded, ...],
) -> tuple[PolicyOutcome, ToolVerdict]:
    safety = max(RANK[ruling.safety_mode], *(RANK[lane.safety_mode or "standard"] for lane in lanes), 0)
    tier = max(RANK[ruling.risk_tier], *(RANK[lane.risk_tier or "low"] for lane in lanes), 0)
    tools = judge_tools(
        signals.tools,
        snapshot.config.tools,
        snapshot.config.default_tool,
        ruling,
        lane_tools=tuple((lane.name, lane.tools) for lane in lanes if lane.tools is not None),
        safety_mode=SAFETY_MODES[safety],
        trust=signals.trust,
    )
    if "fewer_tools" in modes:
        tools = without_effects(tools, snapshot.config)
    escalation = dict.fromkeys(
        (*(Escalation(when=e.when, to=e.to) for lane in lanes for e in lane.escalate), *ruling.escalation)
    )
    outcome = PolicyOutcome(
        risk_tier=RISK_TIERS[tier],
        data_class=signals.data_class,
        latency_class=signals.latency_class,
        trust=signals.trust,
        safety_mode=SAFETY_MODES[safety],
        layout=ruling.layout,
        logging=ruling.logging,
        tools_allowed=tools.allowed,
        tools_denied=tools.denied,
        requires_approval_for=tools.approval,
        step_up_for=tools.step_up,
        escalation=tuple(escalation),
    )
    return outcome, tools


def _denial(signals: Signals, ruling: Ruling, ask: Ask, tools: ToolVerdict) -> Denial | None:
    """What refuses the request as a whole, before any candidate is looked at."""
    if ask.unknown is not None:
        return Denial("unknown_model", ask.unknown, "pool")
    if ask.refused is not None:
        return Denial("policy_denied", ask.refused, "key.allow")
    most = signals.max_data_class
    if most is not None and RANK[signals.data_class] > RANK[most]:
        why = f"the key may send at most {most} data, this is {signals.data_class}"
        return Denial("policy_denied", why, "key.max_data_class")
    if ruling.denials:
        rule, reason = ruling.denials[0]
        return Denial("policy_denied", reason, rule)
    if signals.tool_choice is not None:
        any_left = signals.tool_choice == ANY_TOOL and tools.allowed
        for denied in tools.denied:
            if denied.tool == signals.tool_choice or (signals.tool_choice == ANY_TOOL and not any_left):
                why = f"the request forces the tool `{denied.tool}`, which is denied: {denied.why}"
                return Denial("tool_denied", why, denied.rule)
    return None


def _given_up(ask: Ask, lanes: tuple[Lane, ...], bench: Bench) -> Denial | None:
    """What the deepest degrade mode refuses."""
    if "essential_lanes" not in bench.modes:
        return None
    why = not_essential(ask.lane, lanes, bench.snapshot.config)
    return None if why is None else Denial("overloaded", why, "essential_lanes")


def _drop_all(denial: Denial, ask: Ask, bench: Bench) -> None:
    """A refusal of the whole request drops each of its candidates by that reason, unless one is noted."""
    if bench.dropped:
        return
    models = [named.model for named in ask.models] or [bench.signals.model]
    bench.dropped += [
        Dropped(model=model, rule=denial.rule, why=denial.why) for model in dict.fromkeys(models)
    ]


def _ranked(ask: Ask, bench: Bench, draw: float) -> tuple[list[Eligible], list[Score], float]:
    """Those that may serve, best first; where nobody asked for may, the first stand-in that may."""
    models = dict.fromkeys(named.model for named in ask.models)
    pinned = [Named(model=model) for model, _ in bench.ruling.pins if model not in models]
    eligible: dict[str, Eligible] = {}
    for named in (*ask.models, *pinned):
        found = bench.judge_named(named)
        if found is not None:
            eligible.setdefault(named.model, found)
    candidates = list(eligible.values())
    if not candidates:
        dropped = [(model, objection.kind) for model, objection in bench.reasons]
        other = stand_in(dropped, bench.snapshot, bench.world, bench.judge)
        candidates = [] if other is None else [other]
    scores = [score(entry.candidate, bench.signals, bench.budgets, bench.world) for entry in candidates]
    if ask.lane is None or ask.lane.cascade or ask.selected_by not in ("lane", "rule"):
        return candidates, scores, 1.0
    select = "cheapest" if "cheap_models" in bench.modes else ask.lane.select
    ranked, propensity = order(candidates, scores, select, ask.lane.weights, draw)
    return ranked, scores, propensity


def _nobody(bench: Bench, signals: Signals) -> Denial:
    """The refusal of a request none of whose candidates may serve: the first reason gives the code."""
    if not bench.reasons:
        return Denial("unknown_model", f"`{signals.model}` stands for no model of the pool", "pool")
    model, first = bench.reasons[0]
    code = _CODES.get(first.kind, "policy_denied")
    if first.rule == "pool":
        code = "unknown_model"
    elif first.rule == WIRE_RULE:
        code = "invalid_request"
    return Denial(code, f"`{model}`: {first.why} ({first.rule})", first.rule)


def _with_model(found: tuple[Sourced, ...], candidate: Candidate) -> tuple[Budgets, dict[str, str]]:
    """The budgets with the chosen model's own output limit."""
    model = candidate.model
    if model.max_output_tokens is None:
        return smallest(found)
    return smallest((*found, (f"model {model.name}", (("max_output_tokens", model.max_output_tokens),))))


def _route(first: Eligible, ask: Ask) -> Route:
    candidate = first.candidate
    asked = first.named if first.named.alias is not None else None
    if asked is None and ask.selected_by in ("alias", "default") and ask.models:
        asked = ask.models[0]  # a stand-in or a pin answers under the alias that was asked for
    return Route(
        provider=candidate.provider.name,
        model=candidate.model.name,
        version=candidate.model.version,
        alias=asked.alias if asked is not None else None,
        alias_version=asked.alias_version if asked is not None else None,
        region=candidate.deployment.region,
        lane=ask.lane.name if ask.lane is not None else None,
        endpoint=candidate.deployment.endpoint,
    )


def _selected_by(ask: Ask, ruling: Ruling, route: Route | None) -> SelectedBy:
    if route is not None and any(model == route.model for model, _ in ruling.pins):
        return "pin"
    return ask.selected_by


def _cascade(ask: Ask, bench: Bench) -> tuple[CascadeStep, ...]:
    """The steps of the routing lane's cascade that may serve. This version runs the first."""
    if ask.lane is None or not ask.lane.cascade or ask.selected_by not in ("lane", "rule"):
        return ()
    steps: list[CascadeStep] = []
    for step, named in zip(ask.lane.cascade, ask.models, strict=True):
        found = bench.judge_named(named)
        if found is not None:
            steps.append(
                CascadeStep(
                    provider=found.candidate.provider.name,
                    model=found.candidate.model.name,
                    escalate_when=step.escalate_when,
                )
            )
    return tuple(steps)


def _provenance(snapshot: Snapshot, world_hash: str, draw: float) -> Provenance:
    config = snapshot.config
    return Provenance(
        config_hash=config.config_hash,
        policy_hash=config.policy_hash,
        prices_version=config.prices_version,
        router_version=ROUTER_VERSION,
        world_hash=world_hash,
        draw=draw,
    )
