"""`interlock explain`: a recorded decision in plain words."""

from pathlib import Path

import click

from interlock.cli.context import common, load_config, opened
from interlock.cli.output import say_sections, write_raw


@click.command("explain")
@click.argument("decision", metavar="DEC")
@common
def command(decision: str, config_file: Path | None, as_json: bool) -> None:
    """Say why a request went where it went.

    What was chosen and by which rule, what was left out and why, limits and who set each, tools,
    fallbacks, attempts, how it ended and what it cost. With --json: the record itself.
    """
    from interlock.cli.explain import explain
    from interlock.cli.stored import find
    from interlock.release.past import Past
    from interlock.server.records import to_json, to_record

    with opened(load_config(config_file)) as store:
        stored = find(store, decision)
        if as_json:
            write_raw(to_json(stored))
            return
        record = to_record(stored)
        say_sections(explain(record, stands_for=Past(store).stands_for(record.decision)))
