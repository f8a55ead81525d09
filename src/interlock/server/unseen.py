"""A call that nobody waits for and nobody sees: a copy of a live request, or a judge of answers.

It competes with nobody. It has its own breaker and its own money, takes of an account's limits only what live
traffic leaves half free, is not repeated, and is left out while the process has enough to do. However it
ends, it is recorded and paid for.
"""

import asyncio
from typing import Final

import msgspec
from msgspec import Struct

from interlock.errors import ApiError
from interlock.execute.admission import Busy, Gate, enter, leave
from interlock.execute.cost import cost_usd
from interlock.execute.executor import Execution
from interlock.execute.prepare import output_cap
from interlock.execute.setting import Destination, Setting
from interlock.resilience.health import TargetHealth
from interlock.route.degrade import in_force
from interlock.server.case import LARGE
from interlock.server.content import content_of
from interlock.server.gateway import Gateway
from interlock.server.records import to_shadow_row
from interlock.store import grades
from interlock.store.grades import SPENT
from interlock.store.rollouts import StoredRollout
from interlock.types.answer import Usage
from interlock.types.decision import Decision
from interlock.types.request import Request

ASSUMED_TOKENS: Final = 4096
"""Of output, where nothing limits it: what a call may cost is set aside before it is sent."""
SOON_S: Final = 1.0
"""How long a call waits for its place among an account's calls, which had room a moment ago."""


class Unseen(Struct, frozen=True, kw_only=True):
    """A call that has been decided. `of` is the live decision that it follows, `body` what is asked."""

    row: StoredRollout
    setting: Setting
    decision: Decision
    request: Request
    of: str
    body: bytes


class Ready(Struct, frozen=True):
    """One that may be sent, with so much money set aside. `gate` is the account's, live traffic's too;
    `model` is what its quotas go by there.
    """

    call: Unseen
    gate: Gate | None
    model: TargetHealth
    worst_usd: float


def is_resting(gateway: Gateway) -> bool:
    """Whether there is enough to do without this: a degrade mode is in force, or work is turned away."""
    state = gateway.state
    modes = in_force(state.config, state.setting.world)
    given_up = bool(modes) and ("no_shadow" in modes or "no_shadow" not in state.config.resilience.degrade)
    return gateway.draining or given_up or gateway.load.sheds("batch")


async def admit(gateway: Gateway, call: Unseen) -> Ready | str:
    """Health, limits and money, asked for a call under a decision that has a route; a text says why not."""
    route, now = call.decision.route, asyncio.get_running_loop().time()
    assert route is not None, "somebody may serve it"
    where = route.model, route.endpoint
    own, live = call.setting.destinations.get(where), gateway.state.setting.destinations.get(where)
    if is_resting(gateway):
        return "load"
    if own is None or live is None:
        return "outdated"
    if own.health.refuses(now) is not None:
        return "breaker"
    if not live.health.is_well(now):
        return "live_unwell"
    gate = live.upstream.throttle
    if gate is not None and not gate.is_quiet(now, call.decision.signals.input_tokens, live.health):
        return "limits"
    worst = _worst_usd(call, own)
    if worst is None:
        return "unpriced"
    most = call.row.plan.shadow_limits.max_cost_usd
    paid = gateway.store.writer.call(lambda db: grades.reserve(db, call.row.id, worst, most))
    return Ready(call, gate, live.health, worst) if await paid else "budget"


def _worst_usd(call: Unseen, place: Destination) -> float | None:
    """What a call may cost; None where the model has no price."""
    model = place.model
    cap = output_cap(call.request, call.decision, model, None)
    most = cap if cap is not None else model.max_output_tokens or ASSUMED_TOKENS
    return cost_usd(Usage(input_tokens=call.decision.signals.input_tokens, output_tokens=most), model.price)


async def send(gateway: Gateway, ready: Ready) -> Execution:
    """Carry it out. Raises StoreError where its record cannot be kept."""
    call = ready.call
    decision, strict = call.decision, call.decision.policy.logging == "strict"
    request = msgspec.structs.replace(call.request, stream=False, include_usage=False)
    began = asyncio.get_running_loop().time()
    # However small it is: there is nobody whom it would make wait.
    execution = Execution(request, decision, call.setting, gateway.services, began, large=True)
    try:
        if strict:
            await gateway.store.put_record(to_shadow_row(decision, call.of, "failed"), durable=True)
        await _run(gateway, execution, ready)
    finally:
        execution.release()
        _settle(gateway, execution, ready)
        content = await _content(gateway, call, execution.text)
        row = to_shadow_row(decision, call.of, execution.status, execution, content)
        await gateway.store.put_record(row, durable=strict)
    return execution


async def _content(gateway: Gateway, call: Unseen, text: str) -> msgspec.Raw | None:
    """What of it is kept, where the operator has content kept; masking a large one is not the loop's work."""
    if not call.body:
        return None  # the live request was decided under a config that keeps nothing
    given = gateway.state.config, call.decision.policy.logging, call.body, text
    if len(call.body) + len(text) > LARGE:
        return await asyncio.to_thread(content_of, *given)
    return content_of(*given)


async def _run(gateway: Gateway, execution: Execution, ready: Ready) -> None:
    """The call itself, counted among those of the account that it goes to."""
    gate, loop = ready.gate, asyncio.get_running_loop()
    if gate is not None:
        by = loop.time() + SOON_S
        found = await enter(gate, ready.model, execution.decision.signals.input_tokens, "batch", by)
        if isinstance(found, Busy):
            execution.error = ApiError("overloaded", found.why)
            return
    try:
        await execution.run_whole()
    except asyncio.CancelledError:
        execution.error = ApiError("overloaded", "the server is shutting down")
        raise
    except ApiError as error:
        execution.error = error
    except Exception as error:  # noqa: BLE001 - what was sent has to be recorded
        execution.error = gateway.fault(f"unseen {execution.decision.id}", error)
    finally:
        if gate is not None:
            gate.produced(loop.time(), sum(attempt.output_tokens or 0 for attempt in execution.attempts))
            leave(gate.slots)


def _settle(gateway: Gateway, execution: Execution, ready: Ready) -> None:
    """Pay for it. Where nobody knows the cost of a call, it stays at what it may have been."""
    count, name = gateway.mirrors.count, ready.call.row.id
    if not execution.attempts:
        count(name, SPENT, -ready.worst_usd)
    elif execution.cost_usd is None:
        count(name, "cost_unknown")
    else:
        count(name, SPENT, execution.cost_usd - ready.worst_usd)
