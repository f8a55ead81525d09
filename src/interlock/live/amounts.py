"""What a record adds to which counter of its route: the same amounts for `/metrics` and for OpenTelemetry."""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from interlock.live.routes import RouteKey, is_traffic, route_key
from interlock.measures import Measures, is_open, measure
from interlock.types.record import Record

REQUESTS: Final = "interlock_requests_total"
OVERRIDES: Final = "interlock_overrides_total"
REASKS: Final = "interlock_reasks_total"


class Amount(Struct, frozen=True):
    """So much more of a counter. `label` is its name and value beside those of the route, if it has one."""

    name: str
    route: RouteKey
    value: float = 1
    label: tuple[str, str] | None = None


def of_record(record: Record, route: RouteKey) -> Iterator[Amount]:
    """What a record adds that has ended, or that was given up."""
    if is_open(record):
        yield Amount(REQUESTS, route, 1, ("status", "unfinished"))
        return
    one = measure(record)
    yield Amount(REQUESTS, route, 1, ("status", one.status))
    yield from _of_measures(one, route)


def override(record: Record, kind: str) -> Amount | None:
    """What feedback adds that a record's answer was overridden."""
    return Amount(OVERRIDES, route_key(record), 1, ("override", kind)) if is_traffic(record) else None


def reask(record: Record) -> Amount | None:
    """What it adds that an answer's caller was noticed to ask again, or to edit (`record.noticed`)."""
    if record.noticed is None or not is_traffic(record):
        return None
    return Amount(REASKS, route_key(record), 1, ("noticed", record.noticed))


def _of_measures(one: Measures, route: RouteKey) -> Iterator[Amount]:
    broken = None if one.schema_valid is None else not one.schema_valid
    failed = None if one.valid is None else not one.valid
    plain: tuple[tuple[str, float | None], ...] = (
        ("interlock_cost_usd_total", one.cost_usd),
        ("interlock_cost_unknown_total", one.cost_usd is None),
        ("interlock_fallbacks_total", one.fallback),
        ("interlock_validated_total", None if failed is None else 1),
        ("interlock_validation_failed_total", failed),
        ("interlock_schema_checked_total", None if broken is None else 1),
        ("interlock_schema_invalid_total", broken),
        ("interlock_refusals_total", one.refused),
        ("interlock_tool_calls_total", one.tool_calls),
        ("interlock_denied_tool_calls_total", one.denied_tool_calls),
    )
    for name, value in plain:
        if value is not None:
            yield Amount(name, route, value)
    for direction, tokens in (("input", one.input_tokens), ("output", one.output_tokens)):
        if tokens is not None:
            yield Amount("interlock_tokens_total", route, tokens, ("direction", direction))
