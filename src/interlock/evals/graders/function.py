"""A function in Python beside the suite: the way out for what no other grader can say.

It gets `{"text", "calls", "expect", "messages", "error"}` and gives a score in 0..1, yes or no, a pair of
score and reason, or None to be skipped. A function that raises is a fault of the grader: its score is
unknown.
"""

import math
from typing import Any, Final

import msgspec

from interlock.evals.sample import Grade
from interlock.evals.seen import Seen, skip, unknown
from interlock.evals.suite import GraderSpec

MEASURE: Final = "task_success"


class Function(GraderSpec, frozen=True, kw_only=True):
    """`file` lies in the suite's folder; `name` is the function's. `source` is filled in: it is part of the
    hash.
    """

    file: str
    name: str = "grade"
    source: str | None = None


def reference(spec: Function) -> str:
    """What the function is called by in `Seen.functions`."""
    return f"{spec.file}:{spec.name}"


def grade(spec: Function, seen: Seen) -> Grade:
    call = seen.functions.get(reference(spec))
    if call is None:
        return unknown(f"`{reference(spec)}` is not there")
    given = {
        "text": seen.sample.text,
        "calls": msgspec.to_builtins(seen.sample.calls),
        "expect": seen.case.expect,
        "messages": seen.case.body["messages"],
        "error": seen.sample.error,
    }
    try:
        return _read(spec, call(given))
    except Exception as error:  # noqa: BLE001 - whatever somebody's function raises, the run goes on
        return unknown(f"`{reference(spec)}` raised {type(error).__name__}: {error}")


def _read(spec: Function, found: Any) -> Grade:
    why = ""
    if isinstance(found, tuple) and len(found) == 2:
        found, why = found[0], str(found[1])
    if found is None:
        return skip(why or "skipped by the function")
    if not isinstance(found, int | float) or not math.isfinite(found) or not 0 <= found <= 1:
        return unknown(f"`{reference(spec)}` gave {found!r}, which is no score in 0..1")
    return Grade(score=float(found), why=why)
