"""One copy of a live request: decided again, sent to the candidate, graded, recorded. Nobody sees its answer.

It competes with nobody. It waits in a queue of its own, has its own breaker and its own money, takes of an
account's limits only what live traffic leaves half free, and is left out while the process has enough to do.
Tools that its answer calls are not run; how many it called is in its record.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from interlock.errors import ApiError
from interlock.evals.passing import case_of, grade_copy, grade_live, sample_of
from interlock.evals.sample import Grade, Sample
from interlock.execute.admission import Gate, enter, leave
from interlock.execute.cost import cost_usd
from interlock.execute.executor import Execution
from interlock.execute.prepare import output_cap
from interlock.execute.setting import Destination, Setting
from interlock.route.decide import decide
from interlock.route.degrade import in_force
from interlock.server.case import Case
from interlock.server.content import content_of
from interlock.server.gateway import Gateway
from interlock.server.ids import fresh_name
from interlock.server.mirrors import Mirror
from interlock.server.records import to_shadow_row
from interlock.server.turns import state_of, turn_of
from interlock.store import grades
from interlock.store.grades import SPENT, GradedArm
from interlock.types.answer import Usage
from interlock.types.decision import Decision

ASSUMED_TOKENS: Final = 4096
"""Of output, where nothing limits it: what a copy may cost is set aside before it is sent."""
SOON_S: Final = 1.0
"""How long a copy waits for its place among an account's calls, which had room a moment ago."""
_NOTHING: Final[Mapping[str, Grade]] = {}


class _Ready(Struct, frozen=True):
    """A copy that may be sent. `live` is the candidate's destination as live traffic has it."""

    decision: Decision
    live: Destination
    worst_usd: float


async def copy(gateway: Gateway, offered: Mirror, case: Case, live: Sample) -> None:
    """Copy a live request that was answered. Raises StoreError."""
    mirror = gateway.mirrors.by_alias.get(offered.row.alias)
    if mirror is None or mirror.row.id != offered.row.id or mirror.config_hash != offered.config_hash:
        gateway.mirrors.count(offered.row.id, "dropped:outdated")
        return
    assert mirror.setting is not None, "something is copied"
    found = await _ready(gateway, mirror, mirror.setting, case)
    if isinstance(found, str):
        gateway.mirrors.count(mirror.row.id, found)
    else:
        await _send(gateway, mirror, mirror.setting, case, live, found)
    await gateway.mirrors.flush()


async def _ready(gateway: Gateway, mirror: Mirror, setting: Setting, case: Case) -> _Ready | str:
    """Policy, health, load and money asked for the copy; a text says why there is none."""
    if is_resting(gateway):
        return "dropped:load"
    decision = _decide(gateway, mirror, setting, case)
    route = decision.route
    if route is None:
        await gateway.store.put_record(to_shadow_row(decision, case.decision.id, "denied"))
        return "denied"
    if route.model != mirror.row.candidate or route.alias_version != mirror.row.to_version:
        return "dropped:not_chosen"
    where, now = (route.model, route.endpoint), asyncio.get_running_loop().time()
    own, live = setting.destinations.get(where), gateway.state.setting.destinations.get(where)
    if own is None or live is None:
        return "dropped:outdated"
    if own.health.refuses(now) is not None:
        return "dropped:breaker"
    if not live.health.is_well(now):
        return "dropped:live_unwell"
    gate = live.upstream.throttle
    if gate is not None and not gate.is_quiet(now, decision.signals.input_tokens):
        return "dropped:limits"
    worst = _worst_usd(case, decision, own)
    if worst is None:
        return "dropped:unpriced"
    most = mirror.row.plan.shadow_limits.max_cost_usd
    paid = gateway.store.writer.call(lambda db: grades.reserve(db, mirror.row.id, worst, most))
    return _Ready(decision, live, worst) if await paid else "dropped:budget"


def is_resting(gateway: Gateway) -> bool:
    """Whether there is enough to do without copies: a degrade mode is in force, or work is turned away."""
    state = gateway.state
    modes = in_force(state.config, state.setting.world)
    given_up = bool(modes) and ("no_shadow" in modes or "no_shadow" not in state.config.resilience.degrade)
    return gateway.draining or given_up or gateway.load.sheds("batch")


def _decide(gateway: Gateway, mirror: Mirror, setting: Setting, case: Case) -> Decision:
    """The decision on a copy: the same request, where the alias is the candidate and nobody stands in."""
    return decide(
        id=f"dec_{fresh_name()}",
        now=gateway.clock.at(time.time_ns()),
        signals=case.decision.signals,
        snapshot=setting.snapshot,
        world=setting.world,
        world_hash=mirror.world_hash,
        draw=case.decision.provenance.draw,
    )


def _worst_usd(case: Case, decision: Decision, place: Destination) -> float | None:
    """What a copy may cost; None where the model has no price."""
    model = place.model
    cap = output_cap(case.request, decision, model, None)
    most = cap if cap is not None else model.max_output_tokens or ASSUMED_TOKENS
    return cost_usd(Usage(input_tokens=decision.signals.input_tokens, output_tokens=most), model.price)


async def _send(
    gateway: Gateway, mirror: Mirror, setting: Setting, case: Case, live: Sample, ready: _Ready
) -> None:
    """Carry out a copy; however it ends, it is recorded and paid for."""
    decision, of = ready.decision, case.decision.id
    request = msgspec.structs.replace(case.request, stream=False, include_usage=False)
    execution = Execution(request, decision, setting, gateway.services, asyncio.get_running_loop().time())
    gate = ready.live.upstream.throttle
    try:
        if decision.policy.logging == "strict":
            await gateway.store.put_record(to_shadow_row(decision, of, "failed"), durable=True)
        await _run(gateway, execution, gate, ready)
    finally:
        execution.release()
        _count(gateway, mirror, execution, ready.worst_usd)
        row = to_shadow_row(decision, of, execution.status, execution, _content(gateway, case, execution))
        await gateway.store.put_record(row, durable=decision.policy.logging == "strict")
    if execution.attempts:
        await _compare(gateway, mirror, case, live, execution)


async def _run(gateway: Gateway, execution: Execution, gate: Gate | None, ready: _Ready) -> None:
    """The call itself, counted among those of the account that it goes to."""
    loop = asyncio.get_running_loop()
    if gate is not None:
        by = loop.time() + SOON_S
        busy = await enter(gate, ready.decision.signals.input_tokens, "batch", by)
        if busy is not None:
            execution.error = ApiError("overloaded", busy.why)
            return
    try:
        await execution.run_whole()
    except asyncio.CancelledError:
        execution.error = ApiError("overloaded", "the server is shutting down")
        raise
    except ApiError as error:
        execution.error = error
    except Exception as error:  # noqa: BLE001 - what was sent has to be recorded
        execution.error = gateway.fault(f"shadow {ready.decision.id}", error)
    finally:
        if gate is not None:
            gate.produced(loop.time(), sum(attempt.output_tokens or 0 for attempt in execution.attempts))
            leave(gate)


def _count(gateway: Gateway, mirror: Mirror, execution: Execution, worst_usd: float) -> None:
    """What became of a copy. Where nobody knows its cost, it stays at what it may have been."""
    count, name = gateway.mirrors.count, mirror.row.id
    if not execution.attempts:
        rule = execution.skipped[-1].rule if execution.skipped else "failed"
        count(name, f"dropped:{rule}")
        count(name, SPENT, -worst_usd)
        return
    count(name, "sent")
    count(name, "answered" if execution.error is None else "failed")
    if execution.cost_usd is None:
        count(name, "cost_unknown")
    else:
        count(name, SPENT, execution.cost_usd - worst_usd)


def _content(gateway: Gateway, case: Case, execution: Execution) -> msgspec.Raw | None:
    config = gateway.state.config
    return content_of(config, execution.decision.policy.logging, case.body, execution.text)


async def _compare(gateway: Gateway, mirror: Mirror, case: Case, live: Sample, execution: Execution) -> None:
    """Grade both answers to a request, in memory."""
    turn = turn_of(execution.decision, execution)
    copied = sample_of(turn, state_of(execution.error, turn))

    def work() -> tuple[Mapping[str, Grade], Mapping[str, Grade]]:
        known = case_of(case.request)
        return grade_copy(mirror.graders, known, copied, live), grade_live(mirror.graders, known, live)

    found, beside = await asyncio.to_thread(work) if mirror.graders else (_NOTHING, _NOTHING)
    failed = Grade(score=float(execution.error is not None))
    await write_grades(
        gateway,
        mirror,
        case,
        "shadow",
        {**found, "error_rate": failed},
        {**beside, "error_rate": Grade(score=0.0)},
    )


async def write_grades(
    gateway: Gateway,
    mirror: Mirror,
    case: Case,
    arm: GradedArm,
    found: Mapping[str, Grade],
    beside: Mapping[str, Grade] = _NOTHING,
) -> None:
    """Keep the scores of an answer, and of the live one beside it. A grader with nothing to say has none."""
    writes = []
    for grader, grade in found.items():
        if grade.score is None and not grade.missing:
            continue
        other = beside.get(grader)
        row = (
            mirror.row.id,
            case.at,
            case.decision.id,
            arm,
            grader,
            grade.score,
            other.score if other is not None else None,
        )
        writes.append(gateway.store.writer.row(grades.PUT, row))
    for write in writes:
        await write
