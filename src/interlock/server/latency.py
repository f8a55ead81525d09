"""How long models take, as this process has seen it: what `select: fastest` goes by.

Figures are kept in bands, so that the world, and with it what decisions are recorded against,
changes when a model has really become slower or faster and not with every answer.
"""

import math
from typing import Final

WEIGHT: Final = 0.1
"""Of the newest answer in the running mean."""
STEP: Final = 1.5
"""Each band is this many times the one below it."""


class Latencies:
    """Mutable: a running mean of milliseconds to the end of an answer, by model."""

    def __init__(self) -> None:
        self._means: dict[str, float] = {}

    def note(self, model: str, latency_ms: float) -> None:
        """An attempt that ended well after so many milliseconds."""
        mean = self._means.get(model)
        self._means[model] = latency_ms if mean is None else mean + WEIGHT * (latency_ms - mean)

    def bands(self) -> dict[str, float]:
        """By model, the middle of the band that its mean is in, in milliseconds."""
        return {model: band(mean) for model, mean in sorted(self._means.items())}


def band(latency_ms: float) -> float:
    """The band of a latency: powers of STEP, rounded to what can be read."""
    return round(STEP ** round(math.log(max(latency_ms, 1.0), STEP)), 1)
