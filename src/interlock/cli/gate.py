"""`interlock gate`: may this model be released under this alias, or is it still what it was? Exit status 0
only for a pass.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

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


class Options(Struct, frozen=True, kw_only=True):
    """The options of a run."""

    budget_usd: float | None
    concurrency: int
    out: Path | None
    as_json: bool


@click.command("gate")
@click.argument("suite_name", metavar="[SUITE]", required=False)
@common
@running_options
@click.option("--alias", metavar="A", help="The alias to release under.")
@click.option("--to", "candidate", metavar="M", help="The model of the pool to release.")
@click.option(
    "--again", metavar="A", help="Instead: run the gate of this alias over what is active, against its past."
)
@click.pass_context
def command(
    ctx: click.Context,
    /,
    suite_name: str | None,
    config_file: Path | None,
    as_json: bool,
    budget_usd: float | None,
    concurrency: int,
    out: Path | None,
    alias: str | None,
    candidate: str | None,
    again: str | None,
) -> None:
    """Run a gate: a candidate against what an alias is now, on the same cases.

    Runs SUITE and every other suite that the alias's gate names, judges the gate's checks and those that
    are built in (cost, tool use, policy drift), and keeps the signed record. Exits 0 if it passes, 1 if it
    fails or is inconclusive.

    With --again every case is asked anew, and compared with the run that let the active version pass. A
    running server acts on the verdict, as `watch` of the alias says.
    """
    loaded = load_config(config_file)
    options = Options(budget_usd=budget_usd, concurrency=concurrency, out=out, as_json=as_json)
    if again is not None:
        from interlock.cli.gate_again import run_again

        if suite_name is not None or alias is not None or candidate is not None:
            raise Stop("`--again` names all there is to run", where="--again", hint="leave the others out")
        ctx.exit(run_again(loaded, again, options))
    if suite_name is None or alias is None or candidate is None:
        raise Stop("SUITE, `--alias` and `--to` are needed", where="gate", hint="or `--again ALIAS`")
    ctx.exit(_run(loaded, suite_name, alias, candidate, options))


def _run(loaded: "Loaded", suite_name: str, alias: str, candidate: str, options: Options) -> int:
    from interlock.evals.identity import change
    from interlock.harness.gating import run_gate
    from interlock.harness.reporting import write_gate

    own, suites = _suites(loaded, suite_name, alias)
    check_model(loaded, candidate, "--to", pool_only=True)
    check_judges(loaded, suites)
    with opened(loaded) as store:
        baseline = _baseline(loaded, store, alias)
        budget = options.budget_usd if options.budget_usd is not None else budget_of(suites)
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

        gated = run_with_harness(loaded, store, work, budget_usd=budget, concurrency=options.concurrency)
    value = write_gate(folder_for(loaded, options.out, gated.record.id), gated)
    return shown(value, as_json=options.as_json)


def _baseline(loaded: "Loaded", store: "Store", alias: str) -> str:
    """The model of the pool that answers under an alias now. Raises Stop where the pool lacks it."""
    from interlock.evals.identity import identity_hash

    states = store.aliases()
    if alias not in states:
        raise Stop("there is no such alias", where="--alias", hint=suggest(alias, list(states)))
    state = states[alias]
    check_model(loaded, state.model, alias, pool_only=True)
    if state.identity not in (None, identity_hash(loaded.config, state.model)):
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


def budget_of(suites: tuple["Suite", ...]) -> float | None:
    """What the suites allow together; None where one of them sets none."""
    budgets = [suite.budget_usd for suite in suites]
    known = [budget for budget in budgets if budget is not None]
    return sum(known) if len(known) == len(budgets) else None


def shown(value: dict[str, Any], *, as_json: bool) -> int:
    """Show a gate's report; the exit status."""
    if as_json:
        write_json(value)
    else:
        _show(value)
    return 0 if value["verdict"] == "pass" else NO


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
