"""Runs of the same case agree: the share of the others that say the same and call the same tools."""

from typing import Any, Final

from interlock.evals.answers import as_json
from interlock.evals.sample import Grade, Sample
from interlock.evals.seen import Seen, skip
from interlock.evals.suite import GraderSpec

MEASURE: Final = "consistency"


class Consistency(GraderSpec, frozen=True, kw_only=True):
    """Needs `repeats` of 2 or more. `field`: only this field of a JSON answer has to agree."""

    field: str | None = None


def grade(spec: Consistency, seen: Seen) -> Grade:
    others = [other for other in seen.others if other.state != "unavailable"]
    if not others:
        return skip("there is no other run to compare with")
    mine = _said(spec, seen.sample)
    same = sum(_said(spec, other) == mine for other in others)
    why = "" if same == len(others) else f"{len(others) - same} of {len(others)} other runs differ"
    return Grade(score=same / len(others), why=why)


def _said(spec: Consistency, sample: Sample) -> Any:
    found, value = as_json(sample.text, fenced=True)
    if found and spec.field is not None:
        value = value.get(spec.field) if isinstance(value, dict) else None
    said = value if found else " ".join(sample.text.split()).casefold()
    return sample.state, said, tuple((call.name, call.arguments) for call in sample.calls)
