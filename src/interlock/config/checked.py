"""The config as checked: names resolved, the catalogue's facts filled in, frozen, hashed, free of secrets.

It survives a round trip through JSON (`encode`, `decode`), because the store keeps each revision
that ran and a decision recorded under it can be computed again. Secrets travel beside it, in
`Secrets`, and never enter a hash or a record.
"""

from typing import Any

import msgspec
from msgspec import Struct

from interlock.config.written import (
    Approvals,
    BudgetLimits,
    Cache,
    Classification,
    Escalate,
    EvalRef,
    Fallback,
    Gate,
    Limits,
    Price,
    Resilience,
    Rollout,
    Rule,
    Server,
    SpendBudget,
    Step,
    Store,
    Telemetry,
    ToolSpec,
    Watched,
    Webhook,
)
from interlock.types.labels import (
    Api,
    DataClass,
    Effort,
    Kind,
    LatencyClass,
    RiskTier,
    SafetyMode,
    Trust,
    Wire,
)
from interlock.types.quirks import KeyHeader, Quirks
from interlock.types.signals import Caller


class Deployment(Struct, frozen=True, kw_only=True):
    """One base URL of a provider. `id` is `provider`, or `provider/endpoint` for a regional one.

    `regions` is every place where it may process data; empty is unknown, which no residency rule
    accepts. `region` is what a decision shows. `proxy` is the address of the one that all calls go through.
    """

    id: str
    provider: str
    base_url: str
    endpoint: str | None = None
    regions: tuple[str, ...] = ()
    proxy: str | None = None

    @property
    def region(self) -> str | None:
        return "+".join(self.regions) or None


class Provider(Struct, frozen=True, kw_only=True):
    name: str
    kind: Kind
    vendor: str
    deployments: tuple[Deployment, ...]
    jurisdiction: str | None = None
    trusted_for: DataClass = "internal"
    limits: Limits | None = None
    local_model: str | None = None
    auth: KeyHeader | None = None
    api_version: str | None = None
    quirks: Quirks = Quirks()
    api: Api = "chat"

    @property
    def wire(self) -> Wire:
        """What requests to it are written in."""
        return "openai-responses" if self.api == "responses" else self.kind


class Model(Struct, frozen=True, kw_only=True):
    """One entry of the pool. A fact that neither file nor catalogue gives is None: unknown.

    `capabilities` None is unknown too; unknown is not "has none", and not "has it". `temperature`, `top_p`,
    `effort` and `system` are what it is asked with, whatever its caller says; None leaves that to the caller.
    """

    name: str
    provider: str
    upstream: str
    version: str | None = None
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    capabilities: tuple[str, ...] | None = None
    quality: float | None = None
    origin: str | None = None
    price: Price | None = None
    temperature: float | None = None
    top_p: float | None = None
    effort: Effort | None = None
    system: str | None = None


class Lane(Struct, frozen=True, kw_only=True):
    """`json_schema` is the schema itself, read from the file that the config names."""

    name: str
    match: dict[str, Any] | None = None
    models: tuple[str, ...] = ()
    cascade: tuple[Step, ...] = ()
    select: str = "first"
    weights: dict[str, float] = {}
    budgets: BudgetLimits = BudgetLimits()
    tools: tuple[str, ...] | None = None
    require_tools: tuple[str, ...] = ()
    json_schema: dict[str, Any] | None = None
    citations_required: bool = False
    strict_arguments: bool = False
    temperature: float | None = None
    top_p: float | None = None
    safety_mode: SafetyMode | None = None
    risk_tier: RiskTier | None = None
    escalate: tuple[Escalate, ...] = ()
    hedge_after_ms: int | None = None


class Key(Struct, frozen=True, kw_only=True):
    """A configured key, without its secret. `expires` is RFC 3339, UTC."""

    caller: Caller
    expires: str | None = None
    budgets: BudgetLimits = BudgetLimits()


class Config(Struct, frozen=True, kw_only=True):
    """Everything that decides and runs requests. Two equal configs have one `config_hash`."""

    providers: dict[str, Provider]
    models: dict[str, Model]
    aliases: dict[str, str] = {}
    tools: dict[str, ToolSpec] = {}
    default_tool: ToolSpec = ToolSpec()
    sources: dict[str, Trust] = {}
    classification: Classification = Classification()
    metadata: tuple[str, ...] = ()
    latency_classes: dict[LatencyClass, BudgetLimits] = {}
    lanes: tuple[Lane, ...] = ()
    default_model: str | None = None
    fallbacks: tuple[Fallback, ...] = ()
    rules: tuple[Rule, ...] = ()
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
    prices_version: str = "none"
    config_hash: str = ""
    policy_hash: str = ""


class Secrets(Struct, frozen=True, kw_only=True):
    """What must stay in memory only.

    `api_keys` and `proxies` (what a proxy is shown, `USER:PASSWORD`) are by deployment id, `caller_keys` by
    key id, `webhooks` by the hook's name.
    """

    api_keys: dict[str, str] = {}
    proxies: dict[str, str] = {}
    caller_keys: dict[str, str] = {}
    webhooks: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Secrets({len(self.api_keys)} provider keys, {len(self.caller_keys)} caller keys)"


def encode(config: Config) -> bytes:
    """The canonical bytes of a config: what is stored per revision and what its hash is taken of."""
    return msgspec.json.encode(config, order="sorted")


def decode(data: bytes) -> Config:
    """The config that `encode` gave these bytes for. Raises msgspec.ValidationError on others."""
    return msgspec.json.decode(data, type=Config)
