"""A gate as JUnit XML: each check a test, a failure or, in doubt, an error; and each case of a run
likewise.
"""

from collections.abc import Iterable, Sequence
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from interlock.evals.checks import Finding
from interlock.evals.measures import Scored

# What XML 1.0 cannot hold, not even escaped.
_UNFIT: Final = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 65534, 65535), "�")


def of_gate(name: str, findings: Sequence[Finding], verdict: str, why: str) -> str:
    """A gate's checks as one test suite. The verdict is a test too, so that a gate without checks is no
    green one.
    """
    tests = [
        _test(finding.metric, finding.family or "all", finding.verdict, finding.why) for finding in findings
    ]
    return _suite(name, [*tests, _test("verdict", "gate", verdict, why)])


def of_run(name: str, scored: Iterable[Scored]) -> str:
    """A run's cases as one test suite: failed where a grader gave less than 1, an error where one gave
    nothing.
    """
    return _suite(name, [_test(row.sample.case, row.sample.family, *_of_case(row)) for row in scored])


def _of_case(row: Scored) -> tuple[str, str]:
    lower = ("over_refusal", "refusal_rate", "judge_disagreement")
    unknown = [one for one in row.grades if one.grade.missing]
    wrong = [
        one
        for one in row.grades
        if one.grade.score is not None and one.grade.score != (0 if one.measure in lower else 1)
    ]
    if wrong:
        return "fail", "; ".join(f"{one.measure}: {one.grade.why or one.grade.score}" for one in wrong)
    if unknown or row.sample.state == "unavailable":
        return "inconclusive", row.sample.error or "; ".join(one.grade.why for one in unknown)
    return "pass", ""


def _test(name: str, group: str, verdict: str, why: str) -> tuple[str, str]:
    head = f"<testcase classname={_attribute(group)} name={_attribute(name)}"
    if verdict == "pass":
        return verdict, f"{head}/>"
    tag = "failure" if verdict == "fail" else "error"
    message = f"<{tag} message={_attribute(why)}>{escape(why.translate(_UNFIT))}</{tag}>"
    return verdict, f"{head}>{message}</testcase>"


def _suite(name: str, tests: list[tuple[str, str]]) -> str:
    verdicts = [verdict for verdict, _ in tests]
    failures = verdicts.count("fail")
    errors = len(tests) - failures - verdicts.count("pass")
    counts = f'tests="{len(tests)}" failures="{failures}" errors="{errors}"'
    lines = (
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<testsuites {counts}>",
        f"  <testsuite name={_attribute(name)} {counts}>",
        *(f"    {text}" for _, text in tests),
        "  </testsuite>",
        "</testsuites>",
    )
    return "\n".join(lines) + "\n"


def _attribute(text: str) -> str:
    return quoteattr(text.translate(_UNFIT), {"\n": "&#10;"})
