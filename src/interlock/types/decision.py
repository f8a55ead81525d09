"""The decision object of the contract: where a request may run, within what, and why.

Field order is the order on the wire. A decision is bytes-for-bytes reproducible from its own
`id`, `created_at`, `signals` and `provenance`.
"""

from msgspec import Struct

from interlock.types.labels import (
    Arm,
    DataClass,
    DegradeMode,
    Effect,
    LatencyClass,
    Layout,
    Logging,
    RiskTier,
    SafetyMode,
    SelectedBy,
    ServiceTier,
    Trust,
    When,
)
from interlock.types.signals import Signals


class Route(Struct, frozen=True, kw_only=True):
    """The deployment that serves. `model` is the pool's key; `endpoint` names a regional deployment."""

    provider: str
    model: str
    version: str | None
    alias: str | None
    alias_version: int | None
    region: str | None
    lane: str | None
    arm: Arm = "stable"
    endpoint: str | None = None


class Budgets(Struct, frozen=True, kw_only=True):
    """Limits of the whole decision, all attempts together. None is no limit set."""

    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    max_tool_calls_by_effect: dict[Effect, int] = {}
    unattended: dict[Effect, int] = {}
    deadline_ms: int | None = None
    first_token_ms: int | None = None
    max_attempts: int | None = None
    max_continuations: int | None = 0
    max_cost_usd: float | None = None
    service_tier: ServiceTier = "standard"


class ToolDenied(Struct, frozen=True, kw_only=True):
    tool: str
    rule: str
    why: str


class Escalation(Struct, frozen=True, kw_only=True):
    when: str
    to: str


class PolicyOutcome(Struct, frozen=True, kw_only=True):
    """What policy made of the request."""

    risk_tier: RiskTier
    data_class: DataClass
    latency_class: LatencyClass
    trust: Trust
    safety_mode: SafetyMode
    layout: Layout
    logging: Logging
    tools_allowed: tuple[str, ...] = ()
    tools_denied: tuple[ToolDenied, ...] = ()
    requires_approval_for: tuple[str, ...] = ()
    step_up_for: tuple[str, ...] = ()
    escalation: tuple[Escalation, ...] = ()


class FallbackStep(Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A model to try next when `from_` (a model, or "*") has failed by `when`."""

    provider: str
    model: str
    when: When
    from_: str = "*"
    region: str | None = None
    endpoint: str | None = None


class CascadeStep(Struct, frozen=True, kw_only=True):
    provider: str
    model: str
    escalate_when: tuple[str, ...] = ()


class Dropped(Struct, frozen=True, kw_only=True):
    """A candidate that may not serve, and the rule that says so."""

    model: str
    rule: str
    why: str


class Score(Struct, frozen=True, kw_only=True):
    model: str
    quality: float | None
    cost_usd: float | None
    latency_ms: float | None


class Why(Struct, frozen=True, kw_only=True):
    rules: tuple[str, ...]
    selected_by: SelectedBy
    dropped: tuple[Dropped, ...] = ()
    scores: tuple[Score, ...] = ()
    propensity: float = 1.0
    degrade_mode: DegradeMode = "none"
    denied: str | None = None
    """Why nobody serves, in one sentence, where `route` is null."""
    denied_code: str | None = None
    limits: dict[str, str] = {}
    """Which source set each budget: `{"max_output_tokens": "lane support-triage"}`."""


class Provenance(Struct, frozen=True, kw_only=True):
    config_hash: str
    policy_hash: str
    prices_version: str
    router_version: str
    world_hash: str
    draw: float


class Decision(Struct, frozen=True, kw_only=True):
    id: str
    created_at: str
    route: Route | None
    budgets: Budgets
    policy: PolicyOutcome
    fallbacks: tuple[FallbackStep, ...]
    cascade: tuple[CascadeStep, ...]
    why: Why
    signals: Signals
    provenance: Provenance
