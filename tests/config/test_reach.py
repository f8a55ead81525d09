"""Static reasoning about rules agrees with the router that applies them."""

from hypothesis import given
from hypothesis import strategies as st

from interlock.config.reach import always
from interlock.config.written import Rule, Then
from interlock.policy.condition import compile_condition
from interlock.types.signals import Signals
from tests.config.base import many

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
