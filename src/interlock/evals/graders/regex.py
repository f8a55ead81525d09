"""The answer matches a pattern. RE2 by construction: linear in the answer's length, whatever the pattern."""

from functools import lru_cache
from typing import Any, Final

import re2

from interlock.evals.sample import Grade
from interlock.evals.seen import Seen, shown, skip, verdict
from interlock.evals.suite import GraderSpec

MEASURE: Final = "task_success"


class Regex(GraderSpec, frozen=True, kw_only=True):
    """`pattern` for all cases, else the case's `expect.pattern`. `whole`: the whole answer must match."""

    pattern: str | None = None
    whole: bool = False


def problem(spec: Regex) -> str | None:
    return None if spec.pattern is None else _fault(spec.pattern)


def grade(spec: Regex, seen: Seen) -> Grade:
    pattern = spec.pattern if spec.pattern is not None else seen.case.expect.get("pattern")
    if pattern is None:
        return skip("the case expects no `pattern`")
    fault = _fault(str(pattern))
    if fault is not None:
        return verdict(False, fault)
    compiled = _compiled(str(pattern))
    match = compiled.fullmatch if spec.whole else compiled.search
    return verdict(match(seen.sample.text) is not None, f"no match of {shown(pattern)}")


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    return re2.compile(pattern)


def _fault(pattern: str) -> str | None:
    try:
        _compiled(pattern)
    except re2.error as error:
        said = error.args[0] if error.args else error
        return f"{shown(pattern)} is no pattern of RE2: {said.decode() if isinstance(said, bytes) else said}"
    return None
