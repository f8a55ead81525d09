"""The two arms of a rollout: who is on which, and what the alias is for those on the canary. Pure.

A request is on an arm by a number of its own in [0, 1), made of what the rollout sticks to and the rollout's
id. The same session (user, key) is on the same arm throughout, a share that rises only moves requests to the
canary, and another rollout draws anew.
"""

import hashlib

from msgspec.structs import replace

from interlock.route.select import fraction
from interlock.types.signals import Signals
from interlock.types.world import USER_KEYS, ActiveAlias, Canary, World


def point(canary: Canary, signals: Signals, name: str, draw: float) -> float:
    """Where a request is between 0 and 1: on the canary below the rollout's weight.

    `name` is the decision's id. What a request does not say (no user, no key) falls back to the draw, which
    is the session's, else the request's own.
    """
    purpose = f"rollout:{canary.rollout}"
    if canary.sticky_by == "request":
        return _of(name, purpose)
    if canary.sticky_by == "key" and signals.key is not None:
        return _of(f"{signals.tenant}:{signals.key}", purpose)
    if canary.sticky_by == "user":
        user = next((signals.metadata[key] for key in USER_KEYS if key in signals.metadata), None)
        if user is not None:
            return _of(f"{signals.tenant}:{user}", purpose)
    return fraction(draw, purpose)


def shared(canary: Canary, purpose: str, signals: Signals, name: str, draw: float) -> float:
    """Where a request is between 0 and 1 for another use of a rollout: independent of its arm, as sticky."""
    return point(replace(canary, rollout=f"{canary.rollout}:{purpose}"), signals, name, draw)


def on_canary(world: World, alias: str) -> World:
    """The world as a request on the canary arm sees it: the alias is the candidate, in every rule too."""
    canary = world.rollouts[alias]
    candidate = ActiveAlias(version=canary.version, model=canary.model)
    return replace(world, aliases={**world.aliases, alias: candidate})


def _of(subject: str, purpose: str) -> float:
    digest = hashlib.sha256(f"{subject}:{purpose}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:7], "big") / 2**56
