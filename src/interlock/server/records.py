"""Records between the three forms they have: parts while a request runs, a row in the store, JSON outside.

The decision's bytes are never encoded again: what was decided is what is stored and what is shown.
"""

from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct

from interlock.execute.executor import Execution
from interlock.measures import SHADOW_TENANT
from interlock.route.decide import encode_decision
from interlock.stats.rounding import rounded
from interlock.store.records import StoredRecord
from interlock.types.decision import Decision, Dropped
from interlock.types.record import Attempt, Counted, Record, Status, Validation

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Record).decode


class Rest(Struct, frozen=True, kw_only=True):
    """The fields of a `Record` but its decision and outcome, in the same order."""

    status: Status
    attempts: tuple[Attempt, ...] = ()
    cost_usd: float | None = None
    budgets_used: dict[str, float] = {}
    fallbacks_taken: tuple[str, ...] = ()
    skipped: tuple[Dropped, ...] = ()
    validation: Validation | None = None
    error: str | None = None
    content: msgspec.Raw | None = None
    counted: Counted | None = None
    shadow_of: str | msgspec.UnsetType = msgspec.UNSET


def to_row(
    decision: Decision,
    status: Status,
    execution: Execution | None = None,
    content: msgspec.Raw | None = None,
    *,
    at: int | None = None,
    used: dict[str, float] | None = None,
) -> StoredRecord:
    """The row of a request: as it stands before its execution, or after.

    `at` is the instant of the decision in microseconds, and `used` what `budgets_used` says, where they
    are known already.
    """
    route, signals = decision.route, decision.signals
    return StoredRecord(
        id=decision.id,
        created_at=microseconds(decision.created_at) if at is None else at,
        tenant=signals.tenant,
        key=signals.key,
        team=signals.team,
        status=status,
        alias=route.alias if route is not None else None,
        alias_version=route.alias_version if route is not None else None,
        provider=route.provider if route is not None else None,
        model=route.model if route is not None else None,
        lane=route.lane if route is not None else None,
        config_hash=decision.provenance.config_hash,
        world_hash=decision.provenance.world_hash,
        session=signals.session,
        decision=encode_decision(decision),
        rest=encode_rest(decision, status, execution, content, used),
    )


def encode_rest(
    decision: Decision,
    status: Status,
    execution: Execution | None,
    content: msgspec.Raw | None,
    used: dict[str, float] | None,
) -> bytes:
    """The JSON of everything in a record but its decision and outcome; see `to_row`."""
    return _encode(_rest(decision, status, execution, content, used))


def to_shadow_row(
    decision: Decision,
    shadow_of: str,
    status: Status,
    execution: Execution | None = None,
    content: msgspec.Raw | None = None,
) -> StoredRecord:
    """The row of a copy of a live request. It is in no list of a caller, a key, a session or an alias."""
    row = to_row(decision, status)
    rest = msgspec.structs.replace(_rest(decision, status, execution, content, None), shadow_of=shadow_of)
    return msgspec.structs.replace(
        row,
        tenant=SHADOW_TENANT,
        key=None,
        team=None,
        session=None,
        alias=None,
        alias_version=None,
        rest=_encode(rest),
    )


def to_json(row: StoredRecord) -> bytes:
    """The record as `GET /v1/decisions/{id}` shows it."""
    outcome = b"null" if row.outcome is None else row.outcome
    noticed = b"" if row.noticed is None else b',"noticed":"%b"' % row.noticed.encode("ascii")
    return b'{"decision":%b,%b,"outcome":%b%b}' % (row.decision, row.rest[1:-1], outcome, noticed)


def to_record(row: StoredRecord) -> Record:
    """The record as a value."""
    return _decode(to_json(row))


def microseconds(rfc3339: str) -> int:
    """An instant as the store counts it. Raises ValueError for what is no instant."""
    moment = datetime.fromisoformat(rfc3339)
    seconds = int(moment.replace(microsecond=0).timestamp())
    return seconds * 1_000_000 + moment.microsecond


def budgets_used(execution: Execution) -> dict[str, float]:
    """What all attempts together took of the decision's budgets, as far as it is known."""
    taken_in = put_out = calls = 0
    for attempt in execution.attempts:
        taken_in += attempt.input_tokens or 0
        put_out += attempt.output_tokens or 0
        calls += attempt.tool_calls
    used: dict[str, float] = {
        "max_attempts": len(execution.attempts),
        "max_input_tokens": taken_in,
        "max_output_tokens": put_out,
        "max_tool_calls": calls,
        "deadline_ms": rounded(execution.elapsed_ms, 3),
    }
    if execution.cost_usd is not None:
        used["max_cost_usd"] = execution.cost_usd
    return used


def _rest(
    decision: Decision,
    status: Status,
    execution: Execution | None,
    content: msgspec.Raw | None,
    used: dict[str, float] | None,
) -> Rest:
    if execution is None:
        # Nobody was called for what is denied. What else has no execution may still come to cost something.
        cost_usd = 0.0 if status == "denied" else None
        return Rest(status=status, cost_usd=cost_usd, error=decision.why.denied, content=content)
    error = execution.error
    return Rest(
        status=status,
        attempts=tuple(execution.attempts),
        cost_usd=execution.cost_usd if execution.attempts else 0.0,
        budgets_used=budgets_used(execution) if used is None else used,
        fallbacks_taken=_fallbacks_taken(decision, execution.attempts),
        skipped=tuple(execution.skipped),
        validation=execution.validation,
        error=f"{error.code}: {error.message}" if error is not None else None,
        content=content,
        counted=execution.counted,
    )


def _fallbacks_taken(decision: Decision, attempts: list[Attempt]) -> tuple[str, ...]:
    """The models that stood in, each once, in the order in which they were called."""
    first = decision.route.model if decision.route is not None else None
    if not attempts or attempts[-1].model == first:
        return ()
    return tuple(dict.fromkeys(attempt.model for attempt in attempts if attempt.model != first))
