"""`when` and `match`: what matches, what is missing, what can never be."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from interlock.policy.condition import Vocabulary, check_condition, compile_condition
from interlock.policy.satisfy import AXIOMS, satisfiable
from interlock.types.signals import Signals
from tests.policy import strategies
from tests.route.pool import ask

many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def holds(when: dict[str, Any], signals: Signals, lanes: tuple[str, ...] = ()) -> bool:
    return compile_condition(when)(signals, lanes, lanes)


@pytest.mark.parametrize(
    ("when", "signals"),
    [
        ({"data_class": "internal"}, ask()),
        ({"data_class": ["public", "internal"]}, ask()),
        ({"data_class": {"gte": "confidential"}}, ask(data_class="regulated")),
        ({"data_class": {"lte": "internal"}}, ask(data_class="public")),
        ({"input_tokens": {"gte": 10, "lte": 100}}, ask(input_tokens=100)),
        ({"tools": "search"}, ask(tools=("search", "deploy"))),
        ({"tools": {"all": ["search", "deploy"]}}, ask(tools=("search", "deploy"))),
        ({"tools": {"any": ["x", "deploy"]}}, ask(tools=("search", "deploy"))),
        ({"tools": {"not": "deploy"}}, ask(tools=())),
        ({"user_tier": {"not": "free"}}, ask(user_tier="paid")),
        ({"metadata": {"workflow": "close"}}, ask(metadata={"workflow": "close"})),
        ({"any": [{"task": "code"}, {"has_schema": True}]}, ask(has_schema=True)),
        ({"all": [{"task": "code"}, {"tenant": "acme"}]}, ask(task="code", tenant="acme")),
        ({"not": {"task": "code", "tenant": "acme"}}, ask(task="code", tenant="other")),
        ({"residency": "eu"}, ask(residency=("us", "eu"))),
    ],
)
def test_a_condition_matches(when: dict[str, Any], signals: Signals) -> None:
    assert check_condition(when, strategies.VOCABULARY) == ()
    assert holds(when, signals)


@pytest.mark.parametrize(
    "when",
    [
        {"user_tier": "free"},
        {"user_tier": {"not": "free"}},
        {"not": {"user_tier": "free"}},
        {"residency": {"not": "eu"}},
        {"metadata": {"workflow": {"not": "close"}}},
        {"not": {"metadata": {"workflow": "close"}}},
        {"lane": {"not": "triage"}},
        {"not": {"lane": "triage"}},
    ],
)
def test_a_missing_signal_never_matches_under_not_neither(when: dict[str, Any]) -> None:
    assert not holds(when, ask())


def test_under_not_one_known_false_branch_is_enough() -> None:
    assert holds({"not": {"user_tier": "free", "tenant": "acme"}}, ask(tenant="other"))


def test_a_lane_is_asked_of_all_in_force_and_denied_of_the_one_before_policy() -> None:
    test = compile_condition({"lane": "triage"})
    denies = compile_condition({"lane": {"not": "triage"}})
    assert test(ask(), ("patch", "triage"), ("patch",))
    assert denies(ask(), ("patch", "triage"), ("patch",))


@pytest.mark.parametrize(
    ("when", "path", "says"),
    [
        ({"data_clas": "internal"}, "data_clas", "did you mean `data_class`?"),
        ({"data_class": "secret"}, "data_class", "never `secret`"),
        ({"task": {"gte": "a"}}, "task.gte", "no order"),
        ({"lane": "nowhere"}, "lane", "never `nowhere`"),
        ({"alias": "prod"}, "alias", "never `prod`"),
        ({"metadata": {"ticket": "x"}}, "metadata.ticket", "not declared"),
        ({"hour_utc": {"gte": 24}}, "hour_utc.gte", "never `24`"),
        ({"has_schema": "yes"}, "has_schema", "true or false"),
        ({"tools": {"some": ["x"]}}, "tools.some", "unknown operator"),
        ({"tools": {"any": "x"}}, "tools.any", "takes a list"),
        ({"any": [{"taks": "x"}]}, "any[0].taks", "did you mean `task`?"),
        ({"not": {}}, "not", "empty condition"),
        ({"tools": []}, "tools", "empty list"),
        ({}, "", "empty condition"),
    ],
)
def test_a_faulty_condition_says_where_and_what(when: dict[str, Any], path: str, says: str) -> None:
    (fault,) = check_condition(
        when, Vocabulary(metadata=("workflow",), lanes=("triage",), aliases=("stable",))
    )
    assert fault.path == path
    assert says in f"{fault.problem} {fault.hint}"


@pytest.mark.parametrize(
    "when",
    [
        {"data_class": {"gte": "regulated", "lte": "internal"}},
        {"all": [{"tenant": "a"}, {"tenant": "b"}]},
        {"user_tier": "free", "not": {"user_tier": ["free", "paid"]}},
        {"input_tokens": {"gte": 10}, "not": {"input_tokens": {"gte": 5}}},
        {"tools": {"all": ["a", "b"]}, "not": {"tools": "a"}},
        {"tools": {"all": ["a"], "not": "a"}},
        {"has_schema": True, "any": [{"has_schema": False}]},
        {"trust": "untrusted", "risk_tier": "low"},
        {"data_class": "regulated", "risk_tier": {"lte": "medium"}},
        {"all": [{"metadata": {"workflow": "a"}}, {"metadata": {"workflow": "b"}}]},
        {"tool_effect": {"not": ["read", "write", "external", "critical"], "any": ["read"]}},
    ],
)
def test_a_condition_that_can_never_hold_is_proven_so(when: dict[str, Any]) -> None:
    assert not satisfiable(when)


@pytest.mark.parametrize(
    "when",
    [
        {"tools": {"all": ["a", "b"]}},
        {"residency": "eu", "all": [{"residency": "us"}]},
        {"residency": {"not": "eu"}},
        {"user_tier": {"not": "free"}},
        {"data_class": "regulated", "risk_tier": "high"},
        {"input_tokens": {"gte": 5, "lte": 5}},
    ],
)
def test_a_condition_that_can_hold_is_not_accused(when: dict[str, Any]) -> None:
    assert satisfiable(when)


def test_always_can_be_told_from_sometimes() -> None:
    """A rule always applies in a lane when nothing satisfies the lane without the rule."""
    assert not satisfiable({"lane": "triage", "task": "code"}, never=[{"task": ["code", "chat"]}])
    assert satisfiable({"lane": "triage"}, never=[{"task": "code"}])
    assert not satisfiable({"lane": "triage"}, never=[None])


@many
@given(strategies.conditions, strategies.signals)
def test_whatever_matches_a_request_is_satisfiable(when: dict[str, Any], signals: Signals) -> None:
    """The analysis is sound: it never calls a condition impossible that some request fulfils."""
    lanes = (signals.lane,) if signals.lane else ()
    if any(holds(dict(axiom), signals) for axiom in AXIOMS):
        return  # the classifier makes no such request
    if holds(when, signals, lanes):
        assert satisfiable(when)
    else:
        assert satisfiable(never=[when])


@many
@given(strategies.conditions, strategies.signals)
def test_a_condition_and_its_negation_never_both_match(when: dict[str, Any], signals: Signals) -> None:
    lanes = (signals.lane,) if signals.lane else ()
    assert not (holds(when, signals, lanes) and holds({"not": when}, signals, lanes))
