"""Rules compiled, and the ruling that all matching rules give together.

A ruling is a meet: sets intersect, denials unite, the smallest number and the strictest label
win. Meets are commutative, associative and idempotent, so the order of rules, duplicates and
repetition cannot change a ruling, and one rule more can only make it stricter. Rules are sorted
by name, so that what is *said* about a ruling does not depend on their order either.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.config.written import Rule, Then
from interlock.policy.condition import (
    DOMAINS,
    Atom,
    Lanes,
    Test,
    atom_for,
    compile_condition,
)
from interlock.policy.who import restricts
from interlock.types.decision import Escalation
from interlock.types.labels import (
    LAYOUTS,
    LOGGING_RANK,
    LOGGINGS,
    RANK,
    RISK_TIERS,
    SAFETY_MODES,
    Effect,
    Layout,
    Logging,
    RiskTier,
    SafetyMode,
)
from interlock.types.signals import Signals


class CompiledRule(Struct, frozen=True, kw_only=True):
    """A rule ready to run.

    `scope` narrows its tool restrictions to tools with the effects that `when` asks for.
    `limits` is the fields of the budgets that it sets, with their values; the flags save looking.
    """

    name: str
    test: Test
    then: Then
    scope: Atom | None
    limits: tuple[tuple[str, Any], ...]
    who: bool
    tools: bool


class Ruling(Struct, frozen=True, kw_only=True):
    """What the rules that match a request demand together. `lanes` is those in force."""

    matched: tuple[CompiledRule, ...]
    lanes: Lanes
    risk_tier: RiskTier
    safety_mode: SafetyMode
    layout: Layout
    logging: Logging
    pins: tuple[tuple[str, str], ...]
    """(model, rule) for each pin; two different ones leave nobody."""
    denials: tuple[tuple[str, str], ...]
    """(rule, reason) for each `deny`."""
    escalation: tuple[Escalation, ...]


_encode = msgspec.json.Encoder(order="sorted").encode

_TOOLS: Final = ("tools", "deny_tools", "deny_tool_effects", "require_approval", "step_up")
_LIMITS: Final = (
    "max_input_tokens",
    "max_output_tokens",
    "max_tool_calls",
    "max_tool_calls_by_effect",
    "unattended",
    "deadline_ms",
    "max_attempts",
    "max_cost_usd",
)


def compile_rules(rules: tuple[Rule, ...]) -> tuple[CompiledRule, ...]:
    """The rules of one config, sorted by name (and content, so that even a name used twice has one order)."""
    return tuple(_compile(rule) for rule in sorted(rules, key=lambda rule: (rule.name, _encode(rule))))


def _compile(rule: Rule) -> CompiledRule:
    then = rule.then
    return CompiledRule(
        name=rule.name,
        test=compile_condition(rule.when),
        then=then,
        scope=_tool_scope(rule.when),
        limits=tuple((name, value) for name in _LIMITS if (value := getattr(then, name)) not in (None, {})),
        who=restricts(then),
        tools=any(getattr(then, name) not in (None, ()) for name in _TOOLS),
    )


def _tool_scope(when: Mapping[str, Any] | None) -> Atom | None:
    """Which tools a rule's tool restrictions act on: those with the effects its `when` names."""
    if when is None or "tool_effect" not in when:
        return None
    return atom_for(DOMAINS["tool_effect"], when["tool_effect"])


def in_scope(rule: CompiledRule, effects: tuple[Effect, ...]) -> bool:
    """Whether a rule's tool restrictions act on a tool with these effects."""
    return rule.scope is None or rule.scope(effects)


def rule_on(rules: tuple[CompiledRule, ...], signals: Signals, before: Lanes) -> Ruling:
    """The ruling of all rules that match. `before` is the lane the request has before policy, if any."""
    lanes = before
    matched = [rule for rule in rules if rule.test(signals, lanes, before)]
    chosen = _lanes_of(matched) if signals.lane is None else ()
    while not set(chosen) <= set(lanes):
        # A lane that a rule chose can make further rules match; each pass adds at least one lane.
        lanes = tuple(dict.fromkeys((*lanes, *chosen)))
        matched = [rule for rule in rules if rule.test(signals, lanes, before)]
        chosen = _lanes_of(matched)
    return _meet(signals, tuple(matched), lanes)


def _lanes_of(matched: list[CompiledRule]) -> Lanes:
    return tuple(sorted({rule.then.lane for rule in matched if rule.then.lane is not None}))


def _meet(signals: Signals, matched: tuple[CompiledRule, ...], lanes: Lanes) -> Ruling:
    tier, safety, layout, logging = RANK[signals.risk_tier], 0, 0, 0
    pins: list[tuple[str, str]] = []
    denials: list[tuple[str, str]] = []
    escalation: set[tuple[str, str]] = set()
    for rule in matched:
        then = rule.then
        if then.risk_tier is not None:
            tier = max(tier, RANK[then.risk_tier])
        if then.safety_mode is not None:
            safety = max(safety, RANK[then.safety_mode])
        if then.layout is not None:
            layout = max(layout, RANK[then.layout])
        if then.logging is not None:
            logging = max(logging, LOGGING_RANK[then.logging])
        if then.pin is not None:
            pins.append((then.pin, rule.name))
        if then.deny is not None:
            denials.append((rule.name, then.deny))
        escalation.update((entry.when, entry.to) for entry in then.escalate)
    return Ruling(
        matched=matched,
        lanes=lanes,
        risk_tier=RISK_TIERS[tier],
        safety_mode=SAFETY_MODES[safety],
        layout=LAYOUTS[layout],
        logging=LOGGINGS[logging],
        pins=tuple(pins),
        denials=tuple(denials),
        escalation=tuple(Escalation(when=when, to=to) for when, to in sorted(escalation)),
    )
