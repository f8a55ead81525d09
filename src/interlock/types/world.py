"""What `decide` may know of the world beyond the config: a snapshot, swapped whole, named by hash.

It changes seldom (an alias moves, a measured latency leaves its band), so recording it once per
hash is cheap and every decision can be computed again from it.
"""

from msgspec import Struct

from interlock.types.labels import DegradeMode


class ActiveAlias(Struct, frozen=True, kw_only=True):
    version: int
    model: str


class World(Struct, frozen=True, kw_only=True):
    """`latency_ms` is per model: measured time to the end of an answer, rounded to two digits.

    `degrade` is the mode that the load has led to; it changes at most every few seconds.
    """

    aliases: dict[str, ActiveAlias] = {}
    latency_ms: dict[str, float] = {}
    degrade: DegradeMode = "none"
