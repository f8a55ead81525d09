"""Graders: one module each, one table. A grader is a spec and a pure function of it and what was seen.

To add one: a module with a spec and `grade`, and a row below.
"""

from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from interlock.evals.graders import (
    citations,
    consistency,
    contains,
    exact,
    field_equals,
    function,
    json_schema,
    judge,
    limits,
    numeric,
    refusal,
    regex,
    tool_use,
)
from interlock.evals.sample import Grade
from interlock.evals.seen import Seen, skip, unknown
from interlock.evals.suite import GraderSpec


class Grader(Struct, frozen=True, kw_only=True):
    """`measure` is what it counts towards unless the spec says otherwise.

    `problem` finds what is wrong with a spec that has the right shape. `of_failures`: it has a word to say
    where the model gave no proper answer; the others give such an answer 0.
    """

    spec: type[GraderSpec]
    grade: Callable[[Any, Seen], Grade]
    measure: str
    problem: Callable[[Any], str | None] = lambda _: None
    of_failures: bool = False


GRADERS: Final[dict[str, Grader]] = {
    "exact": Grader(spec=exact.Exact, grade=exact.grade, measure=exact.MEASURE),
    "contains": Grader(spec=contains.Contains, grade=contains.grade, measure=contains.MEASURE),
    "regex": Grader(spec=regex.Regex, grade=regex.grade, measure=regex.MEASURE, problem=regex.problem),
    "json_schema": Grader(
        spec=json_schema.JsonSchema,
        grade=json_schema.grade,
        measure=json_schema.MEASURE,
        problem=json_schema.problem,
    ),
    "field_equals": Grader(
        spec=field_equals.FieldEquals, grade=field_equals.grade, measure=field_equals.MEASURE
    ),
    "numeric": Grader(spec=numeric.Numeric, grade=numeric.grade, measure=numeric.MEASURE),
    "citations": Grader(spec=citations.Citations, grade=citations.grade, measure=citations.MEASURE),
    "tool_use": Grader(spec=tool_use.ToolUse, grade=tool_use.grade, measure=tool_use.MEASURE),
    "refusal": Grader(spec=refusal.Refusal, grade=refusal.grade, measure=refusal.MEASURE, of_failures=True),
    "consistency": Grader(
        spec=consistency.Consistency,
        grade=consistency.grade,
        measure=consistency.MEASURE,
        of_failures=True,
    ),
    "length": Grader(spec=limits.Length, grade=limits.grade_length, measure=limits.LENGTH),
    "cost": Grader(spec=limits.Cost, grade=limits.grade_cost, measure=limits.COST, of_failures=True),
    "latency": Grader(
        spec=limits.Latency, grade=limits.grade_latency, measure=limits.LATENCY, of_failures=True
    ),
    "judge": Grader(spec=judge.Judge, grade=judge.grade, measure=judge.MEASURE, of_failures=True),
    "function": Grader(spec=function.Function, grade=function.grade, measure=function.MEASURE),
}


def measure_of(spec: GraderSpec) -> str:
    """The measure that a grader's scores count towards."""
    return spec.measure or GRADERS[spec.kind].measure


def apply(spec: GraderSpec, seen: Seen) -> Grade:
    """The grade of one sample: unknown where nobody answered, 0 where the model failed to."""
    grader = GRADERS[spec.kind]
    if (spec.families and seen.case.family not in spec.families) or (
        spec.cases and seen.case.id not in spec.cases
    ):
        return skip("the grader is not for this case")
    if seen.sample.state == "unavailable":
        return unknown(seen.sample.error or "nobody answered")
    found = grader.grade(spec, seen)
    if seen.sample.state == "failed" and not grader.of_failures and found.score is not None:
        return Grade(score=0.0, why=seen.sample.error or "the model gave no proper answer")
    if spec.negate and found.score is not None:
        return Grade(score=1 - found.score, why=found.why or "it does, and should not")
    return found
