"""Who may serve whatever comes: which rules always apply, and whom they leave. Pure reasoning.

A rule "always applies" to requests of some kind where no such request escapes its `when`. Proofs
come from `policy.satisfy`; where it gives up, nothing is claimed.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from interlock.config.checked import Deployment, Model, Provider
from interlock.config.problems import listed
from interlock.config.whole import Whole
from interlock.config.written import Rule, Then
from interlock.policy.condition import COMBINERS
from interlock.policy.satisfy import satisfiable
from interlock.policy.who import objection_to
from interlock.types.labels import DATA_CLASSES

Condition = Mapping[str, Any] | None

_DERIVED: Final = frozenset({"data_class", "trust", "risk_tier"})
"""Signals of which one limits the others, by how the risk tier is derived."""


def always(rule: Rule, kind: Sequence[Condition]) -> bool:
    """Whether a rule is proven to apply to every request for which all conditions of `kind` hold."""
    # Cheap first: a rule that asks for a signal which the kind leaves open lets some request escape.
    given = {signal for condition in kind for signal in _signals(condition)}
    asked = {key for key in rule.when or {} if key not in COMBINERS}
    if given & _DERIVED:
        given |= _DERIVED
    return asked <= given and not satisfiable(*kind, never=(rule.when,))


def _signals(condition: Condition) -> Iterator[str]:
    """Every signal that a condition names, at any depth."""
    for key, spec in (condition or {}).items():
        if key == "not":
            yield from _signals(spec)
        elif key in COMBINERS:
            for branch in spec:
                yield from _signals(branch)
        else:
            yield key


def removed(whole: Whole, model: str, kind: Sequence[Condition], rules: Sequence[Rule]) -> str | None:
    """Why no deployment of a model ever serves a request of this kind; None if one may.

    `rules` are those that always apply to the kind.
    """
    entry = whole.config.models.get(model)
    if entry is None:
        return None  # its provider is unknown, which is reported by itself
    provider = whole.config.providers[entry.provider]
    reasons: list[str] = []
    for deployment in provider.deployments:
        reason = next(_against(whole, entry, provider, deployment, kind, rules), None)
        if reason is None:
            return None
        reasons.append(reason)
    return "; ".join(dict.fromkeys(reasons)) or None


def _against(
    whole: Whole,
    model: Model,
    provider: Provider,
    deployment: Deployment,
    kind: Sequence[Condition],
    rules: Sequence[Rule],
) -> Iterator[str]:
    for rule in rules:
        why = objection(rule.then, model, provider, deployment, whole)
        if why is not None:
            yield f"rule `{rule.name}`: {why}"
    if provider.trusted_for != DATA_CLASSES[-1]:
        trusted = {"data_class": {"lte": provider.trusted_for}}
        if not satisfiable(*kind, trusted):
            yield f"`{provider.name}` is trusted for {provider.trusted_for} data only"


def objection(
    then: Then, model: Model, provider: Provider, deployment: Deployment, whole: Whole
) -> str | None:
    """Why a rule drops a candidate, as far as the file alone says; None if it does not."""
    if then.models is not None and all(whole.model_of(name) != model.name for name in then.models):
        return f"it allows the models {listed(then.models) or 'none'}"
    return objection_to(then, model, provider, deployment)
