"""What a change of the config would do to recorded requests: nothing newly allowed is missed, nothing is made
up.
"""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.config.written import Fallback, Rule, Then, ToolSpec
from interlock.replay import recompute
from interlock.replay.effect import EXAMPLES, KINDS, MOST_GROUPS, WIDER, Tally, findings
from interlock.route.snapshot import snapshot
from interlock.types.labels import DATA_CLASSES
from interlock.types.world import World
from tests.replay.given import OLD, but, model, recorded

ANYTHING = World()


def effect(old, new, *records, all_seen=True):
    """Requests that were decided under `old`, against `new`."""
    tally = Tally(old, new)
    for record in records:
        tally.add(record, record.decision, recompute(record.decision, snapshot(new), ANYTHING))
    return tally.effect(all_seen=all_seen)


def rule(name="r", when=None, **then):
    return Rule(name=name, when=when, then=Then(**then))


def groups(found):
    return [(group.kind, group.what, group.rule, group.count) for group in found.groups]


def test_the_same_config_changes_nothing():
    found = effect(OLD, OLD, recorded(), recorded(model="nobody"))
    assert (found.decisions, found.changed, found.groups, found.wider) == (2, 0, (), 0)


def test_a_rule_that_goes_lets_through_what_it_refused_and_that_is_said_first():
    strict = but(rules=(rule(deny="closed", when={"residency": "eu"}),))
    kept, moved = recorded(strict, residency=("eu",)), recorded(strict)
    new = but(models={**OLD.models, "large": model("large", "home")})
    found = effect(strict, new, moved, kept)
    assert groups(found)[0] == ("allowed", "refused → home/large in eu", "r", 1)
    assert found.counts["allowed"] == 1
    assert found.wider >= 1


def test_a_new_rule_that_refuses_is_a_refusal_by_its_name_and_saves_what_it_cost():
    found = effect(OLD, but(rules=(rule("no", deny="closed"),)), recorded(), recorded())
    assert groups(found) == [("refused", "away/large in us → refused", "no", 2)]
    assert found.cost_delta_usd == pytest.approx(-2 * (1000 * 10 + 500 * 20) / 1e6)
    assert found.wider == 0


def test_a_request_that_goes_elsewhere_counts_model_provider_and_region_and_names_the_rule():
    stay = but(rules=(rule("stay", when={"residency": "eu"}, regions=("eu",)),))
    found = effect(OLD, stay, recorded(residency=("eu",)), recorded())
    assert ("moved", "away/large in us → home/small in eu", "stay", 1) in groups(found)
    assert {name: found.counts[name] for name in ("moved", "model", "provider", "region")} == {
        "moved": 1,
        "model": 1,
        "provider": 1,
        "region": 1,
    }
    assert found.decisions == 2


def test_a_place_that_a_request_could_not_reach_is_told_even_as_a_fallback_only():
    shut = but(
        fallbacks=(Fallback(from_="*", to="large", when="timeout_or_5xx"),),
        rules=(rule("home", providers=("home",)),),
        aliases={"prod": "small"},
    )
    found = effect(shut, msgspec.structs.replace(shut, rules=()), recorded(shut))
    assert groups(found) == [("reaches", "away/large in us", "home", 1)]
    assert found.wider == 1


def test_tools_that_are_allowed_and_tools_that_wait_for_nobody_any_more_are_told():
    tools = {"mail": ToolSpec(effects=("write",)), "pay": ToolSpec(effects=("write",))}
    held = but(tools=tools, rules=(rule("held", deny_tools=("pay",), require_approval=("mail",)),))
    free = msgspec.structs.replace(held, rules=())
    found = effect(held, free, recorded(held, tools=("mail", "pay")))
    assert groups(found) == [
        ("tools", "`mail` needs no human", None, 1),
        ("tools", "`pay` is allowed", "held", 1),
    ]
    assert effect(free, held, recorded(free, tools=("mail", "pay"))).wider == 0


@pytest.mark.parametrize(
    ("strict", "what"),
    [
        ({"logging": "strict"}, "logging strict → full"),
        ({"safety_mode": "sandbox"}, "safety_mode sandbox → standard"),
        ({"layout": "fenced"}, "layout fenced → plain"),
        ({"risk_tier": "high"}, "risk_tier high → low"),
        ({"max_cost_usd": 0.5}, "`max_cost_usd` is higher or gone"),
        ({"max_tool_calls_by_effect": {"write": 1}}, "`max_tool_calls_by_effect` is higher or gone"),
    ],
)
def test_a_looser_mode_or_limit_is_newly_allowed_and_a_stricter_one_is_not(strict, what):
    held = but(rules=(rule(**strict),))
    assert ("looser", what, None, 1) in groups(effect(held, OLD, recorded(held)))
    back = effect(OLD, held, recorded())
    assert (back.wider, back.counts) == (0, {"other": 1})


def test_what_cannot_be_computed_is_counted_and_never_a_zero():
    tally = Tally(OLD, OLD)
    tally.skip("its world is not in the store")
    tally.skip("its world is not in the store")
    found = tally.effect(all_seen=False)
    assert (found.decisions, found.not_replayed, found.all_seen) == (
        0,
        {"its world is not in the store": 2},
        False,
    )


def test_an_unknown_price_is_counted_beside_the_sum():
    unpriced = but(models={**OLD.models, "small": model("small", "home")}, aliases={"prod": "small"})
    found = effect(OLD, unpriced, recorded())
    assert (found.unpriced, found.cost_delta_usd) == (1, 0)
    assert found.groups[0].unpriced == 1


def test_sections_that_signals_were_made_from_are_named_for_no_replay_sees_them():
    changed = but(sources={"kb": "trusted"}, metadata=("workflow",))
    assert effect(OLD, changed, recorded()).unseen == ("sources", "metadata")


def test_groups_and_examples_are_bounded_and_what_has_no_room_is_counted():
    names = [f"m{number}" for number in range(MOST_GROUPS + 30)]
    pool = {**OLD.models, **{name: model(name, "home") for name in names}}
    old = but(models=pool, aliases=dict.fromkeys(names, "small"))
    old = msgspec.structs.replace(old, aliases={f"a-{name}": name for name in names})
    new = msgspec.structs.replace(old, rules=(rule("no", deny="closed"),))
    asked = [recorded(old, model=f"a-{name}") for name in names for _ in range(EXAMPLES + 2)]
    found = effect(old, new, *asked)
    assert len(found.groups) == MOST_GROUPS
    assert found.ungrouped == 30 * (EXAMPLES + 2)
    assert found.counts["refused"] == len(asked)
    assert {len(group.examples) for group in found.groups} == {EXAMPLES}


def test_no_tenant_key_or_team_is_in_it():
    secretive = recorded(tenant="acme-secret", key="key-secret", team="team-secret", session="s-secret")
    found = effect(OLD, but(rules=(rule("no", deny="closed"),)), secretive)
    assert b"secret" not in msgspec.json.encode(found)


RESTRICTING = (
    rule("a", deny="closed", when={"data_class": {"gte": "confidential"}}),
    rule("b", providers=("home",)),
    rule("c", max_output_tokens=50),
    rule("d", logging="strict", when={"residency": "eu"}),
    rule("e", deny_tools=("pay",)),
    rule("f", require_approval=("pay",)),
)
PIN = rule("g", pin="small", when={"data_class": "internal"})
"""It also says which model is asked: a request that another one may not serve is answered then."""


def some(rules):
    return st.lists(st.sampled_from(rules), unique_by=lambda one: one.name, max_size=4)


@given(
    kept=some((*RESTRICTING, PIN)),
    more=some(RESTRICTING),
    data_class=st.sampled_from(DATA_CLASSES),
    asked=st.sampled_from(("prod", "small", "large", "nobody")),
    residency=st.sampled_from(((), ("eu",))),
    tools=st.sampled_from(((), ("pay",))),
)
def test_rules_only_restrict_so_more_of_them_newly_allow_nothing_but_what_stands_in(
    kept, more, data_class, asked, residency, tools
):
    """And what is told about a change is empty exactly where both decide alike."""
    names = {one.name for one in kept}
    loose = but(rules=tuple(kept), fallbacks=())
    strict = but(rules=(*kept, *(one for one in more if one.name not in names)), fallbacks=())
    record = recorded(loose, model=asked, data_class=data_class, residency=residency, tools=tools)
    before, after = record.decision, recompute(record.decision, snapshot(strict), ANYTHING)
    found = list(findings(before, after, 0.0))
    assert not [one for one in found if one.kind in WIDER and one.kind != "reaches"], found
    assert bool(found) == any(
        getattr(before, part) != getattr(after, part)
        for part in ("route", "budgets", "policy", "fallbacks", "cascade")
    )
    assert {one.kind for one in found} <= set(KINDS)
