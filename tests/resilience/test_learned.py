"""What the headers of answers say of limits, whoever wrote them."""

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from interlock.resilience.learned import LONGEST_S, UNSAID_S, said, says
from interlock.resilience.quota import Quota

DATE = {"date": "Thu, 26 Nov 2026 10:00:00 GMT"}


def openai(what, remaining, limit=None, reset=None):
    told = {"remaining": remaining, "limit": limit, "reset": reset}
    return {f"x-ratelimit-{name}-{what}": value for name, value in told.items() if value is not None}


def anthropic(what, remaining, limit=None, reset=None):
    told = {"remaining": remaining, "limit": limit, "reset": reset}
    return {f"anthropic-ratelimit-{what}-{name}": value for name, value in told.items() if value is not None}


def ietf(remaining, limit=None, reset=None, x=""):
    told = {"remaining": remaining, "limit": limit, "reset": reset}
    return {f"{x}ratelimit-{name}": value for name, value in told.items() if value is not None}


TELLING = {
    "plenty": (openai("requests", "3", None, "9s"), 0),
    "nothing, in seconds": (openai("requests", "0", None, "9s"), 9),
    "nothing, in milliseconds": (openai("requests", "0", None, "120ms"), 0.12),
    "nothing, in minutes": (openai("requests", "0", None, "0m30s"), 30),
    "nothing, as a bare number": (openai("requests", "0", None, "7.66"), 7.66),
    "nothing, of sixty a minute": (openai("requests", "0", "60", "1m0s"), 1),
    "tokens alone": (openai("tokens", "0", None, "9s"), 9),
    "fewer tokens than the call has": (openai("tokens", "3", None, "20s"), 20),
    "tokens that fill up": (openai("tokens", "4", "604", "60s"), 0.6),
    "a call of more tokens than there ever are": (openai("tokens", "0", "5", "10s"), 10),
    "each day": (openai("requests-day", "0", None, "5h"), LONGEST_S),
    "each minute": (openai("tokens-minute", "0", "600", "60"), 1),
    "the longest counts": ({**openai("requests", "0", None, "2s"), **openai("tokens", "0", None, "3s")}, 3),
    "no reset": (openai("requests", "0"), UNSAID_S),
    "words for a reset": (openai("requests", "0", "60", "soon"), UNSAID_S),
    "no number for a reset": (openai("requests", "0", "60", "nan"), UNSAID_S),
    "a negative reset": (openai("requests", "0", "60", "-30"), UNSAID_S),
    "an endless reset": (openai("requests", "0", "60", "inf"), UNSAID_S),
    "a reset of a century": (openai("requests", "0", None, "999999999"), LONGEST_S),
    "a length of time longer than any": (openai("requests", "0", "60", "9" * 400 + "s"), UNSAID_S),
    "a reset as long as a head may be": (openai("requests", "0", "60", "9" * 60_000), UNSAID_S),
    "a negative rest": (openai("requests", "-1", "60", "30s"), 0),
    "words for a rest": (openai("requests", "none", "60", "30s"), 0),
    "an endless rest": (openai("requests", "9" * 400, "60", "30s"), 0),
    "an instant": ({**anthropic("requests", "0", "4", "2026-11-26T10:00:20Z"), **DATE}, 5),
    "an instant that is over": ({**anthropic("requests", "0", None, "2026-11-26T09:00:00Z"), **DATE}, 0),
    "an instant and no date": (anthropic("input-tokens", "0", None, "2026-11-26T10:00:20Z"), UNSAID_S),
    "output alone": ({**anthropic("output-tokens", "0", None, "2026-11-26T10:00:07Z"), **DATE}, 7),
    "an account's": (ietf("0", "100", "50"), 50),
    "an account's, with its span": (ietf("0", "100, 100;w=60", "50"), 50),
    "an account's, by another name": (ietf("0", "10", "1795687220", "x-") | DATE, 20),
    "in milliseconds since 1970": (ietf("0", "10", "1795687220000", "x-") | DATE, 20),
}


@pytest.mark.parametrize(("headers", "seconds"), TELLING.values(), ids=TELLING)
def test_u5_how_long_the_next_call_waits_by_what_headers_say(headers, seconds):
    assert says(headers)
    quota = Quota()
    quota.hear(said(headers, 0.0), 100.0, 100.0, None)
    assert quota.start_at(100.0, 10) - 100.0 == pytest.approx(seconds)


def test_u5_most_answers_say_nothing():
    assert not says({"content-type": "application/json", "retry-after": "3", "x-request-id": "1", **DATE})


def test_u5_a_limit_of_a_model_is_not_its_accounts_and_the_other_way_round():
    assert [one.account for one in said(openai("requests", "1"), 0.0)] == [False]
    assert [one.account for one in said(anthropic("tokens", "1"), 0.0)] == [False]
    assert [one.account for one in said(ietf("1"), 0.0)] == [True]


NAMES = sorted(
    set(openai("requests", "", "", ""))
    | set(openai("tokens", "", "", ""))
    | set(anthropic("requests", "", "", ""))
    | set(ietf("", "", ""))
    | {"date"}
)
TEXTS = (
    st.text()
    | st.floats().map(str)
    | st.integers().map(str)
    | st.sampled_from(["0", "1", "60", "1s", "9999999h", "nan", "-0", "1e400", "2026-11-26T10:00:20Z"])
)


@for_all(st.dictionaries(st.sampled_from(NAMES), TEXTS), st.integers(0, 10**9), st.floats(0, 600))
def test_u5_no_header_keeps_a_call_waiting_for_longer_than_a_minute(headers, tokens, age_s):
    quota = Quota()
    quota.hear(said(headers, age_s), 1000.0, 1000.0 - age_s, None)
    for _ in range(50):
        assert 1000.0 <= quota.start_at(1000.0, tokens) <= 1000.0 + LONGEST_S
        quota.begin(1000.0, tokens)
    assert quota.start_at(1000.0 + LONGEST_S, tokens) == 1000.0 + LONGEST_S
