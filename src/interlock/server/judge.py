"""From the bytes of a call to its decision. The same for an inference call and for a dry run."""

import asyncio
import time
from typing import Final

from interlock.classify import classify
from interlock.dialects import Endpoint
from interlock.errors import ApiError
from interlock.server.case import LARGE, Case
from interlock.server.exchange import Exchange
from interlock.server.gateway import Gateway
from interlock.server.ids import draw
from interlock.server.state import State
from interlock.types.labels import DataClass
from interlock.types.request import Request
from interlock.types.signals import Caller, Signals

LONGEST_NAME: Final = 256
_HOUR_NS: Final = 3_600_000_000_000


async def judge(
    gateway: Gateway,
    exchange: Exchange,
    body: bytes,
    endpoint: Endpoint,
    *,
    remember: bool = True,
) -> Case:
    """Understand and decide. Raises ApiError for a request that cannot be understood.

    A session only ever becomes more sensitive: with `remember`, what this request shows counts for
    the next one too, from before anything is sent anywhere.
    """
    decode = endpoint.decode_request
    large = len(body) > LARGE
    request = (
        await asyncio.to_thread(decode, body, exchange.headers) if large else decode(body, exchange.headers)
    )
    _check_names(request)
    state, caller, session = exchange.state, exchange.caller, request.hints.session
    nanoseconds = time.time_ns()
    now = nanoseconds // 1000
    hour = nanoseconds // _HOUR_NS % 24
    known = gateway.store.session_class(caller.tenant, session, now) if session is not None else None
    signals = (
        await asyncio.to_thread(_classify, request, caller, state, endpoint.path, hour, known)
        if large
        else _classify(request, caller, state, endpoint.path, hour, known)
    )
    if session is not None and remember:
        await gateway.store.raise_session_class(caller.tenant, session, signals.data_class, now)
    name = f"dec_{exchange.name}"
    at = gateway.clock.at(nanoseconds)
    chance = draw(caller.tenant, session if session is not None else name)
    decision = (
        await asyncio.to_thread(state.memory.afresh, id=name, now=at, signals=signals, draw=chance)
        if large
        else state.memory.decide(id=name, now=at, signals=signals, draw=chance)
    )
    return Case(request, decision, body, now)


def _classify(
    request: Request, caller: Caller, state: State, endpoint: str, hour: int, known: DataClass | None
) -> Signals:
    return classify(
        request,
        caller,
        state.config,
        endpoint=endpoint,
        hour_utc=hour,
        session_class=known,
        cannot_carry=state.cannot_carry(request),
    )


def _check_names(request: Request) -> None:
    """Names are recorded, logged and echoed, so they have a length. Raises ApiError: invalid_request."""
    if len(request.model) > LONGEST_NAME:
        raise ApiError("invalid_request", f"a name has at most {LONGEST_NAME} characters", param="model")
    for place, tool in enumerate(request.tools):
        if len(tool.name) > LONGEST_NAME:
            where = f"tools[{place}]"
            raise ApiError("invalid_request", f"a name has at most {LONGEST_NAME} characters", param=where)
    session = request.hints.session
    if session is not None and len(session) > LONGEST_NAME:
        raise ApiError("invalid_request", f"a session has at most {LONGEST_NAME} characters", param="session")
