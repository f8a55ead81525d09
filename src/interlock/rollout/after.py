"""Guardrails that go on after a rollout: what a version does now, against what it did when it was new.

The first `baseline` values of each measure are what the version is held to: they are frozen, and so is what
it is compared with if it drifts slowly. What comes then is counted in windows of WINDOWS requests, all sizes
at a time; a window that is full begins anew. A change that comes late is so not lost among what was fine
before it: it is found within a few times the requests that it takes to show it.

The evidence may be looked at always. The risk of a guardrail is shared among the sizes (a half, a quarter, …;
what is left is for the first values, which a bound of the version by itself is put to as well), and among the
windows of a size, of which the k-th has 6 / (pi k)^2 of it, a series whose sum is 1. So a version that stays
within its bounds is ever called a breach with a probability of at most 1 - confidence, all guardrails
together, however long it is watched.

A guardrail that is breached stays so until windows that began after the breach show it within its bound.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from msgspec import Struct, field

from interlock.config.written import Check
from interlock.measures import MEASURES, Ended, measure
from interlock.rollout.watch import RAN, Finding, Series, alpha_of, bound_text, is_alone, judge
from interlock.stats.sequential import Tally

WINDOWS: Final = (500, 2_000, 8_000, 32_000, 128_000)
_FIRST_SHARE: Final = 6 / math.pi**2


class Window(Struct, kw_only=True):
    """Mutable: one measure within one window, the `number`-th of its size. `n` counts values."""

    number: int = 1
    n: int = 0
    total: float = 0.0
    bands: dict[int, int] = field(default_factory=dict)


class Line(Struct, kw_only=True):
    """Mutable: one measure of a version. `base` is its past (as the stable arm), `n` its values in there."""

    base: Series
    n: int = 0
    windows: list[Window] = field(default_factory=lambda: [Window() for _ in WINDOWS])

    def add(self, value: float, baseline: int) -> None:
        if self.n < baseline:
            self.n += 1
            self.base.add("stable", value)
            return
        place = self.base.place(value)
        for size, window in zip(WINDOWS, self.windows, strict=True):
            if window.n >= size:
                window.number, window.n, window.total, window.bands = window.number + 1, 0, 0.0, {}
            window.n += 1
            if self.base.kind == "p95":
                window.bands[int(place)] = window.bands.get(int(place), 0) + 1
            else:
                window.total += float(place)

    def begin_anew(self) -> None:
        """Leave behind what every window has seen."""
        self.windows = [Window(number=window.number + 1) for window in self.windows]

    def looks(self, *, alone: bool) -> Iterator[tuple[float, Series]]:
        """What is judged now, as two arms, each with its share of the risk: every window beside the past.

        A bound that the version keeps by itself (`alone`) needs no past: the first values are put to it too.
        """
        base = self.base
        past, bands = base.tallies["stable"], base.bands["stable"]
        if alone and self.windows[0] == Window():
            yield 2.0 ** -len(WINDOWS), self._arms(past, bands)
        for place, window in enumerate(self.windows):
            share = 2.0 ** -(place + 1) * _FIRST_SHARE / window.number**2
            yield share, self._arms(Tally(window.total, window.n), window.bands)

    def _arms(self, now: Tally, bands: dict[int, int]) -> Series:
        base = self.base
        return Series(
            kind=base.kind,
            cap=base.cap,
            first=base.first,
            tallies={"stable": base.tallies["stable"], "canary": now},
            bands={"stable": base.bands["stable"], "canary": bands},
        )


class After(Struct, kw_only=True):
    """Mutable: what guardrails have seen of one version of an alias, small enough to keep as JSON.

    `seq` is the last record that was read, `open` are the numbers of those that had not ended. `late` is of
    how many answers since `late_since` (in microseconds since the epoch) late measures had been noted when
    `late_answered` answers had been given. `breached` holds by guardrail what showed its breach; the version
    `waits` to be taken back for it where that could not be done when it was seen.
    """

    seq: int | None = None
    open: list[int] = field(default_factory=list)
    lines: dict[str, Line] = field(default_factory=dict)
    late: dict[str, int] = field(default_factory=dict)
    late_answered: int = 0
    late_since: int | None = None
    breached: dict[str, Finding] = field(default_factory=dict)
    waits: bool = False
    findings: tuple[Finding, ...] = ()
    requests: int = 0
    answered: int = 0


class Looked(Struct, frozen=True, kw_only=True):
    """What a look has changed: guardrails that are breached since, and those that hold again."""

    breached: tuple[Finding, ...] = ()
    recovered: tuple[Finding, ...] = ()


def watchable(guardrails: Iterable[Check]) -> tuple[Check, ...]:
    """The guardrails that can go on after a rollout: those on live measures."""
    return tuple(check for check in guardrails if check.metric in MEASURES)


def add(after: After, guardrails: Sequence[Check], one: Ended, baseline: int) -> None:
    """A request of the version has ended."""
    if one.status not in RAN:
        return
    after.requests += 1
    after.answered += one.status == "ok"
    found = measure(one)
    for name in {check.metric for check in guardrails}:
        value = None if MEASURES[name].late else MEASURES[name].value(found)
        if value is not None:
            _line(after, name).add(value, baseline)


def add_late(after: After, guardrails: Sequence[Check], noted: Mapping[str, int], baseline: int) -> None:
    """Of how many answers since `late_since` late measures are noted, now that `answered` is what it is.

    They are counted when they are noted: what comes now is set against the answers given meanwhile, and
    spread evenly among them, for which of them it was is not known.
    """
    answers = after.answered - after.late_answered
    if answers <= 0:
        return
    for name in {check.metric for check in guardrails if MEASURES[check.metric].late}:
        # One that is watched from now on: what was noted before is none of the answers that come.
        known = after.late.get(name, noted.get(name, 0) if after.late_answered else 0)
        # More than there were answers are left for the next time. What was said and taken back, and is said
        # again, is nothing new.
        hits = min(max(noted.get(name, 0) - known, 0), answers)
        after.late[name] = known + hits
        line = _line(after, name)
        for place in range(answers):
            line.add(float((place + 1) * hits // answers > place * hits // answers), baseline)
    after.late_answered = after.answered


def leave_late(after: After, since: int, was: Mapping[str, int], now: Mapping[str, int]) -> None:
    """Wait no longer for what is noted of answers before an instant: they are counted from there on.

    `was` and `now` are of how many late measures are noted, from the instant before and from this one.
    """
    for name, known in after.late.items():
        left = max(was.get(name, 0) - known, 0)
        after.late[name] = max(now.get(name, 0) - left, 0)
    after.late_since = since


def look(after: After, guardrails: Sequence[Check]) -> Looked:
    """Judge every guardrail now. What is breached begins anew, so that it can be seen to hold again."""
    breached, recovered, shown = [], [], []
    known = {key(check) for check in guardrails}
    after.breached = {name: found for name, found in after.breached.items() if name in known}
    for check in guardrails:
        name = key(check)
        finding = _judge(after, check, len(guardrails))
        if finding.verdict == "breach":
            _line(after, check.metric).begin_anew()
            if name not in after.breached:
                breached.append(finding)
            after.breached[name] = finding
        elif finding.verdict == "holds" and name in after.breached:
            del after.breached[name]
            recovered.append(finding)
        shown.append(after.breached.get(name, finding))
    after.findings = tuple(shown)
    after.waits = after.waits and bool(after.breached)
    return Looked(breached=tuple(breached), recovered=tuple(recovered))


def _judge(after: After, check: Check, guardrails: int) -> Finding:
    """The verdict of all windows: a breach in any, else the largest that holds, else the largest."""
    found: list[Finding] = []
    for share, series in _line(after, check.metric).looks(alone=is_alone(check)):
        risk = alpha_of(check) / guardrails * share
        finding = judge(check, series, risk, limited=False)
        if finding.verdict == "breach":
            return judge(check, series, risk)
        if not found or finding.n > 0:
            found.append(finding)
    holding = [finding for finding in found if finding.verdict == "holds"]
    return holding[-1] if holding else found[-1]


def _line(after: After, name: str) -> Line:
    line = after.lines.get(name)
    if line is None:
        line = after.lines[name] = Line(base=Series.of(MEASURES[name].kind))
    return line


def key(check: Check) -> str:
    """What a guardrail is told from others by: its measure and its bound."""
    return f"{check.metric} {bound_text(check)}"


assert all(small < large for small, large in pairwise(WINDOWS)), "from the smallest to the largest"
