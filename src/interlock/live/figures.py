"""From the measures of many requests to the figures of a route: counts, rates, quantiles, sums."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from msgspec import Struct

from interlock.live.routes import RouteKey, is_traffic, route_key
from interlock.measures import MEASURES, Measures, is_open, measure
from interlock.types.labels import Arm
from interlock.types.record import Record

RATES: Final = {
    "error_rate": "error_rate",
    "fallback_rate": "fallback_rate",
    "override_rate": "override_rate",
    "reask_rate": "reask_rate",
    "edit_rate": "edit_rate",
    "validation_rate": "validation_rate",
    "schema_validity": "schema_valid",
    "refusal_rate": "refusal_rate",
    "cut_rate": "cut_rate",
    "abort_rate": "abort_rate",
}
"""By field of `Figures`, the measure that it is the rate of."""


class Rate(Struct, frozen=True):
    """A share of `n` requests; None of none."""

    value: float | None
    n: int


class Spread(Struct, frozen=True, kw_only=True):
    """How a quantity lies over the `n` requests of which it is known: nearest-rank quantiles."""

    p50: float | None
    p95: float | None
    p99: float | None
    mean: float | None
    n: int


class Total(Struct, frozen=True, kw_only=True):
    """A sum over the `n` requests of which the amount is known, and how much that is for each."""

    total: float
    mean: float | None
    n: int


class Figures(Struct, frozen=True, kw_only=True):
    """One route over a window. `unfinished` requests have a record and no end; no other figure has them."""

    alias: str | None
    alias_version: int | None
    provider: str | None
    model: str | None
    arm: Arm
    requests: int
    ok: int
    errors: int
    denied: int
    client_aborts: int
    unfinished: int
    latency_ms: Spread
    ttft_ms: Spread
    cost_usd: Total
    input_tokens: Total
    output_tokens: Total
    tool_calls: Total
    denied_tool_calls: Total
    error_rate: Rate
    fallback_rate: Rate
    override_rate: Rate
    reask_rate: Rate
    edit_rate: Rate
    validation_rate: Rate
    schema_validity: Rate
    refusal_rate: Rate
    cut_rate: Rate
    abort_rate: Rate


class Tally:
    """Mutable: the measures of a window's records so far, by route."""

    def __init__(self) -> None:
        self._ended: dict[RouteKey, list[Measures]] = {}
        self._open: dict[RouteKey, int] = {}

    def add(self, record: Record) -> None:
        """Count a record, if it is traffic."""
        if not is_traffic(record):
            return
        key = route_key(record)
        ended = self._ended.setdefault(key, [])
        if is_open(record):
            self._open[key] = self._open.get(key, 0) + 1
        else:
            ended.append(measure(record))

    def figures(self) -> tuple[Figures, ...]:
        """Each route's figures, by alias, version, provider and model."""
        return tuple(
            _figures(key, found, self._open.get(key, 0)) for key, found in sorted(self._ended.items())
        )


def _figures(key: RouteKey, found: Sequence[Measures], unfinished: int) -> Figures:
    by_status = dict.fromkeys(("ok", "failed", "denied", "cancelled"), 0)
    for one in found:
        by_status[one.status] += 1

    def of(value: Callable[[Measures], float | None]) -> list[float]:
        return [float(known) for one in found if (known := value(one)) is not None]

    return Figures(
        alias=key.alias or None,
        alias_version=key.alias_version or None,
        provider=key.provider or None,
        model=key.model or None,
        arm=key.arm,
        requests=len(found),
        ok=by_status["ok"],
        errors=by_status["failed"],
        denied=by_status["denied"],
        client_aborts=by_status["cancelled"],
        unfinished=unfinished,
        latency_ms=spread(of(lambda one: one.latency_ms)),
        ttft_ms=spread(of(lambda one: one.ttft_ms)),
        cost_usd=_total(of(lambda one: one.cost_usd)),
        input_tokens=_total(of(lambda one: one.input_tokens)),
        output_tokens=_total(of(lambda one: one.output_tokens)),
        tool_calls=_total(of(lambda one: one.tool_calls)),
        denied_tool_calls=_total(of(lambda one: one.denied_tool_calls)),
        **{field: _rate(of(MEASURES[name].value)) for field, name in RATES.items()},
    )


def spread(values: Iterable[float]) -> Spread:
    """Nearest-rank quantiles: the smallest value that at least that share of all does not exceed."""
    ordered = sorted(values)
    n = len(ordered)

    def at(share: float) -> float | None:
        return ordered[max(0, math.ceil(share * n) - 1)] if n else None

    return Spread(p50=at(0.5), p95=at(0.95), p99=at(0.99), mean=_mean(ordered), n=n)


def _rate(values: list[float]) -> Rate:
    return Rate(_mean(values), len(values))


def _total(values: list[float]) -> Total:
    return Total(total=math.fsum(values), mean=_mean(values), n=len(values))


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
