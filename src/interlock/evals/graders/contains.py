"""The answer contains every text that it should, and none that it must not."""

from typing import Any, Final

from interlock.config.written import Names
from interlock.evals.sample import Grade
from interlock.evals.seen import Seen, shown, skip, verdict
from interlock.evals.suite import GraderSpec

MEASURE: Final = "task_success"


class Contains(GraderSpec, frozen=True, kw_only=True):
    """What must and must not be there: here for all cases, or by case in `expect.contains` and
    `expect.lacks`.
    """

    all: Names = ()
    any: Names = ()
    none: Names = ()
    case_sensitive: bool = False


def grade(spec: Contains, seen: Seen) -> Grade:
    expect = seen.case.expect
    needed = (*spec.all, *_texts(expect.get("contains")))
    banned = (*spec.none, *_texts(expect.get("lacks")))
    if not (needed or banned or spec.any):
        return skip("nothing is asked to be contained")
    text = seen.sample.text if spec.case_sensitive else seen.sample.text.casefold()

    def has(part: str) -> bool:
        return (part if spec.case_sensitive else part.casefold()) in text

    missing = [part for part in needed if not has(part)]
    present = [part for part in banned if has(part)]
    if missing:
        return verdict(False, f"{shown(missing[0])} is not in the answer")
    if present:
        return verdict(False, f"{shown(present[0])} is in the answer")
    return verdict(not spec.any or any(map(has, spec.any)), "none of the texts is in the answer")


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(map(str, value)) if isinstance(value, list) else (str(value),)
