"""One call of one upstream, whole or streamed: bytes out, canonical values back.

Every way a call can fail comes back as a `Failure`; only the cancellation of the caller's own task
is raised. Fallbacks, records and money are the executor's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from interlock.adapters import AdapterModule, HttpCall, WholeCall
from interlock.errors import let_go
from interlock.execute.deadlines import IDLE_S, Limits
from interlock.execute.flow import Flow
from interlock.execute.joint import Joint
from interlock.transport import Response, Transport, TransportError
from interlock.types.answer import Answer, Event, Failure
from interlock.types.proxy import Proxy

MOST_ANSWER: Final = 32 * 1024 * 1024
MOST_ERROR: Final = 1024 * 1024
MOST_STREAM: Final = 16 * 1024 * 1024
"""Characters of a streamed answer, which are held until it ends. What is sent around them, as with log
probabilities, may be many times as much and is not held."""
LOOK_EVERY: Final = 4 * 1024 * 1024
"""Adding up what is held takes time, so it is done once in so many bytes."""

_MESSAGES: Final = {
    "timeout": "the provider did not answer in time",
    "connect_failed": "the provider could not be reached",
    "malformed": "the provider's answer is not one",
}

Emit = Callable[[Sequence[Event]], Awaitable[None]]
Heard = Callable[[Response], None]


async def call_whole(
    transport: Transport,
    adapter: WholeCall,
    call: HttpCall,
    limits: Limits,
    heard: Heard,
    proxy: Proxy | None,
) -> Answer | Failure:
    """Send a request and read its whole answer. `heard` is given the response as soon as there is one."""
    try:
        response = await _sent(transport, call, limits, proxy)
    except (TransportError, ValueError) as error:
        return _failure(error)
    heard(response)
    try:
        if response.status != 200:
            return await _error(adapter, response, limits)
        body = response.whole(MOST_ANSWER)
        if body is None:
            body = await response.read(MOST_ANSWER, limits.end_by, IDLE_S)
    except TransportError as error:
        return _failure(error)
    finally:
        response.close()
    return adapter.decode_answer(body)


async def call_stream(
    transport: Transport,
    adapter: AdapterModule,
    call: HttpCall,
    limits: Limits,
    flow: Flow | Joint,
    emit: Emit,
    heard: Heard,
    proxy: Proxy | None,
) -> Failure | None:
    """Send a request and pass its events on through `flow` as they come.

    None means that the flow is over by itself: it says how. A Failure comes from the call. `heard`
    is given the response as soon as there is one; whoever holds it closes it when all is done, so
    that the last bytes of a finished stream may still arrive and the connection be used again.
    """
    try:
        response = await _sent(transport, call, limits, proxy)
    except (TransportError, ValueError) as error:
        return _failure(error)
    heard(response)
    del call, heard  # a stream may stay open for long
    loop, decoder = asyncio.get_running_loop(), adapter.StreamDecoder()
    due, begun, end_by = limits.first_by, False, limits.unseen_by
    size, look_at = 0, MOST_STREAM
    try:
        if response.status != 200:
            return await _error(adapter, response, limits)
        while not flow.over:
            data = await response.chunk(due)
            now = loop.time()
            size += len(data)
            if size > look_at:
                _refuse_giant(flow)
                look_at = size + LOOK_EVERY
            events = decoder.feed(data) if data else decoder.end()
            out = flow.take(events) if events else []
            if out:
                await emit(out)
                end_by = limits.end_by
            if not data:
                break
            if now >= end_by:
                return Failure(outcome="timeout", message=_MESSAGES["timeout"])
            if events or (begun and b"\n" in data):
                due, begun = min(now + IDLE_S, end_by), True
            del data, events, out  # nor need these wait for what may be long in coming
    except TransportError as error:
        return _failure(error)
    early = Failure(outcome="malformed", message="the provider's stream ended in the middle")
    return None if flow.over else early


def _refuse_giant(flow: Flow | Joint) -> None:
    if flow.size > MOST_STREAM:
        raise TransportError("malformed", f"a stream of over {MOST_STREAM} characters")


def _sent(transport: Transport, call: HttpCall, limits: Limits, proxy: Proxy | None) -> Awaitable[Response]:
    return transport.send(
        call.url,
        call.headers,
        call.body,
        connect_by=limits.connect_by,
        first_byte_by=limits.first_by,
        proxy=proxy,
    )


async def _error(adapter: WholeCall, response: Response, limits: Limits) -> Failure:
    body = await response.read(MOST_ERROR, limits.end_by, IDLE_S)
    return adapter.decode_error(response.status, response.headers, body)


def _failure(error: TransportError | ValueError) -> Failure:
    let_go(error)
    if isinstance(error, ValueError):
        # A base URL or a key that no request can carry: the operator's mistake, and this model's alone.
        return _failure(TransportError("connect_failed", str(error)))
    message = _MESSAGES.get(error.outcome, "the provider failed")
    return Failure(outcome=error.outcome, message=message, detail=error.detail, unsent=error.unsent)
