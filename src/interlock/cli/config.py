"""`interlock config`: the schema for editors, what the file resolves to, and the revisions that ran."""

from pathlib import Path

import click

from interlock.cli.context import common, load_config, opened
from interlock.cli.output import note, say, table, write_json, write_raw
from interlock.cli.times import rfc3339, shown_time


@click.group("config")
def command() -> None:
    """The config: its schema, what it resolves to, the revisions that ran."""


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


@command.command("history")
@common
def history(config_file: Path | None, as_json: bool) -> None:
    """List the revisions of the config that ran on this store, newest first."""
    with opened(load_config(config_file)) as store:
        revisions = store.config_history()
    rows = [
        {
            "hash": revision.hash,
            "policy_hash": revision.policy_hash,
            "first_seen": rfc3339(revision.first_seen),
            "by": revision.by,
        }
        for revision in revisions
    ]
    if as_json:
        for row in rows:
            write_json(row)
    elif rows:
        table(
            ("first seen (UTC)", "config", "policy", "by"),
            ((shown_time(row["first_seen"]), row["hash"], row["policy_hash"], row["by"]) for row in rows),
        )
    else:
        note("no config has run on this store yet")
