"""What is wrong with gates and rollouts: checks without one clear bound, steps that do not rise."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from interlock.config.problems import error, listed, suggest, warning
from interlock.config.whole import Whole
from interlock.config.written import Check, Rollout
from interlock.errors import Problem
from interlock.measures import COPIES, MEASURES, SHADOW
from interlock.types.world import USER_KEYS

_BOUNDS: Final = ("at_least", "at_most", "drop_at_most", "rise_at_most")


def check_releases(whole: Whole) -> Iterator[Problem]:
    for name, gate in whole.file.gates.items():
        path = f"gates.{name}"
        for part in ("suites", "checks"):
            if not getattr(gate, part):
                yield error(
                    f"{path}.{part}", "is empty: nothing could ever pass this gate", f"name its {part}"
                )
        yield from check_bounds(f"{path}.checks", gate.checks)
    for name, rollout in whole.file.rollouts.items():
        yield from _steps(f"rollouts.{name}.steps", rollout)
        yield from check_bounds(f"rollouts.{name}.guardrails", rollout.guardrails)
        yield from _guardrails(f"rollouts.{name}", rollout)
        yield from _graders(f"rollouts.{name}.graders", rollout)
        if rollout.sticky_by == "user" and not set(whole.file.metadata) & set(USER_KEYS):
            yield warning(
                f"rollouts.{name}.sticky_by",
                "no metadata says who the user is, so shares stick to sessions",
                "add `user` or `user_id` to `metadata`",
            )


def check_bounds(path: str, checks: tuple[Check, ...]) -> Iterator[Problem]:
    """Each check has exactly one bound."""
    for place, check in enumerate(checks):
        given = [name for name in _BOUNDS if getattr(check, name) is not None]
        if not given:
            yield error(
                f"{path}[{place}]",
                f"`{check.metric}` has no bound, so it could never fail",
                f"give one of {listed(_BOUNDS)}",
            )
        elif len(given) > 1:
            yield error(
                f"{path}[{place}]",
                f"`{check.metric}` has {listed(given)}",
                "a check has one bound: write two checks",
            )


def _guardrails(path: str, rollout: Rollout) -> Iterator[Problem]:
    if not rollout.guardrails:
        yield warning(f"{path}.guardrails", "there are none: only the clock moves this rollout", "add some")
    copies = (f"{SHADOW}{name}" for name in (*COPIES, *rollout.graders))
    known = (*MEASURES, *rollout.graders, *copies)
    for place, check in enumerate(rollout.guardrails):
        if check.metric not in known:
            yield error(
                f"{path}.guardrails[{place}].metric",
                f"there is no live measure `{check.metric}`, so it could never hold",
                suggest(check.metric, known),
            )
        elif check.metric.startswith(SHADOW) and not rollout.shadow:
            yield error(
                f"{path}.guardrails[{place}].metric",
                "nothing is copied, so it could never hold",
                "give the plan a share: `shadow: 0.1`",
            )
        elif check.metric in rollout.graders and not rollout.grade:
            yield error(
                f"{path}.guardrails[{place}].metric",
                "no live answer is graded, so it could never hold",
                "give the plan a share: `grade: 0.2`",
            )
        if check.family is not None:
            yield error(
                f"{path}.guardrails[{place}].family",
                "live measures are not kept by family",
                "leave it out; families are for gates",
            )


def _graders(path: str, rollout: Rollout) -> Iterator[Problem]:
    for name in rollout.graders:
        if name in MEASURES or "." in name:
            yield error(
                f"{path}.{name}",
                "a grader's name is neither that of a live measure nor has a dot in it",
                "call it something else",
            )


def _steps(path: str, rollout: Rollout) -> Iterator[Problem]:
    weights = [step.weight for step in rollout.steps]
    if not weights:
        yield error(path, "is empty", "write `steps: [{weight: 0.05, for: 10m}, {weight: 1.0}]`")
        return
    for place, (before, after) in enumerate(pairwise(weights), 1):
        if after < before:
            yield error(
                f"{path}[{place}].weight",
                f"{after:g} is less than the {before:g} before it",
                "steps only rise",
            )
    if weights[-1] != 1.0:
        yield warning(
            f"{path}[{len(weights) - 1}].weight",
            f"the last step stops at {weights[-1]:g} of the traffic",
            "end with `{weight: 1.0}` for all of it",
        )
