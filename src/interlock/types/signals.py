"""What the classifier found out about one request: everything `decide` may know of it.

Signals are recorded as values inside the decision, so the decision can be computed again from
them. They hold names, labels and counts, never content and never a key.
"""

from typing import Final

from msgspec import Struct

from interlock.types.labels import (
    Capability,
    DataClass,
    Effect,
    LatencyClass,
    Modality,
    RiskTier,
    Role,
    Trust,
    Wire,
)

ANY_TOOL: Final = "*"
"""`Signals.tool_choice` where some tool must be called, whichever."""


EMBEDS: Final[Capability] = "embeddings"
"""In `Signals.needs` of a request for embeddings. A model that can do this can do nothing else."""


class Allow(Struct, frozen=True, kw_only=True):
    """What a key may ask for, by name. A key without one may ask for everything but PROVIDER/MODEL."""

    aliases: tuple[str, ...] = ()
    lanes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


class Caller(Struct, frozen=True, kw_only=True):
    """An authenticated caller. Only a successful check of a key (or loopback without keys) makes one."""

    key: str | None = None
    tenant: str = "default"
    team: str | None = None
    user_tier: str | None = None
    role: Role = "user"
    environment: str | None = None
    residency: str | None = None
    data_class: DataClass | None = None
    max_data_class: DataClass | None = None
    allow: Allow | None = None


class Finding(Struct, frozen=True, kw_only=True):
    """Something a detector saw: its kind, where (`messages[2].parts[0]`), how often. Never the text."""

    kind: str
    where: str
    count: int = 1


class Signals(Struct, frozen=True, kw_only=True):
    """The names that `when` and `match` may use, and what routing needs besides.

    `lane` is the lane the caller chose, if any. `residency` lists every place the data must stay
    within. `risk_tier` is as derived and as raised by caller and key, before policy and lane.
    `cannot_carry` names, per wire format, the request's fields that a provider that speaks it
    cannot be given. `needs` lists the capabilities a model must have. `longest_input` is the size of the
    largest of several texts that a model reads one by one; None where it reads all at once. `tokenizer` is
    the one whose ids stand in the request in place of text.
    """

    model: str
    endpoint: str = "/v1/chat/completions"
    stream: bool = False
    input_tokens: int = 0
    input_tokens_estimated: bool = False
    longest_input: int | None = None
    tokenizer: str | None = None
    tools: tuple[str, ...] = ()
    tool_effect: tuple[Effect, ...] = ()
    tool_family: tuple[str, ...] = ()
    tool_choice: str | None = None
    has_schema: bool = False
    modalities: tuple[Modality, ...] = ("text",)
    data_class: DataClass = "internal"
    trust: Trust = "trusted"
    risk_tier: RiskTier = "low"
    user_tier: str | None = None
    tenant: str = "default"
    team: str | None = None
    key: str | None = None
    role: Role = "user"
    environment: str | None = None
    residency: tuple[str, ...] = ()
    latency_class: LatencyClass = "interactive"
    lane: str | None = None
    task: str = "unknown"
    difficulty: str = "unknown"
    asks_for_depth: bool = False
    alias: str | None = None
    session: str | None = None
    metadata: dict[str, str] = {}
    hour_utc: int = 0
    needs: tuple[str, ...] = ()
    cannot_carry: dict[Wire, tuple[str, ...]] = {}
    max_output_tokens: int | None = None
    deadline_ms: int | None = None
    max_cost_usd: float | None = None
    max_data_class: DataClass | None = None
    allow: Allow | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def read_at_once(self) -> int:
        """The tokens that must fit into a model's window together."""
        return self.input_tokens if self.longest_input is None else self.longest_input
