"""What `eval` and `gate` share: suites by name or path, the run itself, and its progress on stderr."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from interlock.cli.output import Stop, note
from interlock.config.problems import suggest
from interlock.errors import InterlockError

if TYPE_CHECKING:
    from interlock.config import Loaded
    from interlock.evals.suite import Suite
    from interlock.harness.running import Harness, Progress, Report
    from interlock.store.sqlite import Store

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_WIDTH: Final = 30


def running_options(function: F) -> F:
    """The options of every run."""
    for option in (
        click.option("--budget-usd", type=click.FloatRange(min=0), help="The most that the run may cost."),
        click.option(
            "--concurrency",
            type=click.IntRange(1, 256),
            default=8,
            show_default=True,
            help="Cases at a time.",
        ),
        click.option(
            "--out",
            type=click.Path(path_type=Path, file_okay=False),
            metavar="FOLDER",
            help="Where the report goes (default: reports/ beside the config).",
        ),
    ):
        function = option(function)
    return function


def find_suite(loaded: "Loaded", name: str) -> "Suite":
    """The suite that the config names so, or the file. Raises Stop, or ConfigError with all its problems."""
    from interlock.evals.loading import load_suite

    known = loaded.config.evals
    if name in known:
        return load_suite(loaded.path.parent / known[name].suite)
    if Path(name).is_file():
        return load_suite(Path(name))
    raise Stop(
        "there is no such suite",
        where=name,
        hint=f"name a file, or one of the config: {suggest(name, list(known))}",
    )


def check_model(loaded: "Loaded", name: str, where: str, *, pool_only: bool = False) -> None:
    """Raises Stop for what is neither a model of the pool nor (unless `pool_only`) an alias or lane."""
    config = loaded.config
    others = () if pool_only else (*config.aliases, *(f"lane:{lane.name}" for lane in config.lanes))
    names = [*config.models, *others]
    if name not in names:
        what = "a model of the pool" if pool_only else "a model, an alias or a lane"
        raise Stop(f"`{name}` is not {what}", where=where, hint=suggest(name, names))


def check_judges(loaded: "Loaded", suites: Iterable["Suite"]) -> None:
    """Raises Stop for a judge that is neither a model nor an alias: it has to be known what it is related
    to.
    """
    from interlock.evals.graders.judge import Judge

    names = [*loaded.config.models, *loaded.config.aliases]
    for suite in suites:
        for spec in suite.graders:
            if isinstance(spec, Judge) and spec.model not in names:
                raise Stop(
                    f"its judge `{spec.model}` is no model and no alias",
                    where=suite.name,
                    hint=suggest(spec.model, names),
                )


def check_budget(
    loaded: "Loaded", store: "Store", budget: float | None, names: list[str], suites: Iterable["Suite"]
) -> None:
    """A budget can only be kept where every price is known, the judges' too. Raises Stop."""
    from interlock.evals.graders.judge import Judge

    if budget is None:
        return
    judges = [spec.model for suite in suites for spec in suite.graders if isinstance(spec, Judge)]
    models = loaded.config.models
    for name in _behind(loaded, store, [*names, *judges]):
        if name in models and models[name].price is None:
            raise Stop(
                f"the price of `{name}` is unknown, so no budget can be kept",
                where="budget",
                hint="give it a `price` in the config, or leave the budget out",
            )


def _behind(loaded: "Loaded", store: "Store", names: Iterable[str]) -> Iterator[str]:
    """The models that names stand for now: aliases as the store has them, lanes with all of theirs."""
    lanes = {
        f"lane:{lane.name}": (*lane.models, *(s.model for s in lane.cascade)) for lane in loaded.config.lanes
    }
    states = store.aliases()
    for name in names:
        for one in lanes.get(name, (name,)):
            yield states[one].model if one in states else one


def run_with_harness(
    loaded: "Loaded",
    store: "Store",
    work: Callable[["Harness"], Awaitable[T]],
    *,
    budget_usd: float | None,
    concurrency: int,
) -> T:
    """Run something that asks models, and show how far it is."""

    async def run() -> T:
        from interlock.harness.asking import Asker
        from interlock.harness.running import Harness, Purse

        asker = Asker(loaded, store)
        bar = progress_bar()
        try:
            harness = Harness(asker, store, purse=Purse(budget_usd), concurrency=concurrency, report=bar)
            return await work(harness)
        finally:
            await asker.close()
            if sys.stderr.isatty():
                click.echo("", err=True)

    try:
        return asyncio.run(run())
    except ExceptionGroup as group:
        raise _first(group) from group


def _first(group: ExceptionGroup) -> Exception:
    """The first error of those that parallel cases ended with: one of ours, if there is any."""
    flat = [*_flat(group)]
    return next((error for error in flat if isinstance(error, InterlockError)), flat[0])


def _flat(group: ExceptionGroup) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _flat(error)
        else:
            yield error


def progress_bar() -> "Report":
    """On a terminal a bar that is drawn over itself; elsewhere a line for each tenth."""
    last = -1

    def show(progress: "Progress") -> None:
        nonlocal last
        share = progress.done / progress.total if progress.total else 1.0
        count = f"{progress.done}/{progress.total} samples, {progress.cached} kept from before"
        words = f"{count}, ${progress.spent_usd:.4f}"
        if sys.stderr.isatty():
            filled = round(share * _WIDTH)
            click.echo(f"\r[{'#' * filled}{'.' * (_WIDTH - filled)}] {words}", err=True, nl=False)
        elif int(share * 10) != last:
            last = int(share * 10)
            note(words)

    return show


def folder_for(loaded: "Loaded", out: Path | None, name: str) -> Path:
    """Where a report goes."""
    from interlock.harness.reporting import FOLDER

    return out if out is not None else loaded.path.parent / FOLDER / name
