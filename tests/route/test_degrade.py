"""What a decision gives up in each degrade mode, and that it can be computed again."""

import msgspec
import pytest

from interlock.config.checked import Config, Lane
from interlock.config.written import BudgetLimits, Resilience
from interlock.replay import recompute
from interlock.route.decide import decide, decode_decision, encode_decision, hash_world
from interlock.route.snapshot import snapshot
from interlock.types.decision import Decision
from interlock.types.labels import Degraded, DegradeMode
from interlock.types.signals import Signals
from interlock.types.world import World
from tests.route.pool import NOW, ask, config

ALL: tuple[Degraded, ...] = ("no_shadow", "prefer_cache", "fewer_tools", "cheap_models", "essential_lanes")
LANES = (
    Lane(name="work", match={"task": "work"}, models=("big", "mid"), budgets=BudgetLimits(max_tool_calls=5)),
    Lane(name="vital", match={"task": "vital"}, models=("mid",)),
)


def made(modes: tuple[Degraded, ...] = ALL, essential: tuple[str, ...] = ("vital",)) -> Config:
    base = config(lanes=LANES)
    return msgspec.structs.replace(base, resilience=Resilience(degrade=modes, essential_lanes=essential))


def decided(mode: DegradeMode, signals: Signals, using: Config | None = None) -> Decision:
    world = World(degrade=mode)
    return decide(
        id="dec_1",
        now=NOW,
        signals=signals,
        snapshot=snapshot(using or made()),
        world=world,
        world_hash=hash_world(world),
        draw=0.5,
    )


WORK = ask("auto", task="work", tools=("search", "read_file"))


@pytest.mark.parametrize("mode", ["none", *ALL])
def test_each_decision_names_the_mode_and_is_computed_again_byte_for_byte(mode):
    decision = decided(mode, WORK)
    assert decision.why.degrade_mode == mode
    encoded = encode_decision(decision)
    again = recompute(decode_decision(encoded), snapshot(made()), World(degrade=mode))
    assert encode_decision(again) == encoded
    assert hash_world(World(degrade=mode)) == decision.provenance.world_hash


@pytest.mark.parametrize("mode", ["none", "no_shadow", "prefer_cache"])
def test_shadows_and_caches_change_nothing_about_where_a_request_may_run(mode):
    decision = decided(mode, WORK)
    assert decision.policy == decided("none", WORK).policy
    assert decision.budgets == decided("none", WORK).budgets
    assert decision.route == decided("none", WORK).route


def test_fewer_tools_leaves_those_that_only_read_and_half_the_calls():
    decision = decided("fewer_tools", WORK)
    assert decision.policy.tools_allowed == ("read_file",)
    (denied,) = decision.policy.tools_denied
    assert (denied.tool, denied.rule) == ("search", "fewer_tools")
    assert decision.budgets.max_tool_calls == 2
    assert decision.why.limits["max_tool_calls"] == "fewer_tools"
    assert decided("none", WORK).budgets.max_tool_calls == 5


def test_a_tool_that_is_forced_and_given_up_refuses_the_request():
    forced = ask("auto", task="work", tools=("search",), tool_choice="search")
    assert decided("fewer_tools", forced).why.denied_code == "tool_denied"


def test_no_limit_of_calls_is_not_made_up():
    assert decided("fewer_tools", ask("stable", tools=("read_file",))).budgets.max_tool_calls is None


def test_cheap_models_go_first_whatever_the_lane_prefers():
    for mode, model in (("none", "big"), ("fewer_tools", "big"), ("cheap_models", "mid")):
        route = decided(mode, WORK).route  # type: ignore[arg-type]
        assert route is not None
        assert route.model == model


def test_a_model_that_was_named_stays_the_one():
    route = decided("cheap_models", ask("hard")).route
    assert route is not None
    assert route.model == "big"


def test_only_essential_lanes_are_served_at_last():
    refused = decided("essential_lanes", WORK)
    assert refused.route is None
    assert refused.why.denied_code == "overloaded"
    assert {dropped.rule for dropped in refused.why.dropped} == {"essential_lanes"}
    assert decided("essential_lanes", ask("auto", task="vital")).route is not None
    assert decided("essential_lanes", ask("stable")).route is None


def test_where_no_lane_is_named_essential_none_is_given_up():
    assert decided("essential_lanes", WORK, made(essential=())).route is not None


def test_a_mode_holds_together_with_those_before_it_and_not_with_those_after_it():
    assert decided("cheap_models", WORK).policy.tools_allowed == ("read_file",)
    assert decided("cheap_models", WORK, made(("cheap_models", "fewer_tools"))).policy.tools_allowed == (
        "search",
        "read_file",
    )


def test_a_mode_that_the_config_does_not_list_is_not_in_force():
    decision = decided("fewer_tools", WORK, made(("no_shadow",)))
    assert decision.why.degrade_mode == "none"
    assert decision.policy.tools_allowed == ("search", "read_file")
