"""Waits for what an upstream's account allows: in its queue for a slot, and until its rates have room.

The counting is `resilience.limits`; this gives it a loop to wait on. Every wait has an end.
"""

import asyncio
from typing import Final, Literal

from msgspec import Struct

from interlock.resilience.limits import Throttle
from interlock.types.labels import LATENCY_CLASSES, LatencyClass

Gate = Throttle[asyncio.Future[bool]]

QUEUE_S: Final = 1.0
"""When to come back to a queue that was full."""
_RANK: Final = {name: rank for rank, name in enumerate(LATENCY_CLASSES)}


class Busy(Struct, frozen=True):
    """Which limit stands in the way, and when it is worth coming back, in seconds."""

    limit: Literal["queue", "rate"]
    wait_s: float
    why: str


async def enter(gate: Gate, tokens: int, latency_class: LatencyClass, by: float) -> Busy | None:
    """Wait until a call with so many tokens may begin; None when it may, and `leave` must follow.

    `by` is the instant up to which waiting makes sense. Interactive requests go before background
    and batch in the queue for a slot.
    """
    loop = asyncio.get_running_loop()
    if gate.slots is not None and not gate.slots.enter():
        busy = await _queue(gate, _RANK[latency_class], by, loop)
        if busy is not None:
            return busy
    now = loop.time()
    at = gate.start_at(now, tokens)
    if at > by:
        leave(gate)
        return Busy("rate", at - now, "the account's limit per minute is reached")
    gate.reserve(at, tokens)
    if at > now:
        try:
            await asyncio.sleep(at - now)
        except BaseException:
            leave(gate)
            raise
    return None


def leave(gate: Gate) -> None:
    """A call has ended: whoever is first in the queue may begin."""
    slots = gate.slots
    ticket = slots.leave() if slots is not None else None
    while slots is not None and ticket is not None:
        if not ticket.done():
            ticket.set_result(True)
            return
        ticket = slots.leave()  # that one had given up a moment ago


async def _queue(gate: Gate, rank: int, by: float, loop: asyncio.AbstractEventLoop) -> Busy | None:
    slots = gate.slots
    assert slots is not None, "there is a queue only for slots"
    full = Busy("queue", QUEUE_S, "as many calls as the account allows are under way, and more wait")
    ticket: asyncio.Future[bool] = loop.create_future()
    stands, gone = slots.queue(ticket, rank)
    if gone is not None and not gone.done():
        gone.set_result(False)
    if not stands:
        return full
    timer = loop.call_at(by, _expire, ticket)
    try:
        return None if await ticket else full
    except asyncio.CancelledError:
        if not ticket.cancelled() and ticket.done() and ticket.result():
            leave(gate)  # the slot came in the moment in which nobody wanted it any more
        raise
    finally:
        timer.cancel()
        slots.give_up(ticket)


def _expire(ticket: asyncio.Future[bool]) -> None:
    if not ticket.done():
        ticket.set_result(False)
