"""What a record says of how long an attempt took: milliseconds, to the microsecond."""

from hypothesis import example, given
from hypothesis import strategies as st

from interlock.stats.rounding import milliseconds


@given(st.floats(0, 1e6))
@example(0.0)
@example(0.0000005)
@example(0.0000015)
@example(1.2345675)
def test_a_latency_is_rounded_to_the_microsecond_as_round_does(seconds):
    assert milliseconds(seconds) == round(seconds * 1_000_000) / 1000
