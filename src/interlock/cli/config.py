"""`interlock config`: the schema for editors, what the file resolves to, and the revisions that ran."""

from pathlib import Path

import click

from interlock.cli.context import common, load_config
from interlock.cli.output import say, write_json, write_raw
from interlock.cli.revisions import diff, history, rollback


@click.group("config")
def command() -> None:
    """The config: its schema, what it resolves to, the revisions that ran."""


for _one in (history, diff, rollback):
    command.add_command(_one)


@command.command("schema")
@common
def schema(config_file: Path | None, as_json: bool) -> None:
    """Print the JSON Schema of interlock.yaml, for completion in editors."""
    from interlock.config.jsonschema import editor_schema, render

    del config_file  # the schema is the same for every config
    if as_json:
        write_json(editor_schema())
    else:
        click.echo(render().decode())


@command.command("show")
@common
def show(config_file: Path | None, as_json: bool) -> None:
    """Print the config as it is understood: names resolved, catalogue filled in, no secret."""
    import msgspec

    from interlock.config.checked import encode

    data = encode(load_config(config_file).config)
    if as_json:
        write_raw(data)
    else:
        say(msgspec.json.format(data, indent=2).decode())
