"""What a call costs and what a budget still affords, in USD. Unknown stays None; it is never zero."""

import math

from interlock.config.written import Price
from interlock.types.answer import Usage

PER_MILLION = 1_000_000


def cost_usd(usage: Usage, price: Price | None) -> float | None:
    """The price of one call, or None if the model is unpriced or its tokens are unknown."""
    if price is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    if not usage.cached_tokens and not usage.cache_write_tokens:
        return (usage.input_tokens * price.input + usage.output_tokens * price.output) / PER_MILLION
    cached = min(usage.cached_tokens or 0, usage.input_tokens)
    written = min(usage.cache_write_tokens or 0, usage.input_tokens - cached)
    total = (
        (usage.input_tokens - cached - written) * price.input
        + cached * _or(price.cached_input, price.input)
        + written * _or(price.cache_write, price.input)
        + usage.output_tokens * price.output
    )
    return total / PER_MILLION


def affordable_tokens(
    limit_usd: float | None, spent_usd: float, input_tokens: int, price: Price | None
) -> int | None:
    """How many output tokens `limit_usd` still pays for; None is no bound, 0 is nothing.

    The input is counted at its full price, since whether a cache will hit is not known beforehand.
    """
    if limit_usd is None or price is None:
        return None
    left = (limit_usd - spent_usd) * PER_MILLION - input_tokens * price.input
    if left < 0:
        return 0
    return None if price.output == 0 else math.floor(left / price.output)


def _or(price: float | None, otherwise: float) -> float:
    return otherwise if price is None else price
