"""How many observations a sequential test will need, for plans and not for verdicts."""

from collections.abc import Callable, Iterator
from typing import Final

from interlock.stats.sequential import Tally
from interlock.stats.special import beta_cdf

MOST: Final = 1_000_000
"""Requests. What takes more is not looked for."""

Speaks = Callable[[Tally, Tally], bool]
"""Whether the test has decided, from the tallies of the new stream and of the old one."""


def likely_counts(n: int, rate: float, risk: float) -> tuple[int, int]:
    """A count of yes among `n` at a rate lies below the first number, or above the second, with probability
    `risk` at most, each. Exact: the binomial distribution by the incomplete beta function.
    """

    def at_least(count: int) -> float:
        return 1.0 if count <= 0 else 0.0 if count > n else beta_cdf(rate, count, n - count + 1)

    low = _last(lambda count: at_least(count) >= 1 - risk, n)
    return low, _last(lambda count: at_least(count) > risk, n)


def decided_within(speaks: Speaks, new: float, old: float, share: float, chance: float) -> int | None:
    """After how many requests of both streams a test has spoken, with probability `chance` at least.

    `new` and `old` are the true rates, `share` the new stream's part of the requests. None: not within MOST.
    The number errs on the safe side: the test has to speak on the least telling counts of all those that are
    likely, where what is left out has the probability 1 - `chance`. A test that may be looked at after
    every request has then spoken, at the latest.
    """
    risk = (1 - chance) / 4  # of the share, at either end, and of either rate
    up = new > old

    def spoken(requests: int) -> bool:
        return all(speaks(*tallies) for tallies in _least_telling(requests, new, old, share, risk, up=up))

    most = 1
    while not spoken(most):
        most *= 2
        if most > MOST:
            return None
    low = most // 2
    while most - low > 1:
        middle = (low + most) // 2
        low, most = (low, middle) if spoken(middle) else (middle, most)
    return most


def _least_telling(
    requests: int, new: float, old: float, share: float, risk: float, *, up: bool
) -> Iterator[tuple[Tally, Tally]]:
    """The counts that tell least, with as few and with as many of the new stream as is likely."""
    for n in likely_counts(requests, share, risk):
        m = requests - n
        few, many = likely_counts(n, new, risk), likely_counts(m, old, risk)
        yield (Tally(few[0], n), Tally(many[1], m)) if up else (Tally(few[1], n), Tally(many[0], m))


def _last(holds: Callable[[int], bool], most: int) -> int:
    """The last number up to `most` for which a condition holds; once it fails it holds never again."""
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
