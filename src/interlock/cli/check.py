"""`interlock check`: every problem of the config, errors first."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from interlock import config
from interlock.cli.context import common, find_config, now_us
from interlock.cli.output import NO, say, write_json
from interlock.config.problems import suggest
from interlock.errors import Problem, StoreError

if TYPE_CHECKING:
    from interlock.store.sqlite import Store


@click.command("check")
@common
@click.pass_context
def command(ctx: click.Context, config_file: Path | None, as_json: bool) -> None:
    """Validate the config.

    Finds what is wrong, and what is legal but surely not meant: rules that can never match,
    candidates nobody can reach, fallback cycles, missing prices, data that could leave its region,
    aliases that a release has moved on. Exits 1 if there is an error; warnings alone do not fail.
    """
    path = find_config(config_file)
    problems = config.check(path, os.environ)
    if all(problem.severity == "warning" for problem in problems):
        loaded = config.load(path, os.environ)
        problems += (*_suites(loaded), *_graders(loaded), *against_store(loaded))
    ok = not any(problem.severity == "error" for problem in problems)
    if as_json:
        write_json({"ok": ok, "problems": problems})
    else:
        for problem in problems:
            say(f"{problem.severity}: {problem}\n")
        say(_verdict(path, problems))
    ctx.exit(0 if ok else NO)


def _suites(loaded: config.Loaded) -> Iterator[Problem]:
    """What is wrong with suites, and what gates ask that their suites do not measure. The config can run."""
    from msgspec.structs import replace

    from interlock.evals.loading import examine_suite
    from interlock.evals.measures import measured_by

    measures: dict[str, set[str]] = {}
    for name, reference in loaded.config.evals.items():
        found = examine_suite(loaded.path.parent / reference.suite)
        yield from (replace(problem, severity="warning") for problem in found.problems)
        if found.suite is not None:
            measures[name] = measured_by(found.suite)
    for alias, gate in loaded.config.gates.items():
        if not measures.keys() >= set(gate.suites):
            continue
        known = set().union(*(measures[name] for name in gate.suites))
        for place, check in enumerate(gate.checks):
            if check.metric not in known:
                yield Problem(
                    file=str(loaded.path),
                    path=f"gates.{alias}.checks[{place}].metric",
                    problem=f"no suite of this gate measures `{check.metric}`, so it can never pass",
                    hint=suggest(check.metric, sorted(known)),
                    severity="warning",
                )


def _graders(loaded: config.Loaded) -> Iterator[Problem]:
    """What is wrong with the graders that plans of rollouts name."""
    from msgspec.structs import replace

    from interlock.release.graders import check_graders

    for problem in check_graders(loaded.config, loaded.path.parent):
        yield replace(problem, file=problem.file or str(loaded.path))


def against_store(loaded: config.Loaded) -> Iterator[Problem]:
    """Where the store, which has the truth about aliases, says otherwise than the file."""
    from interlock.store.connect import locate
    from interlock.store.sqlite import Store

    path = str(loaded.path)
    try:
        file = locate(loaded.config.store.url, loaded.path.parent)
        if not file.exists():
            return
        store = Store.open(file, now=now_us)
    except StoreError as error:
        yield Problem(file=path, path="store.url", problem=error.problem, hint=error.hint, severity="warning")
        return
    try:
        states = store.aliases()
        ungated = tuple(_ungated(loaded, store))
    finally:
        store.close()
    yield from ungated
    for name, model in loaded.config.aliases.items():
        state = states.get(name)
        if state is not None and state.model != model:
            yield Problem(
                file=path,
                path=f"aliases.{name}",
                problem=f"the file says `{model}`, the store has `{state.model}` (version {state.active})",
                hint=f"the store counts; `interlock alias promote {name} --to {model}` releases the file's",
                severity="warning" if state.model in loaded.config.models else "error",
            )


def _ungated(loaded: config.Loaded, store: "Store") -> Iterator[Problem]:
    """Gated aliases whose active version no gate has passed, and models that are not what was released."""
    from interlock.errors import ConfigError
    from interlock.release.pool import changes_of

    for name in loaded.config.gates:
        found = store.alias_history(name)
        version = found.versions[found.active - 1] if found is not None else None
        if version is not None and version.gate is None:
            why = f"by an override: {version.override}" if version.override else "it came with the file"
            yield Problem(
                file=str(loaded.path),
                path=f"gates.{name}",
                problem=f"version {version.version} (`{version.model}`) never passed this gate ({why})",
                hint="`interlock gate` compares a candidate with it all the same",
                severity="warning",
            )
    try:
        changes_of(store, loaded.config, loaded.path)
    except ConfigError as error:
        yield from error.problems


def _verdict(path: Path, problems: tuple[Problem, ...]) -> str:
    errors = sum(problem.severity == "error" for problem in problems)
    warnings = len(problems) - errors
    if not problems:
        return f"{path}: no problem found"
    verdict = "this config cannot run" if errors else "this config can run"
    return f"{path}: {verdict} ({_many(errors, 'error')}, {_many(warnings, 'warning')})"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
