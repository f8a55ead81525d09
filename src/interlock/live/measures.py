"""The live measures of one request. None is unknown, or that the measure says nothing of this request.

A request belongs to the route that was *decided*: another model that stood in is this route's fallback.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from interlock.types.labels import Arm
from interlock.types.record import Attempt, Record, Status

EVALS_TENANT: Final = "interlock-evals"
"""Whose requests are no traffic: runs of suites ask through the same door."""
COUNT_TOKENS: Final = "/v1/messages/count_tokens"
_DENIED: Final = ("tools_denied: ", "tools_offered: ", "max_tool_calls: ", "max_tool_calls_by_effect: ")
"""How a violation begins that is about a tool call which was withheld."""


class RouteKey(Struct, frozen=True, kw_only=True, order=True):
    """What figures are kept by: where requests were sent, under which version of which alias."""

    alias: str = ""
    alias_version: int = 0
    provider: str = ""
    model: str = ""
    arm: Arm = "stable"


class Measures(Struct, frozen=True, kw_only=True):
    """One request. Times in milliseconds, money in US dollars; `schema_valid` over all judged attempts.

    `latency_ms` is what the caller waited, for its answer or until it left: a failure does not say how long
    an answer takes. `ttft_ms` is from the call of the model that answered to its first event. A request that
    was denied says nothing of how well its route works, but for the tool calls that were withheld.
    """

    status: Status
    failed: bool | None = None
    aborted: bool | None = None
    latency_ms: float | None = None
    ttft_ms: float | None = None
    cost_usd: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    fallback: bool | None = None
    overridden: bool | None = None
    schema_valid: bool | None = None
    refused: bool | None = None
    tool_calls: int | None = None
    denied_tool_calls: int | None = None


READ: Final[Mapping[str, Callable[[Measures], float | None]]] = {
    "error_rate": lambda one: one.failed,
    "latency_ms": lambda one: one.latency_ms,
    "ttft_ms": lambda one: one.ttft_ms,
    "cost_per_request": lambda one: one.cost_usd,
    "input_tokens": lambda one: one.input_tokens,
    "output_tokens": lambda one: one.output_tokens,
    "fallback_rate": lambda one: one.fallback,
    "override_rate": lambda one: one.overridden,
    "schema_validity": lambda one: one.schema_valid,
    "refusal_rate": lambda one: one.refused,
    "abort_rate": lambda one: one.aborted,
    "tool_calls_per_request": lambda one: one.tool_calls,
    "denied_tool_calls_per_request": lambda one: one.denied_tool_calls,
}
"""Every measure by the name that guardrails use; rates are 0 or 1 for one request."""


def is_traffic(record: Record) -> bool:
    """Whether a record is a request that somebody wanted an answer to: no dry run, count or eval."""
    signals = record.decision.signals
    return not (
        record.status == "dry_run" or signals.tenant == EVALS_TENANT or signals.endpoint == COUNT_TOKENS
    )


def is_open(record: Record) -> bool:
    """Whether a record was written before its execution and has not been closed: under way, or cut short."""
    return record.status == "failed" and not record.budgets_used and not record.attempts


def route_key(record: Record) -> RouteKey:
    """The route of a record; the empty key where nobody was to serve."""
    route = record.decision.route
    if route is None:
        return RouteKey()
    return RouteKey(
        alias=route.alias or "",
        alias_version=route.alias_version or 0,
        provider=route.provider,
        model=route.model,
        arm=route.arm,
    )


def measure(record: Record) -> Measures:
    """The measures of a record that is not open."""
    status, attempts = record.status, record.attempts
    answered = attempts[-1] if attempts and status == "ok" else None
    ran = status in ("ok", "failed", "cancelled")
    return Measures(
        status=status,
        failed=status == "failed" if ran else None,
        aborted=status == "cancelled" if ran else None,
        latency_ms=record.budgets_used.get("deadline_ms") if status in ("ok", "cancelled") else None,
        ttft_ms=answered.ttft_ms if answered is not None else None,
        cost_usd=record.cost_usd if attempts else 0.0,
        input_tokens=_sum(attempts, "input_tokens"),
        output_tokens=_sum(attempts, "output_tokens"),
        fallback=bool(record.fallbacks_taken) if ran else None,
        overridden=_overridden(record.outcome) if status == "ok" else None,
        schema_valid=_schema_valid(attempts),
        refused=answered.refused if answered is not None else None,
        tool_calls=answered.tool_calls if answered is not None else None,
        denied_tool_calls=sum(map(_denied, attempts)) if attempts else None,
    )


def _sum(attempts: tuple[Attempt, ...], name: str) -> int | None:
    """What all attempts took together, as far as anybody knows."""
    known = [value for attempt in attempts if (value := getattr(attempt, name)) is not None]
    return sum(known) if known or not attempts else None


def _overridden(outcome: dict[str, Any] | None) -> bool:
    """Whether somebody edited the answer, asked again or took it to somebody else, and said so."""
    return outcome is not None and outcome.get("override") is not None


def _schema_valid(attempts: tuple[Attempt, ...]) -> bool | None:
    """False where an attempt's answer broke its JSON Schema, True where one kept to it and none broke it."""
    found = [valid for attempt in attempts if (valid := _attempt_valid(attempt)) is not None]
    return all(found) if found else None


def _attempt_valid(attempt: Attempt) -> bool | None:
    validation = attempt.validation
    if validation is None:
        return None
    names = [name for name in validation.checks if name.startswith(("json ", "json_schema "))]
    if not names:
        return None
    if any(line.startswith("json_schema: ") for line in validation.violations):
        return False
    unjudged = tuple(f"{name}: " for name in names)
    return None if any(line.startswith(unjudged) for line in validation.violations) else True


def _denied(attempt: Attempt) -> int:
    return sum(line.startswith(_DENIED) for line in attempt.violations)
