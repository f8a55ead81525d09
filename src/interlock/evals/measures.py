"""From samples to measures: each sample graded, each case one value per measure, each measure a mean with
limits.

A case is the unit of all statistics: its repeats are averaged first, because they are not independent.
"""

from collections.abc import Callable, Iterable, Mapping
from statistics import fmean
from typing import Final

from msgspec import Struct

from interlock.evals import graders
from interlock.evals.graders import judge
from interlock.evals.graders.consistency import Consistency
from interlock.evals.refusals import declines
from interlock.evals.sample import Grade, Sample
from interlock.evals.seen import Function, Judgement, Seen
from interlock.evals.suite import GraderSpec, Suite
from interlock.stats.interval import Interval, of_means, of_quantile, of_scores

P95: Final = "latency_p95_ms"
LATENCY: Final = "latency_ms"
COST: Final = "cost_per_case"

_AMOUNTS: Final[dict[str, Callable[[Sample], float | None]]] = {
    COST: lambda sample: sample.cost_usd,
    "input_tokens": lambda sample: sample.input_tokens,
    "output_tokens": lambda sample: sample.output_tokens,
    LATENCY: lambda sample: sample.latency_ms,
    "tool_calls": lambda sample: float(len(sample.calls)),
}
"""Measured on every sample that was answered or failed; without bounds, so compared by ratio."""

LOWER_IS_BETTER: Final = frozenset(
    (*_AMOUNTS, P95, "over_refusal", "refusal_rate", "error_rate", judge.DISAGREEMENT)
)


class Graded(Struct, frozen=True, kw_only=True):
    """One grader's word on one sample."""

    measure: str
    kind: str
    grade: Grade


class Scored(Struct, frozen=True, kw_only=True):
    """A sample with all its grades: what is kept for looking at."""

    sample: Sample
    grades: tuple[Graded, ...]


class Table(Struct, frozen=True, kw_only=True):
    """Each measure's value by case. None: the case is measured, its value is unknown. Absent: it does not
    apply.
    """

    families: dict[str, str]
    values: dict[str, dict[str, float | None]]

    def of(self, measure: str, family: str | None) -> dict[str, float | None]:
        """A measure's values, of one family or (None) of all together."""
        found = self.values.get(LATENCY if measure == P95 else measure, {})
        return {case: value for case, value in found.items() if family in (None, self.families[case])}


class Outside(Struct, frozen=True, kw_only=True):
    """What graders need that is not in suite or samples: a judge's replies, loaded functions, who is
    related.
    """

    judgements: Mapping[str, Judgement] = {}
    functions: Mapping[str, Function] = {}
    related: frozenset[str] = frozenset()


def measured_by(suite: Suite) -> set[str]:
    """Every measure that a run of a suite may have."""
    judged = {judge.DISAGREEMENT for spec in suite.graders if isinstance(spec, judge.Judge)}
    return {*_AMOUNTS, P95, "error_rate", "refusal_rate", *map(graders.measure_of, suite.graders), *judged}


def is_amount(measure: str) -> bool:
    """Whether a measure has no upper bound (money, tokens, time), so that a change of it is relative."""
    return measure in _AMOUNTS or measure == P95


def seen_of(suite: Suite, samples: Iterable[Sample], outside: Outside) -> tuple[Seen, ...]:
    """What graders look at, for each sample of a suite."""
    by_case: dict[str, list[Sample]] = {}
    for sample in samples:
        by_case.setdefault(sample.case, []).append(sample)
    return tuple(
        Seen(
            case=case,
            sample=sample,
            others=tuple(other for other in by_case[case.id] if other is not sample),
            judgements=outside.judgements,
            related=outside.related,
            functions=outside.functions,
        )
        for case in suite.cases
        for sample in by_case.get(case.id, ())
    )


def score(suite: Suite, samples: Iterable[Sample], outside: Outside) -> tuple[Scored, ...]:
    """Every sample with its grades."""
    for_case: dict[str, list[GraderSpec]] = {}
    everywhere = [spec for spec in suite.graders if not spec.cases]
    for spec in suite.graders:
        for case in spec.cases:
            for_case.setdefault(case, []).append(spec)
    return tuple(
        Scored(
            sample=seen.sample,
            grades=tuple(
                row for spec in (*everywhere, *for_case.get(seen.case.id, ())) for row in _graded(spec, seen)
            ),
        )
        for seen in seen_of(suite, samples, outside)
    )


def _graded(spec: GraderSpec, seen: Seen) -> Iterable[Graded]:
    yield Graded(measure=graders.measure_of(spec), kind=spec.kind, grade=graders.apply(spec, seen))
    if isinstance(spec, judge.Judge) and seen.sample.state == "answered":
        yield Graded(measure=judge.DISAGREEMENT, kind=spec.kind, grade=judge.disagreement(spec, seen))


def tabulate(scored: Iterable[Scored]) -> Table:
    """Each case's values: the mean of its repeats, each the smallest of its graders' scores."""
    families: dict[str, str] = {}
    runs: dict[str, dict[str, list[float | None]]] = {}
    for row in scored:
        families[row.sample.case] = row.sample.family
        for measure, value in _of_sample(row).items():
            runs.setdefault(measure, {}).setdefault(row.sample.case, []).append(value)
    values = {
        measure: {case: _mean(found) for case, found in cases.items()} for measure, cases in runs.items()
    }
    return Table(families=families, values=values)


def _of_sample(row: Scored) -> dict[str, float | None]:
    sample = row.sample
    known = sample.state != "unavailable"
    found: dict[str, float | None] = {
        name: read(sample) if known else None for name, read in _AMOUNTS.items()
    }
    found["error_rate"] = float(not known)
    found["refusal_rate"] = float(sample.refused or declines(sample.text)) if known else None
    graded: dict[str, list[Grade]] = {}
    for one in row.grades:
        graded.setdefault(one.measure, []).append(one.grade)
    for measure, grades in graded.items():
        scores = [grade.score for grade in grades if grade.score is not None]
        if any(grade.missing for grade in grades):
            # A zero stays a zero, whatever else is unknown; otherwise the whole is.
            found[measure] = 0.0 if 0.0 in scores and measure not in LOWER_IS_BETTER else None
        elif scores:
            found[measure] = min(scores)
    return found


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def agreement(suite: Suite, one: Iterable[Sample], other: Iterable[Sample], confidence: float) -> Interval:
    """How far two runs of a suite say the same, case by case: the same request over two routes.

    As the suite's own `consistency` grader compares, or as it would by default.
    """
    spec = next((s for s in suite.graders if isinstance(s, Consistency)), Consistency(kind="consistency"))
    cases = {case.id: case for case in suite.cases}
    by_case: dict[str, list[Sample]] = {}
    for sample in other:
        by_case.setdefault(sample.case, []).append(sample)
    found: dict[str, list[float | None]] = {}
    for sample in one:
        if sample.state != "unavailable":
            seen = Seen(case=cases[sample.case], sample=sample, others=tuple(by_case.get(sample.case, ())))
            found.setdefault(sample.case, []).append(graders.apply(spec, seen).score)
    return of_scores(_known({case: _mean(scores) for case, scores in found.items()}), confidence)


def measure(table: Table, confidence: float, family: str | None = None) -> dict[str, Interval]:
    """Every measure of a family (None: of all cases), each with its one-sided limits; unknown values are
    left out.
    """
    found = {
        name: interval(name, _known(table.of(name, family)), confidence)
        for name in sorted(table.values)
        if table.of(name, family)
    }
    if LATENCY in found:
        found[P95] = interval(P95, _known(table.of(P95, family)), confidence)
    return found


def interval(measure: str, values: list[float], confidence: float) -> Interval:
    """The mean (or percentile) of a measure's values by case, with its limits."""
    if measure == P95:
        return of_quantile(values, 0.95, confidence)
    return of_means(values, confidence) if is_amount(measure) else of_scores(values, confidence)


def _known(values: Mapping[str, float | None]) -> list[float]:
    """In the order of the cases' ids: limits by betting depend on an order, which must not depend on the
    run.
    """
    return [value for _, value in sorted(values.items()) if value is not None]
