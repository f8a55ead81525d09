"""Reading the records behind the requests, by several processes, each record once."""

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

from msgspec import Struct

from interlock.measures import is_open
from interlock.server.records import to_record
from interlock.store.live import Place
from interlock.store.sqlite import Store
from interlock.types.record import Record

T = TypeVar("T")

PAGE: Final = 25
"""Between batches the loop has its turn, which decoding would keep from it for milliseconds."""
PATIENCE_US: Final = 900_000_000
"""A record that is still open after so long was cut short: no request may take longer."""


class Batch(Struct, frozen=True):
    """Records that are closed or given up, and the two places that they lie between."""

    seen: Place
    to: Place
    records: tuple[Record, ...]


def next_batch(store: Store, follower: str, now: int, limit: int = PAGE) -> Batch | None:
    """What a follower has to read next; None: nothing. `now` in microseconds. Blocks. Raises StoreError."""
    seen = store.counts.place(follower)
    if seen is None:
        return None
    records: list[Record] = []
    waiting: list[int] = []
    seq = seen.seq
    for number, row in store.counts.after(seen, limit):
        record = to_record(row)
        if is_open(record) and row.created_at > now - PATIENCE_US:
            waiting.append(number)
        else:
            records.append(record)
        if number not in seen.waiting:
            seq = number
    to = Place(seq=seq, waiting=tuple(waiting))
    return None if to == seen else Batch(seen, to, tuple(records))


async def in_thread(work: Callable[[], T]) -> T:
    """Do work in a thread; whoever cancels this still waits for its end, for it uses the store."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
