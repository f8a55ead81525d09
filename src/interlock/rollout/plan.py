"""A rollout's plan and where it stands: a pure state machine that is told the instant.

    running ──the step's time is over, and the guardrails hold──▶ the next step … ▶ promoted
       │  ▲
       │  └─ resumed ──  paused   (by an operator; for a human, after a step without `for`; for more data)
       └─ a guardrail is breached, or somebody aborts ──▶ aborted

A paused rollout keeps its share of the traffic and is watched on. One that waits for data goes on by itself
when they are there. Instants are microseconds since the epoch, by the store's clock.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from interlock.config.written import Check, Rollout, ShadowLimits

StateName = Literal["running", "paused", "promoted", "aborted"]
Waits = Literal["operator", "human", "data"]
Verdict = Literal["holds", "breach", "undecided"]
StickyBy = Literal["session", "user", "key", "request"]

LIVE: Final[tuple[StateName, ...]] = ("running", "paused")
NONE: Final[Mapping[str, dict[str, Any]]] = MappingProxyType({})
_UNITS: Final = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}


class Step(Struct, frozen=True, kw_only=True):
    """A share of the traffic, for so long; None waits for a human, or is the end if it is the last."""

    weight: float
    for_us: int | None = None


class Plan(Struct, frozen=True, kw_only=True):
    """What a rollout goes by from its start to its end, whatever becomes of the config meanwhile.

    `shadow` is the share of requests that is copied to the candidate, `grade` that of live answers that
    `graders` score: rows as suites have them, by name, with the files that they name inside.
    """

    name: str
    steps: tuple[Step, ...]
    sticky_by: StickyBy = "session"
    guardrails: tuple[Check, ...] = ()
    shadow: float = 0.0
    shadow_limits: ShadowLimits = ShadowLimits()
    graders: dict[str, dict[str, Any]] = {}
    grade: float = 0.0


class Progress(Struct, frozen=True, kw_only=True):
    """Where a rollout stands. `ran_us` is how long its step has run before `since`, pauses left out."""

    state: StateName
    step: int
    since: int
    ran_us: int = 0
    began: int = 0
    """When the step began: what has happened since counts for its verdict."""
    waits_for: Waits | None = None
    why: str = ""

    @property
    def is_live(self) -> bool:
        return self.state in LIVE


class NotNow(Exception):  # noqa: N818  # it says what is the case
    """What was asked for cannot be done in this state."""


def plan_of(name: str, written: Rollout, graders: Mapping[str, dict[str, Any]] = NONE) -> Plan:
    """A plan of the config. `graders` are its graders, with the files that they name inside."""
    return Plan(
        name=name,
        steps=tuple(
            Step(weight=step.weight, for_us=microseconds(step.for_) if step.for_ is not None else None)
            for step in written.steps
        ),
        sticky_by=written.sticky_by,
        guardrails=written.guardrails,
        shadow=written.shadow or 0.0,
        shadow_limits=written.shadow_limits,
        graders=dict(graders),
        grade=written.grade,
    )


def begin(plan: Plan, now: int) -> Progress:
    return _enter(plan, 0, now)


def weight(plan: Plan, progress: Progress) -> float:
    """The share of the traffic that the candidate has."""
    if progress.state == "promoted":
        return 1.0
    return plan.steps[progress.step].weight if progress.is_live else 0.0


def advance(plan: Plan, progress: Progress, verdict: Verdict, why: str, now: int) -> Progress:
    """One look at the clock and at the guardrails. `why` explains the verdict."""
    if not progress.is_live:
        return progress
    if verdict == "breach":
        return _end(progress, "aborted", why, now)
    if progress.state == "paused":
        if progress.waits_for == "data" and verdict == "holds":
            return _next(plan, progress, now)
        return progress
    step = plan.steps[progress.step]
    if step.for_us is None:
        return _paused(progress, "human", "this step ends when somebody resumes it", now)
    if progress.ran_us + max(now - progress.since, 0) < step.for_us:
        return progress
    if verdict == "undecided":
        return _paused(progress, "data", why, now)
    return _next(plan, progress, now)


def pause(progress: Progress, why: str, now: int) -> Progress:
    """Hold the step: its clock stops, its share stays. Paused already by an operator, it is left as it is."""
    _check(progress)
    return progress if progress.waits_for == "operator" else _paused(progress, "operator", why, now)


def resume(plan: Plan, progress: Progress, why: str, now: int) -> Progress:
    """Go on: with the step where an operator paused it, else (it waited for a human, or for data) past it."""
    _check(progress)
    if progress.state == "running":
        return progress
    if progress.waits_for == "operator":
        return replace(progress, state="running", since=now, waits_for=None, why=why)
    return replace(_next(plan, progress, now), why=why)


def abort(progress: Progress, why: str, now: int) -> Progress:
    """End it: the alias stays what it was. Aborted already, it is left as it is."""
    if progress.state == "aborted":
        return progress
    _check(progress)
    return _end(progress, "aborted", why, now)


def promote(progress: Progress, why: str, now: int) -> Progress:
    """End it with the candidate released, whatever steps are left. Promoted already, it is left as it is."""
    if progress.state == "promoted":
        return progress
    _check(progress)
    return _end(progress, "promoted", why, now)


Verb = Callable[[Plan, Progress, str, int], Progress]
VERBS: Final[dict[str, Verb]] = {
    "pause": lambda _, progress, why, now: pause(progress, why, now),
    "resume": resume,
    "abort": lambda _, progress, why, now: abort(progress, why, now),
    "promote": lambda _, progress, why, now: promote(progress, why, now),
}
"""What can be done to a rollout, by name: from its plan, where it stands, why, and the instant."""


def _check(progress: Progress) -> None:
    if not progress.is_live:
        raise NotNow(f"the rollout is {progress.state} already")


def _next(plan: Plan, progress: Progress, now: int) -> Progress:
    if progress.step + 1 < len(plan.steps):
        return _enter(plan, progress.step + 1, now)
    if plan.steps[-1].weight >= 1:
        return _end(progress, "promoted", "every step is done", now)
    return _paused(progress, "human", "the plan ends here: promote or abort it", now)


def _enter(plan: Plan, place: int, now: int) -> Progress:
    entered = Progress(state="running", step=place, since=now, began=now)
    last = place + 1 == len(plan.steps)
    if last and plan.steps[place].weight >= 1 and plan.steps[place].for_us is None:
        return _end(entered, "promoted", "every step is done", now)
    return entered


def _paused(progress: Progress, waits_for: Waits, why: str, now: int) -> Progress:
    running = progress.state == "running"
    ran = progress.ran_us + (max(now - progress.since, 0) if running else 0)
    return replace(progress, state="paused", since=now, ran_us=ran, waits_for=waits_for, why=why)


def _end(progress: Progress, state: StateName, why: str, now: int) -> Progress:
    return replace(progress, state=state, since=now, waits_for=None, why=why)


def microseconds(duration: str) -> int:
    """A length of time as configs write it: `10m`."""
    number = duration.rstrip("dhms")
    return int(number) * _UNITS[duration.removeprefix(number)]
