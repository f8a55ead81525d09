"""`interlock rollout`: a staged change of an alias, from its start to its end."""

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interlock.cli.context import actor, common, load_config, opened
from interlock.cli.output import NO, Stop, say, table, write_json
from interlock.config.problems import suggest

if TYPE_CHECKING:
    from interlock.store.rollouts import StoredRollout
    from interlock.store.sqlite import Store
    from interlock.store.write import Write


@click.group("rollout")
def command() -> None:
    """Release a model in steps, under guardrails. A running server moves it; these commands need none."""


@command.command("start")
@click.argument("alias", metavar="A")
@common
@click.option("--to", "model", required=True, metavar="M", help="The model of the pool to release.")
@click.option("--plan", default="canary", show_default=True, help="A plan under `rollouts:`.")
@click.option("--if-version", type=int, help="Only if this version is active now.")
@click.option("--override", metavar="REASON", help="Start without a passing gate; kept in the audit log.")
@click.option("--reason", help="Why, for the history.")
def start(
    alias: str,
    config_file: Path | None,
    as_json: bool,
    model: str,
    plan: str,
    if_version: int | None,
    override: str | None,
    reason: str | None,
) -> None:
    """Begin a rollout. For an alias with a gate this needs a passing gate record, or --override REASON."""
    from interlock.release.gates import GateFailed
    from interlock.release.rollouts import wanted
    from interlock.server.ids import fresh_name
    from interlock.store.aliases import AliasError
    from interlock.store.releasing import start_rollout

    loaded = load_config(config_file)
    with opened(loaded) as store:
        try:
            ready = wanted(
                store,
                loaded.config,
                loaded.path.parent,
                name=f"rol_{fresh_name()}",
                alias=alias,
                to_model=model,
                plan=plan,
                if_version=if_version,
                override=override,
            )
        except GateFailed as error:
            raise Stop(error.problem, where=alias, hint=error.hint, status=NO) from None
        except AliasError as error:
            raise Stop(str(error), where=alias, hint="look at it again", status=NO) from None
        _finish(store, start_rollout(store, ready, by=actor(), reason=reason), as_json=as_json)


@command.command("status")
@click.argument("rollout", metavar="[ID]", required=False)
@common
def status(rollout: str | None, config_file: Path | None, as_json: bool) -> None:
    """Show a rollout with its guardrails; without ID, list all, the newest first."""
    from interlock.store import rollouts

    with opened(load_config(config_file)) as store:
        if rollout is not None:
            _show(store, _find(store, rollout), as_json=as_json)
            return
        rows = store.read(rollouts.everything)
        if as_json:
            from interlock.release.rollouts import shown

            for row in rows:
                write_json(shown(store, row))
            return
    head = ("rollout", "alias", "candidate", "state", "step", "weight", "why")
    table(
        head,
        (
            (
                row.id,
                row.alias,
                row.candidate,
                row.progress.state,
                row.progress.step,
                f"{row.weight:g}",
                row.progress.why,
            )
            for row in rows
        ),
    )


def _verb(name: str, help_text: str) -> None:
    @command.command(name, help=help_text)
    @click.argument("rollout", metavar="ID_OR_ALIAS")
    @common
    @click.option("--reason", help="Why, for the history.")
    def act(rollout: str, config_file: Path | None, as_json: bool, reason: str | None) -> None:
        from interlock.rollout.plan import VERBS, Plan, Progress
        from interlock.store.releasing import move_rollout

        why = reason or f"{name} by {actor()}"

        def change(plan: Plan, progress: Progress, now: int) -> Progress:
            return VERBS[name](plan, progress, why, now)

        with opened(load_config(config_file)) as store:
            _finish(store, move_rollout(store, _find(store, rollout).id, change, by=actor()), as_json=as_json)


_verb("pause", "Hold a rollout at its step. Its share of the traffic stays.")
_verb("resume", "Go on: with the step that was paused, or past one that waits for a human or for data.")
_verb("abort", "End a rollout: the alias stays what it is, and the candidate has no traffic.")
_verb("promote", "End a rollout with its candidate released, whatever steps are left.")


@command.command("forecast")
@click.argument("plan", metavar="PLAN", default="canary")
@common
@click.option("--metric", required=True, metavar="M", help="A rate that the plan has a guardrail on.")
@click.option(
    "--candidate",
    type=click.FloatRange(0, 1),
    required=True,
    metavar="R",
    help="Its rate, of a bad candidate.",
)
@click.option(
    "--stable", type=click.FloatRange(0, 1), required=True, metavar="R", help="Its rate, of what is active."
)
@click.option(
    "--chance",
    type=click.FloatRange(0.5, 1, max_open=True),
    default=0.99,
    show_default=True,
    help="How surely the number that is said has to be enough.",
)
@click.pass_context
def forecast_command(
    ctx: click.Context,
    /,
    plan: str,
    config_file: Path | None,
    as_json: bool,
    metric: str,
    candidate: float,
    stable: float,
    chance: float,
) -> None:
    """Say beforehand within how many requests PLAN aborts a candidate that bad.

    Exits 1 where its guardrails on the measure let such a candidate through.
    """
    from interlock.rollout.forecast import forecast
    from interlock.rollout.plan import plan_of

    loaded = load_config(config_file)
    written = loaded.config.rollouts.get(plan)
    if written is None:
        raise Stop("there is no such plan", where=plan, hint=suggest(plan, list(loaded.config.rollouts)))
    checks = [check for check in written.guardrails if check.metric == metric]
    if not checks:
        watched = [check.metric for check in written.guardrails]
        raise Stop(f"the plan has no guardrail on `{metric}`", where=plan, hint=suggest(metric, watched))
    try:
        found = [forecast(plan_of(plan, written), check, candidate, stable, chance) for check in checks]
    except ValueError as error:
        raise Stop(f"{error}: only of rates it can be said", where="--metric") from None
    best = min(found, key=lambda one: math.inf if one.requests is None else one.requests)
    if as_json:
        write_json(best)
    elif best.requests is None:
        say(f"never, by this guardrail: {metric} {candidate:g} against {stable:g}, `{best.bound}`")
    else:
        say(
            f"within {best.requests} requests, at most {best.of_candidate} of them the candidate's, with "
            f"probability {chance:g}: {metric} {candidate:g} against {stable:g}, `{best.bound}`, "
            f"weight {best.weight:g}"
        )
    if best.requests is None:
        ctx.exit(NO)


def _find(store: "Store", name: str) -> "StoredRollout":
    """A rollout by its id, or the one that is under way for an alias."""
    from interlock.store import rollouts

    found = store.read(partial(rollouts.find, name=name))
    if found is None:
        found = next(iter(store.read(partial(rollouts.live, alias=name))), None)
    if found is None:
        raise Stop(
            "there is no such rollout, and none under way for an alias of that name",
            where=name,
            hint="see `interlock rollout status`",
        )
    return found


def _finish(store: "Store", write: "Write[StoredRollout]", *, as_json: bool) -> None:
    from interlock.rollout.plan import NotNow
    from interlock.store.aliases import AliasError

    try:
        row = write.result()
    except (AliasError, NotNow) as error:
        raise Stop(str(error), hint="see `interlock rollout status`", status=NO) from None
    _show(store, row, as_json=as_json)


def _show(store: "Store", row: "StoredRollout", *, as_json: bool) -> None:
    from interlock.cli.explain import money
    from interlock.release.rollouts import figures_of, shown

    if as_json:
        write_json(shown(store, row))
        return
    progress = row.progress
    say(
        f"{row.id}: {row.alias} from version {row.from_version} to {row.to_version} ({row.candidate}), "
        f"plan {row.plan.name}"
    )
    waits = f", waits for {progress.waits_for}" if progress.waits_for else ""
    say(f"{progress.state} at step {progress.step} of {len(row.plan.steps)}, weight {row.weight:g}{waits}")
    if progress.why:
        say(progress.why)
    table(
        ("guardrail", "bound", "verdict", "why"),
        ((one.metric, one.bound, one.verdict, one.why) for one in row.findings),
    )
    figures = figures_of(store, row)
    if figures["grades"]:
        table(
            ("grader", "arm", "score", "answers"),
            ((one["grader"], one["arm"], _score(one["value"]), one["n"]) for one in figures["grades"]),
        )
    if figures["shadow"] is not None:
        _show_copies(figures["shadow"])
    unseen = figures["unseen"]
    if unseen["cost_usd"] or unseen["judged"]:
        spent, most = money(unseen["cost_usd"]), money(unseen["max_cost_usd"])
        say(f"copies and judges cost {spent} of {most}; {unseen['judged']} verdicts of judges")


def _show_copies(copies: dict[str, Any]) -> None:
    dropped = ", ".join(f"{count} {why}" for why, count in copies["dropped"].items()) or "none"
    say(
        f"copies: {copies['sent']} sent, {copies['answered']} answered, {copies['failed']} failed, "
        f"{copies['denied']} refused by policy; left out: {dropped}"
    )
    table(
        ("grader", "copies", "live answers", "pairs"),
        (
            (one["grader"], _score(one["value"]), _score(one["live"]), one["n"])
            for one in copies["comparisons"]
        ),
    )


def _score(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"
