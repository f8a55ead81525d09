"""Graders written in Python: their files are run as what they are, code of the suite's owner."""

from collections.abc import Iterable
from typing import Any

from interlock.errors import ConfigError, Problem
from interlock.evals.graders.function import Function, reference
from interlock.evals.seen import Function as Callable
from interlock.evals.suite import GraderSpec


def load_functions(graders: Iterable[GraderSpec]) -> dict[str, Callable]:
    """The functions that graders name. Whoever runs a suite runs its Python; it has all rights of the
    command.

    Raises ConfigError where a file cannot be run or has no such function.
    """
    found: dict[str, Callable] = {}
    for spec in graders:
        if isinstance(spec, Function) and reference(spec) not in found:
            found[reference(spec)] = _load(spec)
    return found


def _load(spec: Function) -> Callable:
    space: dict[str, Any] = {"__name__": "interlock_grader", "__file__": spec.file}
    try:
        exec(compile(spec.source or "", spec.file, "exec"), space)  # noqa: S102 - that is what the grader is for
    except Exception as error:
        raise ConfigError((_problem(spec, f"{type(error).__name__}: {error}"),)) from error
    function = space.get(spec.name)
    if not callable(function):
        raise ConfigError((_problem(spec, f"has no function `{spec.name}`"),))
    return function  # type: ignore[no-any-return]  # what it returns is checked when it is called


def _problem(spec: Function, problem: str) -> Problem:
    return Problem(file=spec.file, path="", problem=problem, hint=f"define `def {spec.name}(given): …`")
