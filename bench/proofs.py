"""What Interlock claims about releases, held to many seeds: gates, canaries, and real models behind both.

The quick versions are tests: `tests/proofs`, `tests/evals/test_checks.py`, `tests/rollout`. Simulated rounds
run the statistics that gates and rollouts run, on made-up requests; real ones run `interlock gate` and
`interlock serve` before a real small model.
"""

import csv
import json
import os
import random
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from bench import labelled, logged, release
from bench.lab import Line, Wrong
from interlock.config.written import Check
from interlock.evals.checks import judge, overall
from interlock.evals.measures import Table
from interlock.measures import Ended, read
from interlock.rollout import watch
from interlock.rollout.forecast import forecast
from interlock.rollout.plan import Plan, Step
from interlock.types.labels import Arm

DATA: Final = Path(os.environ.get("INTERLOCK_DATA", str(Path(__file__).resolve().parents[2] / "shared/data")))
SEEDS: Final = 1_000
ROLLOUTS: Final = 200
LEVEL: Final = 0.05
MARGIN: Final = 0.1
CHANCE: Final = 0.99


def measure(seeds: int = 10) -> list[Line]:
    """All of it; `seeds` is how many releases of a real model there are of each kind."""
    lines = [*gates(), *equal_arms(), *bad_arms(), *logged_traffic(), *labelled_answers()]
    reason = release.missing()
    if reason is not None:
        return [*lines, Line(name="releases of a real model", value="not measured", verdict=reason)]
    with release.model_server() as port:
        lines += taken_back(port, seeds)
        lines += let_through(port, seeds)
    return lines


def bounded(name: str, count: int, n: int, most: float) -> Line:
    """A count of mistakes against the share of them that is stated."""
    verdict = f"stated: at most {most:g}" if count <= most * n else f"OVER {most:g}"
    return Line(name=name, value=f"{count} of {n}", verdict=verdict)


def gates() -> Iterator[Line]:
    """Pairs of yes and no, over many seeds: two families of 120 cases each, and all together."""
    check = Check(metric="task_success", family="*", drop_at_most=MARGIN)
    for name, drop, verdict in (
        ("gate: equal models that fail", 0.0, "fail"),
        ("gate: a drop of the margin that passes", MARGIN, "pass"),
        ("gate: a drop of the margin that fails", MARGIN, "fail"),
    ):
        verdicts = [_gate(check, drop, 0.24, 2, 120, seed)[0] for seed in range(SEEDS)]
        yield bounded(name, verdicts.count(verdict), SEEDS, LEVEL)
    alone = Check(metric="task_success", drop_at_most=MARGIN)
    found = [_gate(alone, 2 * MARGIN, 0.3, 1, 200, seed) for seed in range(SEEDS)]
    share = sum(verdict == "fail" for verdict, _ in found) / SEEDS
    stated = statistics.fmean(power for _, power in found)
    yield Line(
        name="gate: a drop of twice the margin found",
        value=f"{share:.3f}",
        verdict=f"stated: {stated:.3f}" if share >= stated - 0.03 else f"BELOW the stated {stated:.3f}",
    )


def _gate(check: Check, drop: float, differing: float, families: int, n: int, seed: int) -> tuple[str, float]:
    """The verdict on pairs of which so many differ, and the power that the first finding states."""
    draw = random.Random(seed)
    names = [(f"{family}-{place}", f"family {family}") for family in range(families) for place in range(n)]
    new: dict[str, float | None] = {}
    old: dict[str, float | None] = {}
    for name, _ in names:
        at = draw.random()
        worse, better = at < (differing + drop) / 2, (differing + drop) / 2 <= at < differing
        new[name], old[name] = float(not worse), float(not better)
    tables = [Table(families=dict(names), values={"task_success": values}) for values in (new, old)]
    findings = judge([check], *tables)
    return overall(findings), findings[0].power or 0.0


PLAN: Final = Plan(
    name="canary",
    steps=(Step(weight=0.05, for_us=1), Step(weight=0.25, for_us=1), Step(weight=1.0)),
    guardrails=(
        Check(metric="error_rate", rise_at_most=0.01),
        Check(metric="latency_p95_ms", rise_at_most=0.25),
        Check(metric="cost_per_request", rise_at_most=0.1),
        Check(metric="schema_valid", drop_at_most=0.01),
    ),
)
EDGE: Final = Plan(
    name="edge",
    steps=(Step(weight=0.5, for_us=1), Step(weight=1.0)),
    guardrails=(
        Check(metric="error_rate", rise_at_most=0.0),
        Check(metric="cost_per_request", rise_at_most=0.0),
    ),
)
"""Nothing may rise at all, so that two equal arms lie exactly at the bound."""


def equal_arms() -> Iterator[Line]:
    """Rollouts of a candidate that is what is active: whoever is aborted is so by mistake."""
    for name, plan, requests in (
        ("canary: equal candidates aborted", PLAN, 4_000),
        ("canary: the same, nothing may rise", EDGE, 2_000),
    ):
        aborted = sum(
            any(
                _breaks(plan, step.weight, (0.05, 0.05), requests, f"{seed} {step.weight}", every=200)
                for step in plan.steps
            )
            for seed in range(ROLLOUTS)
        )
        yield bounded(name, aborted, ROLLOUTS, LEVEL)


def bad_arms() -> Iterator[Line]:
    """Rollouts of a candidate with more errors, at half of the traffic: requests until it is aborted."""
    errors, validity = PLAN.guardrails[0], PLAN.guardrails[-1]
    plan = msgspec.structs.replace(EDGE, guardrails=(errors, validity))
    for bad in (0.2, 0.5, 1.0):
        stated = forecast(plan, errors, bad, 0.02, CHANCE).requests
        if stated is None:
            raise Wrong(f"nothing is stated for a rate of {bad}")
        found = [_breaks(plan, 0.5, (bad, 0.02), stated, f"{seed}", every=5) for seed in range(ROLLOUTS)]
        yield until_rollback(f"canary: errors {bad:g} against 0.02", found, stated)


def until_rollback(name: str, found: Sequence[int | None], stated: int) -> Line:
    """How many requests it took, None: more than stated, against the stated number."""
    took = [count for count in found if count is not None and count <= stated]
    late = len(found) - len(took)
    worst = f"max {max(took)}" if not late else f"{late} of {len(found)} later"
    good = late <= (1 - CHANCE) * len(found) + 1
    return Line(
        name=name,
        value=f"p50 {statistics.median(took):.0f}, {worst}" if took else "never",
        verdict=f"stated: within {stated}" if good else f"OVER the stated {stated}",
    )


def _breaks(
    plan: Plan, weight: float, rates: tuple[float, float], most: int, seed: str, *, every: int
) -> int | None:
    """After how many requests a step is aborted; None: it is not. `rates` of errors: candidate, active."""
    draw = random.Random(seed)
    seen = watch.Watch(plan.guardrails, len(plan.steps))
    for count in range(1, most + 1):
        arm: Arm = "canary" if draw.random() < weight else "stable"
        failed = draw.random() < rates[arm == "stable"]
        seen.add(arm, draw.choice(_FAILED if failed else _ANSWERED))
        if (count % every == 0 or count == most) and watch.overall(seen.findings(weight))[0] == "breach":
            return count
    return None


def _requests(*, failed: bool) -> list[Ended]:
    """Some that have ended so, with latencies and costs that vary."""
    draw = random.Random(failed)
    rows: list[dict[str, Any]] = [
        {
            "status": "failed" if failed else "ok",
            "error": "upstream_failed: x" if failed else None,
            "cost_usd": draw.lognormvariate(-5, 0.5),
            "budgets_used": {"deadline_ms": draw.lognormvariate(6, 0.5)},
            "validation": {"verdict": "failed" if draw.random() < 0.02 else "passed"},
        }
        for _ in range(5_000)
    ]
    return [read(msgspec.json.encode(row)) for row in rows]


_FAILED: Final = _requests(failed=True)
_ANSWERED: Final = _requests(failed=False)


def logged_traffic() -> Iterator[Line]:
    """Real traffic, its arms drawn anew: two equal ones."""
    name = "canary: logged traffic, arms redrawn"
    folder = DATA / "rollout"
    if not folder.exists():
        yield Line(name=name, value="not measured", verdict=f"no logged traffic under {DATA}")
        return
    stream = logged.logged(folder)
    check = Check(metric="schema_valid", drop_at_most=0.0)
    rolled = (logged.rolled(logged.dealt(stream, seed), check) for seed in range(ROLLOUTS))
    yield bounded(name, sum(one.progress.state == "aborted" for one in rolled), ROLLOUTS, LEVEL)


def labelled_answers() -> Iterator[Line]:
    """The detectors' figures, each with what it was measured on."""
    folder = DATA / "refusal"
    seen = folder / "pyrit_refusal_labelled_sample.jsonl"
    held_out = [folder / f"xstest_v2_completions_{model}.csv" for model in labelled.HELD_OUT]
    for name, rows in (
        ("seen", labelled.pyrit(_jsonl(seen)) if seen.exists() else []),
        ("held out", [row for file in held_out for row in _xstest(file)] if held_out[0].exists() else []),
    ):
        for words, given in (("on text", False), ("with its question", True)):
            if rows:
                found = labelled.score(rows, with_question=given)
                said = f"precision {found.precision:.2f}, recall {found.recall:.2f}, {found.n} answers"
                yield Line(name=f"refusals, {name}, {words}: F1", value=f"{found.f1:.2f}", verdict=said)
            else:
                yield Line(
                    name=f"refusals, {name}, {words}", value="not measured", verdict=f"not in {folder}"
                )
    cited = DATA / "citations" / "expertqa_sample.jsonl"
    if cited.exists():
        area, n = labelled.citation_auc(_jsonl(cited))
        said = f"a marker against experts' judgement of support, {n} claims"
        yield Line(name="citations: AUC", value=f"{area:.2f}", verdict=said)


def _jsonl(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines() if line.strip()]


def _xstest(file: Path) -> list[labelled.Labelled]:
    with file.open(encoding="utf-8", newline="") as rows:
        return labelled.xstest(csv.DictReader(rows))


@contextmanager
def _place(
    model_port: int, share: float, seed: int, task: release.Task = release.EASY
) -> Iterator[release.Release]:
    """A release in a folder of its own, of which a vendor forgets a share of the requests."""
    with tempfile.TemporaryDirectory() as folder, release.forgetful(model_port, share, seed) as vendor:
        yield release.Release(
            Path(folder), model_port, vendor, cases=30, drop_at_most=0.2, seed=seed, task=task
        )


def taken_back(model_port: int, seeds: int) -> Iterator[Line]:
    """A real regression, forced through: requests until the canary takes it back, as fast as they come."""
    for share in (1.0, 0.6):
        found: list[int | None] = []
        sent: list[int] = []
        stated = 0
        for seed in range(seeds):
            with _place(model_port, share, seed) as one:
                told = one.value(
                    *("rollout", "forecast", "canary", "--metric", "error_rate", "--stable", "0"),
                    *("--candidate", str(share), "--chance", str(CHANCE)),
                )
                stated = told["requests"]
                found.append(_one_back(one, stated, sent))
            print(
                f"  forgets {share:g} of the requests, seed {seed}: judged after {found[-1]}, {sent[-1]} sent"
            )
        yield until_rollback(f"real canary: errors {share:g}", found, stated)
        yield Line(
            name="  requests sent until the traffic was back",
            value=f"p50 {statistics.median(sent):.0f}, max {max(sent)}",
            verdict="those under way while it is judged are on top",
        )


def _one_back(one: release.Release, stated: int, sent: list[int]) -> int | None:
    """Force the worse model through, and send until it is taken back: after how many requests it was."""
    begun = one.value(
        "rollout", "start", "prod", "--to", "worse", "--override", "the bench wants to see it fail"
    )
    with one.serving():
        ended = one.flood(begun["id"], most=3 * stated)
    sent.append(sum(one.drawn().values()))
    if ended["state"] != "aborted":
        return None
    seen = ended["evidence"][0]
    return int(seen["n"] + seen["n_baseline"])


def let_through(model_port: int, seeds: int) -> Iterator[Line]:
    """The same weights under another name, at a task that they fail now and then: gated, and rolled out."""
    passed = promoted = 0
    for seed in range(seeds):
        with _place(model_port, 0.0, seed, release.UNSURE) as one:
            status, (told,), _ = one.command("gate", "words", "--alias", "prod", "--to", "same")
            passed += status == 0
            if status != 0:
                print(f"  an equal candidate, seed {seed}: {told['why']}")
                continue
            begun = one.value("rollout", "start", "prod", "--to", "same")
            with one.serving():
                ended = one.flood(begun["id"], most=400)
            promoted += ended["state"] == "promoted"
            errors = ended["guardrails"][0]
            print(f"  an equal candidate, seed {seed}: {ended['state']}, errors {errors['why']}")
    yield Line(name="real gate: equal candidates that pass", value=f"{passed} of {seeds}")
    yield Line(
        name="real canary: equal candidates promoted",
        value=f"{promoted} of {passed}",
        verdict="all" if promoted == passed else "NOT all",
    )
