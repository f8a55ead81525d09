"""Logged traffic as a rollout: real requests of two arms, judged by the very code that the server runs.

A click is a success, no click a failure. `tests/proofs/test_logged_traffic.py` says what must come of it.
"""

import csv
import random
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from interlock.config.written import Check
from interlock.measures import Ended, read
from interlock.rollout.plan import Plan, Progress, Step, advance, begin
from interlock.rollout.watch import Finding, Watch, overall
from interlock.types.labels import Arm

FILES: Final[dict[Arm, str]] = {
    "stable": "open_bandit_women_random.csv",
    "canary": "open_bandit_women_bts.csv",
}
EVERY: Final = 500

Stream = list[tuple[Arm, bool]]
"""By time: the arm of an impression, and whether it was clicked."""


class Rolled(NamedTuple):
    """Where a rollout stands after all of its traffic, and what was found at each look."""

    progress: Progress
    looks: list[Finding]


def logged(folder: Path) -> Stream:
    """Both policies' impressions by time: uniform at random is what is active, the other the candidate."""
    rows: list[tuple[str, Arm, bool]] = []
    for arm, name in FILES.items():
        with (folder / name).open(encoding="utf-8", newline="") as file:
            rows += ((row["timestamp"], arm, row["click"] == "1") for row in csv.DictReader(file))
    return [(arm, click) for _, arm, click in sorted(rows)]


def with_effect(stream: Stream, seed: int, *, lost: float = 0.0, won: float = 0.0) -> Stream:
    """The same traffic, had the candidate lost a share of its clicks, or won one on a share of the rest."""
    draw = random.Random(seed)

    def changed(click: bool) -> bool:
        return draw.random() >= lost if click else draw.random() < won

    return [(arm, changed(click) if arm == "canary" else click) for arm, click in stream]


def dealt(stream: Stream, seed: int) -> Stream:
    """The same traffic with its arms drawn anew: two equal ones."""
    draw = random.Random(seed)
    return [("canary" if draw.random() < 0.5 else "stable", click) for _, click in stream]


def rolled(stream: Stream, check: Check) -> Rolled:
    """A rollout over this traffic, in one step with half of it and a second that is the end."""
    plan = Plan(name="ab", steps=(Step(weight=0.5, for_us=1), Step(weight=1.0)), guardrails=(check,))
    progress, watch = begin(plan, 0), Watch(plan.guardrails, len(plan.steps))
    found: list[Finding] = []
    for count, (arm, click) in enumerate(stream, start=1):
        watch.add(arm, _CLICK if click else _NONE)
        if count % EVERY == 0 or count == len(stream):
            findings = watch.findings(0.5)
            progress = advance(plan, progress, *overall(findings), count)
            found += findings
        if not progress.is_live:
            break
    return Rolled(progress, found)


def _ended(*, click: bool) -> Ended:
    """The record of a request that ended so."""
    judged = {
        "verdict": "passed" if click else "failed",
        "checks": ["json_schema answer"],
        "violations": [] if click else ["json_schema: no click"],
    }
    attempt = {
        "provider": "logged",
        "model": "logged",
        "outcome": "ok" if click else "schema_invalid",
        "started_at": "2026-11-26T00:00:00Z",
        "latency_ms": 1.0,
        "validation": judged,
    }
    row = {"status": "ok" if click else "failed", "attempts": [attempt]}
    return read(msgspec.json.encode(row))


_CLICK: Final = _ended(click=True)
_NONE: Final = _ended(click=False)
