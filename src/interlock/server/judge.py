"""From the bytes of a call to its decision. The same for an inference call and for a dry run."""

import time

from msgspec import Struct

from interlock.classify import classify
from interlock.dialects import DIALECTS
from interlock.route.decide import decide
from interlock.server.exchange import Exchange
from interlock.server.gateway import Gateway
from interlock.server.ids import draw
from interlock.types.decision import Decision
from interlock.types.labels import Dialect
from interlock.types.request import Request
from interlock.wire.json import check_body

_HOUR_NS = 3_600_000_000_000


class Case(Struct, frozen=True, kw_only=True):
    """A request that has been understood and decided on, and the body that it came in."""

    request: Request
    decision: Decision
    body: bytes


async def judge(
    gateway: Gateway, exchange: Exchange, body: bytes, endpoint: str, dialect: Dialect
) -> Case:
    """Understand and decide. Raises ApiError for a request that cannot be understood.

    A session only ever becomes more sensitive; what this request shows is remembered for the next.
    """
    check_body(body)
    request = DIALECTS[dialect].decode_request(body, exchange.headers)
    state, caller, session = exchange.state, exchange.caller, request.hints.session
    nanoseconds = time.time_ns()
    known = await gateway.store.session_class(caller.tenant, session) if session is not None else None
    signals = classify(
        request,
        caller,
        state.config,
        endpoint=endpoint,
        hour_utc=nanoseconds // _HOUR_NS % 24,
        session_class=known,
        cannot_carry=state.cannot_carry(request),
    )
    if session is not None and signals.data_class != known:
        await gateway.store.raise_session_class(caller.tenant, session, signals.data_class)
    name = f"dec_{exchange.name}"
    decision = decide(
        id=name,
        now=gateway.clock.at(nanoseconds),
        signals=signals,
        snapshot=state.setting.snapshot,
        world=state.setting.world,
        world_hash=state.world_hash,
        draw=draw(caller.tenant, session if session is not None else name),
    )
    return Case(request=request, decision=decision, body=body)
