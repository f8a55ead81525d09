"""The log line of a request: which way it went, within which budgets, what it used. Never content or keys."""

from typing import Final

import msgspec
from msgspec import Raw, Struct

from interlock.server.exchange import Exchange
from interlock.types.decision import Budgets, Decision, Route
from interlock.types.signals import Caller

MOST: Final = 512
"""Of what lines share is remembered."""
_encode: Final = msgspec.json.Encoder().encode


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


class PlainLine(Struct, frozen=True, gc=False):
    """The line of an answer that its first model gave, with what it shares with others as JSON already.

    `method` goes on to `status`, `tenant` to `key`, and `outcome` to `budgets`.
    """

    at: str
    event: str
    request: str
    method: Raw
    latency_ms: float
    tenant: Raw
    decision: str
    outcome: Raw
    used: dict[str, float]


class _Shared(Struct, gc=False):
    """Mutable: what lines of one caller and kind of decision share, and, once it comes again, as JSON."""

    caller: Caller
    route: Route
    budgets: Budgets
    name: str
    method: Raw | None = None
    tenant: Raw = Raw()
    outcome: Raw = Raw()


class Lines:
    """Mutable: writes log lines, and remembers what many of them share.

    Decisions of one shape share their route and budgets, as `route.memory` makes them, so those are told by
    identity: they are frozen, and held here, so that no other value can get their place in memory.
    """

    def __init__(self) -> None:
        self._shared: dict[tuple[int, int], _Shared] = {}

    def of(self, exchange: Exchange, now: str, latency_ms: float) -> RequestLine | PlainLine:
        """The line of a request that is over: encoded, what `request_line` says."""
        decision, used = exchange.decision, exchange.used
        if decision is None or used is None or exchange.error is not None or len(exchange.attempts) != 1:
            return request_line(exchange, now, latency_ms)
        shared = self._shared_by(exchange, decision)
        if shared is None or shared.method is None:
            return request_line(exchange, now, latency_ms)
        return PlainLine(
            now,
            "request",
            f"req_{exchange.name}",
            shared.method,
            latency_ms,
            shared.tenant,
            decision.id,
            shared.outcome,
            used,
        )

    def _shared_by(self, exchange: Exchange, decision: Decision) -> _Shared | None:
        """What this line shares with those before it; None: nothing, or it is no plain one."""
        attempt, route = exchange.attempts[0], decision.route
        plain = exchange.status == 200 and exchange.outcome == "ok" and attempt.outcome == "ok"
        if not plain or route is None or attempt.model != route.model or exchange.call.method != "POST":
            return None
        caller, budgets = exchange.caller, decision.budgets
        found = self._shared.get((id(caller), id(budgets)))
        if found is None or found.route is not route or found.name != exchange.route:
            if len(self._shared) >= MOST:
                self._shared.clear()
            self._shared[id(caller), id(budgets)] = _Shared(caller, route, budgets, exchange.route)
            return None
        if found.method is None:
            _write(found)
        return found


def _write(shared: _Shared) -> None:
    """Encode what lines share: a whole line, cut where they differ. No value can hold what it is cut at."""
    caller, route = shared.caller, shared.route
    line = RequestLine(
        at="",
        event="request",
        request="",
        method="POST",
        route=shared.name,
        status=200,
        latency_ms=0.0,
        tenant=caller.tenant,
        key=caller.key,
        decision="",
        outcome="ok",
        provider=route.provider,
        model=route.model,
        alias=route.alias,
        lane=route.lane,
        attempts=((route.model, "ok"),),
        budgets=shared.budgets,
    )
    _, _, rest = _encode(line)[:-1].partition(b'"method":')
    method, _, rest = rest.partition(b',"latency_ms":0.0,"tenant":')
    tenant, _, outcome = rest.partition(b',"decision":"","outcome":')
    shared.method, shared.tenant, shared.outcome = Raw(method), Raw(tenant), Raw(outcome)
