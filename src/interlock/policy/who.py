"""Who may serve, by what a rule demands of provider, deployment and model. Pure, and static per config.

What is unknown (a region, an origin) satisfies no demand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # the lints of `interlock.config` call this while that package is being imported
    from interlock.config.checked import Deployment, Model, Provider
    from interlock.config.written import Then


_WHO: Final = ("vendors", "providers", "models", "regions", "jurisdictions", "deny_origins", "pin", "deny")


def restricts(then: Then) -> bool:
    """Whether a rule limits who may serve."""
    return any(getattr(then, name) not in (None, ()) for name in _WHO)


def objection_to(then: Then, model: Model, provider: Provider, deployment: Deployment) -> str | None:
    """Why a rule that matches drops a candidate, as far as the config alone can tell; None if it does not.

    `models` is left out: aliases in it move with the world.
    """
    if then.deny is not None:
        return then.deny
    if then.pin is not None and then.pin != model.name:
        return f"the request is pinned to `{then.pin}`"
    if then.vendors is not None and provider.vendor not in then.vendors:
        return f"vendor `{provider.vendor}` is not among {_listed(then.vendors)}"
    if then.providers is not None and provider.name not in then.providers:
        return f"provider `{provider.name}` is not among {_listed(then.providers)}"
    if then.regions is not None and not (deployment.regions and set(deployment.regions) <= set(then.regions)):
        where = _listed(deployment.regions) if deployment.regions else "an unknown region"
        return f"data may be processed in {where}; allowed are {_listed(then.regions)}"
    if then.jurisdictions is not None and provider.jurisdiction not in then.jurisdictions:
        return (
            f"jurisdiction `{provider.jurisdiction or 'unknown'}` is not among {_listed(then.jurisdictions)}"
        )
    if then.deny_origins and (model.origin is None or model.origin in then.deny_origins):
        return f"origin `{model.origin or 'unknown'}` is denied"
    return None


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"
