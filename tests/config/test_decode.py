"""The shape of the file: every problem is found, in the user's words, and msgspec agrees."""

import copy
import math
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.config.decode import decode_file
from interlock.config.environment import fill
from interlock.config.source import read_source
from interlock.config.written import File
from tests.config.base import COMPLETE, ENV, SMALL, many

TREE = fill(read_source(COMPLETE.read_bytes()).tree, ENV).tree
TREE["server"]["port"] = int(TREE["server"]["port"])
SMALL_TREE = read_source(SMALL.encode()).tree


def said(change: dict[str, Any]) -> list[str]:
    """`PATH: PROBLEM` of the small config with some sections replaced."""
    return [f"{p.path}: {p.problem}" for p in decode_file({**SMALL_TREE, **change})[1]]


def test_the_complete_file_has_the_right_shape():
    file, problems = decode_file(TREE)
    assert problems == ()
    assert file is not None
    assert file.server.port == 8085


def test_o1_all_problems_are_found_and_not_just_the_first():
    found = said(
        {
            "server": {"prt": 1, "workers": 0, "console": "yes"},
            "policy": [{"name": 5, "then": {"regions": "eu", "max_tool_calls_by_effect": {"writes": 1}}}],
        }
    )
    assert found == [
        "server.prt: unknown key `prt`",
        "server.workers: needs a whole number above 0, not `0`",
        "server.console: needs `true` or `false`, not `yes`",
        "policy[0].name: needs text, not `5`",
        "policy[0].then.regions: needs a list, not `eu`",
        (
            "policy[0].then.max_tool_calls_by_effect.writes: needs one of "
            "`read`, `write`, `external`, `critical`, not `writes`"
        ),
    ]


def test_a_key_that_is_plainly_a_misspelling_is_read_as_what_was_meant():
    file, problems = decode_file({**SMALL_TREE, "defalt": {"model": "main"}})
    assert [problem.problem for problem in problems] == ["unknown key `defalt`"]
    assert file is not None
    assert file.default is not None
    assert file.default.model == "main"


def test_a_misspelled_key_does_not_replace_the_right_one_beside_it():
    file, _ = decode_file({**SMALL_TREE, "server": {"port": 1, "prot": 2}})
    assert file is not None
    assert file.server.port == 1


def test_what_stands_under_a_misspelled_key_is_never_shown():
    (problem,) = decode_file({**SMALL_TREE, "server": {"hst": ["sk-canary"]}})[1]
    assert "sk-canary" not in str(problem)


def test_a_value_from_the_environment_is_shown_by_its_reference():
    filled = fill({**SMALL_TREE, "server": {"port": "${P}"}}, {"P": "canary"})
    (problem,) = decode_file(filled.tree)[1]
    assert problem.problem == "needs a whole number, not what `${P}` holds"


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("8_0", None), ("1.0", None), ("true", None)])
def test_a_number_may_come_from_the_environment(text, value):
    filled = fill({**SMALL_TREE, "server": {"port": "${P}"}}, {"P": text})
    file, problems = decode_file(filled.tree)
    assert (file.server.port if file is not None else None) == value
    assert (problems == ()) == (value is not None)


def test_after_a_missing_variable_nothing_else_is_claimed_of_its_field():
    filled = fill({**SMALL_TREE, "server": {"port": "${NOT_SET}"}}, {})
    file, problems = decode_file(filled.tree)
    assert file is None
    assert problems == ()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_o3_a_number_that_is_none_is_refused_where_no_bound_would_catch_it(value):
    found = said({"gates": {"main": {"suites": [], "checks": [{"metric": "m", "at_least": value}]}}})
    assert found == [f"gates.main.checks[0].at_least: needs a number, not `{value}`"]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from places(inner, (*path, place))


PLACES = [path for path in places(TREE) if path]
ODD = st.sampled_from(
    [
        None,
        True,
        0,
        1,
        -1,
        2,
        0.5,
        1.5,
        -0.5,
        "",
        "x",
        "1",
        "10s",
        "eu",
        "write",
        "public",
        [],
        ["x"],
        [1],
        {},
    ]
) | st.sampled_from(
    [{"x": 1}, {"model": "x"}, {"write": 1}, {"write": -1}, [{"model": "x"}], ["read", "write"]]
)


@many
@given(st.lists(st.tuples(st.sampled_from(PLACES), ODD), min_size=1, max_size=3))
def test_the_walk_finds_no_problem_exactly_where_msgspec_accepts(changes):
    tree = copy.deepcopy(TREE)
    for path, odd in changes:
        try:
            parent = tree
            for key in path[:-1]:
                parent = parent[key]
            if isinstance(parent, dict) == isinstance(path[-1], str):  # keys of a tree are text
                parent[path[-1]] = odd
        except (KeyError, IndexError, TypeError):
            continue
    file, problems = decode_file(tree)
    try:
        expected = msgspec.convert(tree, File)
    except msgspec.ValidationError:
        assert problems
    else:
        assert problems == ()
        assert file == expected


@many
@given(st.dictionaries(st.text(max_size=8), st.recursive(ODD, lambda inner: st.lists(inner, max_size=2))))
def test_no_tree_whatever_makes_it_raise(tree):
    decode_file(tree)
