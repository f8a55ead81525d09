"""A gate's checks: two tables of measures in, a verdict on each check and on the whole out.

Three verdicts. *pass*: shown to be within its bound; *fail*: shown to be beyond; *inconclusive*: neither,
or too few cases, a missing measure, a judge that is down. Doubt never passes.

Several checks: a release passes only if each check passes, so each may be held at the full level (Berger,
Technometrics 24 (1982), 295-300: an intersection-union test); it fails if any fails, so the tests for failing
share the level (Holm).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from interlock.config.written import Check
from interlock.evals.measures import COST, P95, Table, interval, is_amount
from interlock.evals.sample import Posture
from interlock.evals.suite import ALL
from interlock.stats.interval import p_above
from interlock.stats.many import holm
from interlock.stats.paired import Paired, compare_means, compare_scores
from interlock.stats.special import beta_cdf, t_cdf, t_quantile

Verdict = Literal["pass", "fail", "inconclusive"]

CONFIDENCE: Final = 0.95
MOST_MISSING: Final = 0.2
"""A larger share of cases without a value leaves nothing to judge."""
MOST_MISSING_AMOUNTS: Final = 0.05
"""For money, tokens and time, which have no worst case that could stand in for an unknown one."""
POLICY_DRIFT: Final = "policy_drift"

BUILT_IN: Final = (
    Check(metric=COST, rise_at_most=0.10),
    Check(metric="tool_use_correct", drop_at_most=0.02),
)
"""Every gate has these, unless it has its own check on the metric."""


class Finding(Struct, frozen=True, kw_only=True):
    """One check's verdict. `low` and `high` limit `value` for a fixed bound, candidate minus baseline
    (relative for amounts) for a paired one. `power`: how probably a drop of twice the margin would have
    been found.
    """

    metric: str
    family: str | None
    verdict: Verdict
    value: float | None
    baseline: float | None
    low: float | None
    high: float | None
    n: int
    why: str
    power: float | None = None
    bound: str = ""


class _Tested(Struct, frozen=True, kw_only=True):
    """A check before its verdict. `doubt` says why there can be none."""

    check: Check
    family: str | None
    alpha: float
    p_pass: float = 1.0
    p_fail: float = 1.0
    value: float | None = None
    baseline: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    power: float | None = None
    doubt: str = ""


def all_checks(checks: Sequence[Check], candidate: Table, baseline: Table) -> tuple[Check, ...]:
    """A gate's own checks and those that are built in. Tool use is checked where it is measured."""
    own = {check.metric for check in checks}
    measured = candidate.values.keys() | baseline.values.keys()
    built_in = (c for c in BUILT_IN if c.metric not in own and (c.metric == COST or c.metric in measured))
    return (*checks, *built_in)


def judge(checks: Sequence[Check], candidate: Table, baseline: Table) -> tuple[Finding, ...]:
    """Each check's finding, for each family that it is about. No checks, no findings."""
    tested = [
        _test(check, family, candidate, baseline)
        for check in checks
        for family in _families(check, candidate, baseline)
    ]
    adjusted = holm([test.p_fail for test in tested])
    return tuple(_finding(test, p_fail) for test, p_fail in zip(tested, adjusted, strict=True))


def overall(findings: Iterable[Finding]) -> Verdict:
    """The gate's verdict: the worst there is; without any check, inconclusive."""
    verdicts = {finding.verdict for finding in findings}
    if "fail" in verdicts:
        return "fail"
    return "pass" if verdicts == {"pass"} else "inconclusive"


def policy_drift(candidate: Mapping[str, Posture | None], baseline: Mapping[str, Posture | None]) -> Finding:
    """Whether policy makes of each case with the new model what it makes of it with the old one.

    Fails where a case that was served is not any more, or is under other rules, tools or safety. Another
    region is told, and left to policy, which may well allow it.
    """
    both = [case for case in baseline if baseline[case] is not None and candidate.get(case) is not None]
    found = [(case, why) for case in both if (why := _drift(baseline[case], candidate[case]))]
    moved = sorted(
        {
            f"{before.region or 'unknown'} to {after.region or 'unknown'}"
            for case in both
            if (before := baseline[case]) and (after := candidate[case]) and before.region != after.region
        }
    )
    verdict: Verdict = "fail" if found else "pass" if both and len(both) == len(baseline) else "inconclusive"
    why = f"{len(found)} of {len(both)} cases: {found[0][0]}: {found[0][1]}" if found else ""
    if not found:
        why = "policy treats every case alike" if verdict == "pass" else "not every case was decided for both"
        why += f"; the region moves from {', '.join(moved)}" if moved else ""
    return Finding(
        metric=POLICY_DRIFT,
        family=None,
        verdict=verdict,
        value=len(found) / len(both) if both else None,
        baseline=0.0,
        low=None,
        high=None,
        n=len(both),
        why=why,
        bound="at most 0",
    )


def _drift(before: Posture | None, after: Posture | None) -> str | None:
    assert before is not None
    assert after is not None
    if before.served and not after.served:
        return "policy lets the candidate serve it no more"
    if not before.served or not after.served:
        return None
    for field in ("data_class", "safety_mode", "layout", "logging", "tools_denied", "approvals", "rules"):
        was, now = getattr(before, field), getattr(after, field)
        if was != now:
            return f"{field} was {was or 'none'}, is {now or 'none'}"
    return None


def _families(check: Check, candidate: Table, baseline: Table) -> tuple[str | None, ...]:
    if check.family is None:
        return (None,)
    if check.family != ALL:
        return (check.family,)
    known = {**baseline.families, **candidate.families}
    measured = {known[case] for table in (candidate, baseline) for case in table.of(check.metric, None)}
    return (*sorted(measured), None) if len(measured) != 1 else (*measured,)


def _test(check: Check, family: str | None, candidate: Table, baseline: Table) -> _Tested:
    alpha = 1 - (check.confidence if check.confidence is not None else CONFIDENCE)
    blank = _Tested(check=check, family=family, alpha=alpha)
    new, old = candidate.of(check.metric, family), baseline.of(check.metric, family)
    if not new:
        return _doubt(
            blank, f"`{check.metric}` was not measured" + (f" in family `{family}`" if family else "")
        )
    if check.at_least is not None or check.at_most is not None:
        return _test_fixed(blank, new, old)
    if check.drop_at_most is None and check.rise_at_most is None:
        return _doubt(blank, "the check has no bound")
    if not old:
        return _doubt(blank, f"`{check.metric}` was not measured for the baseline")
    if check.metric == P95:
        return _doubt(
            blank, f"`{P95}` of a candidate is not compared: bound it with `at_most`, or `latency_ms`"
        )
    return _test_paired(blank, new, old)


def _doubt(test: _Tested, why: str) -> _Tested:
    return replace(test, doubt=why)


def _test_fixed(blank: _Tested, new: Mapping[str, float | None], old: Mapping[str, float | None]) -> _Tested:
    """A bound that the candidate must keep by itself."""
    check, metric = blank.check, blank.check.metric
    values = [value for _, value in sorted(new.items()) if value is not None]
    before = [value for _, value in sorted(old.items()) if value is not None]
    found = interval(metric, values, 1 - blank.alpha)
    test = replace(
        blank,
        value=found.value,
        low=found.low,
        high=found.high,
        n=found.n,
        baseline=interval(metric, before, 1 - blank.alpha).value,
    )
    missing = len(new) - len(values)
    if missing > _bearable(metric) * len(new):
        return _doubt(test, f"{missing} of {len(new)} cases have no value")
    at_least = check.at_least is not None
    bound = check.at_least if check.at_least is not None else check.at_most
    assert bound is not None
    if is_amount(metric):
        above, below = _p_of_amount(metric, values, bound)
        return replace(test, p_pass=above if at_least else below, p_fail=below if at_least else above)
    # Where a value is unknown, it counts against the verdict that is to be shown.
    worst = [*values, *([0.0 if at_least else 1.0] * missing)]
    best = [*values, *([1.0 if at_least else 0.0] * missing)]
    if not at_least:
        worst, best, bound = [1 - v for v in worst], [1 - v for v in best], 1 - bound
    return replace(
        test,
        p_pass=_p_score_above(worst, bound, blank.alpha),
        p_fail=_p_score_above([1 - value for value in best], 1 - bound, blank.alpha, ends=False),
    )


def _bearable(metric: str) -> float:
    return MOST_MISSING_AMOUNTS if is_amount(metric) else MOST_MISSING


def _p_score_above(values: Sequence[float], bound: float, alpha: float, *, ends: bool = True) -> float:
    """P of "the mean is above the bound". A bound at the end of the scale (1: never a miss) is about these
    cases only: no sample could show it of all.
    """
    if ends and bound >= 1:
        return 0.0 if values and min(values) >= 1 else 1.0
    if not ends and bound <= 0:
        return 0.0 if any(value > 0 for value in values) else 1.0
    if all(value in (0.0, 1.0) for value in values):
        hits, n = int(sum(values)), len(values)
        return beta_cdf(max(bound, 0.0), hits, n - hits + 1) if hits else 1.0
    return p_above(values, bound, 1 - alpha)


def _p_of_amount(metric: str, values: Sequence[float], bound: float) -> tuple[float, float]:
    """P of "above the bound" and p of "below the bound"."""
    n = len(values)
    if metric == P95:
        under = sum(value <= bound for value in values)
        above = 1 - beta_cdf(0.95, under + 1, n - under) if under < n else 1.0
        return above, beta_cdf(0.95, under, n - under + 1) if under else 1.0
    found = interval(metric, list(values), 0.95)
    if n < 2 or found.value is None or found.high is None:
        return 1.0, 1.0
    spread = found.high - found.value
    if spread <= 0:
        return float(found.value <= bound), float(found.value > bound)
    t = (found.value - bound) / (spread / t_quantile(0.95, n - 1))
    return 1 - t_cdf(t, n - 1), t_cdf(t, n - 1)


def _test_paired(blank: _Tested, new: Mapping[str, float | None], old: Mapping[str, float | None]) -> _Tested:
    """Candidate against baseline, case by case."""
    metric = blank.check.metric
    cases = sorted(new.keys() | old.keys())
    pairs = [(new.get(case), old.get(case)) for case in cases]
    known = [(a, b) for a, b in pairs if a is not None and b is not None]
    missing = len(pairs) - len(known)
    if missing > _bearable(metric) * len(pairs):
        return _doubt(replace(blank, n=len(known)), f"{missing} of {len(pairs)} pairs have no value")
    if is_amount(metric):
        found = shown = _compare(blank, known)
    else:
        up = blank.check.drop_at_most is not None
        found = _compare(blank, [_filled(pair, new=float(not up), old=float(up)) for pair in pairs])
        shown = _compare(blank, [_filled(pair, new=float(up), old=float(not up)) for pair in pairs])
    middle = found if not missing else _compare(blank, known)
    return replace(
        blank,
        p_pass=found.p_pass,
        p_fail=shown.p_fail,
        value=sum(a for a, _ in known) / len(known) if known else None,
        baseline=sum(b for _, b in known) / len(known) if known else None,
        low=middle.low,
        high=middle.high,
        n=len(known),
        power=middle.power,
    )


def _filled(pair: tuple[float | None, float | None], *, new: float, old: float) -> tuple[float, float]:
    return (new if pair[0] is None else pair[0], old if pair[1] is None else pair[1])


def _compare(test: _Tested, pairs: Sequence[tuple[float, float]]) -> Paired:
    """The comparison for a check's bound, with its limits as candidate minus baseline."""
    check, confidence = test.check, 1 - test.alpha
    new, old = [a for a, _ in pairs], [b for _, b in pairs]
    drop, rise = check.drop_at_most, check.rise_at_most
    if not is_amount(check.metric):
        if drop is not None:
            return compare_scores(new, old, drop, confidence)
        assert rise is not None
        return _turned(compare_scores(old, new, rise, confidence))
    if pairs and sum(old) == 0:
        # What was free has no ratio; it may only stay free.
        dearer = float(sum(new) > 0)
        return Paired(n=len(pairs), value=None, low=None, high=None, p_pass=dearer, p_fail=1.0 - dearer)
    if rise is not None:
        return compare_means(new, old, rise, confidence)
    assert drop is not None
    found = compare_means(new, old, -drop, confidence)
    return replace(found, p_pass=found.p_fail, p_fail=found.p_pass)


def _turned(found: Paired) -> Paired:
    return replace(
        found,
        value=-found.value if found.value is not None else None,
        low=-found.high if found.high is not None else None,
        high=-found.low if found.low is not None else None,
    )


def _finding(test: _Tested, p_fail: float) -> Finding:
    verdict: Verdict = "inconclusive"
    if not test.doubt and p_fail <= test.alpha:
        verdict = "fail"
    elif not test.doubt and test.p_pass <= test.alpha:
        verdict = "pass"
    return Finding(
        metric=test.check.metric,
        family=test.family,
        verdict=verdict,
        value=test.value,
        baseline=test.baseline,
        low=test.low,
        high=test.high,
        n=test.n,
        why=test.doubt or _why(test, verdict),
        power=test.power,
        bound=bound_of(test.check),
    )


def bound_of(check: Check) -> str:
    """A check's bound in words: `drop at most 0.02`."""
    for name in ("at_least", "at_most", "drop_at_most", "rise_at_most"):
        value = getattr(check, name)
        if value is not None:
            return f"{name.replace('_', ' ')} {value:g}"
    return "no bound"


def _why(test: _Tested, verdict: Verdict) -> str:
    level = f"{1 - test.alpha:.0%} confidence"
    bound = bound_of(test.check)
    if verdict == "pass":
        return f"{bound}: shown with {level}"
    if verdict == "fail":
        return f"{bound}: shown to be exceeded, with {level} for all checks together"
    low = "?" if test.low is None else f"{test.low:.3g}"
    high = "?" if test.high is None else f"{test.high:.3g}"
    return f"{bound}: too few cases to tell: {test.n}, and the truth may lie from {low} to {high}"
