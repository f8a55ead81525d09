"""The order among candidates that may serve: first, cheapest, fastest, best or weighted. Pure."""

import hashlib
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from interlock.route.ask import Named
from interlock.route.snapshot import Candidate
from interlock.stats.rounding import rounded
from interlock.types.decision import Budgets, Score
from interlock.types.signals import Signals
from interlock.types.world import World

ASSUMED_OUTPUT_TOKENS: Final = 1000
"""Output priced by `cheapest` where nothing caps it: equal for all, so that only prices compare."""


class Eligible(Struct, frozen=True):
    """A candidate that may serve, and the name it was reached by."""

    named: Named
    candidate: Candidate


def score(candidate: Candidate, signals: Signals, budgets: Budgets, world: World) -> Score:
    """The figures that orders compare. Unknown ones are None and go last."""
    model = candidate.model
    cost: float | None = None
    if model.price is not None:
        output = budgets.max_output_tokens or ASSUMED_OUTPUT_TOKENS
        cost = (signals.input_tokens * model.price.input + output * model.price.output) / 1_000_000
    return Score(
        model=model.name,
        quality=model.quality,
        cost_usd=None if cost is None else rounded(cost, 9),
        latency_ms=world.latency_ms.get(model.name),
    )


def fraction(draw: float, purpose: str) -> float:
    """A number in [0, 1) of its own for each use of a draw: equal inputs, equal number."""
    digest = hashlib.sha256(f"{draw!r}:{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def order(
    eligible: list[Eligible], scores: list[Score], select: str, weights: dict[str, float], draw: float
) -> tuple[list[Eligible], float]:
    """Eligible candidates, best first, and the probability that this one came first.

    Ties and missing figures keep the listed order, after those that have a figure. `learned` has
    no model of its own in this version and keeps the listed order.
    """
    if len(eligible) <= 1:
        return eligible, 1.0
    if select == "weighted":
        return _weighted(eligible, weights, draw)
    figure = _FIGURES.get(select)
    if figure is None:
        return eligible, 1.0
    figures = [figure(entry) for entry in scores]
    last = float("inf")
    keys = [last if value is None else value for value in figures]
    places = sorted(range(len(eligible)), key=keys.__getitem__)
    return [eligible[place] for place in places], 1.0


_FIGURES: Final[dict[str, Callable[[Score], float | None]]] = {
    "cheapest": lambda score: score.cost_usd,
    "fastest": lambda score: score.latency_ms,
    "best": lambda score: None if score.quality is None else -score.quality,
}


def _weighted(
    eligible: list[Eligible], weights: dict[str, float], draw: float
) -> tuple[list[Eligible], float]:
    """The first by lot, in proportion to the weights of those that may serve; the rest in listed order."""
    shares = [_weight(entry, weights) for entry in eligible]
    total = sum(shares)
    if total <= 0:
        return eligible, 1.0
    point = fraction(draw, "weighted") * total
    chosen = 0
    for index, share in enumerate(shares):
        if share <= 0:
            continue
        chosen = index
        if point < share:
            break
        point -= share
    rest = eligible[:chosen] + eligible[chosen + 1 :]
    return [eligible[chosen], *rest], round(shares[chosen] / total, 9)


def _weight(entry: Eligible, weights: dict[str, float]) -> float:
    by_alias = weights.get(entry.named.alias) if entry.named.alias is not None else None
    return by_alias if by_alias is not None else weights.get(entry.named.model, 0.0)
