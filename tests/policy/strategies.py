"""Hypothesis strategies for signals, conditions and rules over the pool's vocabulary."""

from typing import Any

from hypothesis import strategies as st

from interlock.policy.condition import DOMAINS, Vocabulary
from interlock.types.labels import DATA_CLASSES, EFFECTS, LATENCY_CLASSES, RISK_TIERS
from interlock.types.signals import Signals
from tests.route.pool import ALIASES, MODELS, TOOLS, rule

LANES = ("triage", "patch")
VOCABULARY = Vocabulary(metadata=("workflow",), lanes=LANES, aliases=tuple(ALIASES))
OPEN = {
    "tools": tuple(TOOLS),
    "tool_family": ("search", "code"),
    "residency": ("eu", "us"),
    "tenant": ("default", "acme"),
    "task": ("unknown", "code"),
    "difficulty": ("unknown", "hard"),
    "user_tier": ("free", "paid"),
    "team": ("red",),
    "key": ("k1",),
    "environment": ("prod",),
    "alias": tuple(ALIASES),
    "session": ("s1",),
    "lane": LANES,
}

signals = st.builds(
    Signals,
    model=st.sampled_from(["stable", "cheap", "auto", "big", "claude", "lane:triage"]),
    input_tokens=st.integers(0, 20_000),
    tools=st.lists(st.sampled_from([*TOOLS, "unlisted"]), unique=True).map(tuple),
    tool_effect=st.lists(st.sampled_from(EFFECTS), unique=True).map(tuple),
    has_schema=st.booleans(),
    data_class=st.sampled_from(DATA_CLASSES),
    trust=st.sampled_from(["trusted", "untrusted"]),
    risk_tier=st.sampled_from(RISK_TIERS),
    user_tier=st.sampled_from([None, "free", "paid"]),
    tenant=st.sampled_from(["default", "acme"]),
    residency=st.sampled_from([(), ("eu",), ("us",), ("eu", "us")]),
    latency_class=st.sampled_from(LATENCY_CLASSES),
    lane=st.sampled_from([None, None, *LANES]),
    task=st.sampled_from(["unknown", "code"]),
    asks_for_depth=st.booleans(),
    metadata=st.sampled_from([{}, {"workflow": "close"}, {"workflow": "open"}]),
    hour_utc=st.integers(0, 23),
    max_output_tokens=st.sampled_from([None, 50, 5000]),
)


def _values(name: str) -> st.SearchStrategy[Any]:
    domain = DOMAINS[name]
    if domain.shape == "flag":
        return st.booleans()
    if domain.shape == "number":
        return st.integers(0, (domain.below or 20_000) - 1)
    return st.sampled_from(domain.values or OPEN[name])


def _specs(name: str) -> st.SearchStrategy[Any]:
    value = _values(name)
    some = st.lists(value, min_size=1, max_size=3)
    specs = [value, some, some.map(lambda v: {"any": v}), some.map(lambda v: {"all": v})]
    specs += [value.map(lambda v: {"not": v}), some.map(lambda v: {"not": v})]
    specs.append(st.tuples(some, value).map(lambda pair: {"any": pair[0], "not": pair[1]}))
    if DOMAINS[name].ordered:
        specs += [value.map(lambda v: {"gte": v}), value.map(lambda v: {"lte": v})]
    return st.one_of(specs)


_named = st.sampled_from(sorted(set(DOMAINS) - {"metadata"}))
_entry = _named.flatmap(lambda name: st.tuples(st.just(name), _specs(name)))
_metadata = st.sampled_from(["close", "open", {"not": "close"}]).map(lambda v: ("metadata", {"workflow": v}))
_flat = st.lists(st.one_of(_entry, _entry, _metadata), min_size=1, max_size=3).map(dict)
conditions: st.SearchStrategy[dict[str, Any]] = st.recursive(
    _flat,
    lambda inner: st.one_of(
        inner.map(lambda c: {"not": c}),
        st.lists(inner, min_size=1, max_size=2).map(lambda cs: {"any": cs}),
        st.lists(inner, min_size=1, max_size=2).map(lambda cs: {"all": cs}),
    ),
    max_leaves=4,
)

_models = st.lists(st.sampled_from([*MODELS, *ALIASES]), unique=True, max_size=4)
_tool_lists = st.lists(st.sampled_from([*TOOLS, "unlisted"]), unique=True, max_size=4)
_effects = st.lists(st.sampled_from(EFFECTS), unique=True, min_size=1, max_size=3)
_thens = st.fixed_dictionaries(
    {},
    optional={
        "vendors": st.lists(st.sampled_from(["openai", "anthropic", "onprem"]), unique=True),
        "providers": st.lists(st.sampled_from(["openai", "anthropic", "onprem"]), unique=True),
        "models": _models,
        "regions": st.lists(st.sampled_from(["eu", "us"]), unique=True),
        "jurisdictions": st.sampled_from([["us"], []]),
        "deny_origins": st.sampled_from([["us"], ["cn"]]),
        "tools": _tool_lists,
        "deny_tools": _tool_lists,
        "deny_tool_effects": _effects,
        "require_approval": st.one_of(_effects, _tool_lists),
        "step_up": _effects,
        "max_input_tokens": st.integers(1, 20_000),
        "max_output_tokens": st.integers(1, 5000),
        "max_tool_calls": st.integers(0, 9),
        "max_tool_calls_by_effect": st.dictionaries(st.sampled_from(EFFECTS), st.integers(0, 5)),
        "unattended": st.dictionaries(st.sampled_from(EFFECTS), st.integers(0, 5)),
        "deadline_ms": st.integers(1, 90_000),
        "max_attempts": st.integers(1, 5),
        "max_cost_usd": st.sampled_from([0.0001, 0.01, 1.0]),
        "risk_tier": st.sampled_from(RISK_TIERS),
        "safety_mode": st.sampled_from(["standard", "strict", "sandbox"]),
        "layout": st.sampled_from(["plain", "fenced", "datamarked"]),
        "logging": st.sampled_from(["full", "metadata", "strict"]),
        "pin": st.sampled_from(sorted(MODELS)),
        "lane": st.sampled_from(LANES),
        "deny": st.just("no"),
    },
)
_unnamed = st.tuples(st.one_of(st.none(), conditions), _thens)
rules = st.lists(_unnamed, max_size=6).map(
    lambda pairs: tuple(rule(f"r{place}", when, **then) for place, (when, then) in enumerate(pairs))
)
