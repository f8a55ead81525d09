"""Numbers are rounded as Python rounds them."""

from math import copysign, nextafter

from hypothesis import example, given, settings
from hypothesis import strategies as st

from interlock.stats.rounding import rounded

halves = st.builds(lambda whole, power: (whole + 0.5) / 10**power, st.integers(0, 10**13), st.integers(0, 12))
costs = st.builds(
    lambda tokens, price, capped, dear: (tokens * price + capped * dear) / 1_000_000,
    st.integers(0, 10**7),
    st.floats(0, 1000),
    st.integers(0, 10**6),
    st.decimals(0, 1000, places=3).map(float),
)
values = costs | halves | halves.map(lambda half: nextafter(half, 0)) | st.floats(allow_nan=False)


@settings(max_examples=3000, deadline=None)
@given(values.filter(lambda value: abs(value) != float("inf")), st.integers(0, 9))
@example(-0.0, 3)
@example(2.675, 2)
@example(0.5, 0)
@example(1.0000000005, 9)
def test_a_number_is_rounded_as_python_does(value, places):
    found, expected = rounded(value, places), round(value, places)
    assert found == expected
    assert copysign(1.0, found) == copysign(1.0, expected)
