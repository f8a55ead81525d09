"""`interlock check`: every problem of the config, errors first."""

import os
from pathlib import Path

import click

from interlock import config
from interlock.cli.context import common, find_config
from interlock.cli.output import NO, say, write_json
from interlock.errors import Problem


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
    ok = not any(problem.severity == "error" for problem in problems)
    if as_json:
        write_json({"ok": ok, "problems": problems})
    else:
        for problem in problems:
            say(f"{problem.severity}: {problem}\n")
        say(_verdict(path, problems))
    ctx.exit(0 if ok else NO)


def _verdict(path: Path, problems: tuple[Problem, ...]) -> str:
    errors = sum(problem.severity == "error" for problem in problems)
    warnings = len(problems) - errors
    if not problems:
        return f"{path}: no problem found"
    verdict = "this config cannot run" if errors else "this config can run"
    return f"{path}: {verdict} ({_many(errors, 'error')}, {_many(warnings, 'warning')})"


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
