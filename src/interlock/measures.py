"""The live measures: what one finished request says of the route that was decided for it.

One definition of each, for guardrails, figures, metrics and spans alike, so that a number that aborts a
rollout is the number on the page. Pure. None is unknown, or that the measure says nothing of this request.

A request belongs to the route that was *decided*: another model that stood in is this route's fallback, and
what that model said, spent and was denied counts for this route as well.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol

import msgspec
from msgspec import Struct

from interlock.types.record import Attempt, Noticed, Status

EVALS_TENANT: Final = "interlock-evals"
"""Whose requests are no traffic: runs of suites ask through the same door."""
SHADOW_TENANT: Final = "interlock-shadow"
"""What copies are filed under: no caller finds them among its own, and no figure or budget has them."""
COUNT_TOKENS: Final = "/v1/messages/count_tokens"
_DENIED: Final = ("tools_denied: ", "tools_offered: ", "max_tool_calls: ", "max_tool_calls_by_effect: ")
"""How a violation begins that is about a tool call which was withheld."""

Kind = Literal["rate", "amount", "relative", "p95"]
"""`rate`: 0 or 1, compared by difference; `amount`: any number, by difference; `relative`: any number, by the
share that it rises; `p95`: the 95th percentile, by the share that it rises."""


class Finished(Protocol):
    """What of a record its measures are made of. A `Record` is one, and so is `Ended`."""

    @property
    def status(self) -> Status: ...
    @property
    def attempts(self) -> Sequence[Attempt]: ...
    @property
    def cost_usd(self) -> float | None: ...
    @property
    def budgets_used(self) -> Mapping[str, float]: ...
    @property
    def fallbacks_taken(self) -> Sequence[str]: ...
    @property
    def outcome(self) -> Mapping[str, Any] | None: ...
    @property
    def noticed(self) -> Noticed | None: ...


class Ended(Struct, frozen=True, kw_only=True):
    """The part of a record that its row has under `rest`: what was known when it ended."""

    status: Status
    attempts: tuple[Attempt, ...] = ()
    cost_usd: float | None = None
    budgets_used: dict[str, float] = {}
    fallbacks_taken: tuple[str, ...] = ()
    outcome: dict[str, Any] | None = None
    noticed: Noticed | None = None


read: Final = msgspec.json.Decoder(Ended).decode
"""From a row's `rest`. Raises msgspec.ValidationError for what is none."""


class Measures(Struct, frozen=True, kw_only=True):
    """One request. Times in milliseconds, money in US dollars.

    `latency_ms` is what the caller waited, for its answer or until it left: a failure does not say how long
    an answer takes. `ttft_ms` is from the call of the model that answered to its first event. Tokens, money
    and withheld tool calls are those of all attempts together, as far as anybody knows. `valid` is False
    where any attempt's answer failed one of our checks, `schema_valid` where one broke its JSON Schema. A
    request that was denied says nothing of how well its route works, but for the tool calls that were
    withheld. `overridden`, `reasked` and `edited` are as known now: they come after the end.
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
    reasked: bool | None = None
    edited: bool | None = None
    valid: bool | None = None
    schema_valid: bool | None = None
    refused: bool | None = None
    cut: bool | None = None
    tool_calls: int | None = None
    denied_tool_calls: int | None = None


class Measure(Struct, frozen=True):
    """How a measure is compared, and its `value` of one request.

    `late`: it comes after the request has ended, so whoever watches counts it anew.
    """

    kind: Kind
    value: Callable[[Measures], float | None]
    late: bool = False


MEASURES: Final[dict[str, Measure]] = {
    "error_rate": Measure("rate", lambda one: one.failed),
    "abort_rate": Measure("rate", lambda one: one.aborted),
    "fallback_rate": Measure("rate", lambda one: one.fallback),
    "validation_rate": Measure("rate", lambda one: one.valid),
    "schema_valid": Measure("rate", lambda one: one.schema_valid),
    "refusal_rate": Measure("rate", lambda one: one.refused),
    # What was cut cannot be validated: this is where a candidate shows whose answers never reach their end.
    "cut_rate": Measure("rate", lambda one: one.cut),
    "override_rate": Measure("rate", lambda one: one.overridden, late=True),
    "reask_rate": Measure("rate", lambda one: one.reasked, late=True),
    "edit_rate": Measure("rate", lambda one: one.edited, late=True),
    "latency_p95_ms": Measure("p95", lambda one: one.latency_ms),
    "cost_per_request": Measure("relative", lambda one: one.cost_usd),
    "output_tokens_per_request": Measure("relative", lambda one: one.output_tokens),
    "tool_calls_per_request": Measure("amount", lambda one: one.tool_calls),
    "denied_tool_calls_per_request": Measure("amount", lambda one: one.denied_tool_calls),
}
"""What a guardrail can watch, by the name that configs use; rates are 0 or 1 for one request."""
SHADOW: Final = "shadow."
"""How a guardrail on copies begins: what follows is the grader that compares them with the live answers."""
COPIES: Final = ("error_rate",)
"""What is known of every copy, without a grader: whether it failed, where the live request was answered."""
LATE: Final = tuple(name for name, measure in MEASURES.items() if measure.late)


def is_a_callers(tenant: str) -> bool:
    """Whether a record, by the tenant that it is filed under, is of something that a caller asked: not of an
    eval, a copy of a request or a judge.
    """
    return tenant not in (EVALS_TENANT, SHADOW_TENANT)


def is_traffic(status: Status, tenant: str, endpoint: str) -> bool:
    """Whether a request is one that a caller wanted an answer to: no dry run and no count."""
    return is_a_callers(tenant) and status != "dry_run" and endpoint != COUNT_TOKENS


def is_open(one: Finished) -> bool:
    """Whether a record was written before its execution and has not been closed: under way, or cut short."""
    return one.status == "failed" and not one.budgets_used and not one.attempts


def measure(one: Finished) -> Measures:
    """The measures of a record that is not open."""
    status, attempts = one.status, one.attempts
    answered = attempts[-1] if attempts and status == "ok" else None
    ran = status in ("ok", "failed", "cancelled")
    return Measures(
        status=status,
        failed=status == "failed" if ran else None,
        aborted=status == "cancelled" if ran else None,
        latency_ms=one.budgets_used.get("deadline_ms") if status in ("ok", "cancelled") else None,
        ttft_ms=answered.ttft_ms if answered is not None else None,
        cost_usd=one.cost_usd if attempts else 0.0,
        input_tokens=_sum(attempts, "input_tokens"),
        output_tokens=_sum(attempts, "output_tokens"),
        fallback=bool(one.fallbacks_taken) if ran else None,
        overridden=_overridden(one.outcome) if status == "ok" else None,
        reasked=one.noticed == "reask" if status == "ok" else None,
        edited=one.noticed == "edit" if status == "ok" else None,
        valid=_valid(attempts),
        schema_valid=_schema_valid(attempts),
        refused=answered.refused if answered is not None else None,
        cut=answered.finish == "length" if answered is not None else None,
        tool_calls=answered.tool_calls if answered is not None else None,
        denied_tool_calls=sum(map(_denied, attempts)) if attempts else None,
    )


def _sum(attempts: Sequence[Attempt], name: str) -> int | None:
    """What all attempts took together, as far as anybody knows; nothing called is nothing known."""
    known = [value for attempt in attempts if (value := getattr(attempt, name)) is not None]
    return sum(known) if known else None


def _overridden(outcome: Mapping[str, Any] | None) -> bool:
    """Whether somebody edited the answer, asked again or took it to somebody else, and said so."""
    return outcome is not None and outcome.get("override") is not None


def _valid(attempts: Sequence[Attempt]) -> bool | None:
    """False where an attempt's answer failed one of our checks, True where one passed and none failed."""
    verdicts = {attempt.validation.verdict for attempt in attempts if attempt.validation is not None}
    return False if "failed" in verdicts else True if "passed" in verdicts else None


def _schema_valid(attempts: Sequence[Attempt]) -> bool | None:
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
