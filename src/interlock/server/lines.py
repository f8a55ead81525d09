"""The log line of a request: which way it went, within which budgets, what it used. Never content or keys."""

from msgspec import Struct

from interlock.server.exchange import Exchange
from interlock.types.decision import Budgets


class RequestLine(Struct, frozen=True, gc=False, omit_defaults=True):
    """`attempts` are pairs of model and outcome; `budgets` and what follows belong to a decision."""

    at: str
    event: str
    request: str
    method: str
    route: str
    status: int
    latency_ms: float
    tenant: str
    key: str | None
    error: str | None = None
    decision: str | None = None
    outcome: str | None = None
    provider: str | None = None
    model: str | None = None
    alias: str | None = None
    lane: str | None = None
    attempts: tuple[tuple[str, str], ...] = ()
    fallbacks: tuple[str, ...] = ()
    budgets: Budgets | None = None
    used: dict[str, float] | None = None


def request_line(exchange: Exchange, now: str, latency_ms: float) -> RequestLine:
    """What the log says of a request that is over."""
    decision, caller = exchange.decision, exchange.caller
    general = (
        now,
        "request",
        f"req_{exchange.name}",
        exchange.call.method,
        exchange.route,
        exchange.status,
        latency_ms,
        caller.tenant,
        caller.key,
        exchange.error,
    )
    if decision is None:
        return RequestLine(*general)
    route, tried = decision.route, exchange.attempts
    return RequestLine(
        *general,
        decision.id,
        exchange.outcome,
        route.provider if route is not None else None,
        route.model if route is not None else None,
        route.alias if route is not None else None,
        route.lane if route is not None else None,
        tuple([(attempt.model, attempt.outcome) for attempt in tried]),
        tuple([attempt.model for attempt in tried[1:]]) if len(tried) > 1 else (),
        decision.budgets,
        exchange.used,
    )
