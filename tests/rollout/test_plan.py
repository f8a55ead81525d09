"""The state machine of a rollout, alone with a clock that is an argument."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from interlock.config.written import Rollout, RolloutStep
from interlock.rollout.plan import (
    VERBS,
    NotNow,
    Plan,
    Progress,
    Step,
    abort,
    advance,
    begin,
    pause,
    plan_of,
    promote,
    resume,
    weight,
)

SECOND = 1_000_000
PLAN = Plan(
    name="canary",
    steps=(Step(weight=0.1, for_us=10 * SECOND), Step(weight=0.5), Step(weight=1.0)),
)


def at(plan, progress, verdict, second):
    return advance(plan, progress, verdict, f"it {verdict}", second * SECOND)


def test_a_plan_is_read_from_the_config_in_microseconds():
    written = Rollout(steps=(RolloutStep(weight=0.05, for_="250ms"), RolloutStep(weight=1.0)))
    assert plan_of("x", written).steps == (Step(weight=0.05, for_us=250_000), Step(weight=1.0))
    for text, microseconds in (("3s", 3e6), ("2m", 12e7), ("1h", 36e8), ("1d", 864e8)):
        (step,) = plan_of("x", Rollout(steps=(RolloutStep(weight=1, for_=text),))).steps
        assert step.for_us == microseconds


def test_a_step_ends_when_its_time_is_over_and_its_guardrails_hold():
    progress = begin(PLAN, 0)
    assert (progress.state, progress.step, weight(PLAN, progress)) == ("running", 0, 0.1)
    assert at(PLAN, progress, "holds", 9) == progress
    later = at(PLAN, progress, "holds", 10)
    assert (later.state, later.step, later.began, weight(PLAN, later)) == ("running", 1, 10 * SECOND, 0.5)


def test_o6_doubt_pauses_and_never_goes_on_until_the_data_say_so():
    doubtful = at(PLAN, begin(PLAN, 0), "undecided", 10)
    assert (doubtful.state, doubtful.waits_for, weight(PLAN, doubtful)) == ("paused", "data", 0.1)
    assert at(PLAN, doubtful, "undecided", 10_000).step == 0
    assert at(PLAN, doubtful, "holds", 11).step == 1


@pytest.mark.parametrize("state", ["running", "paused by hand", "waiting for data", "waiting for a human"])
def test_a_breach_aborts_at_any_time(state):
    progress = {
        "running": begin(PLAN, 0),
        "paused by hand": pause(begin(PLAN, 0), "lunch", 1),
        "waiting for data": at(PLAN, begin(PLAN, 0), "undecided", 10),
        "waiting for a human": at(PLAN, at(PLAN, begin(PLAN, 0), "holds", 10), "holds", 11),
    }[state]
    ended = at(PLAN, progress, "breach", 12)
    assert (ended.state, ended.why, weight(PLAN, ended)) == ("aborted", "it breach", 0.0)


def test_a_pause_stops_the_clock_of_the_step():
    paused = pause(begin(PLAN, 0), "lunch", 6 * SECOND)
    assert at(PLAN, paused, "holds", 60) == paused
    again = resume(PLAN, paused, "back", 100 * SECOND)
    assert at(PLAN, again, "holds", 103).step == 0
    assert at(PLAN, again, "holds", 104).step == 1


def test_a_step_without_a_time_waits_for_a_human_and_the_last_one_promotes():
    second = at(PLAN, begin(PLAN, 0), "holds", 10)
    waiting = at(PLAN, second, "holds", 11)
    assert (waiting.state, waiting.waits_for) == ("paused", "human")
    assert at(PLAN, waiting, "holds", 500) == waiting
    done = resume(PLAN, waiting, "ship it", 501)
    assert (done.state, done.why, weight(PLAN, done)) == ("promoted", "ship it", 1.0)


def test_a_plan_that_stops_short_of_everything_waits_at_its_end():
    plan = Plan(name="half", steps=(Step(weight=0.5, for_us=SECOND),))
    waiting = at(plan, begin(plan, 0), "holds", 1)
    assert (waiting.state, waiting.waits_for, weight(plan, waiting)) == ("paused", "human", 0.5)


def test_a_last_step_with_a_time_is_watched_for_it():
    plan = Plan(name="all", steps=(Step(weight=1.0, for_us=SECOND),))
    assert begin(plan, 0).state == "running"
    assert at(plan, begin(plan, 0), "holds", 1).state == "promoted"


def test_a_clock_that_goes_back_ends_no_step():
    progress = begin(PLAN, 100 * SECOND)
    assert at(PLAN, progress, "holds", 5) == progress
    assert pause(progress, "", 5).ran_us == 0


class Machine(RuleBasedStateMachine):
    """Any order of looks and hands: shares only rise, an end is an end, a step lasts as long as it says."""

    def __init__(self):
        super().__init__()
        self.now = 0
        self.plan = PLAN
        self.progress = begin(PLAN, 0)
        self.seen: list[Progress] = [self.progress]
        self.ran = 0

    def keep(self, progress):
        if progress.step != self.progress.step or progress.began != self.progress.began:
            self.ran = 0
        self.progress = progress
        self.seen.append(progress)

    @rule(seconds=st.integers(0, 8))
    def time_goes_by(self, seconds):
        self.now += seconds * SECOND
        if self.progress.state == "running":
            self.ran += seconds * SECOND

    @rule(verdict=st.sampled_from(["holds", "undecided", "breach", "holds", "holds"]))
    def look(self, verdict):
        before = self.progress
        after = advance(self.plan, before, verdict, "because", self.now)
        if after.step > before.step and before.waits_for is None:
            assert self.ran >= (self.plan.steps[before.step].for_us or 0)
            assert verdict == "holds"
        if verdict == "breach" and before.is_live:
            assert after.state == "aborted"
        self.keep(after)
        settled = advance(self.plan, after, verdict, "because", self.now)
        assert advance(self.plan, settled, verdict, "because", self.now) == settled or settled.is_live

    @rule(verb=st.sampled_from(sorted(VERBS)))
    def hand(self, verb):
        before = self.progress
        try:
            after = VERBS[verb](self.plan, before, "said so", self.now)
        except NotNow:
            assert not before.is_live
            return
        if not before.is_live:
            assert after == before, "what has ended stays as it ended"
        elif verb in ("pause", "abort", "promote"):
            assert VERBS[verb](self.plan, after, "said so again", self.now + SECOND) == after
        self.keep(after)

    @precondition(lambda self: not self.progress.is_live)
    @rule()
    def nothing_moves_what_has_ended(self):
        for verdict in ("holds", "breach", "undecided"):
            assert advance(self.plan, self.progress, verdict, "", self.now + 10**12) == self.progress

    @invariant()
    def shares_only_rise_until_the_end(self):
        shares = [weight(self.plan, one) for one in self.seen if one.state != "aborted"]
        assert shares == sorted(shares)
        assert (self.progress.waits_for is not None) == (self.progress.state == "paused")


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_what_has_ended_cannot_be_ended_otherwise():
    for ended, verbs in (
        (abort(begin(PLAN, 0), "", 1), "promote"),
        (promote(begin(PLAN, 0), "", 1), "abort"),
    ):
        with pytest.raises(NotNow, match=f"the rollout is {ended.state} already"):
            VERBS[verbs](PLAN, ended, "", 2)
