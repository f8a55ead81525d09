"""Waits for what an upstream's account allows: in its queue for a slot, and until its rates have room.

The counting is `resilience.limits` and `resilience.quota`; this gives it a loop to wait on. Every wait has an
end.
"""

import asyncio
from collections.abc import Hashable
from typing import Final

from msgspec import Struct

from interlock.resilience.limits import Slots, Throttle
from interlock.resilience.quota import Begun, Quota
from interlock.types.labels import LATENCY_CLASSES, LatencyClass

Ticket = asyncio.Future[bool]
Gate = Throttle[Ticket]

QUEUE_S: Final = 1.0
"""When to come back to a queue that was full."""
LOOK_S: Final = 1.0
"""How often who waits for what headers told of asks whether an answer has told better since."""
_RANK: Final = {name: rank for rank, name in enumerate(LATENCY_CLASSES)}


class Busy(Struct, frozen=True):
    """Which limit stands in the way, by its name in the record, and when to come back, in seconds."""

    rule: str
    wait_s: float
    why: str


async def enter(
    gate: Gate, model: Hashable, tokens: int, latency_class: LatencyClass, by: float
) -> Begun | Busy:
    """Wait until a call of a model with so many tokens may begin; `leave` must follow unless it is Busy.

    `model` is what its quotas go by. `by` is the instant up to which waiting makes sense. Interactive
    requests go before background and batch in the queue for a slot.
    """
    loop = asyncio.get_running_loop()
    slots = gate.slots
    if slots.crowd.relax(loop.time()):
        _let_in(slots)
    if not slots.enter():
        busy = await _queue(slots, _RANK[latency_class], by, loop)
        if busy is not None:
            return busy
    now, quotas = loop.time(), gate.quotas.of(model)
    at = gate.start_at(now, tokens)
    told_at = max((quota.start_at(now, tokens) for quota in quotas), default=now)
    if at > by or told_at > by:
        leave(slots)
        return _over("limits", at - now) if at > by else _over("rate_limit", told_at - now)
    gate.reserve(at, tokens)
    try:
        if at > now:
            await asyncio.sleep(at - now)
        busy = await turn(quotas, tokens, by, loop)
    except BaseException:
        leave(slots)
        raise
    if busy is not None:
        leave(slots)
        return busy
    now = loop.time()
    return tuple((quota, quota.begin(now, tokens)) for quota in quotas)


def leave(slots: Slots[Ticket]) -> None:
    """A call has ended: whoever is first in the queue may begin."""
    slots.leave()
    if slots.waiting:
        _let_in(slots)


def _let_in(slots: Slots[Ticket]) -> None:
    while (ticket := slots.following()) is not None:
        if ticket.done():
            slots.leave()  # that one had given up a moment ago
        else:
            ticket.set_result(True)


async def turn(
    quotas: tuple[Quota, ...], tokens: int, by: float, loop: asyncio.AbstractEventLoop
) -> Busy | None:
    """Wait until so many tokens fit all that the upstream's headers told of, which may change meanwhile.

    Busy where that is after `by`, an instant of the loop.
    """
    now = loop.time()
    at = max((quota.start_at(now, tokens) for quota in quotas), default=now)
    while at > now:
        if at > by:
            return _over("rate_limit", at - now)
        for quota in quotas:
            quota.wait(tokens)
        try:
            await asyncio.sleep(min(at - now, LOOK_S))
        finally:
            now = loop.time()
            mine = max(quota.wake(now, tokens) for quota in quotas)
        # Sooner only where all fit who wait: nobody goes before one who came earlier.
        at = mine if now >= at else min(at, max(quota.start_at(now, tokens) for quota in quotas))
    return None


async def _queue(slots: Slots[Ticket], rank: int, by: float, loop: asyncio.AbstractEventLoop) -> Busy | None:
    ticket: Ticket = loop.create_future()
    stands, gone = slots.queue(ticket, rank)
    if gone is not None and not gone.done():
        gone.set_result(False)
    if not stands:
        return _full(slots)
    timer: asyncio.TimerHandle | None = None

    def look() -> None:
        """Look again at the end, and when what has been learned of the upstream is due to be forgotten."""
        nonlocal timer
        now = loop.time()
        if slots.crowd.relax(now):
            _let_in(slots)
        if not ticket.done() and now >= by:
            ticket.set_result(False)
        elif not ticket.done():
            timer = loop.call_at(by if slots.crowd.most is None else min(by, slots.crowd.calm_at), look)

    look()
    try:
        return None if await ticket else _full(slots)
    except asyncio.CancelledError:
        if not ticket.cancelled() and ticket.done() and ticket.result():
            leave(slots)  # the slot came in the moment in which nobody wanted it any more
        raise
    finally:
        if timer is not None:
            timer.cancel()
        slots.give_up(ticket)


def _full(slots: Slots[Ticket]) -> Busy:
    learned = slots.crowd.most
    if learned is not None and learned == slots.most:
        why = f"it was overloaded lately: {learned} at once is what it is given now, and more wait"
    else:
        why = "as many calls as the account allows are under way, and more wait"
    return Busy("limits", QUEUE_S, why)


def _over(rule: str, wait_s: float) -> Busy:
    if rule == "limits":
        return Busy(rule, wait_s, "the account's limit per minute is reached")
    return Busy(rule, wait_s, f"its limit is reached by what its answers say, for another {wait_s:.1f} s")
