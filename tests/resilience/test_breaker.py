"""When a target is left alone, and how it comes back: rows of a table, and laws over every history."""

from dataclasses import dataclass

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from interlock.config.written import Breaker as Rules
from interlock.resilience.breaker import LONGEST_OPEN_S, RATE_CALLS, Breaker

RULES = Rules(failures=5, window_s=30, open_s=10)


def fail(breaker, *at, alone=False):
    for now in at:
        assert breaker.wait_s(now) is None
        breaker.fail(now, probe=breaker.begin(now), alone=alone)


def succeed(breaker, *at):
    for now in at:
        assert breaker.wait_s(now) is None
        breaker.succeed(now, probe=breaker.begin(now))


def test_it_opens_at_so_many_failures_in_a_row_and_not_before():
    breaker = Breaker(RULES)
    fail(breaker, 1, 2, 3, 4)
    assert breaker.wait_s(5) is None
    fail(breaker, 5)
    assert breaker.wait_s(5) == 10
    assert breaker.wait_s(14) == 1
    assert breaker.wait_s(15) is None


def test_an_answer_between_failures_breaks_the_row():
    breaker = Breaker(RULES)
    fail(breaker, 1, 2, 3, 4)
    succeed(breaker, 5)
    fail(breaker, 6, 7, 8, 9)
    assert breaker.wait_s(9) is None


def test_a_row_that_took_longer_than_the_window_begins_anew():
    breaker = Breaker(RULES)
    fail(breaker, 0, 1, 2, 3, 40)
    assert breaker.wait_s(40) is None


def test_it_opens_when_half_of_many_calls_fail_unless_nobody_else_could_serve():
    for alone in (False, True):
        breaker = Breaker(RULES)
        for number in range(RATE_CALLS):
            now = number / 10
            if breaker.wait_s(now) is None:
                fail(breaker, now, alone=alone) if number % 2 else succeed(breaker, now)
        assert (breaker.wait_s(2) is None) is alone


def test_a_row_of_failures_opens_it_even_if_nobody_else_could_serve():
    breaker = Breaker(RULES)
    fail(breaker, 1, 2, 3, 4, 5, alone=True)
    assert breaker.wait_s(5) is not None


def test_exactly_one_probe_finds_out():
    breaker = Breaker(RULES)
    fail(breaker, 1, 2, 3, 4, 5)
    assert breaker.begin(15) is True
    assert breaker.wait_s(15) is not None
    breaker.succeed(16, probe=True)
    assert breaker.wait_s(16) is None
    assert breaker.begin(16) is False


def test_it_stays_open_longer_each_time_and_forgets_that_after_a_calm_window():
    breaker = Breaker(RULES)
    fail(breaker, 1, 2, 3, 4, 5)
    lengths: list[float] = []
    for _ in range(40):
        assert breaker.open_until is not None
        at = breaker.open_until
        breaker.fail(at, probe=breaker.begin(at), alone=False)
        lengths.append(breaker.open_until - at)
    assert lengths[:3] == [20, 30, 40]
    assert lengths == sorted(lengths)
    assert lengths[-1] == LONGEST_OPEN_S
    at = breaker.open_until or 0.0
    breaker.succeed(at, probe=breaker.begin(at))
    fail(breaker, at + 100, at + 101, at + 102, at + 103, at + 104)
    assert breaker.open_until == at + 114


def test_a_target_that_fails_again_right_after_its_probe_stays_open_longer():
    breaker = Breaker(RULES)
    fail(breaker, 1, 2, 3, 4, 5)
    succeed(breaker, 15)
    fail(breaker, 16, 17, 18, 19, 20)
    assert breaker.open_until == 40


def test_a_probe_that_was_cancelled_makes_room_for_another():
    breaker = Breaker(RULES)
    fail(breaker, 1, 2, 3, 4, 5)
    assert breaker.begin(15)
    breaker.drop(probe=True)
    assert breaker.wait_s(15) is None


@pytest.mark.parametrize("ends", ["succeed", "fail"])
def test_calls_from_before_it_opened_say_nothing_about_now(ends):
    breaker = Breaker(RULES)
    early = breaker.begin(0)
    fail(breaker, 1, 2, 3, 4, 5)
    if ends == "succeed":
        breaker.succeed(6, probe=early)
    else:
        breaker.fail(6, probe=early, alone=False)
    assert breaker.open_until == 15


@for_all(st.lists(st.booleans(), max_size=60))
def test_a_target_that_is_alone_is_left_alone_only_for_a_row_of_failures(ends):
    breaker = Breaker(RULES)
    row = 0
    for now, works in enumerate(ends):
        if breaker.wait_s(now) is not None:
            assert row >= RULES.failures
            return
        if works:
            succeed(breaker, now)
            row = 0
        else:
            fail(breaker, now, alone=True)
            row += 1


@dataclass
class Call:
    probe: bool


class AnyHistory(RuleBasedStateMachine):
    """Calls begin, overlap and end in any order, time passes in any steps."""

    @initialize(failures=st.integers(1, 6), window_s=st.integers(1, 60), open_s=st.sampled_from([1, 10, 400]))
    def start(self, failures, window_s, open_s):
        self.open_s = open_s
        self.breaker = Breaker(Rules(failures=failures, window_s=window_s, open_s=open_s))
        self.now = 0.0
        self.calls: list[Call] = []

    @rule(seconds=st.floats(0, 400))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def begin(self):
        if self.breaker.wait_s(self.now) is None:
            was_open = self.breaker.open_until is not None
            probe = self.breaker.begin(self.now)
            assert probe is was_open
            self.calls.append(Call(probe))

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 100), end=st.sampled_from(["ok", "bad", "gone"]), alone=st.booleans())
    def end(self, which, end, alone):
        call = self.calls.pop(which % len(self.calls))
        was_open = self.breaker.open_until
        if end == "ok":
            self.breaker.succeed(self.now, probe=call.probe)
        elif end == "bad":
            self.breaker.fail(self.now, probe=call.probe, alone=alone)
        else:
            self.breaker.drop(probe=call.probe)
        if was_open is not None and not call.probe:
            assert self.breaker.open_until == was_open
        if call.probe:
            assert (self.breaker.open_until is None) is (end == "ok")

    @invariant()
    def one_probe_at_most_and_an_end_to_every_wait(self):
        if not hasattr(self, "breaker"):
            return
        assert sum(call.probe for call in self.calls) == self.breaker.probing
        wait_s = self.breaker.wait_s(self.now)
        assert wait_s is None or 0 < wait_s <= max(LONGEST_OPEN_S, self.open_s) + 1e-6


TestAnyHistory = AnyHistory.TestCase
