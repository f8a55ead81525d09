"""What is known of a request before it is read is that of its own caller, model and config."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from interlock.classify.standing import Standing, Standings, standing_of
from interlock.types.signals import Caller
from tests.classify.build import CALLER, CARD, CONFIG, ask, signals

CHAT = "/v1/chat/completions"
CALLERS = [
    CALLER,
    Caller(key="k", tenant="other"),
    Caller(key="k", tenant="acme", user_tier="free", residency="eu"),
    Caller(key="high", tenant="acme", data_class="confidential"),
]
MODELS = ["prod", "hard", "auto", "lane:triage", "lane:nowhere", "main", "openai/main", "nobody"]


def known(standing: Standing) -> Standing:
    """All that it says; of its owner, whom it names."""
    return replace(standing, owner=standing.owner.digest())


@given(st.lists(st.tuples(st.sampled_from(CALLERS), st.sampled_from(MODELS), st.sampled_from([CHAT, "/x"]))))
def test_what_is_remembered_is_what_would_be_found_out(asked):
    standings = Standings(CONFIG)
    for caller, model, endpoint in asked:
        found = standings.of(caller, model, endpoint)
        assert known(found) == known(standing_of(caller, CONFIG, model, endpoint))


@given(st.sampled_from(CALLERS), st.sampled_from(MODELS), st.sampled_from(["hello", CARD]), st.booleans())
def test_signals_are_the_same_with_what_is_known_before(caller, model, text, labelled):
    request = ask(text, model=model, user="ann" if labelled else None)
    standing = Standings(CONFIG).of(caller, model, CHAT)
    assert signals(request, caller, standing=standing) == signals(request, caller)


def test_a_caller_is_not_taken_for_one_that_is_gone_and_was_in_the_same_place_of_memory():
    standings = Standings(CONFIG)
    for tenant in map(str, range(50)):  # the interpreter gives the place of one that is gone to the next
        assert standings.of(replace(CALLER, tenant=tenant), "prod", CHAT).signals.tenant == tenant


def test_callers_cannot_have_more_remembered_than_a_bound_by_asking_for_many_names(monkeypatch):
    monkeypatch.setattr("interlock.classify.standing.MOST", 3)
    standings = Standings(CONFIG)
    for number in range(20):
        standings.of(CALLER, f"model-{number}", CHAT)
        assert len(standings._known) <= 3
