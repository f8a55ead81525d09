"""What a record costs: CPU of the whole process for each, by how many requests wait for theirs at a time.

Nothing but the store runs, on uvloop as in the server. `transaction` is how many records shared one.
"""

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Final

import uvloop

from bench.lab import Line
from interlock.store.records import StoredRecord
from interlock.store.sqlite import Store

RECORDS: Final = 20_000
WAITING: Final = (1, 8, 32, 128)
DECISION: Final = b'{"id":"dec_bench","route":{"provider":"openai"}}'.ljust(2200)
REST: Final = b'{"status":"ok"}'.ljust(500)


def clock() -> int:
    return time.time_ns() // 1000


def record(number: int) -> StoredRecord:
    """A record of usual size: 2.7 KB, of one of a few tenants and keys."""
    return StoredRecord(
        id=f"dec_{number:026}",
        created_at=clock(),
        tenant=f"tenant-{number % 7}",
        key=f"key-{number % 31}",
        status="ok",
        alias="prod-stable",
        alias_version=7,
        provider="openai",
        model="gpt",
        config_hash="c" * 64,
        world_hash="w" * 64,
        decision=DECISION,
        rest=REST,
    )


async def write(store: Store, waiting: int) -> None:
    """Put RECORDS records, `waiting` at a time."""
    numbers = iter(range(RECORDS))

    async def one() -> None:
        for number in numbers:
            await store.put_record(record(number))

    await asyncio.gather(*(one() for _ in range(waiting)))


def writing(waiting: int) -> float:
    """CPU us for each record, printed with the size of transactions and the rate."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "bench.db", now=clock)
        cpu, wall = time.process_time(), time.perf_counter()
        uvloop.run(write(store, waiting))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        commits = store.writer.commits
        store.close()
    per_record = cpu / RECORDS * 1e6
    print(f"{waiting:8} {per_record:10.1f} {RECORDS / commits:12.1f} {RECORDS / wall:10.0f}")
    return per_record


def reading() -> float:
    """CPU us of finding one record by id."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "bench.db", now=clock)
        uvloop.run(write(store, 128))
        ids = [f"dec_{number * 7919 % RECORDS:026}" for number in range(RECORDS)]
        cpu = time.process_time()
        for name in ids:
            store.get_record(name)
        cpu = time.process_time() - cpu
        store.close()
    return cpu / RECORDS * 1e6


def measure() -> list[Line]:
    """Print the costs; returns the lines for the summary."""
    print(f"{'waiting':>8} {'CPU us':>10} {'transaction':>12} {'records/s':>10}")
    costs = {waiting: writing(waiting) for waiting in WAITING}
    find = reading()
    print(f"a record by its id: {find:.1f} us")
    return [
        Line(name="a record, CPU us, 1 waiting", value=f"{costs[1]:.0f}"),
        Line(name="a record, CPU us, 32 waiting", value=f"{costs[32]:.0f}"),
        Line(name="a record by its id, CPU us", value=f"{find:.1f}"),
    ]
