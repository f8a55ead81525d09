"""How many calls at once an upstream is given, by how it has fared."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from interlock.config.written import Breaker, Limits, RetryBudget
from interlock.resilience.crowd import CALM_S, Crowd
from interlock.resilience.health import TargetHealth, UpstreamHealth
from interlock.resilience.learned import said
from interlock.resilience.limits import Slots


def test_overload_takes_a_quarter_of_what_was_under_way_and_answers_add_one_each_round():
    crowd = Crowd()
    assert crowd.overload(1.0, 0.0, 20)
    assert crowd.most == 15
    for _ in range(15):
        crowd.succeed(2.0)
    assert crowd.most == 16
    assert crowd.overload(3.0, 2.0, 16)
    assert crowd.most == 12


def test_calls_that_began_before_a_cut_cut_no_further():
    crowd = Crowd()
    assert crowd.overload(1.0, 0.0, 20)
    assert not crowd.overload(1.1, 0.5, 19)
    assert crowd.most == 15


def test_where_nothing_has_been_answered_since_the_last_cut_one_fewer_may_go():
    crowd = Crowd()
    assert crowd.overload(1.0, 0.0, 20)
    for now in (2.0, 3.0, 4.0):
        assert crowd.overload(now, now, 15)
    assert crowd.most == 12
    crowd.succeed(5.0)
    assert crowd.overload(6.0, 5.0, 12)
    assert crowd.most == 9


def test_one_call_alone_is_not_too_many():
    crowd = Crowd()
    assert not crowd.overload(1.0, 0.0, 1)
    assert crowd.most is None


def test_what_was_learned_is_forgotten_after_a_calm_minute():
    crowd = Crowd()
    crowd.overload(1.0, 0.0, 2)
    assert crowd.most == 1
    assert not crowd.relax(CALM_S)
    assert crowd.relax(1.0 + CALM_S)
    assert crowd.most is None


def test_an_account_has_a_throttle_just_while_there_is_something_to_hold_back_by():
    upstream = UpstreamHealth(RetryBudget(), None)
    assert upstream.throttle is None
    upstream.slots.taken = 4
    upstream.overloaded(1.0, 0.0)
    assert upstream.throttle is not None
    assert upstream.throttle.slots.most == 3
    upstream.answered(1.0 + CALM_S)
    assert upstream.throttle is None
    upstream.overloaded(100.0, 99.0)
    assert upstream.slots.crowd.relax(100.0 + CALM_S), "as who comes next has it do"
    upstream.answered(100.0 + CALM_S)
    assert upstream.throttle is None
    told = said({"ratelimit-remaining": "1", "ratelimit-reset": "9"}, 0.0)
    assert not upstream.hear(TargetHealth(Breaker()), told, 1.0, 1.0, ())
    assert upstream.throttle is not None


def test_a_reload_keeps_what_was_learned_and_what_is_under_way():
    upstream = UpstreamHealth(RetryBudget(), Limits(concurrency=8))
    upstream.slots.taken = 8
    upstream.overloaded(1.0, 0.0)
    upstream.limit(Limits(concurrency=2))
    assert upstream.throttle is not None
    assert (upstream.throttle.slots.most, upstream.throttle.slots.taken) == (2, 8)
    upstream.limit(None)
    assert upstream.throttle is not None
    assert upstream.throttle.slots.most == 6


class AnyWeather(RuleBasedStateMachine):
    """Calls begin, answer, and are turned away, at an account that may have twelve at once."""

    def __init__(self):
        super().__init__()
        self.slots: Slots[int] = Slots(12)
        self.now = 0.0
        self.under_way: list[float] = []
        self.cut_at: float | None = None

    @rule(seconds=st.floats(0.01, 30))
    def wait(self, seconds):
        self.now += seconds
        self.slots.crowd.relax(self.now)

    @rule()
    def come(self):
        most = self.slots.most
        assert most is not None
        assert self.slots.enter() is (len(self.under_way) < most)
        if len(self.under_way) < most:
            self.under_way.append(self.now)

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 20), too_much=st.booleans())
    def end(self, which, too_much):
        began = self.under_way.pop(which % len(self.under_way))
        before = self.slots.crowd.most
        if not too_much:
            self.slots.crowd.succeed(self.now)
        elif self.slots.overload(self.now, began):
            self.cut_at = self.now
            after = self.slots.crowd.most
            assert after is not None
            assert before is None or after < before or before == 1
        self.slots.leave()

    @invariant()
    def between_one_and_what_is_configured(self):
        assert 1 <= (self.slots.most or 0) <= 12
        assert self.slots.taken == len(self.under_way)
        if self.cut_at is None or self.now >= self.cut_at + CALM_S:
            self.slots.crowd.relax(self.now)
            assert self.slots.most == 12


TestAnyWeather = AnyWeather.TestCase
