"""One revision of the config, prepared for deciding: rules compiled, candidates laid out.

Built once per revision and swapped whole. Everything in it follows from the config alone, so a
recorded config gives the same snapshot again.
"""

from typing import Any

from msgspec import Struct

from interlock.classify.tokens import count, family_of, tokenizer_of
from interlock.config.checked import Config, Deployment, Lane, Model, Provider
from interlock.config.written import BudgetLimits, Fallback
from interlock.policy.condition import Test, compile_condition
from interlock.policy.rules import CompiledRule, compile_rules
from interlock.policy.who import objection_to
from interlock.types.signals import EMBEDS

SetLimits = tuple[tuple[str, Any], ...]
"""The fields of a `BudgetLimits` that are set, with their values."""


class Candidate(Struct, frozen=True, kw_only=True):
    """One model at one deployment: the unit that policy judges and a request is sent to.

    `objections` has, by rule name, why that rule would drop it; aliases in a rule's `models`
    move with the world and are judged per request instead. `embeds` tells embedding models from all others.
    `overlay_tokens` is the size of what the model's entry puts before each request.
    """

    model: Model
    provider: Provider
    deployment: Deployment
    objections: dict[str, str]
    embeds: bool = False
    tokenizer: str = ""
    overlay_tokens: int = 0


class Snapshot(Struct, frozen=True, kw_only=True):
    """`candidates` has each model's deployments in listed order.

    `limits` has what a latency class, lane or key sets of the budgets, by the name that a
    decision shows for it ("lane triage").
    """

    config: Config
    rules: tuple[CompiledRule, ...]
    candidates: dict[str, tuple[Candidate, ...]]
    lanes: dict[str, Lane]
    matches: tuple[tuple[Lane, Test], ...]
    limits: dict[str, SetLimits]
    fallbacks: tuple[Fallback, ...]


def snapshot(config: Config) -> Snapshot:
    """Prepare a checked config for deciding."""
    rules = compile_rules(config.rules)
    return Snapshot(
        config=config,
        rules=rules,
        candidates={name: _candidates(model, config, rules) for name, model in config.models.items()},
        lanes={lane.name: lane for lane in config.lanes},
        matches=tuple(
            (lane, compile_condition(lane.match)) for lane in config.lanes if lane.match is not None
        ),
        limits=_limits(config),
        fallbacks=config.fallbacks,
    )


def _limits(config: Config) -> dict[str, SetLimits]:
    written: dict[str, BudgetLimits] = {
        **{f"latency class {name}": limits for name, limits in config.latency_classes.items()},
        **{f"lane {lane.name}": lane.budgets for lane in config.lanes},
        **{f"key {key.caller.key}": key.budgets for key in config.keys},
    }
    found = {name: set_limits(limits) for name, limits in written.items()}
    return {name: limits for name, limits in found.items() if limits}


def set_limits(limits: BudgetLimits) -> SetLimits:
    """The fields that are set, with their values."""
    pairs = ((name, getattr(limits, name)) for name in BudgetLimits.__struct_fields__)
    return tuple((name, value) for name, value in pairs if value is not None and value != {})


def _candidates(model: Model, config: Config, rules: tuple[CompiledRule, ...]) -> tuple[Candidate, ...]:
    provider = config.providers[model.provider]
    return tuple(
        Candidate(
            model=model,
            provider=provider,
            deployment=deployment,
            embeds=model.capabilities is not None and EMBEDS in model.capabilities,
            tokenizer=tokenizer_of(model.upstream),
            overlay_tokens=0 if model.system is None else count(model.system, family_of(model.upstream)[0]),
            objections={
                rule.name: objection
                for rule in rules
                if rule.who and (objection := objection_to(rule.then, model, provider, deployment))
            },
        )
        for deployment in provider.deployments
    )
