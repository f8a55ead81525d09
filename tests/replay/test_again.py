"""Recorded decisions computed again: the pure part, on a small config built by hand."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.config.written import Price, Rule, Then
from interlock.replay import against, recompute
from interlock.route.decide import decide, decode_decision, encode_decision, hash_world
from interlock.route.snapshot import snapshot
from interlock.types.labels import DATA_CLASSES
from interlock.types.signals import Signals
from interlock.types.world import ActiveAlias, World
from tests.replay.given import LARGE, OLD, SMALL, but, model, recorded


@given(
    data_class=st.sampled_from(DATA_CLASSES),
    tokens=st.integers(0, 100_000),
    draw=st.floats(0, 1, exclude_max=True),
    asked=st.sampled_from(("prod", "small", "auto", "nobody")),
)
def test_a_decision_read_back_and_computed_again_has_the_same_bytes(data_class, tokens, draw, asked):
    world = World(aliases={"prod": ActiveAlias(version=3, model="small")})
    prepared = snapshot(OLD)
    first = decide(
        id="dec_1",
        now="2026-11-23T09:00:00.000000Z",
        signals=Signals(model=asked, input_tokens=tokens, data_class=data_class),
        snapshot=prepared,
        world=world,
        world_hash=hash_world(world),
        draw=draw,
    )
    data = encode_decision(first)
    assert encode_decision(recompute(decode_decision(data), prepared, world)) == data


def test_a_tampered_record_is_computed_differently():
    record = recorded()
    tampered = msgspec.structs.replace(
        record.decision, route=msgspec.structs.replace(record.decision.route, model="small")
    )
    assert recompute(tampered, snapshot(OLD), World()) != tampered


def test_the_same_config_changes_nothing():
    change = against(recorded(), OLD, snapshot(OLD), World())
    assert (change.changed, change.before, change.after) == (False, LARGE, LARGE)
    assert (change.cost_delta_usd, change.why) == (0, "the same")


def test_a_new_rule_moves_a_request_and_says_which_rule_did():
    rule = Rule(name="stay", when={"residency": "eu"}, then=Then(regions=("eu",)))
    change = against(recorded(residency=("eu",)), OLD, snapshot(but(rules=(rule,))), World())
    assert (change.changed, change.before, change.after) == (True, LARGE, SMALL)
    assert change.why == "`large` is left out: data may be processed in `us`; allowed are `eu` (stay)"
    assert change.cost_delta_usd == pytest.approx((1000 * (1 - 10) + 500 * (2 - 20)) / 1e6)


def test_a_rule_that_leaves_nobody_gives_null_and_saves_the_cost():
    rule = Rule(name="no", then=Then(deny="closed for the audit"))
    change = against(recorded(), OLD, snapshot(but(rules=(rule,))), World())
    assert (change.changed, change.after, change.why) == (True, None, "closed for the audit")
    assert change.cost_delta_usd == pytest.approx(-(1000 * 10 + 500 * 20) / 1e6)


def test_what_was_refused_and_may_now_be_served_costs_its_estimate():
    strict = but(rules=(Rule(name="no", then=Then(deny="closed", max_output_tokens=100)),))
    change = against(recorded(strict), strict, snapshot(OLD), World())
    assert (change.before, change.after) == (None, LARGE)
    assert change.why == "`large` may serve it now; before: closed"
    assert change.cost_delta_usd == pytest.approx((900 * 10 + 100 * 20) / 1e6)


def test_a_new_price_is_a_change_at_the_same_place():
    dearer = but(models={**OLD.models, "large": model("large", "away", price=Price(input=20, output=20))})
    change = against(recorded(), OLD, snapshot(dearer), World())
    assert (change.changed, change.before, change.after) == (True, LARGE, LARGE)
    assert change.cost_delta_usd == pytest.approx(1000 * 10 / 1e6)
    assert change.why == "the same place; the price differs"


def test_an_unknown_price_gives_no_difference_in_cost():
    unpriced = but(models={**OLD.models, "large": model("large", "away")})
    change = against(recorded(), OLD, snapshot(unpriced), World())
    assert (change.changed, change.cost_delta_usd) == (False, None)


def test_other_budgets_at_the_same_place_are_named_but_are_no_change():
    capped = but(rules=(Rule(name="cap", then=Then(max_output_tokens=100)),))
    change = against(recorded(), OLD, snapshot(capped), World())
    assert (change.changed, change.why) == (False, "the same place; budgets differ")


def test_the_new_file_has_the_say_over_an_alias_that_was_never_released():
    world = World(aliases={"prod": ActiveAlias(version=1, model="large")})
    change = against(recorded(world=world), OLD, snapshot(but(aliases={"prod": "small"})), world)
    assert (change.after, change.why) == (SMALL, "the alias `prod` leads to `small`")


def test_a_released_alias_stays_where_the_release_put_it():
    world = World(aliases={"prod": ActiveAlias(version=2, model="small")})
    change = against(recorded(world=world), OLD, snapshot(but(aliases={"prod": "large"})), world)
    assert (change.changed, change.after) == (False, SMALL)


def test_a_model_that_left_the_pool_is_said_to_have_left():
    gone = but(models={"small": OLD.models["small"]}, aliases={"prod": "small"})
    change = against(recorded(model="large"), OLD, snapshot(gone), World())
    assert change.after is None
    assert change.why == "no alias, lane or model is called `large`"
