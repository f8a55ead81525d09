"""What is left of a limit that was told of, as calls begin, end in any order and tell anew."""

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from interlock.resilience.learned import Said
from interlock.resilience.quota import OFTEN_S, Quota


def told(remaining, most=None, full_s=20.0, *, unit="calls", steady=True):
    return Said(
        name=unit, unit=unit, remaining=remaining, most=most, full_s=full_s, steady=steady, account=False
    )


def heard(*limits, now=0.0):
    quota = Quota()
    quota.hear(limits, now, now, None)
    return quota


def test_what_is_left_goes_and_the_next_waits_for_the_reset():
    quota = heard(told(2))
    for _ in range(2):
        assert quota.start_at(1.0, 5) == 1.0
        quota.begin(1.0, 5)
    assert quota.start_at(1.0, 5) == 20.0
    assert quota.start_at(20.0, 5) == 20.0


def test_a_limit_that_fills_up_lets_one_call_after_the_other_go():
    quota, now, starts = heard(told(0, 60, 60.0)), 0.0, []
    for _ in range(5):
        now = quota.start_at(now, 1)
        quota.begin(now, 1)
        starts.append(now)
    assert starts == pytest.approx([1, 2, 3, 4, 5])


def test_those_who_wait_count_for_who_comes_later_and_not_for_one_another():
    quota = heard(told(0, 60, 60.0))
    ats = []
    for _ in range(3):
        ats.append(quota.start_at(0.0, 1))
        quota.wait(1)
    assert ats == pytest.approx([1, 2, 3])
    assert quota.wake(1.0, 1) == 1.0
    quota.begin(1.0, 1)
    assert quota.wake(2.0, 1) == pytest.approx(2.0)


def test_calls_that_began_after_the_one_that_tells_are_taken_off():
    quota = heard(told(100))
    marks = [quota.begin(0.0, 10) for _ in range(5)]
    quota.hear([told(4), told(45, unit="tokens")], 1.0, 0.0, marks[0])
    assert quota.start_at(1.0, 1) == 20.0, "four more had begun"
    quota.hear([told(4), told(45, unit="tokens")], 1.0, 0.0, marks[-1])
    assert quota.start_at(1.0, 45) == 1.0
    assert quota.start_at(1.0, 46) == 20.0


def test_who_began_earlier_knows_less_and_is_not_heard():
    quota = heard(told(100))
    early, late = quota.begin(0.0, 1), quota.begin(0.0, 1)
    quota.hear([told(0)], 1.0, 0.0, late)
    quota.hear([told(50)], 2.0, 0.0, early)
    assert quota.start_at(2.0, 1) == 20.0


def test_what_a_slow_answer_tells_has_filled_up_meanwhile():
    """600 a minute, ten a second all the time: an answer that took a minute tells of a minute ago."""
    quota = heard(told(500, 600, 10.0))
    mark = quota.begin(0.0, 1)
    for second in range(60):
        for _ in range(10):
            assert quota.start_at(float(second), 1) == second
            quota.begin(float(second), 1)
    quota.hear([told(500, 600, 10.0)], 60.0, 0.0, mark)
    assert quota.start_at(60.0, 1) == 60.0


def test_half_of_a_limit_is_left_for_those_who_are_waited_for():
    assert heard(told(31, 60)).leaves_half(0.0, 1)
    assert not heard(told(30, 60)).leaves_half(0.0, 1)
    assert heard(told(30, 60)).leaves_half(60.0, 1), "forgotten"
    assert not heard(told(0)).leaves_half(0.0, 1)


def test_answers_need_not_be_read_each_time_while_most_is_left():
    quota = Quota()
    assert not heard(told(90)).is_known(0.0), "of how many, nobody said"
    quota.hear([told(90, 100)], 0.0, 0.0, None)
    assert quota.is_known(OFTEN_S / 2)
    assert not quota.is_known(OFTEN_S)
    for _ in range(45):
        quota.begin(0.1, 1)
    assert not quota.is_known(0.1), "less than half is left"


@for_all(
    remaining=st.integers(0, 20),
    more=st.integers(0, 40) | st.none(),
    full_s=st.integers(1, 60),
    steady=st.booleans(),
    gaps=st.lists(st.integers(0, 40), max_size=60),
)
def test_never_more_begin_than_was_told_of_until_it_is_full_again(remaining, more, full_s, steady, gaps):
    most = None if more is None else remaining + more
    quota = heard(told(remaining, most, float(full_s), steady=steady))
    rate = (more or 0) / full_s if steady else 0.0
    now, begun = 0.0, 0
    for eighths in gaps:
        now += eighths / 8
        at = quota.start_at(now, 1)
        assert now <= at <= max(now, 60.0)
        if at > now:
            continue  # it would wait
        quota.begin(now, 1)
        begun += 1
        if now < full_s:
            assert most == 0 or begun <= remaining + rate * now + 1e-6
