"""What a guardrail can watch: a number for each request, taken from its record."""

from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

Kind = Literal["rate", "amount", "relative", "p95"]
"""`rate`: 0 or 1, compared by difference; `amount`: any number, by difference; `relative`: any number, by the
share that it rises; `p95`: the 95th percentile, by the share that it rises."""


class _Validation(Struct):
    verdict: str = "unchecked"


class _Attempt(Struct):
    refused: bool = False
    tool_calls: int = 0
    output_tokens: int | None = None
    violations: tuple[str, ...] = ()


class Ended(Struct, frozen=True, kw_only=True):
    """What of a record says how its request ended: the store's column `rest`."""

    status: str
    attempts: tuple[_Attempt, ...] = ()
    cost_usd: float | None = None
    budgets_used: dict[str, float] = {}
    fallbacks_taken: tuple[str, ...] = ()
    validation: _Validation | None = None
    error: str | None = None

    @property
    def is_open(self) -> bool:
        """Written before its execution (`logging: strict`), and not again since."""
        return self.status == "failed" and not self.attempts and self.error is None

    @property
    def counts(self) -> bool:
        """Whether it was an execution at all: a refusal by policy or a dry run says nothing of a model."""
        return self.status in ("ok", "failed", "cancelled")


_decode: Final = msgspec.json.Decoder(Ended).decode
_DENIED: Final = ("tools_denied", "tools_offered", "max_tool_calls", "max_tool_calls_by_effect")


def read(rest: bytes) -> Ended:
    return _decode(rest)


class Measure(Struct, frozen=True):
    """`value` of one request; None where it has none."""

    kind: Kind
    value: Callable[[Ended], float | None]


def _schema_valid(one: Ended) -> float | None:
    verdict = one.validation.verdict if one.validation is not None else "unchecked"
    return None if verdict == "unchecked" else float(verdict == "passed")


def _answered(value: Callable[[Ended], Any]) -> Callable[[Ended], float | None]:
    """Of requests that were answered only: without an answer there is nothing to measure."""

    def of(one: Ended) -> float | None:
        if one.status != "ok" or not one.attempts:
            return None
        found = value(one)
        return None if found is None else float(found)

    return of


def _latency(one: Ended) -> float | None:
    """A caller that left has waited at least that long; a failure does not say how long an answer takes."""
    return None if one.status == "failed" else one.budgets_used.get("deadline_ms")


def _denied_calls(one: Ended) -> float:
    found = (line.partition(":")[0] in _DENIED for attempt in one.attempts for line in attempt.violations)
    return float(sum(found))


MEASURES: Final[dict[str, Measure]] = {
    "error_rate": Measure("rate", lambda one: float(one.status == "failed")),
    "abort_rate": Measure("rate", lambda one: float(one.status == "cancelled")),
    "fallback_rate": Measure("rate", lambda one: float(bool(one.fallbacks_taken))),
    "schema_valid": Measure("rate", _schema_valid),
    "refusal_rate": Measure("rate", _answered(lambda one: one.attempts[-1].refused)),
    "latency_p95_ms": Measure("p95", _latency),
    "cost_per_request": Measure("relative", lambda one: one.cost_usd),
    "output_tokens_per_request": Measure("relative", _answered(lambda one: one.attempts[-1].output_tokens)),
    "tool_calls_per_request": Measure("amount", _answered(lambda one: one.attempts[-1].tool_calls)),
    "denied_tool_calls_per_request": Measure("amount", _denied_calls),
    # Feedback comes later than the record, so whoever watches counts it anew each time.
    "override_rate": Measure("rate", lambda _: None),
}
OVERRIDES: Final = "override_rate"
