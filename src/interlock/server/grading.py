"""Answers given under a rollout, graded in memory; only scores are kept.

A judge is a model: it is asked through the same door, under the data class and the places of the request
that was answered, and only where policy lets it see that request at all.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import msgspec

from interlock.classify import classify
from interlock.dialects import CHAT, DIALECTS
from interlock.errors import ApiError
from interlock.evals.graders import judge as judging
from interlock.evals.passing import Judged, case_of, grade_copy, grade_live, prompts_of
from interlock.evals.sample import Grade, Sample
from interlock.evals.seen import Judgement
from interlock.execute.setting import Setting
from interlock.route.decide import decide, permits
from interlock.server.case import Case
from interlock.server.gateway import Gateway
from interlock.server.ids import fresh_name
from interlock.server.mirrors import Mirror
from interlock.server.records import to_shadow_row
from interlock.server.unseen import Unseen, admit, send
from interlock.store import grades
from interlock.store.grades import GradedArm
from interlock.types.decision import Decision
from interlock.types.request import Request
from interlock.types.signals import Caller, Signals

_NOTHING: Final[Mapping[str, Grade]] = MappingProxyType({})
_HOUR_NS: Final = 3_600_000_000_000


async def grade(
    gateway: Gateway, mirror: Mirror, case: Case, answered: Sample, live: Sample | None = None
) -> Mapping[str, Grade]:
    """What each grader says of an answer: of a live one, or of a copy's beside `live`. Raises StoreError."""
    if not mirror.graders:
        return _NOTHING
    known = case_of(case.request)
    asked = prompts_of(mirror.graders, known, answered, live, mirror.related)
    found = {}
    for model, messages in asked:
        found[judging.digest(messages)] = await _ask(gateway, mirror, case, model, messages)
    judged = Judged(judgements=found, related=mirror.related)
    if live is None:
        return await asyncio.to_thread(grade_live, mirror.graders, known, answered, judged)
    return await asyncio.to_thread(grade_copy, mirror.graders, known, answered, live, judged)


async def grade_alone(mirror: Mirror, case: Case, live: Sample) -> Mapping[str, Grade]:
    """What the graders that ask nobody say of the live answer beside a copy's."""
    graders = {name: spec for name, spec in mirror.graders.items() if not isinstance(spec, judging.Judge)}
    return await asyncio.to_thread(grade_live, graders, case_of(case.request), live) if graders else _NOTHING


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
    for grader, one in found.items():
        if one.score is None and not one.missing:
            continue
        other = beside.get(grader)
        row = (
            mirror.row.id,
            case.at,
            case.decision.id,
            arm,
            grader,
            one.score,
            other.score if other is not None else None,
        )
        writes.append(gateway.store.writer.row(grades.PUT, row))
    for write in writes:
        await write


async def _ask(
    gateway: Gateway, mirror: Mirror, case: Case, model: str, messages: Sequence[dict[str, Any]]
) -> Judgement:
    """A judge's reply to one prompt, or why there is none."""
    setting = mirror.judging
    assert setting is not None, "there are judges"
    body = msgspec.json.encode({"model": model, "messages": messages})
    request = DIALECTS[CHAT.dialect].decode_request(body, _hints(case.decision))
    try:
        decision = await asyncio.to_thread(_decide, gateway, mirror, setting, case, request)
    except ApiError as error:
        return Judgement(text=None, error=error.message)
    route = decision.route
    if route is None:
        await gateway.store.put_record(to_shadow_row(decision, case.decision.id, "denied"))
        return _none(gateway, mirror, decision.why.denied or "no model may judge")
    # Rules that looked at what the judge's own request does not have (tools, lane, metadata) hold for it too.
    asked = msgspec.structs.replace(
        case.decision.signals, needs=(), cannot_carry={}, input_tokens=decision.signals.input_tokens
    )
    dropped = permits(setting.snapshot, asked, setting.world, route.model, route.endpoint)
    if dropped is not None:
        return _none(gateway, mirror, f"`{dropped.model}` may not see it: {dropped.why} ({dropped.rule})")
    call = Unseen(
        row=mirror.row, setting=setting, decision=decision, request=request, of=case.decision.id, body=body
    )
    ready = await admit(gateway, call)
    if isinstance(ready, str):
        return _none(gateway, mirror, ready)
    execution = await send(gateway, ready)
    gateway.mirrors.count(mirror.row.id, "judged")
    if execution.error is not None:
        return _none(gateway, mirror, execution.error.message)
    return Judgement(text=execution.text)


def _none(gateway: Gateway, mirror: Mirror, why: str) -> Judgement:
    gateway.mirrors.count(mirror.row.id, "unjudged")
    return Judgement(text=None, error=why)


def _hints(decision: Decision) -> dict[str, str]:
    """What a judge's request is at least, as headers say it: as sensitive as what was answered, as near."""
    hints = {"x-interlock-data-class": decision.policy.data_class, "x-interlock-latency-class": "background"}
    if decision.signals.residency:
        hints["x-interlock-residency"] = ",".join(decision.signals.residency)
    return hints


def _decide(gateway: Gateway, mirror: Mirror, setting: Setting, case: Case, request: Request) -> Decision:
    """The decision on a judge's request, classified like any: answers may hold more than was asked."""
    nanoseconds = time.time_ns()
    signals = classify(
        request,
        _caller(case.decision.signals),
        setting.snapshot.config,
        endpoint=CHAT.path,
        hour_utc=nanoseconds // _HOUR_NS % 24,
        cannot_carry=gateway.state.cannot_carry(request),
    )
    name = f"dec_{fresh_name()}"
    return decide(
        id=name,
        now=gateway.clock.at(nanoseconds),
        signals=signals,
        snapshot=setting.snapshot,
        world=setting.world,
        world_hash=mirror.judging_hash,
        draw=case.decision.provenance.draw,
    )


def _caller(signals: Signals) -> Caller:
    """On whose behalf a judge looks. Which names a key may ask for is no matter here: the operator chose."""
    return Caller(
        key=signals.key,
        tenant=signals.tenant,
        team=signals.team,
        user_tier=signals.user_tier,
        role=signals.role,
        environment=signals.environment,
        max_data_class=signals.max_data_class,
    )
