"""What is wrong with gates and rollouts: checks without one clear bound, steps that do not rise."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from interlock.config.problems import error, listed, warning
from interlock.config.whole import Whole
from interlock.config.written import Check, Rollout
from interlock.errors import Problem

_BOUNDS: Final = ("at_least", "at_most", "drop_at_most", "rise_at_most")


def check_releases(whole: Whole) -> Iterator[Problem]:
    for name, gate in whole.file.gates.items():
        path = f"gates.{name}"
        for part in ("suites", "checks"):
            if not getattr(gate, part):
                yield error(
                    f"{path}.{part}", "is empty: nothing could ever pass this gate", f"name its {part}"
                )
        yield from _checks(f"{path}.checks", gate.checks)
    for name, rollout in whole.file.rollouts.items():
        yield from _steps(f"rollouts.{name}.steps", rollout)
        yield from _checks(f"rollouts.{name}.guardrails", rollout.guardrails)


def _checks(path: str, checks: tuple[Check, ...]) -> Iterator[Problem]:
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
