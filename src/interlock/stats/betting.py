"""Always-valid statistics of differences, most of which are 0: evidence about a mean between -1 and 1.

A bettor who thinks that the mean lies above `b` stakes a share of the money on each difference d:

    K = product of (1 + s (d - b) / (1 + b)),    0 < s < 1.

If the mean given the past is at most b each time, K is a supermartingale that begins at 1, so it ever exceeds
1/alpha with probability alpha at most, however often it is looked at. The same holds for the average over
several stakes, which is what is used: large ones gain quickly where differences hardly vary, small ones last
where they do. Against "at least b" the signs are turned round.

Pairs that agree cost a bettor nothing, so that far fewer are needed than by `sequential`, which knows nothing
of how much observations vary.

Sources: Ville, Étude critique de la notion de collectif (1939); Waudby-Smith & Ramdas, Estimating means of
bounded random variables by betting, J. R. Stat. Soc. B 86 (2024), 1-27.
"""

import math
from collections.abc import Mapping
from typing import Final

from interlock.stats.sequential import enough

_STAKES: Final = tuple(0.95 * 2.0**-place for place in range(8))
_LEAST: Final = 1e-9
_HALVINGS: Final = 20


def against_at_most(differences: Mapping[float, int], bound: float) -> float:
    """The log of the evidence against "the mean is at most `bound`". Differences have their counts."""
    room = max(1 + bound, _LEAST)
    capitals = [
        sum(count * math.log1p(stake * (value - bound) / room) for value, count in differences.items())
        for stake in _STAKES
    ]
    most = max(capitals)
    return most + math.log(sum(math.exp(one - most) for one in capitals) / len(capitals))


def against_at_least(differences: Mapping[float, int], bound: float) -> float:
    """The log of the evidence against "the mean is at least `bound`"."""
    return against_at_most({-value: count for value, count in differences.items()}, -bound)


def span(differences: Mapping[float, int], alpha: float) -> tuple[float, float]:
    """A confidence sequence for the mean: what is not ruled out. Each end by itself has the risk `alpha`."""
    return _edge(differences, alpha), -_edge({-value: count for value, count in differences.items()}, alpha)


def _edge(differences: Mapping[float, int], alpha: float) -> float:
    """The largest bound of which "at most" is ruled out; the evidence falls as the bound rises."""
    needed, low, high = enough(alpha), -1.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if against_at_most(differences, middle) >= needed:
            low = middle
        else:
            high = middle
    return low
