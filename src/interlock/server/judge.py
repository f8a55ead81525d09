"""From the bytes of a call to its decision. The same for an inference call and for a dry run."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, TypeVar

from interlock.classify import classify
from interlock.dialects import DIALECTS
from interlock.errors import ApiError
from interlock.server.case import Case
from interlock.server.exchange import Exchange
from interlock.server.gateway import Gateway
from interlock.server.ids import draw
from interlock.types.labels import Dialect
from interlock.types.request import Request

T = TypeVar("T")

LARGE: Final = 64 * 1024
"""Larger bodies are read and classified off the loop: that takes milliseconds, and others wait."""
LONGEST_NAME: Final = 256
_HOUR_NS: Final = 3_600_000_000_000


async def judge(
    gateway: Gateway,
    exchange: Exchange,
    body: bytes,
    endpoint: str,
    dialect: Dialect,
    *,
    remember: bool = True,
) -> Case:
    """Understand and decide. Raises ApiError for a request that cannot be understood.

    A session only ever becomes more sensitive: with `remember`, what this request shows counts for
    the next one too, from before anything is sent anywhere.
    """

    async def work(does: Callable[[], T]) -> T:
        return does() if len(body) <= LARGE else await asyncio.to_thread(does)

    request = await work(lambda: DIALECTS[dialect].decode_request(body, exchange.headers))
    _check_names(request)
    state, caller, session = exchange.state, exchange.caller, request.hints.session
    nanoseconds = time.time_ns()
    now = nanoseconds // 1000
    known = gateway.store.session_class(caller.tenant, session, now) if session is not None else None
    signals = await work(
        lambda: classify(
            request,
            caller,
            state.config,
            endpoint=endpoint,
            hour_utc=nanoseconds // _HOUR_NS % 24,
            session_class=known,
            cannot_carry=state.cannot_carry(request),
        )
    )
    if session is not None and remember:
        await gateway.store.raise_session_class(caller.tenant, session, signals.data_class, now)
    name = f"dec_{exchange.name}"
    decision = state.memory.decide(
        id=name,
        now=gateway.clock.at(nanoseconds),
        signals=signals,
        draw=draw(caller.tenant, session if session is not None else name),
    )
    return Case(request=request, decision=decision, body=body)


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
