"""From the bytes of a call to its decision. The same for an inference call and for a dry run."""

import time
from typing import Final

from interlock.classify import classify
from interlock.dialects import Endpoint
from interlock.errors import ApiError
from interlock.execute.apart import apart
from interlock.server.case import LARGE, Case
from interlock.server.content import is_kept
from interlock.server.earlier import going_on, recall
from interlock.server.exchange import Exchange
from interlock.server.gateway import Gateway
from interlock.server.ids import draw
from interlock.server.noticing import asker_of
from interlock.server.state import State
from interlock.types.labels import RANK, DataClass
from interlock.types.request import NO_HINTS, Request
from interlock.types.signals import Caller, Signals

LONGEST_NAME: Final = 256


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
    state, caller, headers = exchange.state, exchange.caller, exchange.call.headers
    decode = endpoint.decode_request
    large = len(body) > LARGE
    request = await apart(decode, body, headers) if large else decode(body, headers)
    nanoseconds = time.time_ns()
    now = nanoseconds // 1000
    hour = now // 1_000_000 // 3600 % 24
    known: DataClass | None = None
    size, keeping = len(body), request.keeping
    if keeping is not None and (keeping.previous is not None or keeping.refers):
        earlier = await apart(recall, gateway.store, caller, state.config, body, keeping, now)
        large, known, body = len(earlier.body) > LARGE, earlier.data_class, earlier.given
        request = going_on(await apart(decode, earlier.body, headers), earlier, keeping)
    if len(request.model) > LONGEST_NAME or request.tools or request.hints is not NO_HINTS:
        await apart(_check_names, request) if large else _check_names(request)
    session = request.hints.session
    if session is not None:
        known = stricter(known, gateway.store.session_class(caller.tenant, session, now))
    signals = (
        await apart(_classify, request, caller, state, endpoint.path, hour, known)
        if large
        else _classify(request, caller, state, endpoint.path, hour, known)
    )
    if session is not None and remember:
        await gateway.store.raise_session_class(caller.tenant, session, signals.data_class, now)
    name = f"dec_{exchange.name}"
    at = gateway.clock.at(nanoseconds)
    chance = draw(caller.tenant, session if session is not None else name)
    decision = (
        await apart(state.memory.afresh, id=name, now=at, signals=signals, draw=chance)
        if large
        else state.memory.decide(id=name, now=at, signals=signals, draw=chance)
    )
    wanted = request.keeping is not None or is_kept(state.config, decision.policy.logging)
    asker = asker_of(request, signals, headers)
    return Case(request, decision, body if wanted else b"", now, size, asker, large)


def stricter(one: DataClass | None, other: DataClass | None) -> DataClass | None:
    """The higher of two data classes, each of which may be unknown."""
    return max((label for label in (one, other) if label is not None), key=RANK.__getitem__, default=None)


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
        standing=state.standings.of(caller, request.model, endpoint),
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
