"""One copy of a live request: decided again, sent to the candidate, graded beside the live answer.

Tools that its answer calls are not run; how many it called is in its record.
"""

import time

from interlock.evals.passing import sample_of
from interlock.evals.sample import Grade, Sample
from interlock.execute.executor import Execution
from interlock.execute.setting import Setting
from interlock.route.decide import decide
from interlock.server.case import Case
from interlock.server.gateway import Gateway
from interlock.server.grading import grade, grade_alone, write_grades
from interlock.server.ids import fresh_name
from interlock.server.mirrors import Mirror
from interlock.server.records import to_shadow_row
from interlock.server.turns import state_of, turn_of
from interlock.server.unseen import Unseen, admit, is_resting, send
from interlock.types.decision import Decision


async def copy(gateway: Gateway, offered: Mirror, case: Case, live: Sample) -> None:
    """Copy a live request that was answered. Raises StoreError."""
    mirror = gateway.mirrors.by_alias.get(offered.row.alias)
    if mirror is None or mirror.row.id != offered.row.id or mirror.config_hash != offered.config_hash:
        gateway.mirrors.count(offered.row.id, "dropped:outdated")
        return
    why = await _copy(gateway, mirror, case, live)
    if why is not None:
        gateway.mirrors.count(mirror.row.id, why)
    await gateway.mirrors.flush()


async def _copy(gateway: Gateway, mirror: Mirror, case: Case, live: Sample) -> str | None:
    """Copy it; a text says why there is no copy."""
    setting = mirror.setting
    assert setting is not None, "something is copied"
    if is_resting(gateway):
        return "dropped:load"
    decision = _decide(gateway, mirror, setting, case)
    route = decision.route
    if route is None:
        await gateway.store.put_record(to_shadow_row(decision, case.decision.id, "denied"))
        return "denied"
    if route.model != mirror.row.candidate or route.alias_version != mirror.row.to_version:
        return "dropped:not_chosen"
    ready = await admit(
        gateway,
        Unseen(
            row=mirror.row,
            setting=setting,
            decision=decision,
            request=case.request,
            of=case.decision.id,
            body=case.body,
        ),
    )
    if isinstance(ready, str):
        return f"dropped:{ready}"
    try:
        execution = await send(gateway, ready)
    except BaseException:
        gateway.mirrors.count(mirror.row.id, "sent")
        gateway.mirrors.count(mirror.row.id, "failed")
        raise
    if not execution.attempts:
        return f"dropped:{execution.skipped[-1].rule if execution.skipped else 'unsent'}"
    gateway.mirrors.count(mirror.row.id, "sent")
    gateway.mirrors.count(mirror.row.id, "answered" if execution.error is None else "failed")
    await _compare(gateway, mirror, case, live, execution)
    return None


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


async def _compare(gateway: Gateway, mirror: Mirror, case: Case, live: Sample, execution: Execution) -> None:
    """Grade both answers to a request, in memory."""
    turn = turn_of(execution.decision, execution)
    copied = sample_of(turn, state_of(execution.error, turn))
    found = await grade(gateway, mirror, case, copied, live)
    beside = await grade_alone(mirror, case, live)
    failed = Grade(score=float(execution.error is not None))
    await write_grades(
        gateway,
        mirror,
        case,
        "shadow",
        {**found, "error_rate": failed},
        {**beside, "error_rate": Grade(score=0.0)},
    )
