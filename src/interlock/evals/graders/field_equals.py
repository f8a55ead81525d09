"""A field of the answer's JSON is what the case expects under the same name."""

from typing import Any, Final

from interlock.evals.answers import as_json, at
from interlock.evals.sample import Grade
from interlock.evals.seen import Seen, shown, skip, verdict
from interlock.evals.suite import GraderSpec

MEASURE: Final = "task_success"


class FieldEquals(GraderSpec, frozen=True, kw_only=True):
    """`field` may be a path (`customer.id`); `expect` names the expectation, by default as the field."""

    field: str
    expect: str | None = None
    fenced: bool = False


def grade(spec: FieldEquals, seen: Seen) -> Grade:
    name = spec.expect or spec.field
    if name not in seen.case.expect:
        return skip(f"the case expects no `{name}`")
    wanted = seen.case.expect[name]
    found, value = as_json(seen.sample.text, fenced=spec.fenced)
    if not found:
        return verdict(False, "the answer is not JSON")
    got = at(value, spec.field)
    holds = _equal(got, wanted)
    return verdict(holds, f"`{spec.field}` is {shown(got)}, expected {shown(wanted)}")


def _equal(got: Any, wanted: Any) -> bool:
    """Equal, with true not being 1."""
    return got == wanted and isinstance(got, bool) == isinstance(wanted, bool)
