"""Writes what a run or a gate leaves: report.json, report.html, junit.xml, and every sample in
samples.jsonl.
"""

from pathlib import Path
from typing import Any, Final

import msgspec

from interlock.evals.checks import CONFIDENCE
from interlock.evals.measures import Table, agreement, measure, tabulate
from interlock.evals.report import html, junit
from interlock.harness.gating import Gated
from interlock.harness.running import Run
from interlock.stats.interval import Interval

FOLDER: Final = "reports"


def write_run(folder: Path, run: Run, baseline: Run | None) -> dict[str, Any]:
    """Write the report of a run; its JSON, which the command shows."""
    table = tabulate(run.scored)
    everywhere, families = _measures(table)
    value: dict[str, Any] = {
        "suite": run.suite.name,
        "suite_hash": run.suite.hash,
        "model": run.model,
        "cases": len(run.suite.cases),
        "measures": everywhere,
        "families": families,
        "confidence": CONFIDENCE,
        "states": _states(run),
        "report": str(folder / "report.html"),
    }
    if baseline is not None:
        value["baseline"] = {
            "model": baseline.model,
            "measures": _measures(tabulate(baseline.scored))[0],
            "agreement": agreement(run.suite, run.samples, baseline.samples, CONFIDENCE),
        }
    page = html.of_run(run.suite.name, run.model, everywhere, families, run.scored, CONFIDENCE)
    _write(
        folder, value, page, junit.of_run(f"{run.suite.name} with {run.model}", run.scored), [run, baseline]
    )
    return value


def write_gate(folder: Path, gated: Gated) -> dict[str, Any]:
    """Write the report of a gate; its JSON, which the command shows."""
    record = gated.record
    value: dict[str, Any] = {
        "verdict": record.verdict,
        "alias": record.alias,
        "baseline": record.baseline.model,
        "candidate": record.candidate.model,
        "record": record.id,
        "checks": record.checks,
        "why": record.why,
        "suites": record.suites,
        "report": str(folder / "report.html"),
    }
    new, old = _measures(gated.candidate)[0], _measures(gated.baseline)[0]
    blank = Interval(value=None, low=None, high=None, n=0)
    both = {name: (found, old.get(name, blank)) for name, found in new.items()}
    page = html.of_gate(record, both, [row for run, _ in gated.runs for row in run.scored])
    name = f"gate of {record.alias}: {record.candidate.model}"
    tests = junit.of_gate(name, record.checks, record.verdict, record.why)
    _write(folder, {**value, "gate": record}, page, tests, [run for pair in gated.runs for run in pair])
    return value


def _measures(table: Table) -> tuple[dict[str, Interval], dict[str, dict[str, Interval]]]:
    families = sorted(set(table.families.values()))
    return measure(table, CONFIDENCE), {name: measure(table, CONFIDENCE, name) for name in families}


def _states(run: Run) -> dict[str, int]:
    found: dict[str, int] = {}
    for sample in run.samples:
        found[sample.state] = found.get(sample.state, 0) + 1
    return found


def _write(folder: Path, value: Any, page: str, tests: str, runs: list[Run | None] | list[Run]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
    (folder / "report.html").write_text(page, "utf-8")
    (folder / "junit.xml").write_text(tests, "utf-8")
    with (folder / "samples.jsonl").open("wb") as file:
        for run in runs:
            for row in run.scored if run is not None else ():
                file.write(msgspec.json.encode(row) + b"\n")
