"""`interlock audit`: whether the record of who changed what is still what was written."""

from pathlib import Path

import click

from interlock.cli.context import common, load_config, opened
from interlock.cli.output import NO, say, write_json


@click.group("audit")
def command() -> None:
    """Check the chain of the control log."""


@command.command("verify")
@common
@click.pass_context
def verify(ctx: click.Context, config_file: Path | None, as_json: bool) -> None:
    """Check the hash chain of the control log; names the first broken entry and exits 1."""
    with opened(load_config(config_file)) as store:
        broken = store.verify_control_log()
    if as_json:
        write_json({"ok": broken is None, "first_broken": broken})
    elif broken is None:
        say("the control log is whole: every entry is what was written, in its place")
    else:
        say(f"the control log is broken at entry {broken}: it was edited, removed, added or moved")
    ctx.exit(0 if broken is None else NO)
