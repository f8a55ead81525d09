"""Static reasoning about rules agrees with the router that applies them."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from interlock.config.reach import always, objection
from interlock.config.written import Rule, Then
from interlock.policy.condition import compile_condition
from interlock.route.snapshot import static_objection
from interlock.types.signals import Signals
from tests.config.base import many, whole

TEXT = """
providers:
  home: {kind: openai, base_url: http://a, regions: [eu]}
  cloud: {kind: openai, base_url: http://b, regions: [us], jurisdiction: us}
  wide: {kind: openai, base_url: http://c, regions: [us, eu], vendor: cloud}
  vague: {kind: openai, base_url: http://d}
models:
  small: {provider: home, origin: fr}
  large: {provider: cloud, origin: us}
  broad: {provider: wide, origin: cn}
  blurred: {provider: vague}
"""
WHOLE = whole(TEXT)
CANDIDATES = [
    (model, WHOLE.config.providers[model.provider], deployment)
    for model in WHOLE.config.models.values()
    for deployment in WHOLE.config.providers[model.provider].deployments
]


def named(*names: str) -> st.SearchStrategy[tuple[str, ...] | None]:
    return st.none() | st.lists(st.sampled_from(names), max_size=2).map(tuple)


DEMANDS: dict[str, st.SearchStrategy[Any]] = {
    "vendors": named("home", "cloud"),
    "providers": named("home", "cloud", "wide"),
    "regions": named("eu", "us"),
    "jurisdictions": named("us"),
    "deny_origins": st.sampled_from([("cn",), ("us", "fr")]),
    "pin": st.sampled_from(["small", "large"]),
    "deny": st.just("no"),
}
# One demand, seldom two: of many at once, one would hide what another gets wrong.
THENS = st.lists(st.sampled_from(sorted(DEMANDS)), min_size=1, max_size=2, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: DEMANDS[name] for name in names}).map(
        lambda kept: Then(**kept)
    )
)


@many
@given(THENS, st.sampled_from(CANDIDATES))
def test_a_rule_drops_a_candidate_here_exactly_where_it_does_in_the_router(then, candidate):
    model, provider, deployment = candidate
    here = objection(then, model, provider, deployment, WHOLE)
    assert (here is None) == (static_objection(then, model, provider, deployment) is None)


VALUES = {
    "data_class": st.sampled_from(["public", "internal", "confidential", "regulated"]),
    "trust": st.sampled_from(["trusted", "untrusted"]),
    "user_tier": st.sampled_from(["free", "paid"]),
    "hour_utc": st.integers(0, 23),
}
ATOMS = st.one_of(*(st.fixed_dictionaries({name: values}) for name, values in VALUES.items()))
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        inner.map(lambda when: {"not": when}),
        st.lists(inner, min_size=1, max_size=3).map(lambda many: {"any": many}),
        st.lists(inner, min_size=1, max_size=3).map(lambda many: {"all": many}),
    ),
    max_leaves=5,
)
SIGNALS = st.builds(
    Signals,
    model=st.just("x"),
    data_class=VALUES["data_class"],
    trust=VALUES["trust"],
    user_tier=st.none() | VALUES["user_tier"],
    hour_utc=VALUES["hour_utc"],
    risk_tier=st.just("high"),
)


@many
@given(st.none() | CONDITIONS, CONDITIONS, SIGNALS)
def test_a_rule_that_always_applies_to_a_kind_is_escaped_by_no_request_of_it(when, kind, signals):
    if always(Rule(name="r", when=when, then=Then()), [kind]) and compile_condition(kind)(signals, (), ()):
        assert compile_condition(when)(signals, (), ())


def test_a_rule_without_a_condition_always_applies():
    assert always(Rule(name="r", then=Then()), ())


def test_a_rule_on_the_signal_that_defines_the_kind_always_applies():
    rule = Rule(name="r", when={"data_class": {"gte": "confidential"}}, then=Then())
    assert always(rule, [{"task": "x", "data_class": "regulated"}])
    assert not always(rule, [{"task": "x", "data_class": {"gte": "internal"}}])
    assert not always(rule, [{"task": "x"}])


def test_a_rule_on_the_risk_that_a_kind_brings_with_it_always_applies():
    rule = Rule(name="r", when={"risk_tier": {"gte": "high"}}, then=Then())
    assert always(rule, [{"data_class": "regulated"}])
