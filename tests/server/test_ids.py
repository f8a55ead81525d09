"""Names that nobody else has, and amounts as they are written in headers."""

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from interlock.server.ids import Entropy, dollars, fresh_name, fresh_nonce

PRICES = st.sampled_from([0.02, 0.025, 0.075, 0.1, 0.125, 0.15, 0.3, 0.6, 1.25, 2.5, 3.0, 10.0, 15.0, 75.0])
COUNTED = st.lists(st.tuples(st.integers(0, 200_000), PRICES), min_size=1, max_size=4).map(
    lambda parts: sum(tokens * price for tokens, price in parts) / 1e6
)
HALVES = st.integers(0, 10**8).map(lambda units: (units + 0.5) / 1e8)


@settings(max_examples=400)
@given(COUNTED | HALVES | st.floats(0, 2) | st.floats(0, 1e-6) | st.floats(allow_nan=False))
@example(0.0)
@example(-0.0)
@example(5e-9)
@example(2.5e-8)
@example(0.99999998)
@example(0.999999985)
@example(0.999999995)
@example(1.0)
@example(float("inf"))
@example(float("nan"))
def test_an_amount_is_written_as_the_language_itself_writes_it_to_eight_decimals(usd):
    assert dollars(usd) == f"{usd:.8f}"


def test_names_are_26_hexadecimal_digits_sort_by_time_and_none_comes_twice():
    names = [fresh_name() for _ in range(3000)]
    assert all(re.fullmatch("[0-9a-f]{26}", name) for name in names)
    assert len({name[12:] for name in names}) == len(names)
    assert [name[:12] for name in names] == sorted(name[:12] for name in names)
    nonces = {fresh_nonce() for _ in range(600)}
    assert len(nonces) == 600
    assert all(re.fullmatch("[0-9a-f]{32}", nonce) for nonce in nonces)


def test_every_byte_of_a_page_is_given_out_once_at_most():
    class Small(Entropy):
        PAGE = 16

    small = Small(7)
    assert len({small.take() for _ in range(50)}) == 50
    assert len(small.take()) == 14
