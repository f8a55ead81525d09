"""`interlock decisions`: recorded decisions, newest first."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from interlock.cli.context import common, load_config, opened
from interlock.cli.output import note, table, write_raw
from interlock.cli.times import Since, shown_time
from interlock.types.record import Record, Status

if TYPE_CHECKING:
    from interlock.store.records import StoredRecord
    from interlock.store.sqlite import Store

PAGE = 200


@click.command("decisions")
@common
@click.option("--status", type=click.Choice(get_args(Status)), help="Only those that ended so.")
@click.option("--model", help="Only those routed to this model of the pool.")
@click.option("--alias", help="Only those that came through this alias.")
@click.option("--tenant", help="Only those of this tenant.")
@click.option("--key", help="Only those of the key with this id.")
@click.option("--since", type=Since(), help="Only those since then: 24h, 7d, or an instant.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="At most so many.")
def command(
    config_file: Path | None,
    as_json: bool,
    status: Status | None,
    model: str | None,
    alias: str | None,
    tenant: str | None,
    key: str | None,
    since: int | None,
    limit: int,
) -> None:
    """List recorded decisions, newest first. With --json: a whole record a line."""
    from interlock.server.records import to_json, to_record

    filters = {"status": status, "model": model, "alias": alias, "tenant": tenant, "key": key, "since": since}
    with opened(load_config(config_file)) as store:
        found = _listed(store, filters, limit)
        if as_json:
            for stored in found:
                write_raw(to_json(stored))
            return
        rows = [_row(to_record(stored)) for stored in found]
    if rows:
        table(("decided (UTC)", "decision", "status", "asked", "route", "by", "tries", "cost"), rows)
    else:
        note("no decision is recorded here that fits")


def _listed(store: "Store", filters: Mapping[str, object], limit: int) -> Iterator["StoredRecord"]:
    cursor = None
    while limit > 0:
        page, cursor = store.list_records(**filters, limit=min(limit, PAGE), cursor=cursor)  # type: ignore[arg-type]  # names of its own parameters
        yield from page
        limit -= len(page)
        if cursor is None:
            return


def _row(record: Record) -> tuple[object, ...]:
    from interlock.cli.explain import money

    decision = record.decision
    route = decision.route
    where = f"{route.provider}/{route.model}" if route is not None else decision.why.denied_code
    cost = money(record.cost_usd) if record.attempts else None
    tries = len(record.attempts) or None
    asked = decision.signals.model
    return (
        shown_time(decision.created_at),
        decision.id,
        record.status,
        asked,
        where,
        decision.why.selected_by,
        tries,
        cost,
    )
