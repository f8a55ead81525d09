"""What is known of a text that comes again is what reading it would find, and nobody else's."""

import itertools
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from interlock.classify import detect, identifiers, keys
from interlock.classify.depth import asks_for_depth
from interlock.classify.findings import _closely, find
from interlock.classify.seams import is_quiet_pair, new_stretches, rows
from interlock.classify.seen import LEAST, NAMELESS, Known, Seen, owner, recall
from interlock.classify.tokens import count_request
from interlock.config.checked import Model
from interlock.types.request import Message, Request, Text, ToolCall, ToolResult
from tests.classify.build import CONFIG, ask, reading, signals

CARD = "my card is 4111 1111 1111 1111, thank you"
PLAIN = "The harbour lies quiet in the evening, and the boats are made fast. "
nobody = (f"nobody {number}" for number in itertools.count())

# Whole values, and halves of them that stand whole over one seam or over two.
inside = st.sampled_from(
    [
        *("", "hi", " think hard ", "write to ann@example.com", CARD),
        "4111 1111 1111 1111 and 4012 8888 8888 1881",
        *(" 4111 1111 ", "1111 1111 ", " 4111 ", "1111", " 1111 1111 ", " ann@", "example", ".com "),
        *("AK" + "IAQ3EGRTW5", "ZVNKD7XP"),
    ]
)
# Short ones; ones whose ends are laid whole within a role, and cut among all; ones that are cut in both.
some_texts = st.builds(
    lambda before, text, after: PLAIN * before + text + PLAIN * after,
    st.sampled_from([0, 0, 0, 1, 2, 6]),
    inside,
    st.sampled_from([0, 0, 0, 1, 2, 6]),
)


def turn(role: Any, text: str, kind: str = "text") -> Message:
    if kind == "result":
        return Message(role="tool", parts=(ToolResult(call_id="c", name="look", content=(Text(text=text),)),))
    if kind == "call":
        return Message(
            role="assistant", parts=(ToolCall(id="c", name="look", arguments=f'{{"a":"{text}"}}'),)
        )
    return Message(role=role, parts=(Text(text=text),))


turns = st.builds(turn, st.sampled_from(["system", "user", "assistant"]), some_texts)
any_turns = turns | st.builds(turn, st.just("user"), some_texts, st.sampled_from(["result", "call"]))


def known(whose: str, texts: list[str]) -> list[Known]:
    return recall(owner(whose), texts)


def known_of(request: Request, whose: str) -> tuple[object, ...]:
    """Everything that is remembered of texts, as one owner gets it."""
    read = reading(request, whose)
    counted = count_request(request, "o200k", True, read)
    return find(request, read), counted, asks_for_depth(request, read)


def test_what_the_texts_of_these_tests_hold_is_found_in_all_ways():
    """Whole, over one seam and over two: else the laws below would hold of nothing."""
    for texts in (
        [CARD],
        [" 4111 1111 ", "1111 1111 "],
        [PLAIN * 6 + " 4111 ", "1111", " 1111 1111 " + PLAIN * 6],
    ):
        request = ask(*texts)
        assert "card" in {finding.kind for finding in find(request, reading(request, next(nobody)))}


@settings(max_examples=300)
@given(st.lists(any_turns, min_size=1, max_size=6), st.randoms())
def test_a_text_that_comes_again_in_any_company_holds_what_it_held(messages, random):
    whose, request = next(nobody), ask(*messages)
    first = known_of(request, next(nobody))
    for _ in range(3):
        known_of(ask(*random.sample(messages, random.randint(1, len(messages)))), whose)
    assert known_of(request, whose) == first
    assert known_of(request, whose) == first


@settings(max_examples=300)
@given(st.lists(any_turns, min_size=1, max_size=6))
def test_what_is_passed_over_at_a_glance_holds_nothing_looked_at_closely(messages):
    whose, request = next(nobody), ask(*messages)
    for count in range(1, len(messages)):  # as a conversation grows
        earlier = ask(*messages[:count])
        find(earlier, reading(earlier, whose))
    closely = reading(request, next(nobody))
    assert find(request, reading(request, whose)) == _closely(request, closely, rows(request, closely))


@settings(max_examples=300)
@given(
    st.lists(any_turns, min_size=1, max_size=3), st.lists(any_turns, min_size=2, max_size=2), st.booleans()
)
def test_a_pair_is_quiet_at_a_glance_only_where_no_stretch_of_it_is_new(before, pair, looked_at):
    whose = next(nobody)
    for messages in (before, pair) if looked_at else (before, [*before, *pair]):
        known_of(ask(*messages), whose)
    request = ask(*pair)
    read = reading(request, whose)
    laid = rows(request, read)
    if is_quiet_pair(request, read):
        assert laid
        assert new_stretches(laid) == []
    elif read.bare is not None and pair[0].role != pair[1].role:
        assert not laid or new_stretches(laid)


def test_what_stands_in_a_known_text_is_found_beside_a_new_one_and_in_each_place():
    known = PLAIN * 5 + CARD
    alone, more = ask(known), ask("hello", known, "more", known)
    assert [(f.kind, f.where) for f in find(alone, reading(alone))] == [("card", "messages[0].parts[0]")]
    assert [(f.kind, f.where) for f in find(more, reading(more))] == [
        ("card", "messages[1].parts[0]"),
        ("card", "messages[3].parts[0]"),
    ]


def test_a_value_split_over_two_known_texts_is_found():
    before, after = PLAIN * 5 + " 4111 1111 ", "1111 1111 " + PLAIN * 5
    for text in (before, after):
        assert find(ask(text), reading(ask(text))) == ()
    both = ask(before, after)
    assert "card" in {finding.kind for finding in find(both, reading(both))}


def test_a_value_split_over_three_texts_is_found_though_each_two_are_known_to_be_quiet_together():
    one, two, three = PLAIN * 5 + " ann@", "an-example-of-a-very-long-name-of-a-host", ".com " + PLAIN * 5
    for texts in ((one, two), (two, three)):
        request = ask(*texts)
        stretches = new_stretches(rows(request, reading(request)))
        assert find(request, reading(request)) == ()
        assert stretches
        assert new_stretches(rows(request, reading(request))) == []
    every = ask(one, two, three)
    assert "email" in {finding.kind for finding in find(every, reading(every))}


def test_what_is_quiet_near_a_seam_is_looked_at_farther_off_where_one_role_says_both():
    """A key's armour may begin farther from the seam than texts of two roles are laid together."""
    before, after = PLAIN * 5 + "-----BEGIN PRIVATE KEY-----" + ": . " * 20, "qwertyuiopasdfgh " + PLAIN * 5
    apart, together = ask(turn("assistant", before), turn("user", after)), ask(before, after)
    for _ in range(2):  # once they are new, then only their seams are
        assert "messages" not in {finding.where for finding in find(apart, reading(apart))}
    assert new_stretches(rows(apart, reading(apart))) == []
    places = {finding.where for finding in find(together, reading(together))}
    assert "messages, role user" in places


def test_a_long_row_of_short_texts_is_known_by_a_short_name_and_one_other_text_makes_it_new():
    quiet = [f"Nothing stands here, {'and again nothing, ' * 3}." for _ in range(1_000)]
    row = ask(*quiet)
    assert max(len(name) for name, _ in new_stretches(rows(row, reading(row)))) < 300
    assert find(row, reading(row)) == ()
    assert new_stretches(rows(row, reading(row))) == []
    other = ask(*quiet[:500], "4111", "1111", "1111", "1111", *quiet[500:])
    assert "card" in {finding.kind for finding in find(other, reading(other))}


def test_two_owners_never_share_what_is_known_of_a_text():
    mine = known("acme", [PLAIN])[0]
    assert known("acme", [PLAIN])[0] is mine
    assert known("other", [PLAIN])[0] is not mine
    assert known("acmex", [PLAIN])[0] is not known("acme", ["x" + PLAIN])[0]


def test_an_owner_and_a_text_cannot_run_into_each_other():
    assert known("a", ["b" + PLAIN])[0] is not known("ab", [PLAIN])[0]
    assert known("a1", [PLAIN])[0] is not known("a", ["1" + PLAIN])[0]
    assert known("3:a", [PLAIN])[0] is not known("3", [":a" + PLAIN])[0]


def test_one_way_of_counting_does_not_give_the_figures_of_another():
    gpt4 = Model(name="old", provider="openai", upstream="gpt-4")
    config = replace(CONFIG, models={**CONFIG.models, "old": gpt4})
    text = "Zürich, Lindenstraße 12"  # of 9 and 10 tokens
    tokens = [
        signals(ask(text, model=model), config=config).input_tokens for model in ("main", "old", "main")
    ]
    assert tokens[0] == tokens[2]
    assert tokens[0] != tokens[1]


def test_a_short_text_is_not_remembered_and_one_with_a_lone_surrogate_is_no_trouble():
    assert known("acme", ["x" * (LEAST - 1)])[0].name == NAMELESS
    odd = "\ud800" * LEAST
    assert known("acme", [odd])[0] is known("acme", [odd])[0]
    assert known("acme", [odd])[0] is not known("acme", ["?" * LEAST])[0]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=300))
def test_what_is_remembered_is_bounded_and_what_was_asked_for_lately_is_kept(steps):
    seen = Seen[int](5)
    lately: list[int] = []
    for put, number in steps:
        name = b"%d" % number
        if put:
            seen.put(name, number)
        if put or seen[name] is not None:
            lately = [number, *(other for other in lately if other != number)]
        assert seen[name] in (None, number)
        assert seen.count <= 10
    assert all(seen[b"%d" % number] == number for number in lately[:3])


def test_no_mark_reaches_over_the_line_break_that_stands_for_a_middle_that_was_left_out():
    """Else a value could stand over several seams of which each is quiet by itself."""
    marks = {rule.mark for rule in detect.RULES} | {mark for mark, _, _ in detect._WRAPPINGS}
    endless = re.compile(r"\\s(?:[+*]|\{\d+,\})|\[\^((?:\\.|[^\]])*)\](?:[+*]|\{\d+,\})|\(\?s")
    for mark in marks | {keys.FORMS_MARK, identifiers.NUMBER}:
        for found in endless.finditer(mark):
            excluded = found[1] or ""
            assert r"\s" in excluded or r"\n" in excluded, (found[0], mark)
