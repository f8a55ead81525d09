"""What follows an answer that was given under a rollout: it is graded, its request is copied, or neither.

The caller has its answer, or is about to be told why not; nothing here is waited for. Which answers and
requests are taken follows from the decision alone, so shares are exact and the same in every worker.
"""

from functools import partial
from typing import Final

import msgspec

from interlock.evals.passing import sample_of
from interlock.evals.sample import Sample
from interlock.execute.executor import Execution
from interlock.route.arms import shared
from interlock.server.case import Case
from interlock.server.copying import copy
from interlock.server.exchange import Exchange
from interlock.server.gateway import Gateway
from interlock.server.grading import grade, write_grades
from interlock.server.mirrors import Mirror
from interlock.server.turns import state_of, turn_of
from interlock.types.decision import Decision, Route
from interlock.types.world import Canary

MOST_BYTES: Final = 256 * 1024
"""Of a request and its answer; larger ones are neither graded nor copied: encoding them holds up others."""
BYTES_PER_TOKEN: Final = 4


def look_on(gateway: Gateway, exchange: Exchange, case: Case, execution: Execution) -> None:
    """Take an answer that has just been given, if it is among those to be graded or copied."""
    route = case.decision.route
    mirror = gateway.mirrors.by_alias.get(route.alias or "") if route is not None else None
    if mirror is None or route is None or exchange.gone or case.request.operation != "answer":
        return
    versions = (mirror.row.from_version, mirror.row.to_version)
    if route.alias_version not in versions or mirror.config_hash != exchange.state.config.config_hash:
        return
    graded = _is_graded(mirror, case.decision)
    copied = execution.error is None and _is_copied(mirror, case.decision, route)
    if not (graded or copied):
        return
    turn = turn_of(case.decision, execution)
    live = sample_of(turn, state_of(execution.error, turn))
    if graded and _size(case, live) <= MOST_BYTES:
        job = partial(_grade, gateway, mirror, case, live)
        at_once = mirror.row.plan.shadow_limits.concurrency
        if not gateway.gradings.offer(job, _size(case, live), at_once):
            gateway.mirrors.count(mirror.row.id, "dropped:ungraded")
    if copied:
        _offer_copy(gateway, mirror, case, live)


def _offer_copy(gateway: Gateway, mirror: Mirror, case: Case, live: Sample) -> None:
    why: str | None = None
    if _size(case, live) > MOST_BYTES:
        why = "too_large"
    elif any(tool.vendor is not None for tool in case.request.tools):
        why = "vendor_tools"  # the provider would carry them out
    elif not gateway.copies.offer(
        partial(copy, gateway, mirror, case, live),
        _size(case, live),
        mirror.row.plan.shadow_limits.concurrency,
    ):
        why = "full"
    if why is not None:
        gateway.mirrors.count(mirror.row.id, f"dropped:{why}")


def _is_graded(mirror: Mirror, decision: Decision) -> bool:
    """Whether a live answer is scored. Only requests that could have been on either arm are."""
    canary = mirror.canary
    if not mirror.graders or (canary.weight < 1 and decision.why.propensity >= 1):
        return False
    own = canary if canary.sticky_by == "request" else msgspec.structs.replace(canary, sticky_by="request")
    return _at(own, "grade", decision) < mirror.row.plan.grade


def _is_copied(mirror: Mirror, decision: Decision, route: Route) -> bool:
    """Whether a request is among those that are copied. The candidate's own are not: they were its already.

    A workflow that a rule pins is moved by no rollout, and copied by none.
    """
    if mirror.setting is None or route.arm != "stable" or decision.why.selected_by == "pin":
        return False
    return _at(mirror.canary, "shadow", decision) < mirror.row.plan.shadow


def _at(canary: Canary, purpose: str, decision: Decision) -> float:
    return shared(canary, purpose, decision.signals, decision.id, decision.provenance.draw)


def _size(case: Case, live: Sample) -> int:
    """About how many bytes a request and its answer hold; a conversation that goes on is more than a body."""
    return max(case.size, BYTES_PER_TOKEN * case.decision.signals.input_tokens) + len(live.text)


async def _grade(gateway: Gateway, mirror: Mirror, case: Case, live: Sample) -> None:
    route = case.decision.route
    assert route is not None, "it was answered"
    await write_grades(gateway, mirror, case, route.arm, await grade(gateway, mirror, case, live))
