"""The ordered and finite labels of the contract, and what "stricter" means for each."""

from typing import Final, Literal

DataClass = Literal["public", "internal", "confidential", "regulated"]
RiskTier = Literal["low", "medium", "high", "critical"]
LatencyClass = Literal["interactive", "background", "batch"]
Trust = Literal["trusted", "untrusted"]
Effect = Literal["read", "write", "external", "critical"]
SafetyMode = Literal["standard", "strict", "sandbox"]
Layout = Literal["plain", "fenced", "datamarked"]
Logging = Literal["full", "metadata", "strict"]
Role = Literal["user", "approver", "operator", "admin"]
Arm = Literal["stable", "canary"]
Degraded = Literal["no_shadow", "prefer_cache", "fewer_tools", "cheap_models", "essential_lanes"]
DegradeMode = Literal["none"] | Degraded
ServiceTier = Literal["standard", "flex", "batch", "priority"]
When = Literal[
    "timeout_or_5xx",
    "rate_limit",
    "context_length",
    "content_filter",
    "schema_invalid",
    "budget",
    "not_permitted",
    "any",
]
EscalateWhen = Literal[
    "low_score",
    "schema_invalid",
    "tools_incomplete",
    "asks_for_depth",
    "refused",
    "approval_expired",
    "budget_exceeded",
]
SelectedBy = Literal["alias", "model", "rule", "lane", "learned", "pin", "canary", "session", "default"]
Capability = Literal["tools", "json_schema", "vision", "files", "audio", "reasoning", "embeddings"]
Modality = Literal["text", "image", "file", "audio"]
Dialect = Literal["openai-chat", "openai-responses", "anthropic-messages"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Operation = Literal["answer", "embed", "count"]
Kind = Literal["openai", "anthropic", "gemini", "bedrock", "azure"]
Api = Literal["chat", "responses"]
Wire = Literal["openai", "openai-responses", "anthropic", "gemini", "bedrock", "azure"]
"""What a provider is spoken to in: its kind, and for a kind with two, which of them (`api`)."""

# From loosest to strictest; a label's rank is its place. Joining two labels takes the higher rank.
DATA_CLASSES: Final[tuple[DataClass, ...]] = ("public", "internal", "confidential", "regulated")
RISK_TIERS: Final[tuple[RiskTier, ...]] = ("low", "medium", "high", "critical")
TRUSTS: Final[tuple[Trust, ...]] = ("trusted", "untrusted")
SAFETY_MODES: Final[tuple[SafetyMode, ...]] = ("standard", "strict", "sandbox")
LAYOUTS: Final[tuple[Layout, ...]] = ("plain", "fenced", "datamarked")
LOGGINGS: Final[tuple[Logging, ...]] = ("full", "metadata", "strict")
LATENCY_CLASSES: Final[tuple[LatencyClass, ...]] = ("interactive", "background", "batch")
EFFECTS: Final[tuple[Effect, ...]] = ("read", "write", "external", "critical")

RANK: Final[dict[str, int]] = {
    label: rank
    for scale in (DATA_CLASSES, RISK_TIERS, TRUSTS, SAFETY_MODES, LAYOUTS)
    for rank, label in enumerate(scale)
}
# Logging has a table of its own: `strict` is a safety mode too, at another rank.
LOGGING_RANK: Final[dict[str, int]] = {label: rank for rank, label in enumerate(LOGGINGS)}
