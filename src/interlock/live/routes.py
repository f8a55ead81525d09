"""Which route a record belongs to, and whether it is traffic at all. What it says: `interlock.measures`."""

from msgspec import Struct

from interlock import measures
from interlock.types.labels import Arm
from interlock.types.record import Record


class RouteKey(Struct, frozen=True, kw_only=True, order=True):
    """What figures are kept by: where requests were sent, under which version of which alias."""

    alias: str = ""
    alias_version: int = 0
    provider: str = ""
    model: str = ""
    arm: Arm = "stable"


def is_traffic(record: Record) -> bool:
    """Whether a record is a request that somebody wanted an answer to: no dry run, count, eval or copy."""
    if record.shadow_of is not None:
        return False
    signals = record.decision.signals
    return measures.is_traffic(record.status, signals.tenant, signals.endpoint)


def route_key(record: Record) -> RouteKey:
    """The route of a record; the empty key where nobody was to serve."""
    route = record.decision.route
    if route is None:
        return RouteKey()
    return RouteKey(
        alias=route.alias or "",
        alias_version=route.alias_version or 0,
        provider=route.provider,
        model=route.model,
        arm=route.arm,
    )
