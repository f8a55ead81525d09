"""YAML to a tree with lines: what scalars mean, what is refused, and where everything stands."""

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from interlock.config.source import MAX_BYTES, plain_scalar, read_source
from tests.config.base import many


def tree(text: str) -> Any:
    source = read_source(text.encode())
    assert source.problems == ()
    return source.tree


def test_words_that_old_yaml_reads_as_booleans_or_dates_are_text():
    found = tree("a: [no, off, on, yes, y, 2026-04-24, 1:30, 1_000]")
    assert found["a"] == ["no", "off", "on", "yes", "y", "2026-04-24", "1:30", "1_000"]


def test_plain_scalars_have_the_meaning_of_the_core_schema():
    assert tree("[true, False, 12, -3, 0x1F, 0o17, 1.5, 1e3, .5, null, ~, ]") == [
        True, False, 12, -3, 31, 15, 1.5, 1000.0, 0.5, None, None,
    ]  # fmt: skip
    assert plain_scalar("-.inf") == float("-inf")
    assert plain_scalar(".nan") != plain_scalar(".nan")


def test_what_is_quoted_or_tagged_as_text_stays_text():
    assert tree("- '12'\n- \"true\"\n- !!str 12\n- |-\n  5\n") == ["12", "true", "12", "5"]


def test_a_number_with_very_many_digits_costs_nothing():
    assert isinstance(plain_scalar("9" * 100_000), float)


def test_every_path_knows_its_line_counted_from_one():
    lines = read_source(b"a:\n  b:\n    - x\n    - {c: 1,\n       d: 2}\n").lines
    assert {path: lines[path] for path in ("a", "a.b", "a.b[0]", "a.b[1]", "a.b[1].c", "a.b[1].d")} == {
        "a": 1, "a.b": 2, "a.b[0]": 3, "a.b[1]": 4, "a.b[1].c": 4, "a.b[1].d": 5,
    }  # fmt: skip


def test_a_merge_gives_what_is_not_given_and_its_own_keys_win_wherever_the_merge_stands():
    found = tree("base: &b {x: 1, y: 2}\na: {<<: *b, y: 3}\nc: {y: 4, <<: *b}\n")
    assert found["a"] == {"x": 1, "y": 3}
    assert found["c"] == {"x": 1, "y": 4}


def test_a_quoted_merge_sign_is_a_key_like_others():
    assert tree('a: {"<<": 1, x: 2}') == {"a": {"<<": 1, "x": 2}}


def test_of_several_merged_mappings_the_first_wins():
    assert tree("p: &p {x: 1}\nq: &q {x: 2, y: 2}\na: {<<: [*p, *q]}\n")["a"] == {"x": 1, "y": 2}


def test_a_duplicate_inside_a_repeated_part_is_reported_once():
    source = read_source(b"a: &a {x: 1, x: 2}\nb: *a\nc: {<<: *a}\n")
    assert [(problem.path, problem.line) for problem in source.problems] == [("a.x", 1)]


def test_an_alias_inside_its_own_anchor_is_refused():
    (problem,) = read_source(b"a: &a [*a]").problems
    assert "refers to nothing above it" in problem.problem


def test_a_file_over_the_limit_is_refused_unread():
    (problem,) = read_source(b"a: 1\n" + b"#" * MAX_BYTES).problems
    assert "larger than 4 MiB" in problem.problem


@many
@given(st.binary(max_size=200))
def test_no_bytes_whatever_make_it_raise(data):
    read_source(data)


@many
@given(st.text(alphabet="ab:{}[]&*<-#'\"|> \n!?%@,", max_size=80))
def test_no_arrangement_of_yaml_indicators_makes_it_raise(text):
    read_source(text.encode())


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**15), 10**15)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=15,
)


@many
@given(st.dictionaries(st.text(max_size=6), PLAIN, min_size=1, max_size=4))
def test_what_another_yaml_library_writes_is_read_back_equal(value):
    text = yaml.safe_dump(value, allow_unicode=True, default_style='"')
    found = read_source(text.encode())
    if not found.problems:
        assert _text_of(found.tree) == _text_of(value)
    else:  # control characters are refused by us, not by the writer
        assert all("control character" in problem.problem for problem in found.problems)


def _text_of(value: Any) -> Any:
    """Every scalar as the text that the writer quotes it as."""
    if isinstance(value, dict):
        return {str(_text_of(key)): _text_of(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_text_of(inner) for inner in value]
    return yaml.safe_load(yaml.safe_dump(value, default_style='"')) if not isinstance(value, str) else value
