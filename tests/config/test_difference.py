"""In what two configs differ: by path, by name, and nothing else."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.config.checked import Lane
from interlock.config.difference import Difference, differences
from interlock.config.written import Fallback, Price, Rule, Then
from tests.replay.given import OLD, but, model

A, B, C = (Rule(name=name, then=Then(regions=("eu",))) for name in "abc")


def found(before, after):
    return [(one.path, one.before, one.after) for one in differences(before, after)]


def test_a_config_does_not_differ_from_itself_and_its_hash_is_no_difference():
    assert differences(OLD, OLD) == ()
    assert differences(OLD, but(config_hash="another", policy_hash="another")) == ()


def test_a_changed_part_is_named_by_its_path_with_both_values():
    dearer = but(models={**OLD.models, "large": model("large", "away", price=Price(input=11, output=20))})
    assert found(OLD, dearer) == [("models.large.price.input", 10, 11)]
    assert found(OLD, but(default_model="small")) == [("default.model", None, "small")]
    assert found(OLD, but(metadata=("workflow",))) == [("metadata", [], ["workflow"])]


def test_what_is_new_and_what_is_gone_is_shown_without_its_unset_parts():
    added = {"name": "tiny", "provider": "home", "upstream": "tiny"}
    assert found(OLD, but(models={**OLD.models, "tiny": model("tiny", "home")})) == [
        ("models.tiny", None, added)
    ]
    assert found(but(aliases={"prod": "large", "x": "small"}), OLD) == [("aliases.x", "small", None)]


def test_rules_and_lanes_are_compared_by_name_wherever_they_stand():
    changed = Rule(name="b", then=Then(regions=("eu", "us")))
    assert found(but(rules=(A, B)), but(rules=(C, A, changed))) == [
        ("policy.b.then.regions", ["eu"], ["eu", "us"]),
        ("policy.c", None, {"name": "c", "then": {"regions": ["eu"]}}),
    ]
    lanes = tuple(Lane(name=name, models=("small",)) for name in ("x", "y"))
    assert found(but(lanes=lanes), but(lanes=lanes[::-1])) == [("lanes (order)", ["x", "y"], ["y", "x"])]


def test_entries_without_a_name_are_gone_or_new_as_a_whole():
    old, new = (Fallback(from_="*", to=to, when="rate_limit") for to in ("small", "large"))
    shown = {"from": "*", "when": "rate_limit"}
    assert found(but(fallbacks=(old,)), but(fallbacks=(new,))) == [
        ("fallbacks", {**shown, "to": "small"}, None),
        ("fallbacks", None, {**shown, "to": "large"}),
    ]
    assert [one.path for one in differences(but(fallbacks=(old, new)), but(fallbacks=(new, old)))] == [
        "fallbacks (order)"
    ]


@given(
    before=st.lists(st.sampled_from("abcd"), max_size=4),
    after=st.lists(st.sampled_from("abcd"), max_size=4),
)
def test_there_is_a_difference_exactly_where_the_configs_are_not_equal(before, after):
    """Also with two of one name, and whatever order they stand in."""
    one, other = (
        but(rules=tuple(Rule(name=name, then=Then(max_attempts=3)) for name in names))
        for names in (before, after)
    )
    assert bool(differences(one, other)) == (one != other)
    assert all(isinstance(found, Difference) for found in differences(one, other))


@pytest.mark.parametrize("section", [name for name in OLD.__struct_fields__ if not name.endswith("hash")])
def test_no_section_is_left_out(section):
    """Each differs from something of another shape, so that a new section of the config is compared too."""
    other = msgspec.structs.replace(OLD)
    msgspec.structs.force_setattr(other, section, {"else": 1})
    assert differences(OLD, other)
