"""Rules only restrict: the properties that make a policy safe to edit."""

import random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from interlock.config.checked import Lane
from interlock.config.written import BudgetLimits, Rule
from interlock.policy.rules import rule_on
from interlock.route.ask import lane_before_policy
from interlock.route.decide import encode_decision, permits
from interlock.route.limits import smallest, sources
from interlock.route.snapshot import Snapshot, snapshot
from interlock.types.decision import Budgets, PolicyOutcome
from interlock.types.labels import LOGGING_RANK, RANK
from interlock.types.signals import Signals
from interlock.types.world import World
from tests.policy import strategies
from tests.route.pool import config, fallback, run

LANES = (
    Lane(
        name="triage",
        match={"task": "code"},
        models=("cheap", "stable"),
        budgets=BudgetLimits(max_output_tokens=300, max_cost_usd=0.01),
        tools=("search",),
    ),
    Lane(name="patch", models=("hard", "stable"), select="cheapest", safety_mode="strict"),
)
PARTS: dict[str, Any] = {
    "lanes": LANES,
    "fallbacks": (fallback("*", "big", "timeout_or_5xx"), fallback("*", "small", "not_permitted")),
    "latency_classes": {"interactive": BudgetLimits(max_tool_calls=5, deadline_ms=30_000)},
}
many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def made(*rules: Rule) -> Snapshot:
    return snapshot(config(*rules, **PARTS))


def permitted(state: Snapshot, signals: Signals) -> set[tuple[str, str | None]]:
    """Every (model, endpoint) of the pool that policy would let this request be sent to."""
    return {
        (name, candidate.deployment.endpoint)
        for name, candidates in state.candidates.items()
        for candidate in candidates
        if permits(state, signals, World(), name, candidate.deployment.endpoint) is None
    }


def budgets_of(state: Snapshot, signals: Signals) -> Budgets:
    ruling = rule_on(state.rules, signals, lane_before_policy(signals, state))
    return smallest(sources(signals, state, ruling))[0]


def assert_no_looser(after: Budgets, before: Budgets) -> None:
    for field in Budgets.__struct_fields__:
        old, new = getattr(before, field), getattr(after, field)
        if isinstance(old, dict):
            assert all(effect in new and new[effect] <= count for effect, count in old.items()), field
        elif field != "service_tier" and old is not None:
            assert new is not None and new <= old, field  # noqa: PT018 - one claim


def assert_no_wider(after: PolicyOutcome, before: PolicyOutcome) -> None:
    assert LOGGING_RANK[after.logging] >= LOGGING_RANK[before.logging]
    for label in ("risk_tier", "safety_mode", "layout"):
        assert RANK[getattr(after, label)] >= RANK[getattr(before, label)], label
    assert set(after.tools_allowed) <= set(before.tools_allowed)
    kept = set(after.tools_allowed)
    assert set(before.requires_approval_for) & kept <= set(after.requires_approval_for)
    assert set(before.step_up_for) & kept <= set(after.step_up_for)


@many
@given(strategies.rules, strategies.signals, st.randoms(use_true_random=False))
def test_order_duplicates_and_repetition_never_change_a_decision(
    rules: tuple[Rule, ...], signals: Signals, rng: random.Random
) -> None:
    doubled = [*rules, *rules[:3]]
    rng.shuffle(doubled)
    first = run(signals, made=made(*rules))
    second = run(signals, made=made(*doubled))
    assert encode_decision(first) == encode_decision(second)


@many
@given(strategies.rules, strategies.rules, strategies.signals)
def test_adding_rules_never_widens_any_permission(
    rules: tuple[Rule, ...], more: tuple[Rule, ...], signals: Signals
) -> None:
    renamed = tuple(Rule(name=f"x{rule.name}", when=rule.when, then=rule.then) for rule in more)
    before, after = made(*rules), made(*rules, *renamed)
    assert permitted(after, signals) <= permitted(before, signals)
    assert_no_looser(budgets_of(after, signals), budgets_of(before, signals))
    assert_no_wider(run(signals, made=after).policy, run(signals, made=before).policy)


@many
@given(strategies.rules, strategies.signals)
def test_a_decision_routes_only_where_policy_permits(rules: tuple[Rule, ...], signals: Signals) -> None:
    state = made(*rules)
    decision = run(signals, made=state)
    allowed = permitted(state, signals)
    if decision.route is not None:
        assert (decision.route.model, decision.route.endpoint) in allowed
    assert {(step.model, step.endpoint) for step in decision.fallbacks} <= allowed


@many
@given(strategies.rules, strategies.signals)
def test_nobody_to_serve_is_a_decision_with_a_reason_for_every_candidate(
    rules: tuple[Rule, ...], signals: Signals
) -> None:
    decision = run(signals, made=made(*rules))
    assert (decision.route is None) == (decision.why.denied is not None)
    if decision.route is None:
        assert decision.why.denied_code is not None
        assert decision.why.dropped
        assert all(entry.rule and entry.why for entry in decision.why.dropped)
