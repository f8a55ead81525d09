"""`interlock serve`: the gateway, in this process."""

import os
from pathlib import Path

import click

from interlock.cli.context import common, find_config
from interlock.cli.output import note


@click.command("serve")
@common
@click.pass_context
def command(ctx: click.Context, config_file: Path | None, as_json: bool) -> None:
    """Run the gateway until SIGTERM or Ctrl-C.

    Streams that are under way are finished first. SIGHUP, or a change of the file, loads the config
    again. Requests are logged on stdout, one JSON object a line; words for people go to stderr.
    """
    from interlock.server.serve import serve

    del as_json  # stdout is JSON Lines already
    ctx.exit(serve(find_config(config_file), os.environ, say=note))
