"""`interlock demo`: real requests through a real gateway on this machine, each explained."""

from pathlib import Path

import click

from interlock.cli.context import common
from interlock.cli.output import NO, Stop


@click.command("demo")
@common
@click.option("--keep", is_flag=True, help="Leave the gateway and the models running until Ctrl-C.")
@click.pass_context
def command(ctx: click.Context, config_file: Path | None, as_json: bool, keep: bool) -> None:
    """Send a dozen real requests through a gateway of its own, and explain each.

    It writes its own config into a new folder, starts small models and a gateway on free ports of
    this machine, and ends them. Needs the extra `interlock[demo]`. Exits 1 if a request did not
    end as expected, or a decision could not be computed again.
    """
    from interlock.demo.run import run
    from interlock.demo.show import Screen

    if config_file is not None:
        raise Stop("the demo writes a config of its own", where="--config", hint="leave it out")
    screen = Screen(as_json=as_json)
    try:
        ok = run(screen, keep=keep)
    except KeyboardInterrupt:
        raise click.Abort from None
    ctx.exit(0 if ok else NO)
