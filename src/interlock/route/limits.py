"""The budgets of a decision: field by field, the smallest of all that set one, and who set it."""

from collections.abc import Iterable
from typing import Final

from interlock.config.written import BudgetLimits
from interlock.policy.rules import Ruling
from interlock.route.snapshot import Snapshot
from interlock.types.decision import Budgets
from interlock.types.labels import Effect, ServiceTier
from interlock.types.signals import Signals

Sourced = tuple[str, BudgetLimits]

_NUMBERS: Final = (
    "max_input_tokens",
    "max_output_tokens",
    "max_tool_calls",
    "deadline_ms",
    "first_token_ms",
    "max_attempts",
    "max_continuations",
    "max_cost_usd",
)
_BY_EFFECT: Final = ("max_tool_calls_by_effect", "unattended")


def sources(signals: Signals, snapshot: Snapshot, ruling: Ruling) -> tuple[Sourced, ...]:
    """Everything that sets a budget for this request, but the model, which is not chosen yet."""
    found: list[Sourced] = []
    by_class = snapshot.config.latency_classes.get(signals.latency_class)
    if by_class is not None:
        found.append((f"latency class {signals.latency_class}", by_class))
    found += [
        (f"lane {name}", snapshot.lanes[name].budgets) for name in ruling.lanes if name in snapshot.lanes
    ]
    found += [(f"rule {rule.name}", rule.limits) for rule in ruling.matched if rule.limits is not None]
    key = snapshot.keys.get(signals.key) if signals.key is not None else None
    if key is not None:
        found.append((f"key {signals.key}", key.budgets))
    if (
        signals.max_output_tokens is not None
        or signals.deadline_ms is not None
        or signals.max_cost_usd is not None
    ):
        found.append(
            (
                "the request",
                BudgetLimits(
                    max_output_tokens=signals.max_output_tokens,
                    deadline_ms=signals.deadline_ms,
                    max_cost_usd=signals.max_cost_usd,
                ),
            )
        )
    return tuple(found)


def smallest(found: Iterable[Sourced]) -> tuple[Budgets, dict[str, str]]:
    """The meet of all sources, and by field the source that won (the first, where several agree)."""
    numbers: dict[str, float] = {}
    by_effect: dict[str, dict[Effect, int]] = {name: {} for name in _BY_EFFECT}
    who: dict[str, str] = {}
    tier: ServiceTier | None = None
    for source, limits in found:
        for name in _NUMBERS:
            value = getattr(limits, name)
            if value is not None and (name not in numbers or value < numbers[name]):
                numbers[name] = value
                who[name] = source
        for name in _BY_EFFECT:
            for effect, count in getattr(limits, name).items():
                merged = by_effect[name]
                if effect not in merged or count < merged[effect]:
                    merged[effect] = count
                    who[f"{name}.{effect}"] = source
        if limits.service_tier is not None:
            tier = limits.service_tier  # the later source is the more specific one
    budgets = Budgets(
        max_input_tokens=_whole(numbers.get("max_input_tokens")),
        max_output_tokens=_whole(numbers.get("max_output_tokens")),
        max_tool_calls=_whole(numbers.get("max_tool_calls")),
        max_tool_calls_by_effect=_sorted(by_effect["max_tool_calls_by_effect"]),
        unattended=_sorted(by_effect["unattended"]),
        deadline_ms=_whole(numbers.get("deadline_ms")),
        first_token_ms=_whole(numbers.get("first_token_ms")),
        max_attempts=_whole(numbers.get("max_attempts")),
        max_continuations=_whole(numbers.get("max_continuations", 0)),
        max_cost_usd=numbers.get("max_cost_usd"),
        service_tier=tier or "standard",
    )
    return budgets, who


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _sorted(counts: dict[Effect, int]) -> dict[Effect, int]:
    return {effect: counts[effect] for effect in sorted(counts)} if len(counts) > 1 else counts
