"""What `decide` may know of the world beyond the config: a snapshot, swapped whole, named by hash.

It changes seldom (an alias moves, a measured latency leaves its band), so recording it once per
hash is cheap and every decision can be computed again from it.
"""

from typing import Final

from msgspec import Struct

from interlock.types.labels import DegradeMode


class ActiveAlias(Struct, frozen=True, kw_only=True):
    version: int
    model: str


USER_KEYS: Final = ("user", "user_id")
"""The metadata that say who the user is, where the config declares them."""


class Canary(Struct, frozen=True, kw_only=True):
    """A rollout of an alias: what the share `weight` of its requests gets instead of the active version.

    `sticky_by` is what decides on which arm a request is: `session`, `user`, `key` or `request`.
    """

    rollout: str
    version: int
    model: str
    weight: float
    sticky_by: str


class World(Struct, frozen=True, kw_only=True):
    """`latency_ms` is per model: measured time to the end of an answer, rounded to two digits.

    `degrade` is the mode that the load has led to; it changes at most every few seconds.
    """

    aliases: dict[str, ActiveAlias] = {}
    latency_ms: dict[str, float] = {}
    degrade: DegradeMode = "none"
    rollouts: dict[str, Canary] = {}
    """By alias; only those that have a share of the traffic."""
