"""The budgets of a decision: field by field, the smallest of all that set one, and who set it."""

from collections.abc import Iterable
from typing import Any, Final

from interlock.policy.rules import Ruling
from interlock.route.snapshot import SetLimits, Snapshot
from interlock.types.decision import Budgets
from interlock.types.labels import Effect
from interlock.types.signals import Signals

Sourced = tuple[str, SetLimits]
"""A source by the name that a decision shows for it, and the fields it sets."""

REQUEST: Final = "the request"
"""The source of limits that the caller asked for itself."""
_BY_EFFECT: Final = ("max_tool_calls_by_effect", "unattended")


def sources(signals: Signals, snapshot: Snapshot, ruling: Ruling) -> tuple[Sourced, ...]:
    """Everything that sets a budget for this request, but the model, which is not chosen yet."""
    names = [f"latency class {signals.latency_class}", *(f"lane {name}" for name in ruling.lanes)]
    if signals.key is not None:
        names.append(f"key {signals.key}")
    found = [(name, limits) for name in names if (limits := snapshot.limits.get(name)) is not None]
    found += [(f"rule {rule.name}", rule.limits) for rule in ruling.matched if rule.limits]
    hints = tuple(
        (name, value)
        for name in ("max_output_tokens", "deadline_ms", "max_cost_usd")
        if (value := getattr(signals, name)) is not None
    )
    return (*found, (REQUEST, hints)) if hints else tuple(found)


def smallest(found: Iterable[Sourced]) -> tuple[Budgets, dict[str, str]]:
    """The meet of all sources, and by field the source that won (the first, where several agree)."""
    least: dict[str, Any] = {"max_continuations": None}
    who: dict[str, str] = {}
    for source, limits in found:
        for name, value in limits:
            if name in _BY_EFFECT:
                _least_by_effect(least, who, name, value, source)
            elif name == "service_tier":
                least[name] = value  # no order among tiers: the later source is the more specific one
            elif least.get(name) is None or value < least[name]:
                least[name] = value
                who[name] = source
    least["max_continuations"] = least["max_continuations"] or 0
    return Budgets(**least), who


def _least_by_effect(
    least: dict[str, Any], who: dict[str, str], name: str, counts: dict[Effect, int], source: str
) -> None:
    merged = dict(least.get(name, {}))
    for effect, count in counts.items():
        if effect not in merged or count < merged[effect]:
            merged[effect] = count
            who[f"{name}.{effect}"] = source
    least[name] = {effect: merged[effect] for effect in sorted(merged)}
