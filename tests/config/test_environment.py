"""References to the environment, and secrets that never reach the tree (O4)."""

from typing import Any

import pytest

from interlock.config.environment import FromEnvironment, fill

SECRET = "sk-canary-42"


def provider(key: str) -> dict[str, Any]:
    return {"providers": {"openai": {"kind": "openai", "api_key": key}}}


def test_o4_a_secret_is_taken_out_of_the_tree():
    filled = fill(provider("${KEY}"), {"KEY": SECRET})
    assert filled.secrets == {("providers", "openai", "api_key"): SECRET}
    assert filled.tree == provider("${KEY}")
    assert SECRET not in repr(filled)


def test_o4_a_literal_key_is_taken_out_of_the_tree_and_warned_of():
    filled = fill(provider(SECRET), {})
    assert filled.secrets == {("providers", "openai", "api_key"): SECRET}
    assert SECRET not in str(filled.tree)
    (problem,) = filled.problems
    assert (problem.severity, problem.path) == ("warning", "providers.openai.api_key")
    assert SECRET not in str(problem)


def test_o4_a_missing_variable_is_named_with_who_needs_it():
    (problem,) = fill(provider("${NOT_SET}"), {}).problems
    assert "`NOT_SET` is not set; provider `openai` needs it" in problem.problem
    (problem,) = fill({"keys": [{"id": "dev", "key": "${NOT_SET}"}]}, {}).problems
    assert "key `dev` needs it" in problem.problem


@pytest.mark.parametrize("value", ["", "  ", "a\nb", "a\r", "a\x00b", "a\x7f"])
def test_o4_an_empty_value_or_one_with_control_characters_is_an_error(value):
    filled = fill(provider("${KEY}"), {"KEY": value})
    assert filled.secrets == {}
    (problem,) = filled.problems
    assert problem.severity == "error"
    assert "`KEY`" in problem.problem


@pytest.mark.parametrize("value", ["a b", "clé", "a\u200bb"])
def test_o4_a_key_that_no_header_can_carry_is_an_error(value):
    filled = fill(provider("${KEY}"), {"KEY": value})
    assert filled.secrets == {}
    assert "no header can carry" in filled.problems[0].problem
    assert value not in str(filled.problems[0])


def test_a_key_may_be_put_together_of_text_and_variables():
    filled = fill({"keys": [{"id": "a", "key": "ik-${A}-${B}"}]}, {"A": "1", "B": "2"})
    assert filled.secrets == {("keys", 0, "key"): "ik-1-2"}
    assert filled.problems == ()


def test_a_regional_key_is_a_secret_too():
    tree = {"providers": {"p": {"endpoints": {"eu": {"base_url": "x", "api_key": "${K}"}}}}}
    assert fill(tree, {"K": SECRET}).secrets == {("providers", "p", "endpoints", "eu", "api_key"): SECRET}


def test_other_values_are_filled_in_and_remember_their_reference():
    filled = fill({"server": {"host": "${H}", "port": "${P}"}}, {"H": "127.0.0.1", "P": "80"})
    assert filled.tree == {"server": {"host": "127.0.0.1", "port": "80"}}
    port = filled.tree["server"]["port"]
    assert isinstance(port, FromEnvironment)
    assert (port.reference, port.known) == ("${P}", True)


def test_o4_a_variable_that_holds_a_secret_may_not_fill_a_recorded_field():
    tree = provider("${KEY}") | {"store": {"url": "sqlite:///${KEY}"}}
    (problem,) = fill(tree, {"KEY": SECRET}).problems
    assert problem.path == "store.url"
    assert "secret of `providers.openai.api_key`" in problem.problem


def test_what_a_value_refers_to_in_turn_is_not_looked_up():
    assert fill({"a": "${X}"}, {"X": "${Y}", "Y": "no"}).tree == {"a": "${Y}"}


def test_a_dollar_sign_alone_is_text():
    assert fill({"a": "$HOME costs $5"}, {"HOME": "x"}).tree == {"a": "$HOME costs $5"}
