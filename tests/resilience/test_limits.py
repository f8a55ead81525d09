"""Calls and tokens in any minute, calls at once, and a queue that has an end."""

from hypothesis import given as for_all
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from interlock.config.written import Limits
from interlock.resilience.limits import SPAN_S, Slots, Throttle, Window


def test_the_next_call_fits_a_minute_after_the_first():
    window = Window(3)
    for now in (10.0, 20.0, 30.0):
        assert window.start_at(now, 1) == now
        window.reserve(now, 1)
    assert window.start_at(31.0, 1) == 70.0
    assert window.start_at(71.0, 1) == 71.0


def test_more_than_a_whole_minutes_tokens_fit_into_an_empty_minute():
    window = Window(100)
    assert window.start_at(5.0, 1000) == 5.0
    window.reserve(5.0, 1000)
    assert window.start_at(6.0, 1) == 65.0


@for_all(
    st.integers(1, 20),
    st.lists(st.tuples(st.integers(0, 240), st.integers(1, 25)), max_size=60),
)
def test_no_sixty_seconds_ever_hold_more_than_allowed(most, asks):
    window, now, starts = Window(most), 0.0, []
    for eighths, units in asks:
        now += eighths / 8
        at = window.start_at(now, units)
        assert at >= now
        window.reserve(at, units)
        starts.append((at, min(units, most)))
    for end, _ in starts:
        assert sum(units for at, units in starts if end - SPAN_S < at <= end) <= most


def test_tokens_that_an_answer_turned_out_to_have_count_too():
    throttle: Throttle[int] = Throttle(Limits(tokens_per_minute=100))
    throttle.reserve(throttle.start_at(1.0, 60), 60)
    throttle.produced(2.0, 40)
    assert throttle.start_at(3.0, 10) == 61.0


def test_interactive_goes_before_batch_and_batch_gives_way_in_a_full_queue():
    slots: Slots[str] = Slots(1)
    assert slots.enter()
    for number in range(slots.places):
        assert slots.queue(f"batch {number}", 2) == (True, None)
    assert slots.queue("batch too many", 2) == (False, None)
    last = f"batch {slots.places - 1}"
    assert slots.queue("interactive", 0) == (True, last)
    for name in ("interactive", "batch 0"):
        slots.leave()
        assert slots.following() == name
        assert slots.following() is None


class AnyTraffic(RuleBasedStateMachine):
    """Callers enter, queue, give up and leave in any order."""

    def __init__(self):
        super().__init__()
        self.slots: Slots[int] = Slots(2)
        self.slots.places = 5
        self.inside = 0
        self.waiting: dict[int, int] = {}
        self.number = 0

    @rule(rank=st.integers(0, 2))
    def come(self, rank):
        self.number += 1
        if self.slots.enter():
            assert not self.waiting
            self.inside += 1
            return
        stands, gone = self.slots.queue(self.number, rank)
        if gone is not None:
            assert self.waiting.pop(gone) > rank
        if stands:
            self.waiting[self.number] = rank
        else:
            assert all(other <= rank for other in self.waiting.values())

    @precondition(lambda self: self.inside)
    @rule()
    def leave(self):
        self.slots.leave()
        following = self.slots.following()
        if following is None:
            assert not self.waiting
            self.inside -= 1
        else:
            rank = self.waiting.pop(following)
            assert all(rank <= other for other in self.waiting.values())

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 10))
    def give_up(self, which):
        ticket = list(self.waiting)[which % len(self.waiting)]
        del self.waiting[ticket]
        self.slots.give_up(ticket)

    @invariant()
    def never_more_than_allowed(self):
        assert self.slots.taken == self.inside <= (self.slots.most or 0)
        assert self.slots.waiting == len(self.waiting) <= self.slots.places


TestAnyTraffic = AnyTraffic.TestCase
