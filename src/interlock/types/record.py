"""One record per request: the decision, what was tried under it, and how it ended."""

from typing import Any, Literal

from msgspec import Struct

from interlock.types.answer import AttemptOutcome
from interlock.types.decision import Decision, Dropped
from interlock.types.labels import EscalateWhen

Status = Literal["ok", "failed", "denied", "cancelled", "dry_run"]
Noticed = Literal["reask", "edit"]
"""What the same caller did within minutes of an answer: asked the same again, or edited what it had asked."""


class Validation(Struct, frozen=True, kw_only=True):
    """The verdict on an answer: `passed`, `failed` with its violations, or `unchecked`.

    `unchecked` is no pass: nothing was to be checked, or something could not be, and then `violations`
    says why. `triggers` are the conditions of `escalate` and `escalate_when` that the answer has hit.
    """

    verdict: Literal["passed", "failed", "unchecked"]
    checks: tuple[str, ...] = ()
    violations: tuple[str, ...] = ()
    triggers: tuple[EscalateWhen, ...] = ()


class Attempt(Struct, frozen=True, kw_only=True):
    """One call of one model under a decision. Token counts that are unknown are null."""

    provider: str
    model: str
    outcome: AttemptOutcome
    started_at: str
    latency_ms: float
    region: str | None = None
    ttft_ms: float | None = None
    input_tokens: int | None = None
    cached_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    usage_estimated: bool = False
    tool_calls: int = 0
    refused: bool = False
    continuations: int = 0
    """How often it was continued after its length had cut it; its tokens and cost are those of all calls."""
    finish: str | None = None
    violations: tuple[str, ...] = ()
    cost_usd: float | None = None
    validation: Validation | None = None
    status: int | None = None
    detail: str = ""
    left_out: tuple[str, ...] = ()
    """Fields of the request that the model was not sent, though it could answer: see `adapters.leaving`."""


class Counted(Struct, frozen=True, kw_only=True):
    """What a call that only counts was told, and who counted: the provider, or we by our own tokenizer.

    `why` says why it was we where the provider has a counter of its own.
    """

    input_tokens: int
    by: Literal["provider", "estimate"]
    why: str | None = None


class Record(Struct, frozen=True, kw_only=True):
    """What `GET /v1/decisions/{id}` shows. `decision` is kept as the very bytes that were decided."""

    decision: Decision
    status: Status
    attempts: tuple[Attempt, ...] = ()
    cost_usd: float | None = None
    budgets_used: dict[str, float] = {}
    fallbacks_taken: tuple[str, ...] = ()
    skipped: tuple[Dropped, ...] = ()
    """Models that were due but not called, and why: the breaker, a limit, policy asked again, money."""
    validation: Validation | None = None
    error: str | None = None
    counted: Counted | None = None
    outcome: dict[str, Any] | None = None
    noticed: Noticed | None = None
    content: dict[str, Any] | None = None
    shadow_of: str | None = None
    """The live decision that this follows, a copy of its request or a judge's: nobody has seen the answer."""
