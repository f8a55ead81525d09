"""What has been seen of both arms since a step began, small enough to keep, and the verdict on it.

Rates are counted. Amounts are counted as shares of a cap: twice the largest of the first WARM_UP values,
which are not used for anything else; larger ones later count as the cap, so a mean is that of what lies below
it. Latencies are counted in bands 2 % wide.

A guardrail is *breached* when the evidence says that the candidate is beyond its bound, with the risk alpha
shared among all guardrails and steps of the plan; it *holds* when the evidence says that it is within, at the
full alpha for each, for all have to hold. See `stats.sequential`.
"""

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace as _with

from interlock.config.written import Check
from interlock.measures import COPIES, MEASURES, SHADOW, Ended, Kind, measure
from interlock.rollout.pairs import Pairs
from interlock.rollout.plan import Verdict
from interlock.stats.sequential import (
    Bound,
    Tally,
    against_at_least,
    against_at_most,
    against_no_less,
    against_no_more,
    enough,
    limits,
)
from interlock.types.labels import Arm

CONFIDENCE: Final = 0.95
WARM_UP: Final = 100
SHARE: Final = 0.05
"""Of requests, above the 95th percentile."""
_BAND: Final = math.log(1.02)
_ARMS: Final[tuple[Arm, Arm]] = ("canary", "stable")
RAN: Final = ("ok", "failed", "cancelled")
"""What became of an execution: a refusal by policy or a dry run says nothing of a model."""


class Finding(Struct, frozen=True, kw_only=True):
    """The verdict on one guardrail. `low` and `high` limit how far `value` is above `baseline`.

    By difference for rates, by share for costs and tokens; None for a percentile, and where the bound is the
    candidate's alone. `n` and `n_baseline` count requests.
    """

    metric: str
    bound: str
    verdict: Verdict
    value: float | None = None
    baseline: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    n_baseline: int = 0
    why: str = ""


class Series(Struct, kw_only=True):
    """Mutable: one measure of both arms. `cap` None: amounts whose WARM_UP is not over."""

    kind: Kind
    cap: float | None
    first: list[float] = field(default_factory=list)
    tallies: dict[Arm, Tally] = field(default_factory=lambda: dict.fromkeys(_ARMS, Tally()))
    bands: dict[Arm, dict[int, int]] = field(default_factory=lambda: {arm: {} for arm in _ARMS})

    @classmethod
    def of(cls, kind: Kind) -> "Series":
        return cls(kind=kind, cap=1.0 if kind == "rate" else None)

    def add(self, arm: Arm, value: float) -> None:
        if self.kind == "p95":
            band = int(self.place(value))
            self.bands[arm][band] = self.bands[arm].get(band, 0) + 1
        elif self.cap is None:
            self.first.append(float(value))
            if len(self.first) == WARM_UP:
                self.cap = 2 * max(self.first)
        else:
            self.tallies[arm] = self.tallies[arm].plus(self.place(value))

    def place(self, value: float) -> float:
        """Where a value stands: the number of its band, or its share of the cap, which has to be known."""
        if self.kind == "p95":
            return math.ceil(math.log(max(value, 1.0)) / _BAND)
        cap = self.cap
        assert cap is not None, "still warming up"
        return min(value / cap, 1.0) if cap > 0 else float(value > 0)


class Watch:
    """Mutable: what a rollout's guardrails have seen of one step."""

    def __init__(self, guardrails: Sequence[Check], steps: int, graders: Collection[str] = ()) -> None:
        """`graders` are the names of those that score answers: a guardrail can name one of them too."""
        metrics = {check.metric for check in guardrails}
        self._checks = guardrails
        self._shares = max(len(guardrails) * steps, 1)
        self._series = {
            check.metric: Series.of(MEASURES[check.metric].kind)
            for check in guardrails
            if check.metric in MEASURES
        }
        self._scores = {name: Series.of("rate") for name in graders if name in metrics}
        self._pairs = {name: Pairs() for name in (*COPIES, *graders) if f"{SHADOW}{name}" in metrics}
        self.requests: dict[Arm, int] = dict.fromkeys(_ARMS, 0)
        self._answered: dict[Arm, int] = dict.fromkeys(_ARMS, 0)

    def add(self, arm: Arm, one: Ended) -> None:
        """A request that has ended."""
        if one.status not in RAN:
            return
        self.requests[arm] += 1
        self._answered[arm] += one.status == "ok"
        found = measure(one)
        for name, series in self._series.items():
            value = MEASURES[name].value(found)
            if value is not None and not MEASURES[name].late:
                series.add(arm, value)

    def late(self, name: str, counted: Mapping[Arm, int]) -> None:
        """How many answers of each arm a late measure is one of, so far: overridden, asked again, edited."""
        if name in self._series:
            n = self._answered
            self.count(name, {arm: Tally(float(min(counted.get(arm, 0), n[arm])), n[arm]) for arm in _ARMS})

    def grade(self, arm: Arm, grader: str, score: float) -> None:
        """A live answer has been scored, in 0..1."""
        series = self._scores.get(grader)
        if series is not None:
            series.add(arm, score)

    def compare(self, grader: str, copy: float, live: float | None) -> None:
        """A copy has been scored, and the live answer to the same request where it has a score."""
        pairs = self._pairs.get(grader)
        if pairs is not None:
            pairs.add(copy, live)

    def count(self, metric: str, tallies: Mapping[Arm, Tally]) -> None:
        """A rate that was counted elsewhere, in place of what was added request by request."""
        self._series[metric].tallies = dict(tallies)

    def findings(self, weight: float) -> tuple[Finding, ...]:
        """The verdict on each guardrail, at a step that gives the candidate this share."""
        return tuple(self._judge(check, weight) for check in self._checks)

    def _judge(self, check: Check, weight: float) -> Finding:
        series = self._series.get(check.metric) or self._scores.get(check.metric)
        if check.metric.startswith(SHADOW) and check.metric.removeprefix(SHADOW) in self._pairs:
            if weight >= 1:
                why = "all traffic is the candidate's: nothing is copied"
                return _with(blank_of(check), verdict="holds", why=why)
            pairs = self._pairs[check.metric.removeprefix(SHADOW)]
            return _judge_pairs(check, pairs, alpha_of(check), alpha_of(check) / self._shares)
        if series is None:
            return _with(blank_of(check), why="there is no such live measure")
        if weight <= 0:
            return _with(blank_of(check), verdict="holds", why="the candidate has no traffic at this step")
        if not is_alone(check) and not 0 < weight < 1:
            why = "one arm has no traffic at this step: nothing to compare"
            return _with(blank_of(check), verdict="holds", why=why)
        return judge(check, series, alpha_of(check) / self._shares)


def blank_of(check: Check) -> Finding:
    """The finding of a guardrail of which nothing is known yet."""
    return Finding(metric=check.metric, bound=bound_text(check), verdict="undecided")


def alpha_of(check: Check) -> float:
    return 1 - (check.confidence if check.confidence is not None else CONFIDENCE)


def is_alone(check: Check) -> bool:
    """Whether a guardrail bounds the candidate by itself, not against the other arm."""
    return check.at_least is not None or check.at_most is not None


def judge(check: Check, series: Series, risk: float, *, limited: bool = True) -> Finding:
    """The verdict on a guardrail. `risk` is the share of its risk that a breach may take here.

    Not `limited`: without the limits of a finding, which take fifty times as long as the rest.
    """
    blank, alpha = blank_of(check), alpha_of(check)
    if is_alone(check):
        return _judge_alone(blank, check, series, alpha, risk)
    if series.kind == "p95":
        return _judge_p95(blank, check, series, alpha, risk)
    return _judge_means(blank, check, series, alpha, risk, limited=limited)


def _judge_pairs(check: Check, pairs: Pairs, alpha: float, risk: float) -> Finding:
    """Copies beside the live answers to the same requests."""
    found = _with(
        blank_of(check),
        value=pairs.copies.mean,
        baseline=pairs.live.mean,
        n=pairs.copies.n,
        n_baseline=pairs.live.n,
    )
    if not pairs.copies.n or not (is_alone(check) or pairs.differences):
        return _with(found, why="no copies have been compared yet")
    if pairs.differences:
        low, high = pairs.difference(alpha)
        found = _with(found, low=low, high=high)
    return _decided(found, *pairs.evidence(check), alpha, risk)


def overall(findings: Sequence[Finding]) -> tuple[Verdict, str]:
    """The verdict on a step, and why: the worst there is. Without guardrails only the clock counts."""
    for verdict in ("breach", "undecided"):
        worst = [finding for finding in findings if finding.verdict == verdict]
        if worst:
            return worst[0].verdict, "; ".join(f"`{one.metric}`: {one.why}" for one in worst)
    return "holds", "every guardrail holds" if findings else "there are no guardrails"


def _judge_alone(blank: Finding, check: Check, series: Series, alpha: float, risk: float) -> Finding:
    """A bound of the candidate by itself."""
    bound = check.at_most if check.at_most is not None else check.at_least
    assert bound is not None
    most = check.at_most is not None
    if series.kind == "p95":
        over, n = _above(series.bands["canary"], math.floor(math.log(max(bound, 1.0)) / _BAND))
        tally, limit, value = Tally(float(over), n), SHARE, _p95(series.bands["canary"])
        most_is_more = True
    else:
        if series.cap is None:
            return _with(blank, why=_begins(series))
        tally, limit = series.tallies["canary"], bound / (series.cap or 1.0)
        value = None if tally.mean is None else tally.mean * (series.cap or 1.0)
        most_is_more = most
    more, less = against_at_most(tally, limit), against_at_least(tally, limit)
    if series.kind == "p95" and not most:
        more, less = less, more
    beyond, within = (more, less) if most_is_more else (less, more)
    return _decided(_with(blank, value=value, n=tally.n), beyond, within, alpha, risk)


def _judge_means(
    blank: Finding, check: Check, series: Series, alpha: float, risk: float, *, limited: bool
) -> Finding:
    new, old = series.tallies["canary"], series.tallies["stable"]
    cap = series.cap
    if cap is None:
        return _with(blank, why=_begins(series))
    found = _with(
        blank,
        value=None if new.mean is None else new.mean * (cap or 1.0),
        baseline=None if old.mean is None else old.mean * (cap or 1.0),
        n=new.n,
        n_baseline=old.n,
    )
    if not new.n or not old.n:
        return _with(found, why=f"{new.n} requests of the candidate, {old.n} of what is active")
    relative = series.kind == "relative"
    if relative and new.total == old.total == 0:
        few = min(new.n, old.n) < WARM_UP
        return _with(found, verdict="undecided" if few else "holds", why="both are 0")
    margin = check.rise_at_most if check.rise_at_most is not None else -(check.drop_at_most or 0.0)
    scale = 1.0 if relative else (cap or 1.0)
    line = _line(margin / scale, relative=relative)
    more, less = against_no_more(new, old, line), against_no_less(new, old, line)
    beyond, within = (more, less) if check.rise_at_most is not None else (less, more)
    if limited:
        ends = (-1.0, 9.0) if relative else (-1.0, 1.0)
        low, high = limits(new, old, lambda m: _line(m, relative=relative), *ends, alpha)
        found = _with(found, low=low * scale, high=high * scale)
    return _decided(found, beyond, within, alpha, risk)


def _judge_p95(blank: Finding, check: Check, series: Series, alpha: float, risk: float) -> Finding:
    """The 95th percentile against another: for each value that the old one may have, the evidence against
    that and against the new one within the bound; of all, the least.
    """
    new, old = series.bands["canary"], series.bands["stable"]
    found = _with(
        blank,
        value=_p95(new),
        baseline=_p95(old),
        n=sum(new.values()),
        n_baseline=sum(old.values()),
    )
    if not new or not old:
        return _with(found, why=f"{found.n} requests of the candidate, {found.n_baseline} of what is active")
    rise = check.rise_at_most is not None
    margin = check.rise_at_most if check.rise_at_most is not None else -(check.drop_at_most or 0.0)
    shift = math.floor(math.log(max(1 + margin, 1e-9)) / _BAND)
    more = less = math.inf
    n, m = found.n_baseline, found.n
    for over, at, above, up in _counts(new, old, shift):
        # The percentile is this band: at most SHARE above it, at least SHARE in it or above.
        a = against_at_most(Tally(float(over), n), SHARE)
        b = against_at_least(Tally(float(at), n), SHARE)
        here = max(a, b) + math.log((math.exp(a - max(a, b)) + math.exp(b - max(a, b))) / 2)
        more = min(more, here + against_at_most(Tally(float(above), m), SHARE))
        less = min(less, here + against_at_least(Tally(float(up), m), SHARE))
    beyond, within = (more, less) if rise else (less, more)
    return _decided(found, beyond, within, alpha, risk)


def _decided(found: Finding, beyond: float, within: float, alpha: float, risk: float) -> Finding:
    if beyond >= enough(risk):
        return _with(found, verdict="breach", why=f"{_shown(found)}: beyond `{found.bound}`")
    if within >= enough(alpha):
        return _with(found, verdict="holds", why=f"{_shown(found)}: within `{found.bound}`")
    return _with(found, why=f"{_shown(found)}: too little data to tell")


def _shown(found: Finding) -> str:
    value = "unknown" if found.value is None else f"{found.value:.4g}"
    if found.baseline is None:
        return f"{value} over {found.n} requests"
    return f"{value} over {found.n} requests, against {found.baseline:.4g} over {found.n_baseline}"


def _begins(series: Series) -> str:
    return f"{len(series.first)} values so far, {WARM_UP} are needed to begin"


def _line(margin: float, *, relative: bool) -> Bound:
    return (lambda mean: mean * (1 + margin)) if relative else (lambda mean: mean + margin)


def _above(bands: Mapping[int, int], band: int) -> tuple[int, int]:
    """How many lie above a band, and how many there are."""
    return sum(count for place, count in bands.items() if place > band), sum(bands.values())


def _counts(
    new: Mapping[int, int], old: Mapping[int, int], shift: int
) -> Iterator[tuple[int, int, int, int]]:
    """For each band that the old percentile may be: how many old ones are above it, and in it or above; how
    many new ones are above the band so much higher, and in it or above.
    """
    places = [*old, *(place - shift for place in new)]
    over = above = 0
    for band in range(max(places) + 1, min(places) - 2, -1):
        at, up = over + old.get(band, 0), above + new.get(band + shift, 0)
        yield over, at, above, up
        over, above = at, up


def _p95(bands: Mapping[int, int]) -> float | None:
    left = SHARE * sum(bands.values())
    for place in sorted(bands, reverse=True):
        left -= bands[place]
        if left < 0:
            return round(math.exp(place * _BAND), 3)
    return None


def bound_text(check: Check) -> str:
    """The bound of a guardrail: `at_most 0.1`."""
    for name in ("at_least", "at_most", "drop_at_most", "rise_at_most"):
        value = getattr(check, name)
        if value is not None:
            return f"{name} {value:g}"
    return "none"
