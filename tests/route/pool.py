"""A small pool of models and a config around it, for tests of policy and routing."""

from typing import Any

import msgspec

from interlock.config.checked import Config, Deployment, Key, Lane, Model, Provider
from interlock.config.written import BudgetLimits, Fallback, Price, Rule, ToolSpec
from interlock.route.decide import decide, hash_world
from interlock.route.snapshot import Snapshot, snapshot
from interlock.types.decision import Decision
from interlock.types.labels import LatencyClass
from interlock.types.signals import Signals
from interlock.types.world import World

PROVIDERS = {
    "openai": Provider(
        name="openai",
        kind="openai",
        vendor="openai",
        jurisdiction="us",
        deployments=(
            Deployment(
                id="openai/us", provider="openai", endpoint="us", base_url="https://us/v1", regions=("us",)
            ),
            Deployment(
                id="openai/eu", provider="openai", endpoint="eu", base_url="https://eu/v1", regions=("eu",)
            ),
        ),
    ),
    "anthropic": Provider(
        name="anthropic",
        kind="anthropic",
        vendor="anthropic",
        trusted_for="confidential",
        deployments=(
            Deployment(id="anthropic", provider="anthropic", base_url="https://a", regions=("us",)),
        ),
    ),
    "onprem": Provider(
        name="onprem",
        kind="openai",
        vendor="onprem",
        trusted_for="regulated",
        deployments=(Deployment(id="onprem", provider="onprem", base_url="http://o/v1", regions=("eu",)),),
    ),
}
MODELS = {
    model.name: model
    for model in (
        Model(
            name="big",
            provider="openai",
            upstream="big",
            version="1",
            context_tokens=400_000,
            max_output_tokens=128_000,
            capabilities=("json_schema", "tools", "vision"),
            quality=0.95,
            origin="us",
            price=Price(input=5, output=30),
        ),
        Model(
            name="mid",
            provider="openai",
            upstream="mid",
            context_tokens=128_000,
            capabilities=("json_schema", "tools", "vision"),
            quality=0.8,
            origin="us",
            price=Price(input=1, output=4),
        ),
        Model(
            name="claude",
            provider="anthropic",
            upstream="claude-x",
            context_tokens=200_000,
            capabilities=("tools", "vision"),
            quality=0.9,
            origin="us",
            price=Price(input=3, output=15),
        ),
        Model(
            name="small",
            provider="onprem",
            upstream="small",
            context_tokens=8192,
            max_output_tokens=2048,
            capabilities=("tools",),
            price=Price(input=0, output=0),
        ),
        Model(name="mystery", provider="onprem", upstream="mystery"),
    )
}
TOOLS = {
    "search": ToolSpec(effects=("read", "external"), family="search"),
    "read_file": ToolSpec(effects=("read",), family="code"),
    "send_mail": ToolSpec(effects=("write", "external")),
    "deploy": ToolSpec(effects=("critical",)),
}
ALIASES = {"stable": "mid", "cheap": "small", "hard": "big"}
NOW = "2026-11-24T09:00:00.000000Z"


def rule(name: str, when: dict[str, Any] | None = None, **then: Any) -> Rule:
    """A rule as it would stand in the file."""
    return msgspec.convert({"name": name, "then": then, **({"when": when} if when else {})}, Rule)


def fallback(origin: str, to: str, when: str) -> Fallback:
    return msgspec.convert({"from": origin, "to": to, "when": when}, Fallback)


def config(
    *rules: Rule,
    lanes: tuple[Lane, ...] = (),
    fallbacks: tuple[Fallback, ...] = (),
    keys: tuple[Key, ...] = (),
    latency_classes: dict[LatencyClass, BudgetLimits] | None = None,
    default: str | None = "stable",
) -> Config:
    return Config(
        providers=PROVIDERS,
        models=MODELS,
        aliases=ALIASES,
        tools=TOOLS,
        lanes=lanes,
        fallbacks=fallbacks,
        rules=rules,
        keys=keys,
        metadata=("workflow",),
        latency_classes=latency_classes or {},
        default_model=default,
        config_hash="c0",
        policy_hash="p0",
    )


def run(
    signals: Signals | None = None,
    *rules: Rule,
    world: World | None = None,
    draw: float = 0.5,
    made: Snapshot | None = None,
    **parts: Any,
) -> Decision:
    """Decide a request against the pool; `parts` are those of `config`."""
    state = world or World()
    return decide(
        id="dec_1",
        now=NOW,
        signals=signals or ask(),
        snapshot=made or snapshot(config(*rules, **parts)),
        world=state,
        world_hash=hash_world(state),
        draw=draw,
    )


def ask(model: str = "stable", **signals: Any) -> Signals:
    """Signals of a small request for a model."""
    given = {"input_tokens": 100, **signals}
    if model in ALIASES:
        given.setdefault("alias", model)
    return Signals(model=model, **given)
