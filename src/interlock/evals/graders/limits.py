"""How long, how dear and how slow an answer may be: one grader each, the same idea three times."""

from collections.abc import Callable
from typing import Annotated, Final, Literal

from msgspec import Meta

from interlock.evals.sample import Grade
from interlock.evals.seen import Seen, unknown, verdict
from interlock.evals.suite import GraderSpec

Least = Annotated[float, Meta(ge=0)]


class Length(GraderSpec, frozen=True, kw_only=True):
    """The answer's length in `unit`."""

    unit: Literal["characters", "words", "tokens"] = "words"
    at_least: Least = 0
    at_most: Least


class Cost(GraderSpec, frozen=True, kw_only=True):
    """What the case cost, all its requests together, in US dollars."""

    at_most_usd: Least


class Latency(GraderSpec, frozen=True, kw_only=True):
    """The time to the end of the case, all its requests together, in milliseconds."""

    at_most_ms: Least


def grade_length(spec: Length, seen: Seen) -> Grade:
    counts: dict[str, Callable[[], float | None]] = {
        "characters": lambda: len(seen.sample.text),
        "words": lambda: len(seen.sample.text.split()),
        "tokens": lambda: seen.sample.output_tokens,
    }
    count = counts[spec.unit]()
    if count is None:
        return unknown("the number of tokens is unknown")
    return verdict(spec.at_least <= count <= spec.at_most, f"{count:g} {spec.unit}")


def grade_cost(spec: Cost, seen: Seen) -> Grade:
    cost = seen.sample.cost_usd
    if cost is None:
        return unknown("the cost is unknown: the model has no price, or its tokens were not told")
    return verdict(cost <= spec.at_most_usd, f"${cost:.6f}")


def grade_latency(spec: Latency, seen: Seen) -> Grade:
    latency = seen.sample.latency_ms
    if latency is None:
        return unknown("the latency is unknown")
    return verdict(latency <= spec.at_most_ms, f"{latency:.0f} ms")


LENGTH: Final = "length_ok"
COST: Final = "cost_ok"
LATENCY: Final = "latency_ok"
