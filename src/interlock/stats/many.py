"""Several tests at once: how often at least one of them is wrong must stay below the stated level."""

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """The p-values, adjusted so that each may be held against the level that all of them share, in their
    order.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979), 65-70. No assumption on how the tests hang
    together.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted = [1.0] * len(p_values)
    worst = 0.0
    for place, index in enumerate(order):
        worst = max(worst, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = worst
    return tuple(adjusted)
