"""`interlock outcome`: feedback on a decision, from whoever saw what became of its answer."""

from pathlib import Path
from typing import Literal

import click

from interlock.cli.context import common, load_config, opened
from interlock.cli.output import Stop, say, write_json


@click.command("outcome")
@click.argument("decision", metavar="DEC")
@common
@click.option("--success/--failure", "success", default=None, help="Whether the answer did its job.")
@click.option("--score", type=click.FloatRange(0, 1), help="How well, from 0 to 1.")
@click.option(
    "--override", type=click.Choice(("edit", "reask", "escalate")), help="What a human had to do about it."
)
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="A label; may be repeated.")
def command(
    decision: str,
    config_file: Path | None,
    as_json: bool,
    success: bool | None,
    score: float | None,
    override: Literal["edit", "reask", "escalate"] | None,
    labels: tuple[str, ...],
) -> None:
    """Record feedback on a decision, in place of any that it has."""
    import msgspec

    from interlock.cli.stored import find
    from interlock.server.decisions import Outcome

    outcome = Outcome(success=success, score=score, override=override, labels=_labels(labels))
    if outcome == Outcome():
        raise Stop("there is no feedback", hint="say --success, --failure, --score, --override or --label")
    with opened(load_config(config_file)) as store:
        stored = find(store, decision)
        store.put_outcome(stored.id, None, msgspec.json.encode(outcome)).result()
    if as_json:
        write_json({"id": decision, "outcome": outcome})
    else:
        say(f"recorded for {decision}")


def _labels(pairs: tuple[str, ...]) -> dict[str, str | float | bool]:
    found: dict[str, str | float | bool] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise Stop(f"`{pair}` is no label", where="--label", hint="write NAME=VALUE")
        found[name] = value
    return found
