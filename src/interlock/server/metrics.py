"""`GET /metrics`: what all workers have counted, for Prometheus. For operators.

Counters live in the store and are made from the records, each counted once: so every worker gives the same
numbers, a restart loses none, and nothing is added to the way of a request.
"""

import asyncio
from contextlib import suppress
from typing import Final

import apsw

from interlock import __version__
from interlock.errors import StoreError
from interlock.live.amounts import override
from interlock.live.exposition import (
    ALERTS,
    BACKLOG,
    BREACHED,
    BUILD,
    CONTENT_TYPE,
    added,
    additions,
    render,
    routes_of,
    series,
)
from interlock.server.exchange import Exchange
from interlock.server.following import next_batch
from interlock.server.gateway import Gateway
from interlock.server.records import to_record
from interlock.store import alerts, watches
from interlock.store.records import StoredRecord
from interlock.store.sqlite import Store
from interlock.wiring import now_us

FOLLOWER: Final = "metrics"
MOST_BATCHES: Final = 400
"""Counted at a time: about 10,000 records, a quarter of a second of one core beside the loop."""
_HEAD: Final = f"content-type: {CONTENT_TYPE}\r\ncache-control: no-store\r\n"


async def show_metrics(gateway: Gateway, exchange: Exchange) -> None:
    exchange.answer(await asyncio.to_thread(scraped, gateway.store, now_us()), head=_HEAD)


def scraped(store: Store, now: int) -> bytes:
    """All metrics as they are now, in Prometheus' text format. Blocks. Raises StoreError.

    Where nothing can be written they are those that were counted, and the backlog says how many are not.
    """
    with suppress(StoreError):
        count_up(store, now)
    values = store.counts.values()
    place = store.counts.place(FOLLOWER)
    values[BACKLOG] = (
        max(0, store.counts.newest() - place.seq) + len(place.waiting) if place is not None else 0
    )
    values |= store.read(after_releases)
    values[series(BUILD, {"version": __version__})] = 1
    return render(values)


def after_releases(db: apsw.Connection) -> dict[str, float]:
    """What has been seen of releases, and what was done: each guardrail that is watched, and all alerts."""
    values = {series(ALERTS, labels): float(count) for labels, count in alerts.counted(db)}
    for watch in watches.everything(db):
        for finding in watch.after.findings:
            labels = {"alias": watch.alias, "alias_version": watch.version, "what": finding.metric}
            name = series(BREACHED, labels)
            values[name] = max(values.get(name, 0.0), float(finding.verdict == "breach"))
    for run in watches.runs(db):
        labels = {"alias": run.alias, "alias_version": run.version, "what": "gate"}
        values[series(BREACHED, labels)] = float(run.verdict == "fail")
    return values


def count_up(store: Store, now: int, batches: int = MOST_BATCHES) -> None:
    """Bring the counters up to the records. Blocks. Raises StoreError."""
    known: frozenset[str] | None = None
    for _ in range(batches):
        batch = next_batch(store, FOLLOWER, now)
        if batch is None:
            return
        if known is None:
            known = routes_of(store.counts.values())
        more = additions(batch.records, known)
        known |= routes_of(more)
        store.counts.advance(FOLLOWER, batch.seen, batch.to, more).result()


async def note_override(gateway: Gateway, row: StoredRecord, kind: str | None) -> None:
    """Count feedback that an answer was overridden. Another word on the same record counts again."""
    if kind is None:
        return
    store, record = gateway.store, to_record(row)
    amount = override(record, kind)

    def note() -> None:
        store.counts.add(added(amount, routes_of(store.counts.values()))).result()

    await asyncio.to_thread(note)
    gateway.came_late(record, amount)
