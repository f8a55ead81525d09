"""The config as written: what `interlock.yaml` may hold, decoded strictly.

Each Struct refuses unknown keys. Names are not resolved here and nothing is looked up; `resolve`
turns this into `checked.Config`. Sections whose meaning needs no other section (`resilience`,
`gates`, …) are used as they stand. This module is also the source of the editors' JSON Schema.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from interlock.types.labels import (
    Api,
    Capability,
    DataClass,
    Degraded,
    Effect,
    Effort,
    EscalateWhen,
    Kind,
    LatencyClass,
    Layout,
    Logging,
    RiskTier,
    Role,
    SafetyMode,
    ServiceTier,
    Trust,
    When,
)
from interlock.types.quirks import KeyHeader

Share = Annotated[float, Meta(ge=0, le=1, description="a share of traffic, 0..1")]
Positive = Annotated[int, Meta(gt=0)]
Count = Annotated[int, Meta(ge=0)]
Temperature = Annotated[float, Meta(ge=0, le=2)]
TopP = Annotated[float, Meta(gt=0, le=1)]
Usd = Annotated[float, Meta(ge=0, description="US dollars")]
Duration = Annotated[
    str, Meta(pattern=r"^[0-9]+(ms|s|m|h|d)$", description="a length of time: 250ms, 10s, 5m, 1h, 1d")
]
Names = tuple[str, ...]
Mapping = dict[str, Any]


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every section: frozen, and an unknown key is an error."""


class Endpoint(Section, frozen=True, kw_only=True):
    base_url: str
    api_key: str | None = None
    proxy: str | None = None


class Limits(Section, frozen=True, kw_only=True):
    requests_per_minute: Positive | None = None
    tokens_per_minute: Positive | None = None
    concurrency: Positive | None = None


class Provider(Section, frozen=True, kw_only=True):
    """A vendor account or a server that runs models: one of `base_url` and `endpoints`.

    Neither is needed where `vendor` (or the provider's own name) is one of `vendors.VENDORS` with an address.
    """

    kind: Kind | None = None
    api: Api = "chat"
    vendor: str | None = None
    base_url: str | None = None
    api_key: str | None = None
    auth: KeyHeader | None = None
    api_version: str | None = None
    regions: Names = ()
    endpoints: dict[str, Endpoint] = {}
    proxy: str | None = None
    jurisdiction: str | None = None
    trusted_for: DataClass = "internal"
    limits: Limits | None = None
    local_model: str | None = None
    """A model from the `demo` extra that `interlock serve` runs at `base_url`, if nothing answers there."""


class Price(Section, frozen=True, kw_only=True):
    """USD per million tokens."""

    input: Usd
    output: Usd
    cached_input: Usd | None = None
    cache_write: Usd | None = None
    batch_discount: Share | None = None


class Model(Section, frozen=True, kw_only=True):
    provider: str
    upstream: str | None = None
    version: str | None = None
    context_tokens: Positive | None = None
    max_output_tokens: Positive | None = None
    capabilities: tuple[Capability, ...] | None = None
    quality: Share | None = None
    origin: str | None = None
    price: Price | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    effort: Effort | None = None
    system: Annotated[str, Meta(min_length=1)] | None = None


class ToolSpec(Section, frozen=True, kw_only=True):
    effects: tuple[Effect, ...] = ("write",)
    family: str | None = None
    approval: Literal["required"] | None = None
    output_trust: Trust = "untrusted"
    sandboxed: bool = False


class Classification(Section, frozen=True, kw_only=True):
    default: DataClass = "internal"
    detectors: dict[str, DataClass] = {}
    """Raises (or, for a detector's default, replaces) the class that a finding stands for."""


class BudgetLimits(Section, frozen=True, kw_only=True):
    max_input_tokens: Positive | None = None
    max_output_tokens: Positive | None = None
    max_tool_calls: Count | None = None
    max_tool_calls_by_effect: dict[Effect, Count] = {}
    unattended: dict[Effect, Count] = {}
    deadline_ms: Positive | None = None
    first_token_ms: Positive | None = None
    max_attempts: Positive | None = None
    max_continuations: Count | None = None
    max_cost_usd: Usd | None = None
    service_tier: ServiceTier | None = None


class Step(Section, frozen=True, kw_only=True):
    """One step of a cascade."""

    model: str
    escalate_when: tuple[EscalateWhen, ...] = ()


class Output(Section, frozen=True, kw_only=True):
    """What a lane's answers must look like; checked by Interlock after the answer."""

    json_schema: str | None = None
    citations: Literal["required"] | None = None
    tool_arguments: Literal["valid"] | None = None


class Escalate(Section, frozen=True, kw_only=True):
    when: EscalateWhen
    to: str


class Lane(Section, frozen=True, kw_only=True):
    """A kind of work: one of `models` and `cascade`."""

    match: Mapping | None = None
    models: Names = ()
    cascade: tuple[Step, ...] = ()
    select: Literal["cheapest", "fastest", "best", "learned", "first", "weighted"] = "first"
    weights: dict[str, Share] = {}
    budgets: BudgetLimits = BudgetLimits()
    tools: Names | None = None
    require_tools: Names = ()
    output: Output = Output()
    temperature: Temperature | None = None
    top_p: TopP | None = None
    safety_mode: SafetyMode | None = None
    risk_tier: RiskTier | None = None
    escalate: tuple[Escalate, ...] = ()
    hedge_after_ms: Positive | None = None


class Default(Section, frozen=True, kw_only=True):
    model: str


class Fallback(Section, frozen=True, kw_only=True, rename={"from_": "from"}):
    from_: str
    to: str
    when: When


class Then(Section, frozen=True, kw_only=True):
    """What a rule may add. Each of these can only restrict."""

    vendors: Names | None = None
    providers: Names | None = None
    models: Names | None = None
    regions: Names | None = None
    jurisdictions: Names | None = None
    deny_origins: Names = ()
    tools: Names | None = None
    deny_tools: Names = ()
    deny_tool_effects: tuple[Effect, ...] = ()
    require_approval: Names = ()
    step_up: Names = ()
    max_input_tokens: Positive | None = None
    max_output_tokens: Positive | None = None
    max_tool_calls: Count | None = None
    max_tool_calls_by_effect: dict[Effect, Count] = {}
    unattended: dict[Effect, Count] = {}
    deadline_ms: Positive | None = None
    max_attempts: Positive | None = None
    max_cost_usd: Usd | None = None
    risk_tier: RiskTier | None = None
    safety_mode: SafetyMode | None = None
    layout: Layout | None = None
    logging: Logging | None = None
    pin: str | None = None
    lane: str | None = None
    escalate: tuple[Escalate, ...] = ()
    deny: str | None = None


class Rule(Section, frozen=True, kw_only=True):
    """`when` (always, if left out) is a mapping over signals; all rules that match apply."""

    name: str
    when: Mapping | None = None
    then: Then


class SpendBudget(Section, frozen=True, kw_only=True):
    scope: Literal["tenant", "team", "key", "route", "lane", "alias", "model", "provider"]
    id: str | None = None
    limit_usd: Usd
    window: Duration
    on_exceeded: Literal["refuse", "degrade"] = "refuse"
    alert_at: Share | None = None


class Breaker(Section, frozen=True, kw_only=True):
    failures: Positive = 5
    window_s: Positive = 30
    open_s: Positive = 10


class RetryBudget(Section, frozen=True, kw_only=True):
    ratio: Share = 0.1
    min_per_s: Count = 3


class Resilience(Section, frozen=True, kw_only=True):
    breaker: Breaker = Breaker()
    retry_budget: RetryBudget = RetryBudget()
    degrade: tuple[Degraded, ...] = ()
    essential_lanes: Names = ()
    max_in_flight: Positive | None = None


class EvalRef(Section, frozen=True, kw_only=True):
    suite: str


class Check(Section, frozen=True, kw_only=True):
    """One check of a gate or one guardrail: exactly one bound."""

    metric: str
    family: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    drop_at_most: float | None = None
    rise_at_most: float | None = None
    confidence: Annotated[float, Meta(gt=0, lt=1)] | None = None


class Gate(Section, frozen=True, kw_only=True):
    suites: Names
    checks: tuple[Check, ...]


class RolloutStep(Section, frozen=True, kw_only=True, rename={"for_": "for"}):
    weight: Share
    for_: Duration | None = None


class ShadowLimits(Section, frozen=True, kw_only=True):
    """What copies and judges may take: in money over the whole rollout, and at once in each worker."""

    max_cost_usd: Usd = 10.0
    concurrency: Positive = 4


class Rollout(Section, frozen=True, kw_only=True):
    """`graders` are rows as suites have them, by the name that guardrails use."""

    steps: tuple[RolloutStep, ...]
    sticky_by: Literal["session", "user", "key", "request"] = "session"
    shadow: Share | None = None
    shadow_limits: ShadowLimits = ShadowLimits()
    graders: dict[str, Mapping] = {}
    grade: Share = 0.2
    guardrails: tuple[Check, ...] = ()


Reaction = Literal["alert", "roll_back"]


class GateAgain(Section, frozen=True, kw_only=True):
    """When the suites of an alias's gate run again over what is active, and what a verdict of fail does."""

    every: Duration = "24h"
    budget_usd: Usd | None = None
    on_fail: Reaction = "alert"


class Watched(Section, frozen=True, kw_only=True):
    """What goes on after a release of an alias. `guardrails` None: those of the rollout that released it.

    `baseline` is how many values of each measure the version is held to: its first ones.
    """

    guardrails: tuple[Check, ...] | None = None
    baseline: Annotated[int, Meta(ge=200)] = 1000
    on_breach: Reaction = "alert"
    gate: GateAgain | None = None


EventKind = Literal[
    "rollout.started",
    "rollout.step",
    "rollout.paused",
    "rollout.awaiting_approval",
    "rollout.resumed",
    "rollout.promoted",
    "rollout.aborted",
    "alert",
]


class Webhook(Section, frozen=True, kw_only=True):
    """Who is told of events: of those named, else of all."""

    url: str
    secret: str
    events: tuple[EventKind, ...] = ()


class Approvals(Section, frozen=True, kw_only=True):
    expires_in: Duration = "1h"


class ExactCache(Section, frozen=True, kw_only=True):
    ttl: Duration


class SemanticCache(Section, frozen=True, kw_only=True):
    threshold: Share
    lanes: Names = ()


class Cache(Section, frozen=True, kw_only=True):
    exact: ExactCache | None = None
    semantic: SemanticCache | None = None


class Store(Section, frozen=True, kw_only=True):
    url: str = "sqlite:///interlock.db"
    counters: str | None = None
    responses: Literal["default", "asked", "never"] = "default"


class Server(Section, frozen=True, kw_only=True):
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    workers: Positive = 1
    console: bool = False
    max_body_mb: Annotated[float, Meta(gt=0)] = 10
    max_bodies_mb: Annotated[float, Meta(gt=0)] = 256
    keep_warm: bool = True


class Telemetry(Section, frozen=True, kw_only=True):
    otlp_endpoint: str | None = None
    retention_days: Positive = 30
    content: Literal["off", "redacted", "full"] = "off"


class AllowNames(Section, frozen=True, kw_only=True):
    aliases: Names = ()
    lanes: Names = ()
    models: Names = ()


class Key(Section, frozen=True, kw_only=True):
    """A caller's key. Only its hash is kept once the config is loaded."""

    id: str
    key: str
    tenant: str = "default"
    team: str | None = None
    user_tier: str | None = None
    role: Role = "user"
    environment: str | None = None
    residency: str | None = None
    data_class: DataClass | None = None
    max_data_class: DataClass | None = None
    allow: AllowNames | None = None
    expires: str | None = None
    budgets: BudgetLimits = BudgetLimits()


class File(Section, frozen=True, kw_only=True):
    """The whole file. Every section but `providers` and `models` can be left out."""

    version: Literal[1] = 1
    providers: dict[str, Provider]
    models: dict[str, Model]
    aliases: dict[str, str] = {}
    tools: dict[str, ToolSpec] = {}
    sources: dict[str, Trust] = {}
    classification: Classification = Classification()
    metadata: Names = ()
    latency_classes: dict[LatencyClass, BudgetLimits] = {}
    lanes: dict[str, Lane] = {}
    default: Default | None = None
    fallbacks: tuple[Fallback, ...] = ()
    policy: tuple[Rule, ...] = ()
    budgets: tuple[SpendBudget, ...] = ()
    resilience: Resilience = Resilience()
    evals: dict[str, EvalRef] = {}
    gates: dict[str, Gate] = {}
    rollouts: dict[str, Rollout] = {}
    watch: dict[str, Watched] = {}
    webhooks: dict[str, Webhook] = {}
    approvals: Approvals = Approvals()
    cache: Cache = Cache()
    store: Store = Store()
    server: Server = Server()
    telemetry: Telemetry = Telemetry()
    keys: tuple[Key, ...] = ()
