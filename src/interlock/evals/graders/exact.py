"""The answer is the expected text: spaces at its ends do not count, nor does case unless asked for."""

from typing import Final

from interlock.evals.sample import Grade
from interlock.evals.seen import Seen, shown, skip, verdict
from interlock.evals.suite import GraderSpec

MEASURE: Final = "task_success"


class Exact(GraderSpec, frozen=True, kw_only=True):
    """`expect` names the expectation: a text, or a list of which one must be met. `value` stands for all
    cases.
    """

    expect: str = "answer"
    value: str | None = None
    case_sensitive: bool = False


def grade(spec: Exact, seen: Seen) -> Grade:
    wanted = spec.value if spec.value is not None else seen.case.expect.get(spec.expect)
    if wanted is None:
        return skip(f"the case expects no `{spec.expect}`")
    choices = wanted if isinstance(wanted, list) else [wanted]
    got = _same(seen.sample.text, sensitive=spec.case_sensitive)
    holds = any(got == _same(str(choice), sensitive=spec.case_sensitive) for choice in choices)
    return verdict(holds, f"{shown(seen.sample.text)} is not {shown(choices[0])}")


def _same(text: str, *, sensitive: bool) -> str:
    plain = " ".join(text.split())
    return plain if sensitive else plain.casefold()
