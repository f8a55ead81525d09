"""What is known of a text that comes again is what reading it would find, and nobody else's."""

from hypothesis import given
from hypothesis import strategies as st

from interlock.classify.findings import find
from interlock.classify.seen import LEAST, NAMELESS, Seen, name_of
from interlock.classify.tokens import count_request
from tests.classify.build import ask

CARD = "my card is 4111 1111 1111 1111, thank you"
PLAIN = "The harbour lies quiet in the evening, and the boats are made fast. "
long_texts = st.builds(
    lambda times, inside: PLAIN * times + inside + PLAIN * times,
    st.integers(4, 8),
    st.sampled_from(["", CARD, "write to ann@example.com", "4111 1111 1111 1111 and 4012 8888 8888 1881"]),
)


@given(st.lists(long_texts, min_size=1, max_size=4), st.randoms())
def test_a_text_that_comes_again_in_any_company_has_the_same_findings_and_the_same_count(turns, random):
    first = find(ask(*turns), None, "acme"), count_request(ask(*turns), "o200k", True, "acme")
    mixed = random.sample(turns, len(turns))
    find(ask(*mixed), None, "acme")
    assert (find(ask(*turns), None, "acme"), count_request(ask(*turns), "o200k", True, "acme")) == first
    assert (find(ask(*turns), None, "new"), count_request(ask(*turns), "o200k", True, "new")) == first


def test_what_stands_in_a_known_text_is_found_beside_a_new_one_and_in_each_place():
    known = PLAIN * 5 + CARD
    assert [(f.kind, f.where) for f in find(ask(known))] == [("card", "messages[0].parts[0]")]
    assert [(f.kind, f.where) for f in find(ask("hello", known, "more", known))] == [
        ("card", "messages[1].parts[0]"),
        ("card", "messages[3].parts[0]"),
    ]


def test_a_value_split_over_two_known_texts_is_found():
    before, after = PLAIN * 5 + " 4111 1111 ", "1111 1111 " + PLAIN * 5
    assert find(ask(before)) == ()
    assert find(ask(after)) == ()
    assert "card" in {finding.kind for finding in find(ask(before, after))}


def test_two_tenants_never_share_what_is_known_of_a_text():
    assert name_of("acme", PLAIN * 9) != name_of("other", PLAIN * 9)
    assert name_of("acme", "x" + PLAIN * 9) != name_of("acmex", PLAIN * 9)


def test_a_tenant_and_a_text_cannot_run_into_each_other():
    assert name_of("a", "b" + PLAIN * 9) != name_of("ab", PLAIN * 9)
    assert name_of("a1", PLAIN * 9) != name_of("a", "1" + PLAIN * 9)
    assert name_of("3:a", PLAIN * 9) != name_of("3", ":a" + PLAIN * 9)


def test_a_short_text_and_one_with_a_lone_surrogate_are_no_trouble():
    assert name_of("acme", "x" * (LEAST - 1)) == NAMELESS
    assert name_of("acme", "\ud800" * LEAST) != NAMELESS
    seen = Seen[int]()
    seen.put(NAMELESS, 1)
    assert seen.get(NAMELESS) is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30)), max_size=300))
def test_what_is_remembered_is_bounded_and_what_was_asked_for_lately_is_kept(steps):
    seen = Seen[int](5)
    lately: list[int] = []
    for put, number in steps:
        name = b"%d" % number
        if put:
            seen.put(name, number)
        if put or seen.get(name) is not None:
            lately = [number, *(other for other in lately if other != number)]
        assert seen.get(name) in (None, number)
        assert len(seen) <= 10
    assert all(seen.get(b"%d" % number) == number for number in lately[:3])
