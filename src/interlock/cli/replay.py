"""`interlock replay`: recorded decisions computed again, under their own inputs or another config."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from interlock.cli.context import common, load_config, opened
from interlock.cli.output import NO, Stop, say, table, write_json
from interlock.cli.times import Since

if TYPE_CHECKING:
    from interlock.release.past import Past
    from interlock.replay import Change, Place
    from interlock.store.records import StoredRecord
    from interlock.store.sqlite import Store


class Verdict(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether a recorded decision, computed again, is the same bytes; `why` says what differs."""

    id: str
    equal: bool
    why: str = ""


@click.command("replay")
@common
@click.option("--verify", is_flag=True, help="Compute each again under its own recorded inputs.")
@click.option(
    "--against", type=click.Path(path_type=Path), metavar="NEW.yaml", help="Decide each under this config."
)
@click.option("--since", type=Since(), help="Only decisions since then: 24h, 7d, or an instant.")
@click.pass_context
def command(
    ctx: click.Context,
    config_file: Path | None,
    as_json: bool,
    verify: bool,
    against: Path | None,
    since: int | None,
) -> None:
    """Compute recorded decisions again, or under another config.

    --verify compares byte for byte and exits 1 if one differs. --against says which requests would
    have gone elsewhere, what that would have cost, and why. With --json: a line each.
    """
    if verify == (against is not None):
        raise Stop("choose one of --verify and --against", hint="see `interlock replay --help`")
    with opened(load_config(config_file)) as store:
        if against is not None:
            _against(store, against, since, as_json=as_json)
        else:
            ctx.exit(0 if _verify(store, since, as_json=as_json) else NO)


def _verify(store: "Store", since: int | None, *, as_json: bool) -> bool:
    from interlock.release.past import Past

    past, total, differing = Past(store), 0, 0
    for stored in store.each_record(since):
        verdict = _verdict(stored, past)
        total += 1
        differing += not verdict.equal
        if as_json:
            write_json(verdict)
        elif not verdict.equal:
            say(f"{verdict.id} differs: {verdict.why}")
    if not as_json:
        equal = total - differing
        say(f"{equal} of {total} decisions, computed again from their records, are byte for byte equal")
    return differing == 0


def _verdict(stored: "StoredRecord", past: "Past") -> Verdict:
    import msgspec

    from interlock.replay import recompute
    from interlock.route.decide import decode_decision, encode_decision

    try:
        decision = decode_decision(stored.decision)
    except msgspec.DecodeError as error:
        return Verdict(id=stored.id, equal=False, why=f"the record is no decision: {error}")
    snapshot, world = past.snapshot(decision), past.world(decision)
    if snapshot is None:
        return Verdict(id=stored.id, equal=False, why="its config is not in the store")
    if world is None:
        return Verdict(id=stored.id, equal=False, why="its world is not in the store")
    again = recompute(decision, snapshot, world)
    if encode_decision(again) == stored.decision and decision.id == stored.id:
        return Verdict(id=stored.id, equal=True)
    fields = [name for name in decision.__struct_fields__ if getattr(again, name) != getattr(decision, name)]
    return Verdict(id=stored.id, equal=False, why=f"other {', '.join(fields) or 'bytes'} than recorded")


def _against(store: "Store", file: Path, since: int | None, *, as_json: bool) -> None:
    from interlock.config import load
    from interlock.measures import is_a_callers
    from interlock.release.past import Past
    from interlock.replay import against
    from interlock.route.snapshot import snapshot
    from interlock.server.records import to_record

    new, past = snapshot(load(file, os.environ).config), Past(store)
    changes: list[Change] = []
    total = 0
    for stored in store.each_record(since):
        if not is_a_callers(stored.tenant):
            continue
        record = to_record(stored)
        old, world = past.config(record.decision), past.world(record.decision)
        if old is None or world is None:
            raise Stop("the config or the world it was decided under is not in the store", where=stored.id)
        change = against(record, old, new, world)
        total += 1
        if as_json:
            write_json(change)
        elif change.changed:
            changes.append(change)
    if not as_json:
        _show(changes, total)


def _show(changes: "list[Change]", total: int) -> None:
    from interlock.cli.explain import money

    if changes:
        table(
            ("decision", "before", "after", "cost", "why"),
            (
                (
                    change.id,
                    _place(change.before),
                    _place(change.after),
                    _signed(change.cost_delta_usd),
                    change.why,
                )
                for change in changes
            ),
        )
    known = [change.cost_delta_usd for change in changes if change.cost_delta_usd is not None]
    cost = sum(known)
    priced = "" if len(known) == len(changes) else f" ({len(changes) - len(known)} of them unpriced)"
    sign = "-" if cost < 0 else "+"
    say(f"{len(changes)} of {total} decisions would change; cost {sign}{money(abs(cost))}{priced}")


def _place(place: "Place | None") -> str:
    if place is None:
        return "nobody"
    return f"{place.provider}/{place.model}" + (f" in {place.region}" if place.region is not None else "")


def _signed(usd: float | None) -> str:
    from interlock.cli.explain import money

    if usd is None or usd == 0:
        return money(usd)
    return f"{'-' if usd < 0 else '+'}{money(abs(usd))}"
