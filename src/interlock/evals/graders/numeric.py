"""A number in the answer is near enough to the expected one."""

import math
from typing import Annotated, Any, Final, Literal

import re2
from msgspec import Meta

from interlock.evals.answers import as_json, at
from interlock.evals.sample import Grade
from interlock.evals.seen import Seen, skip, verdict
from interlock.evals.suite import GraderSpec

MEASURE: Final = "task_success"
_NUMBER: Final = re2.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|[-+]?\.\d+")


class Numeric(GraderSpec, frozen=True, kw_only=True):
    """`absolute` or `relative` tolerance, whichever is wider. Reads `field` of a JSON answer, else the
    `take` number of the text: answers that reason end with their result, hence `last`.
    """

    expect: str = "answer"
    field: str | None = None
    take: Literal["first", "last"] = "last"
    absolute: Annotated[float, Meta(ge=0)] = 0.0
    relative: Annotated[float, Meta(ge=0)] = 1e-9


def grade(spec: Numeric, seen: Seen) -> Grade:
    wanted = _number(seen.case.expect.get(spec.expect))
    if wanted is None:
        return skip(f"the case expects no number `{spec.expect}`")
    got = _found(spec, seen.sample.text)
    if got is None:
        return verdict(False, "the answer holds no number")
    holds = math.isclose(got, wanted, rel_tol=spec.relative, abs_tol=spec.absolute)
    return verdict(holds, f"{got:g} is not {wanted:g}")


def _found(spec: Numeric, text: str) -> float | None:
    if spec.field is not None:
        found, value = as_json(text, fenced=True)
        return _number(at(value, spec.field)) if found else None
    numbers = _NUMBER.findall(text)
    if not numbers:
        return None
    return _number(numbers[0 if spec.take == "first" else -1])


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            value = float(value.replace(",", ""))
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
