"""`interlock gate`: may this model be released under this alias? Exit status 0 only for a pass."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interlock.cli.context import actor, common, load_config, opened
from interlock.cli.evaluating import (
    check_budget,
    check_judges,
    check_model,
    find_suite,
    folder_for,
    run_with_harness,
    running_options,
)
from interlock.cli.output import NO, Stop, say, table, write_json
from interlock.config.problems import suggest

if TYPE_CHECKING:
    from interlock.config import Loaded
    from interlock.evals.suite import Suite
    from interlock.harness.gating import Gated
    from interlock.harness.running import Harness
    from interlock.store.sqlite import Store


@click.command("gate")
@click.argument("suite_name", metavar="SUITE")
@common
@running_options
@click.option("--alias", required=True, metavar="A", help="The alias to release under.")
@click.option("--to", "candidate", required=True, metavar="M", help="The model of the pool to release.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    suite_name: str,
    config_file: Path | None,
    as_json: bool,
    budget_usd: float | None,
    concurrency: int,
    out: Path | None,
    alias: str,
    candidate: str,
) -> None:
    """Run a gate: a candidate against what an alias is now, on the same cases.

    Runs SUITE and every other suite that the alias's gate names, judges the gate's checks and those that
    are built in (cost, tool use, policy drift), and keeps the signed record. Exits 0 if it passes, 1 if it
    fails or is inconclusive.
    """
    from interlock.evals.identity import change
    from interlock.harness.gating import run_gate
    from interlock.harness.reporting import write_gate

    loaded = load_config(config_file)
    own, suites = _suites(loaded, suite_name, alias)
    check_model(loaded, candidate, "--to", pool_only=True)
    check_judges(loaded, suites)
    with opened(loaded) as store:
        baseline = _baseline(loaded, store, alias)
        budget = budget_usd if budget_usd is not None else _budget(suites)
        check_budget(loaded, store, budget, [candidate, baseline], suites)

        async def work(harness: "Harness") -> "Gated":
            about = change(loaded.config, own, alias, baseline, candidate)
            return await run_gate(
                harness,
                store,
                loaded.config,
                suites,
                about=about,
                baseline=baseline,
                candidate=candidate,
                by=actor(),
            )

        gated = run_with_harness(loaded, store, work, budget_usd=budget, concurrency=concurrency)
    value = write_gate(folder_for(loaded, out, gated.record.id), gated)
    if as_json:
        write_json(value)
    else:
        _show(value)
    ctx.exit(0 if gated.record.verdict == "pass" else NO)


def _baseline(loaded: "Loaded", store: "Store", alias: str) -> str:
    """The model of the pool that answers under an alias now. Raises Stop where the pool lacks it."""
    from interlock.evals.identity import identity_hash

    states = store.aliases()
    if alias not in states:
        raise Stop("there is no such alias", where="--alias", hint=suggest(alias, list(states)))
    state = states[alias]
    check_model(loaded, state.model, alias, pool_only=True)
    if state.identity not in (None, identity_hash(loaded.config.models[state.model])):
        raise Stop(
            f"`{state.model}` is not what answers under version {state.active} any more",
            where=alias,
            hint="put its entry back, and give what is new an entry of its own",
        )
    return state.model


def _suites(loaded: "Loaded", name: str, alias: str) -> tuple[tuple["Suite", ...], tuple["Suite", ...]]:
    """The suites of the alias's gate, and all that run: with the one that was named."""
    gate = loaded.config.gates.get(alias)
    own = tuple(find_suite(loaded, one) for one in (gate.suites if gate is not None else (name,)))
    every = {suite.hash: suite for suite in (*own, find_suite(loaded, name))}
    if len({suite.name for suite in every.values()}) < len(every):
        raise Stop("two suites of one run have the same name", where=name, hint="give each its own `suite:`")
    return own, tuple(every.values())


def _budget(suites: tuple["Suite", ...]) -> float | None:
    """What the suites allow together; None where one of them sets none."""
    budgets = [suite.budget_usd for suite in suites]
    known = [budget for budget in budgets if budget is not None]
    return sum(known) if len(known) == len(budgets) else None


def _show(value: dict[str, Any]) -> None:
    say(f"{value['verdict']}: {value['candidate']} for {value['alias']}, against {value['baseline']}")
    say(value["why"])
    rows = (
        (
            check.metric,
            check.family or "all",
            check.verdict,
            _number(check.value),
            _number(check.baseline),
            check.n,
            check.why,
        )
        for check in value["checks"]
    )
    table(("check", "family", "verdict", "candidate", "baseline", "n", "why"), rows)
    say(f"record {value['record']}, report: {value['report']}")


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"
