"""What is not known about the pool, and data that no rule keeps where it belongs."""

from collections.abc import Iterator
from typing import Final

from interlock.config.checked import Model
from interlock.config.problems import listed, warning
from interlock.config.reach import objection
from interlock.config.whole import Whole, mentions
from interlock.errors import Problem
from interlock.policy.satisfy import satisfiable

MAX_RULES: Final = 10
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
        outside = [where for where in _deployments(whole) if _may_leave(whole, residency, *where)]
        if outside:
            names = listed(sorted({f"{model} ({region or 'region unknown'})" for model, region in outside}))
            yield warning(
                path,
                f"data that must stay in `{residency}` could leave: no rule keeps it from {names}",
                f"add a rule: `when: {{residency: {residency}}}`, `then: {{regions: [{residency}]}}`",
            )


def _deployments(whole: Whole) -> Iterator[tuple[str, str | None]]:
    for name, model in whole.config.models.items():
        for deployment in whole.config.providers[model.provider].deployments:
            yield name, deployment.region


def _may_leave(whole: Whole, residency: str, model_name: str, region: str | None) -> bool:
    """Whether a request bound to a place may be served outside it, with no rule on regions in force."""
    model = whole.config.models[model_name]
    provider = whole.config.providers[model.provider]
    deployment = next(d for d in provider.deployments if d.region == region)
    if deployment.regions and set(deployment.regions) <= {residency}:
        return False
    kept = [
        rule.when
        for _, rule in whole.sound_rules
        if rule.then.regions is not None or objection(rule.then, model, provider, deployment, whole)
    ]
    relevant = [when for when in kept if satisfiable({"residency": residency}, when)]
    return len(relevant) <= MAX_RULES and satisfiable({"residency": residency}, never=relevant)
