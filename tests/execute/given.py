"""Decisions, models and requests for tests of what is done under a decision."""

from typing import Any

from interlock.config.checked import Model
from interlock.config.written import Price
from interlock.types.decision import (
    Budgets,
    Decision,
    FallbackStep,
    PolicyOutcome,
    Provenance,
    Route,
    ToolDenied,
    Why,
)
from interlock.types.labels import When
from interlock.types.request import AnyPart, Message, Request, Text, Tool
from interlock.types.signals import Signals

POLICY = PolicyOutcome(
    risk_tier="low",
    data_class="internal",
    latency_class="interactive",
    trust="trusted",
    safety_mode="standard",
    layout="plain",
    logging="full",
)


def fallback(model: str, when: When, from_: str = "*") -> FallbackStep:
    return FallbackStep(provider="p", model=model, when=when, from_=from_)


def decision(*fallbacks: FallbackStep, policy: dict[str, Any] | None = None, **budgets: Any) -> Decision:
    """A decision for the model `a` with these fallbacks and budgets."""
    changes = dict(policy or {})
    denied = changes.pop("deny", ())
    changes["tools_denied"] = tuple(ToolDenied(tool=tool, rule="r", why="w") for tool in denied)
    outcome = {field: getattr(POLICY, field) for field in POLICY.__struct_fields__} | changes
    return Decision(
        id="dec_1",
        created_at="2026-11-24T00:00:00.000000Z",
        route=Route(
            provider="p", model="a", version=None, alias=None, alias_version=None, region=None, lane=None
        ),
        budgets=Budgets(**budgets),
        policy=PolicyOutcome(**outcome),
        fallbacks=fallbacks,
        cascade=(),
        why=Why(rules=(), selected_by="model"),
        signals=Signals(model="a", input_tokens=1000),
        provenance=Provenance(
            config_hash="", policy_hash="", prices_version="", router_version="rules", world_hash="", draw=0.5
        ),
    )


def request(*parts: AnyPart, tools: tuple[str, ...] = (), **fields: Any) -> Request:
    content = parts or (Text(text="hello"),)
    return Request(
        dialect="openai-chat",
        model="a",
        messages=(Message(role="user", parts=content),),
        tools=tuple(Tool(name=name) for name in tools),
        **fields,
    )


def model(**fields: Any) -> Model:
    return Model(name="a", provider="p", upstream="a-1", **fields)


PRICE = Price(input=2.0, output=10.0, cached_input=0.5, cache_write=2.5)
