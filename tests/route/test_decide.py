"""How a decision comes about, step by step of the contract."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from interlock.config.checked import Key, Lane
from interlock.config.written import BudgetLimits, Rule, Step
from interlock.route.decide import decide, decode_decision, encode_decision, hash_world, permits
from interlock.route.snapshot import snapshot
from interlock.types.decision import Decision
from interlock.types.signals import Allow, Caller, Signals
from interlock.types.world import ActiveAlias, World
from tests.policy import strategies
from tests.policy.test_restriction import PARTS
from tests.route.pool import ask, config, fallback, rule, run

PATCH = Lane(name="patch", match={"task": "code"}, models=("hard", "stable", "cheap"), select="cheapest")
TRIAGE = Lane(
    name="triage",
    match={"task": "triage"},
    cascade=(Step(model="cheap", escalate_when=("schema_invalid",)), Step(model="stable")),
    budgets=BudgetLimits(max_output_tokens=300),
    tools=("search",),
)


def served(decision: Decision) -> tuple[str, str, str]:
    assert decision.route is not None, decision.why
    return decision.route.provider, decision.route.model, decision.why.selected_by


def reasons(decision: Decision, model: str) -> dict[str, str]:
    return {entry.rule: entry.why for entry in decision.why.dropped if entry.model == model}


# --- 1. names ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signals", "expected"),
    [
        (ask("stable"), ("openai", "mid", "alias")),
        (ask("claude"), ("anthropic", "claude", "model")),
        (ask("lane:patch", lane="patch"), ("onprem", "small", "lane")),
        (ask("auto", task="code"), ("onprem", "small", "lane")),
        (ask("auto"), ("openai", "mid", "default")),
        (ask("anthropic/claude-x", role="operator"), ("anthropic", "claude", "model")),
        (ask("openai/big", allow=Allow(models=("openai/big",))), ("openai", "big", "model")),
    ],
)
def test_a_name_is_resolved(signals: Signals, expected: tuple[str, str, str]) -> None:
    assert served(run(signals, lanes=(PATCH, TRIAGE))) == expected


@pytest.mark.parametrize(
    ("signals", "code"),
    [
        (ask("gpt-17"), "unknown_model"),
        (ask("lane:nowhere"), "unknown_model"),
        (ask("openai/nothing", role="admin"), "unknown_model"),
        (ask("openai/big"), "policy_denied"),
        (ask("stable", allow=Allow(aliases=("cheap",))), "policy_denied"),
        (ask("big", allow=Allow(aliases=("stable",))), "policy_denied"),
        (ask("auto", task="code", allow=Allow(aliases=("stable",))), "policy_denied"),
        (ask("stable", data_class="confidential", max_data_class="internal"), "policy_denied"),
    ],
)
def test_a_name_that_may_not_or_cannot_be_served_is_refused_with_a_reason(
    signals: Signals, code: str
) -> None:
    decision = run(signals, lanes=(PATCH,))
    assert decision.route is None
    assert decision.why.denied_code == code
    assert decision.why.dropped


def test_an_alias_is_served_at_the_version_that_the_store_has_active() -> None:
    world = World(aliases={"stable": ActiveAlias(version=7, model="claude")})
    decision = run(ask("stable"), world=world)
    assert decision.route is not None
    assert (decision.route.model, decision.route.alias, decision.route.alias_version) == (
        "claude",
        "stable",
        7,
    )


def test_a_lane_that_also_matches_adds_its_budgets_and_tools_to_a_named_alias() -> None:
    decision = run(ask("stable", task="triage", tools=("search", "deploy")), lanes=(TRIAGE,))
    assert decision.budgets.max_output_tokens == 300
    assert decision.why.limits["max_output_tokens"] == "lane triage"
    assert decision.policy.tools_allowed == ("search",)
    assert decision.policy.tools_denied[0].rule == "lane triage"


def test_a_rule_gives_a_lane_only_where_the_caller_chose_none() -> None:
    to_triage = rule("to-triage", lane="triage")
    by_rule = run(ask("auto"), to_triage, lanes=(PATCH, TRIAGE))
    assert (by_rule.route and by_rule.route.lane, by_rule.why.selected_by) == ("triage", "rule")
    chosen = run(ask("auto", lane="patch"), to_triage, lanes=(PATCH, TRIAGE))
    assert chosen.route is not None
    assert chosen.route.lane == "patch"


def test_a_lane_given_by_a_rule_is_seen_by_other_rules() -> None:
    rules = (
        rule("z-lane", {"tenant": "default"}, lane="triage"),
        rule("a-pin", {"lane": "triage"}, pin="small"),
    )
    assert served(run(ask("stable"), *rules, lanes=(TRIAGE,))) == ("onprem", "small", "pin")


# --- 2. drops ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signals", "rules", "model", "by"),
    [
        (ask("mystery"), (rule("r", models=["stable"]),), "mystery", "r"),
        (ask("claude"), (rule("r", vendors=["openai"]),), "claude", "r"),
        (ask("claude"), (rule("r", providers=["onprem"]),), "claude", "r"),
        (ask("claude"), (rule("r", regions=["eu"]),), "claude", "r"),
        (ask("claude"), (rule("r", jurisdictions=["us"]),), "claude", "r"),
        (ask("claude"), (rule("r", deny_origins=["us"]),), "claude", "r"),
        (ask("small"), (rule("r", deny_origins=["cn"]),), "small", "r"),
        (ask("claude"), (rule("r", deny="closed for the quarter"),), "claude", "r"),
        (ask("stable", data_class="confidential"), (), "mid", "trusted_for"),
        (ask("small", needs=("vision",)), (), "small", "capability"),
        (ask("claude", cannot_carry={"anthropic": ("seed",)}), (), "claude", "wire"),
        (ask("small", input_tokens=9000), (), "small", "context"),
        (ask("big", input_tokens=9000, max_cost_usd=0.01), (), "big", "the request"),
        (ask("mystery", max_cost_usd=1.0), (), "mystery", "the request"),
    ],
)
def test_a_candidate_is_dropped_by_a_named_rule(
    signals: Signals, rules: tuple[Rule, ...], model: str, by: str
) -> None:
    decision = run(signals, *rules)
    assert decision.route is None
    assert by in reasons(decision, model)


@pytest.mark.parametrize(
    ("signals", "code"),
    [
        (ask("small", input_tokens=9000), "context_too_large"),
        (ask("big", input_tokens=9000, max_cost_usd=0.01), "budget_exceeded"),
        (ask("stable", data_class="regulated"), "policy_denied"),
        (ask("claude", cannot_carry={"anthropic": ("seed",)}), "invalid_request"),
        (ask("stable", tools=("deploy",), tool_choice="deploy"), "tool_denied"),
        (ask("stable", tools=("deploy",), tool_choice="*"), "tool_denied"),
    ],
)
def test_the_first_reason_gives_the_code(signals: Signals, code: str) -> None:
    decision = run(signals, rule("no-deploy", deny_tools=["deploy"]))
    assert decision.why.denied_code == code


def test_some_tool_may_be_forced_while_one_is_left() -> None:
    decision = run(
        ask("stable", tools=("deploy", "search"), tool_choice="*"), rule("no-deploy", deny_tools=["deploy"])
    )
    assert decision.route is not None


def test_input_over_the_limit_names_the_rule_that_set_it() -> None:
    decision = run(ask(input_tokens=700), rule("short", max_input_tokens=600))
    assert decision.why.denied_code == "context_too_large"
    assert decision.why.dropped[0].rule == "rule short"


def test_unknown_capabilities_are_not_taken_for_none() -> None:
    assert served(run(ask("mystery", needs=("tools",)))) == ("onprem", "mystery", "model")


def test_a_model_that_sees_pictures_is_asked_about_documents_and_one_that_does_not_is_not() -> None:
    assert served(run(ask("big", needs=("files",)))) == ("openai", "big", "model")
    decision = run(ask("small", needs=("files",)))
    assert reasons(decision, "small")["capability"] == "cannot do files"


def test_an_unknown_region_satisfies_no_residency_rule() -> None:
    pool = config(rule("eu", {"residency": "eu"}, regions=["eu"]))
    provider = pool.providers["anthropic"]
    bare = tuple(type(d)(id=d.id, provider=d.provider, base_url=d.base_url) for d in provider.deployments)
    from msgspec.structs import replace

    pool = replace(pool, providers={**pool.providers, "anthropic": replace(provider, deployments=bare)})
    decision = run(ask("claude", residency=("eu",)), made=snapshot(pool))
    assert "unknown region" in reasons(decision, "claude")["eu"]


def test_a_residency_rule_chooses_the_regional_endpoint() -> None:
    decision = run(ask(residency=("eu",)), rule("eu", {"residency": "eu"}, regions=["eu"]))
    assert decision.route is not None
    assert (decision.route.region, decision.route.endpoint) == ("eu", "eu")


def test_a_base_url_over_several_regions_needs_all_of_them_allowed() -> None:
    pool = config(rule("eu", regions=["eu"]))
    provider = pool.providers["onprem"]
    from msgspec.structs import replace

    wide = tuple(replace(deployment, regions=("eu", "us")) for deployment in provider.deployments)
    pool = replace(pool, providers={**pool.providers, "onprem": replace(provider, deployments=wide)})
    assert run(ask("small"), made=snapshot(pool)).route is None


def test_a_pin_leaves_exactly_that_model_even_when_the_alias_has_moved() -> None:
    world = World(aliases={"stable": ActiveAlias(version=2, model="claude")})
    decision = run(
        ask("stable"),
        rule("pin", pin="mid"),
        world=world,
        fallbacks=(fallback("*", "big", "timeout_or_5xx"),),
    )
    assert served(decision) == ("openai", "mid", "pin")
    assert decision.fallbacks == ()
    assert "pin" in reasons(decision, "claude")
    assert decision.route is not None
    assert decision.route.alias == "stable"


def test_two_different_pins_leave_nobody() -> None:
    decision = run(ask("stable"), rule("a", pin="mid"), rule("b", pin="big"))
    assert decision.route is None
    assert decision.why.denied_code == "policy_denied"


# --- select -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("first", ["mystery", "claude", "small", "big"]),
        ("cheapest", ["small", "claude", "big", "mystery"]),
        ("best", ["big", "claude", "mystery", "small"]),
        ("fastest", ["big", "small", "mystery", "claude"]),
    ],
)
def test_select_orders_what_may_serve_and_puts_missing_figures_last(select: str, expected: list[str]) -> None:
    lane = Lane(name="x", models=("mystery", "claude", "small", "big"), select=select)
    world = World(latency_ms={"small": 900, "big": 400})
    decision = run(ask("lane:x", lane="x"), lanes=(lane,), world=world)
    assert decision.route is not None
    assert [decision.route.model, *(step.model for step in decision.fallbacks)] == expected
    assert {figures.model for figures in decision.why.scores} == set(expected)


def shares(weights: dict[str, float], draws: int = 10_000) -> dict[str, int]:
    """How many of evenly seeded requests each model gets."""
    lane = Lane(name="x", models=tuple(weights), select="weighted", weights=weights)
    made = snapshot(config(lanes=(lane,)))
    counts = dict.fromkeys(weights, 0)
    for n in range(draws):
        decision = run(ask("lane:x", lane="x"), made=made, draw=n / draws)
        assert decision.route is not None
        counts[decision.route.model] += 1
    return counts


def test_o3_weight_zero_gets_no_traffic_and_weight_one_gets_all() -> None:
    assert shares({"small": 0.0, "big": 1.0}, 2000) == {"small": 0, "big": 2000}


def test_o3_shares_follow_the_weights_over_10k_seeded_requests() -> None:
    counts = shares({"small": 0.25, "big": 0.75})
    assert counts == {"small": 2504, "big": 7496}  # exact: the draw of a request is a hash, not chance


def test_the_same_draw_takes_the_same_model_and_says_how_likely_it_was() -> None:
    lane = Lane(name="x", models=("small", "big"), select="weighted", weights={"small": 0.25, "big": 0.75})
    first = run(ask("lane:x", lane="x"), lanes=(lane,), draw=0.3)
    assert encode_decision(first) == encode_decision(run(ask("lane:x", lane="x"), lanes=(lane,), draw=0.3))
    assert first.route is not None
    assert first.why.propensity == {"small": 0.25, "big": 0.75}[first.route.model]


def test_weights_of_dropped_models_go_to_the_rest() -> None:
    lane = Lane(name="x", models=("small", "big"), select="weighted", weights={"small": 0.5, "big": 0.5})
    decision = run(ask("lane:x", lane="x", data_class="regulated"), lanes=(lane,))
    assert served(decision)[1] == "small"
    assert decision.why.propensity == 1.0


def test_a_cascade_runs_its_first_step_and_lists_all_that_may_serve() -> None:
    decision = run(ask("auto", task="triage"), lanes=(TRIAGE,))
    assert served(decision) == ("onprem", "small", "lane")
    assert [(step.model, step.escalate_when) for step in decision.cascade] == [
        ("small", ("schema_invalid",)),
        ("mid", ()),
    ]
    assert decision.fallbacks == ()


# --- fallbacks --------------------------------------------------------------------------------


def steps(decision: Decision) -> list[tuple[str, str, str]]:
    return [(step.from_, step.model, step.when) for step in decision.fallbacks]


def test_fallbacks_follow_in_listed_order_and_skip_what_cannot_be_reached() -> None:
    rows = (
        fallback("small", "claude", "rate_limit"),
        fallback("mid", "small", "timeout_or_5xx"),
        fallback("*", "mid", "any"),
        fallback("big", "claude", "any"),
    )
    assert steps(run(ask("stable"), fallbacks=rows)) == [
        ("small", "claude", "rate_limit"),
        ("mid", "small", "timeout_or_5xx"),
    ]


def test_a_fallback_that_policy_drops_is_left_out_with_its_reason() -> None:
    rows = (fallback("*", "claude", "rate_limit"), fallback("*", "small", "timeout_or_5xx"))
    decision = run(ask("stable"), rule("no-claude", vendors=["openai", "onprem"]), fallbacks=rows)
    assert steps(decision) == [("*", "small", "timeout_or_5xx")]
    assert "no-claude" in reasons(decision, "claude")


@pytest.mark.parametrize(
    ("signals", "rows", "expected"),
    [
        (ask("stable", data_class="regulated"), [fallback("*", "small", "not_permitted")], "small"),
        (ask("stable", data_class="regulated"), [fallback("mid", "small", "any")], "small"),
        (ask("small", input_tokens=9000), [fallback("*", "big", "context_length")], "big"),
        (ask("big", input_tokens=9000, max_cost_usd=0.02), [fallback("*", "mid", "budget")], "mid"),
        (ask("stable", data_class="regulated"), [fallback("*", "small", "timeout_or_5xx")], None),
        (ask("stable", data_class="regulated"), [fallback("*", "claude", "not_permitted")], None),
        (ask("gpt-17"), [fallback("*", "small", "any")], None),
    ],
)
def test_a_fallback_steps_in_while_deciding_only_by_its_when(
    signals: Signals, rows: list[Any], expected: str | None
) -> None:
    decision = run(signals, fallbacks=tuple(rows))
    assert (decision.route.model if decision.route else None) == expected


def test_the_other_candidates_of_a_lane_are_tried_before_the_fallbacks() -> None:
    decision = run(
        ask("auto", task="code"), lanes=(PATCH,), fallbacks=(fallback("*", "claude", "rate_limit"),)
    )
    assert steps(decision) == [("*", "mid", "any"), ("*", "big", "any"), ("*", "claude", "rate_limit")]


# --- budgets, tools, labels -------------------------------------------------------------------


def test_every_budget_is_the_smallest_of_its_sources_and_says_whose_it_is() -> None:
    decision = run(
        ask("big", key="k", max_output_tokens=5000, deadline_ms=9000),
        rule("r", max_output_tokens=4000, max_tool_calls_by_effect={"write": 2}),
        latency_classes={
            "interactive": BudgetLimits(deadline_ms=30_000, max_tool_calls_by_effect={"write": 1, "read": 9})
        },
        keys=(Key(caller=Caller(key="k"), budgets=BudgetLimits(max_attempts=2)),),
    )
    assert decision.budgets.max_output_tokens == 4000
    assert decision.budgets.deadline_ms == 9000
    assert decision.budgets.max_attempts == 2
    assert decision.budgets.max_tool_calls_by_effect == {"read": 9, "write": 1}
    assert decision.budgets.max_input_tokens is None
    assert decision.why.limits == {
        "max_output_tokens": "rule r",
        "deadline_ms": "the request",
        "max_attempts": "key k",
        "max_tool_calls_by_effect.write": "latency class interactive",
        "max_tool_calls_by_effect.read": "latency class interactive",
    }


def test_a_model_caps_output_at_what_it_can_write() -> None:
    assert run(ask("small", max_output_tokens=9000)).budgets.max_output_tokens == 2048


def test_critical_tools_always_need_a_human() -> None:
    assert run(ask(tools=("deploy", "read_file"))).policy.requires_approval_for == ("deploy",)


def test_strict_mode_asks_a_human_for_whatever_is_not_read_while_content_is_untrusted() -> None:
    strict = rule("strict", safety_mode="strict")
    tools = ("search", "read_file", "send_mail")
    assert run(ask(tools=tools, trust="untrusted"), strict).policy.requires_approval_for == (
        "search",
        "send_mail",
    )
    assert run(ask(tools=tools), strict).policy.requires_approval_for == ()


def test_sandbox_mode_leaves_only_read_tools() -> None:
    decision = run(ask(tools=("search", "read_file")), rule("box", safety_mode="sandbox"))
    assert decision.policy.tools_allowed == ("read_file",)


def test_tool_restrictions_of_a_rule_about_an_effect_act_on_tools_with_that_effect() -> None:
    tools = ("search", "read_file", "send_mail")
    decision = run(
        ask(tools=tools, tool_effect=("read", "external", "write")),
        rule("outside", {"tool_effect": "external"}, tools=["search"]),
    )
    assert decision.policy.tools_allowed == ("search", "read_file")
    assert decision.policy.tools_denied[0].tool == "send_mail"


def test_labels_join_upwards_from_request_lane_and_rules() -> None:
    lane = Lane(name="x", match={"task": "code"}, models=("stable",), risk_tier="high", safety_mode="strict")
    decision = run(
        ask(task="code", risk_tier="medium"),
        rule("a", layout="fenced", logging="metadata"),
        rule("b", layout="datamarked", risk_tier="low", safety_mode="sandbox"),
        lanes=(lane,),
    )
    policy = decision.policy
    assert (policy.risk_tier, policy.safety_mode, policy.layout, policy.logging) == (
        "high",
        "sandbox",
        "datamarked",
        "metadata",
    )


# --- purity -----------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(strategies.rules, strategies.signals)
def test_a_decision_can_be_computed_again_from_what_it_says_of_itself(
    rules: tuple[Rule, ...], signals: Signals
) -> None:
    made = snapshot(config(*rules, **PARTS))
    world = World(aliases={"stable": ActiveAlias(version=3, model="claude")}, latency_ms={"big": 800})
    recorded = encode_decision(run(signals, made=made, world=world, draw=0.123456789))
    decision = decode_decision(recorded)
    again = decide(
        id=decision.id,
        now=decision.created_at,
        signals=decision.signals,
        snapshot=made,
        world=world,
        world_hash=hash_world(world),
        draw=decision.provenance.draw,
    )
    assert encode_decision(again) == recorded


def test_policy_asked_again_names_the_rule_that_forbids_a_candidate() -> None:
    made = snapshot(config(rule("home", {"data_class": {"gte": "confidential"}}, vendors=["onprem"])))
    assert permits(made, ask(data_class="confidential"), World(), "small", None) is None
    objection = permits(made, ask(data_class="confidential"), World(), "claude", None)
    assert objection is not None
    assert objection.rule == "home"
    gone = permits(made, ask(), World(), "retired", None)
    assert gone is not None
    assert gone.rule == "pool"
