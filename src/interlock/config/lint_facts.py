"""What is not known about the pool, and data that no rule keeps where it belongs."""

from collections.abc import Iterator
from typing import Final

from interlock.config.checked import Model
from interlock.config.problems import listed, warning
from interlock.config.reach import objection
from interlock.config.whole import Whole, mentions
from interlock.errors import Problem
from interlock.policy.satisfy import satisfiable
from interlock.policy.who import restricts

MAX_RULES: Final = 8
"""How many rules a proof that data stays in its region looks at: the cost grows with each."""


def check_facts(whole: Whole) -> Iterator[Problem]:
    for name, model in whole.config.models.items():
        yield from _unknown(whole, name, model)
    floating = [name for name, model in whole.config.models.items() if model.version is None]
    if floating:
        yield warning(
            "models",
            f"unknown: the version of {listed(floating)}",
            "add `version`, so that records say which one answered",
        )
    yield from _regions(whole)


def _unknown(whole: Whole, name: str, model: Model) -> Iterator[Problem]:
    path = f"models.{name}"
    known_as = "" if model.upstream == name else f" as `{model.upstream}`"
    if model.price is None:
        yield warning(
            path,
            f"unpriced: neither the file nor the catalogue{known_as} has a price, so a request with "
            "`max_cost_usd` cannot use it",
            "add `price: {input: USD, output: USD}` per million tokens; `0` if it is free",
        )
    facts: dict[str, object] = {
        "context_tokens": model.context_tokens,
        "max_output_tokens": model.max_output_tokens,
        "capabilities": model.capabilities,
    }
    if model.effort not in (None, "none") and "reasoning" not in (model.capabilities or ("reasoning",)):
        yield warning(
            f"{path}.effort",
            "it is asked to reason, and `reasoning` is not among its capabilities",
            "leave `effort` out, or add the capability",
        )
    if any(rule.then.deny_origins for rule in whole.file.policy):
        facts["origin"] = model.origin
    missing = [field for field, value in facts.items() if value is None]
    if missing:
        yield warning(
            path,
            f"unknown: {listed(missing)}; neither the file nor the catalogue{known_as} says",
            "add what you know: what is unknown is not checked"
            if "origin" not in missing
            else "add what you know: an unknown origin counts as a denied one",
        )


def _regions(whole: Whole) -> Iterator[Problem]:
    """Places that data must stay within, and models that no rule keeps it from."""
    wanted = {key.residency: f"keys[{place}].residency" for place, key in enumerate(whole.file.keys)}
    for place, rule in whole.sound_rules:
        for path, value in mentions(rule.when, "residency", f"policy[{place}].when"):
            wanted.setdefault(value, path)
    for residency, path in wanted.items():
        if residency is None:
            continue
        outside = sorted(set(_outside(whole, residency)))
        if outside:
            yield warning(
                path,
                f"data that must stay in `{residency}` could leave: no rule keeps it from {listed(outside)}",
                f"add a rule: `when: {{residency: {residency}}}`, `then: {{regions: [{residency}]}}`",
            )


def _outside(whole: Whole, residency: str) -> Iterator[str]:
    """Models, each with its region, that may serve a request bound to a place they are not in.

    A rule on regions that applies has decided the matter, whichever regions it names.
    """
    bound = {"residency": residency}
    rules = [rule for _, rule in whole.sound_rules if restricts(rule.then) and satisfiable(bound, rule.when)]
    proven: dict[tuple[str, ...], bool] = {}
    for name, model in whole.config.models.items():
        provider = whole.config.providers[model.provider]
        for deployment in provider.deployments:
            if deployment.regions and set(deployment.regions) <= {residency}:
                continue
            kept = [
                rule
                for rule in rules
                if rule.then.regions is not None
                or objection(rule.then, model, provider, deployment, whole) is not None
            ]
            names = tuple(rule.name for rule in kept)
            if names not in proven:
                never = [rule.when for rule in kept]
                proven[names] = len(kept) <= MAX_RULES and satisfiable(bound, never=never)
            if proven[names]:
                yield f"{name} ({deployment.region or 'region unknown'})"
