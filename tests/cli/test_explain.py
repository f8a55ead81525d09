"""Explanations are a product: each is compared whole."""

import msgspec
import pytest

from interlock.cli.explain import because, duration, explain, money
from interlock.types.decision import Route, Why
from tests.cli.samples import OK, all_failed, decided, plain, record, refused, stayed_home

PLAIN = """\
dec_one: answered by `gpt-5.4` of openai in us.
Why:
  `prod-stable` is an alias (version 7); it leads to `gpt-5.4`.
What was asked:
  `prod-stable` over /v1/chat/completions, not streamed, 12 input tokens
  by tenant default, role user, no key
What was found out:
  data class internal, content trusted, risk low
  latency class interactive, task unknown, difficulty unknown
What happened:
  1. `gpt-5.4` of openai in us answered after 820 ms, first token 210 ms, 12 tokens in, 40 out, cost $0.000648
How it ended:
  cost: $0.000648
To compute it again:
  config c0ffee012345, policy beef01234567, world 0123456789ab
  decided at 2026-11-23T03:00:00.000000Z by router rules, draw 0.250000"""

STAYED_HOME = """\
dec_one: answered by `local-large` of onprem in eu, after `local-small` of onprem in eu had failed.
Why:
  `prod-stable` is an alias (version 7) of `gpt-5.4`.
  `gpt-5.4` may not serve this: vendor `openai` is not among `onprem` (regulated-stays-home).
  `local-small` stands in for it, by a fallback for that case.
  Rules that applied: regulated-stays-home, untrusted-content.
What was asked:
  `prod-stable` over /v1/chat/completions, streamed, about 812 input tokens
  by tenant acme, role user, key dev
  its data must stay within eu
  a model has to be able to do: tools
What was found out:
  data class regulated, content untrusted, risk high
  the risk was medium before policy and lane raised it
  latency class interactive, task unknown, difficulty unknown
  a detector found payment_card 2 times in messages[0].parts[0]
Left out:
  `gpt-5.4`: vendor `openai` is not among `onprem` (regulated-stays-home)
Limits:
  at most 1500 input tokens, set by latency class interactive
  at most 300 output tokens, set by lane support-triage
  30 s to the end of the answer, set by latency class interactive
  at most 3 attempts, retries and fallbacks together, set by latency class interactive
  at most $0.01, set by the request
  at most 1 tool call with the effect write, set by rule writes
  at most 0 tool calls with the effect write without a human, set by key dev
Tools:
  allowed: kb_retrieve, email_send
  taken out: deploy, its effect critical is denied (untrusted-content)
  a human approves each call of: email_send
Handling:
  safety mode strict, layout fenced, logging strict
  on low_score it goes up to prod-hard
If it fails:
  `local-large` of onprem in eu, if a model before it cannot be reached, times out or fails on its side
  `local-wide` of onprem in eu, if `local-small` finds the input too long
What happened:
  1. `local-small` of onprem in eu could not be reached after 1 ms, connection refused
  2. `local-large` of onprem in eu answered after 2.1 s, first token 210 ms, 12 tokens in, 40 out, cost $0
How it ended:
  cost: $0
  validation: passed; checked: json_schema of the lane support-triage
  feedback: success True, score 0.9
To compute it again:
  config c0ffee012345, policy beef01234567, world 0123456789ab
  decided at 2026-11-23T03:00:00.000000Z by router rules, draw 0.250000"""

REFUSED = """\
dec_one: refused; nobody may serve it.
Why:
  `gpt-5.4`: vendor `openai` is not among `onprem` (regulated-stays-home)
What was asked:
  `prod-stable` over /v1/chat/completions, not streamed, 12 input tokens
  by tenant default, role user, no key
What was found out:
  data class internal, content trusted, risk low
  latency class interactive, task unknown, difficulty unknown
Left out:
  `gpt-5.4`: vendor `openai` is not among `onprem` (regulated-stays-home)
How it ended:
  nothing was sent to any model, so it cost nothing
To compute it again:
  config c0ffee012345, policy beef01234567, world 0123456789ab
  decided at 2026-11-23T03:00:00.000000Z by router rules, draw 0.250000"""


@pytest.mark.parametrize(
    ("story", "stands_for", "text"),
    [(plain(), "gpt-5.4", PLAIN), (stayed_home(), "gpt-5.4", STAYED_HOME), (refused(), None, REFUSED)],
    ids=["plain", "stayed home", "refused"],
)
def test_an_explanation_reads_as_it_should(story, stands_for, text):
    assert "\n".join(explain(story, stands_for=stands_for)) == text


def test_unknown_figures_are_called_unknown_and_never_zero():
    text = "\n".join(explain(all_failed()))
    assert "failed on its side after 3 min, status 503" in text
    assert "cost: cost unknown" not in text
    assert "cost: unknown" in text
    assert "$0" not in text
    assert "the caller was told: upstream_failed: every model failed" in text


def test_what_a_model_was_not_sent_is_said_below_its_attempt():
    spared = msgspec.structs.replace(OK, left_out=("messages[].reasoning_content", "cache_control"))
    text = "\n".join(explain(record(attempts=(spared,))))
    assert "   left out of what it was sent: messages[].reasoning_content, cache_control" in text


def test_another_deployment_of_the_model_is_said_to_have_answered():
    elsewhere = msgspec.structs.replace(OK, region="eu")
    said = next(iter(explain(record(attempts=(elsewhere,)))))
    assert "answered by `gpt-5.4` of openai in eu, after `gpt-5.4` of openai in us had failed" in said


def test_a_dry_run_says_that_nothing_was_sent():
    lines = explain(record(status="dry_run", attempts=(), cost_usd=None))
    assert lines[0] == "dec_one: decided only, nothing was sent; the choice was `gpt-5.4` of openai in us."


SELECTED = {
    "model": "`prod-stable` was asked for by name.",
    "lane": "The lane `triage` takes this request, and `gpt-5.4` comes first in it.",
    "rule": "A rule puts this request into the lane `triage`, where `gpt-5.4` comes first.",
    "pin": "A rule pins this request to `gpt-5.4`; nothing else may serve, as a fallback neither.",
    "default": "`prod-stable` found no lane, so the default serves, the alias `prod-stable` (version 7).",
    "session": "This session was served by `gpt-5.4` before.",
    "canary": "`prod-stable` is an alias (version 7); it leads to `gpt-5.4`, on its canary arm.",
    "learned": "Learned routing chose `gpt-5.4` in the lane `triage`.",
}


@pytest.mark.parametrize(("selected_by", "sentence"), SELECTED.items(), ids=SELECTED)
def test_every_way_to_be_selected_has_its_sentence(selected_by, sentence):
    route = Route(
        provider="openai",
        model="gpt-5.4",
        version=None,
        alias="prod-stable",
        alias_version=7,
        region=None,
        lane="triage",
    )
    decision = decided(route=route, why=Why(rules=(), selected_by=selected_by))
    assert list(because(decision)) == [sentence]


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (None, "unknown"),
        (0.0, "$0"),
        (0.000648, "$0.000648"),
        (0.0000004, "$0.0000004"),
        (0.01, "$0.01"),
        (3.5, "$3.50"),
    ],
)
def test_money_has_as_many_places_as_it_needs(usd, text):
    assert money(usd) == text


@pytest.mark.parametrize(
    ("ms", "text"), [(0.2, "0 ms"), (999.4, "999 ms"), (1000, "1 s"), (2345, "2.35 s"), (600_000, "10 min")]
)
def test_durations_are_said_as_a_person_says_them(ms, text):
    assert duration(ms) == text
