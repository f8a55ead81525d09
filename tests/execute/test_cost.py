"""Money: unknown is never zero, and a cap never lets a call cost more than is left."""

import math

from hypothesis import given as for_all
from hypothesis import strategies as st

from interlock.config.written import Price
from interlock.execute.cost import affordable_tokens, cost_usd
from interlock.execute.usage import MOST, complete, credible
from interlock.types.answer import Usage
from tests.execute.given import PRICE

COUNTS = st.integers(-(10**13), 10**13) | st.none()


def test_cached_and_written_input_have_their_own_price():
    usage = Usage(input_tokens=1000, cached_tokens=600, cache_write_tokens=100, output_tokens=50)
    assert math.isclose(cost_usd(usage, PRICE) or 0, (300 * 2 + 600 * 0.5 + 100 * 2.5 + 50 * 10) / 1e6)


def test_cached_input_costs_the_full_price_where_it_has_none_of_its_own():
    usage = Usage(input_tokens=1000, cached_tokens=600, output_tokens=0)
    assert math.isclose(cost_usd(usage, Price(input=2, output=10)) or 0, 2000 / 1e6)


def test_o5_an_unpriced_model_costs_an_unknown_amount_not_nothing():
    assert cost_usd(Usage(input_tokens=5, output_tokens=5), None) is None


def test_an_unknown_count_makes_an_unknown_cost():
    assert cost_usd(Usage(input_tokens=5), PRICE) is None


def test_a_free_model_costs_nothing_and_is_bounded_by_nothing():
    free = Price(input=0, output=0)
    assert cost_usd(Usage(input_tokens=5, output_tokens=5), free) == 0
    assert affordable_tokens(0.0, 0.0, 1000, free) is None


def test_an_unpriced_model_is_not_capped_by_money():
    assert affordable_tokens(0.01, 0.0, 1000, None) is None


def test_money_already_spent_is_gone():
    assert affordable_tokens(0.01, 0.0, 1000, PRICE) == 800
    assert affordable_tokens(0.01, 0.004, 1000, PRICE) == 400
    assert affordable_tokens(0.01, 0.009, 1000, PRICE) == 0


@for_all(
    limit=st.floats(0, 10), spent=st.floats(0, 10), tokens=st.integers(0, 10**6), out=st.floats(0.001, 100)
)
def test_a_call_within_its_cap_costs_no_more_than_is_left(limit, spent, tokens, out):
    price = Price(input=1.0, output=out)
    most = affordable_tokens(limit, spent, tokens, price)
    assert most is not None
    assert most >= 0
    if most:
        cost = cost_usd(Usage(input_tokens=tokens, output_tokens=most), price)
        assert cost is not None
        assert cost <= limit - spent + 1e-9


@for_all(COUNTS, COUNTS, COUNTS, COUNTS)
def test_u16_no_count_that_an_upstream_claims_makes_a_negative_or_absurd_cost(given_in, cached, written, out):
    usage = Usage(input_tokens=given_in, cached_tokens=cached, cache_write_tokens=written, output_tokens=out)
    settled = complete(credible(usage), input_tokens=12, output_tokens=34)
    cost = cost_usd(settled, PRICE)
    assert cost is not None
    assert 0 <= cost <= 3 * MOST * 10 / 1e6
    if credible(usage) == usage and given_in is not None and out is not None:
        assert settled == usage
    else:
        assert settled.estimated or settled.cached_tokens is None or settled.cache_write_tokens is None


def test_u16_an_input_of_no_tokens_is_no_count():
    assert credible(Usage(input_tokens=0, output_tokens=0)) == Usage(input_tokens=None, output_tokens=0)
