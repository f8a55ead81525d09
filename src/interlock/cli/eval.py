"""`interlock eval`: run a suite with a model, and make cases of recorded traffic."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from interlock.cli.context import common, load_config, opened
from interlock.cli.evaluating import (
    check_budget,
    check_judges,
    check_model,
    find_suite,
    folder_for,
    run_with_harness,
    running_options,
)
from interlock.cli.output import UNREACHED, note, say, table, write_json
from interlock.cli.times import Since
from interlock.types.labels import DataClass

if TYPE_CHECKING:
    from interlock.harness.running import Harness, Run


@click.group("eval")
def command() -> None:
    """Run suites, and make cases of recorded traffic."""


@command.command("run")
@click.argument("suite_name", metavar="SUITE")
@common
@running_options
@click.option("--model", required=True, metavar="M", help="A model of the pool, an alias or a lane.")
@click.option("--baseline", metavar="B", help="Another one, run on the same cases to compare with.")
@click.pass_context
def run(
    ctx: click.Context,
    /,
    suite_name: str,
    config_file: Path | None,
    as_json: bool,
    budget_usd: float | None,
    concurrency: int,
    out: Path | None,
    model: str,
    baseline: str | None,
) -> None:
    """Run a suite and write a report.

    SUITE is a name under `evals:` in the config, or a file: ours, promptfoo's YAML, one of the registry of
    OpenAI's evals, or JSON Lines of Inspect or OpenAI's evals. Every case takes the way of a request,
    fallbacks left out. What was measured before is not asked again; a run that was stopped goes on where it
    was. Exits 3 where nobody answered any case.
    """
    from interlock.harness.reporting import write_run

    loaded = load_config(config_file)
    suite = find_suite(loaded, suite_name)
    names = [name for name in (model, baseline) if name is not None]
    for name, where in zip(names, ("--model", "--baseline"), strict=False):
        check_model(loaded, name, where)
    budget = suite.budget_usd if budget_usd is None else budget_usd
    check_judges(loaded, (suite,))

    async def work(harness: "Harness") -> list["Run"]:
        return [await harness.run(suite, name) for name in names]

    with opened(loaded) as store:
        check_budget(loaded, store, budget, names, (suite,))
        runs = run_with_harness(loaded, store, work, budget_usd=budget, concurrency=concurrency)
    folder = folder_for(
        loaded, out, f"eval-{_safe(suite.name)}-{_safe(model)}-{time.strftime('%Y%m%d-%H%M%S')}"
    )
    value = write_run(folder, runs[0], runs[1] if len(runs) > 1 else None)
    if as_json:
        write_json(value)
    else:
        _show(value)
    if value["states"].keys() == {"unavailable"}:
        note(f"nobody answered: {runs[0].samples[0].error}")
        ctx.exit(UNREACHED)


@command.command("from-decisions")
@common
@click.option(
    "--out",
    type=click.File("wb", lazy=False),
    required=True,
    metavar="FILE",
    help="The JSON Lines file to write.",
)
@click.option("--since", type=Since(), help="Only those since then: 24h, 7d, or an instant.")
@click.option("--alias", help="Only those that came through this alias.")
@click.option("--tenant", help="Only those of this tenant.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=500, show_default=True, help="At most so many cases."
)
@click.option(
    "--max-data-class",
    type=click.Choice(get_args(DataClass)),
    default="internal",
    show_default=True,
    help="Leave out what is more sensitive: the file holds prompts in the clear.",
)
def from_decisions(
    config_file: Path | None,
    as_json: bool,
    out: Any,
    since: int | None,
    alias: str | None,
    tenant: str | None,
    limit: int,
    max_data_class: DataClass,
) -> None:
    """Make cases of recorded requests whose content was stored (`telemetry.content`).

    A case keeps its data class and where its data must stay. An answer that was called a success is kept as
    `expect.reference`.
    """
    import msgspec

    from interlock.harness.traffic import Passed, cases_of

    made = 0
    passed: dict[str, int] = {}
    with opened(load_config(config_file)) as store:
        rows = (
            row
            for row in store.each_record(since)
            if (alias is None or row.alias == alias) and (tenant is None or row.tenant == tenant)
        )
        for found in cases_of(rows, max_data_class):
            if isinstance(found, Passed):
                passed[found.why] = passed.get(found.why, 0) + 1
                continue
            out.write(msgspec.json.encode(found) + b"\n")
            made += 1
            if made == limit:
                break
    for why, count in passed.items():
        note(f"{count} left out: {why}")
    if as_json:
        write_json({"file": out.name, "cases": made, "left_out": passed})
    else:
        say(f"{made} cases in {out.name}")


def _safe(name: str) -> str:
    """A name as part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name)


def _show(value: dict[str, Any]) -> None:
    say(f"{value['suite']} with {value['model']}: {value['cases']} cases")
    other = value.get("baseline", {}).get("measures", {})
    rows = (
        (
            name,
            _number(found.value),
            _number(found.low),
            _number(found.high),
            found.n,
            _number(other[name].value) if name in other else None,
        )
        for name, found in value["measures"].items()
    )
    table(("measure", "value", "low", "high", "n", "baseline"), rows)
    say(f"report: {value['report']}")


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"
