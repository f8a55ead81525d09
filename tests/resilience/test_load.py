"""What is given up under load, in which order, and when it comes back."""

from hypothesis import given as for_all
from hypothesis import strategies as st

from interlock.resilience.load import ENTER_S, LATE_S, LEAVE_S, Degrade, Load
from interlock.types.labels import Degraded, DegradeMode, LatencyClass

MODES: tuple[Degraded, ...] = ("no_shadow", "fewer_tools", "cheap_models")
TICK_S = 0.25


def busy(load: Load, late_s: float) -> None:
    for _ in range(50):
        load.measure(late_s)


@for_all(st.lists(st.floats(0, 2), max_size=20), st.integers(0, 40), st.none() | st.integers(1, 30))
def test_no_interactive_request_is_turned_away_while_a_batch_request_would_be_served(late, in_flight, most):
    load = Load(most)
    load.in_flight = in_flight
    for seconds in late:
        load.measure(seconds)
    assert load.sheds("interactive") <= load.sheds("background") <= load.sheds("batch")


def test_requests_under_way_count_where_a_number_is_set():
    load = Load(10)
    turned: dict[LatencyClass, int] = {}
    names: tuple[LatencyClass, ...] = ("batch", "background", "interactive")
    for count in range(11):
        load.in_flight = count
        for name in names:
            if load.sheds(name):
                turned.setdefault(name, count)
    assert turned == {"batch": 7, "background": 9, "interactive": 10}
    assert not Load().sheds("batch")


def test_one_late_moment_turns_nobody_away_and_a_loop_that_stays_late_does():
    load = Load()
    for late_s in (5.0, 0.0, 5.0, 5.0, 5.0, 0.01, 5.0):
        load.measure(late_s)
        assert not load.sheds("batch")
    busy(load, LATE_S * 1.1)
    assert load.sheds("interactive")
    load.measure(0.0)
    assert not load.sheds("batch")


def mode_of(degrade: Degrade) -> DegradeMode:
    return degrade.mode


def run(degrade: Degrade, load: float, seconds: float, now: float) -> float:
    for _ in range(round(seconds / TICK_S)):
        now += TICK_S
        degrade.observe(now, load)
    return now


def test_modes_are_entered_one_after_the_other_and_left_more_slowly():
    degrade = Degrade(MODES)
    now = run(degrade, 0.9, ENTER_S - 0.5, 0.0)
    assert mode_of(degrade) == "none"
    now = run(degrade, 0.9, 1, now)
    assert mode_of(degrade) == "no_shadow"
    now = run(degrade, 0.9, 60, now)
    assert mode_of(degrade) == "cheap_models"
    now = run(degrade, 0.65, 600, now)
    assert mode_of(degrade) == "cheap_models"
    now = run(degrade, 0.1, LEAVE_S + 1, now)
    assert mode_of(degrade) == "fewer_tools"
    run(degrade, 0.1, 60, now)
    assert mode_of(degrade) == "none"


def test_a_load_that_swings_around_a_threshold_does_not_make_modes_flap():
    degrade = Degrade(MODES)
    changes, now, before = 0, 0.0, degrade.mode
    for number in range(2000):
        now += TICK_S
        degrade.observe(now, 0.9 if number % 6 < 3 else 0.45)
        changes += degrade.mode != before
        before = degrade.mode
    assert changes == 0


def test_without_modes_nothing_is_entered_and_a_reload_that_takes_some_away_leaves_them():
    degrade = Degrade(())
    run(degrade, 1.0, 60, 0.0)
    assert mode_of(degrade) == "none"
    degrade.modes = MODES
    run(degrade, 1.0, 60, 100.0)
    degrade.modes = MODES[:1]
    assert mode_of(degrade) == "no_shadow"
