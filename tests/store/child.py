"""What the tests run in processes of their own: `python -m tests.store.child PART FILE ...`."""

import asyncio
import os
import sys
from itertools import count
from pathlib import Path

import apsw

from interlock.rollout.plan import Plan, Step
from interlock.store import StaleVersion, Store
from interlock.store.records import written_row
from interlock.store.releasing import start_rollout
from interlock.store.rollouts import RolloutUnderWay, Wanted
from tests.store.given import NOW, clock, record


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def wait() -> None:
    say("ready")
    sys.stdin.readline()


def write_many(path: Path, name: int, how_many: int) -> None:
    """Write records numbered from name * how_many on, all at once."""
    store = Store.open(path, now=clock)
    wait()

    async def work() -> None:
        first = name * how_many
        await asyncio.gather(*(store.put_record(record(n)) for n in range(first, first + how_many)))

    asyncio.run(work())
    store.close()


def write_until_killed(path: Path, first: int) -> None:
    """Say the id of each record once it is acknowledged, twenty at a time; never end."""
    store = Store.open(path, now=clock)
    names = count(first)
    wait()

    async def one() -> None:
        while True:
            mine = record(next(names), decision=b"d" * 2000)
            await store.put_record(mine)
            say(mine.id)

    async def work() -> None:
        await asyncio.gather(*(one() for _ in range(20)))

    asyncio.run(work())


def note_until_killed(path: Path, first: int) -> None:
    """Say the id of each record once it is noted, some to a turn; never end."""
    store = Store.open(path, now=clock)
    wait()

    async def work() -> None:
        store.go_ahead(print)
        for number in count(first):
            mine = record(number, decision=b"d" * 2000)
            if not store.note_row(written_row(mine), since=0.0):
                await store.put_record(mine)
            say(mine.id)
            if number % 3 == 0:
                await asyncio.sleep(0)

    asyncio.run(work())


def race(path: Path, name: str, rounds: int) -> None:
    """Once for each line, try to make the next version before another process does; say who was first."""
    store = Store.open(path, now=clock)
    say("ready")
    for version in range(1, rounds + 1):
        sys.stdin.readline()
        try:
            store.promote("prod", f"{name}-{version}", if_version=version, by=name, now=NOW).result()
        except StaleVersion as stale:
            say("stale" if stale.active == version + 1 else f"told {stale.active}")
        else:
            say("won")
    store.close()


def race_rollouts(path: Path, name: str, rounds: int) -> None:
    """Once for each line, try to begin a rollout of one alias, and say whether this one began."""
    store = Store.open(path, now=clock)
    say("ready")
    for number in range(rounds):
        sys.stdin.readline()
        wanted = Wanted(
            id=f"rol_{name}_{number}",
            alias="prod",
            model=name,
            identity="{}",
            plan=Plan(name="p", steps=(Step(weight=0.1),)),
        )
        try:
            start_rollout(store, wanted, by=name).result()
        except RolloutUnderWay:
            say("under way")
        else:
            say("began")
    store.close()


def hold_lock(path: Path, begin: str = "BEGIN EXCLUSIVE") -> None:
    """Hold a transaction open until told to let go, by default with the write lock."""
    db = apsw.Connection(str(path))
    db.execute(begin)
    db.execute("SELECT count(*) FROM records").fetchall()
    wait()
    db.execute("ROLLBACK")
    db.close()
    say("released")


def open_only(path: Path) -> None:
    """Open the store at the same moment as others, and say the secret that it has."""
    wait()
    store = Store.open(path, now=clock)
    store.seed_aliases({"prod": "m"}, now=NOW, by="file")
    say(store.secret("keys").hex())
    store.close()


if __name__ == "__main__":
    part, file, *rest = sys.argv[1:]
    match part, rest:
        case "write_many", (name, how_many):
            write_many(Path(file), int(name), int(how_many))
        case "write_until_killed", (first,):
            write_until_killed(Path(file), int(first))
        case "note_until_killed", (first,):
            note_until_killed(Path(file), int(first))
        case "race", (name, rounds):
            race(Path(file), name, int(rounds))
        case "race_rollouts", (name, rounds):
            race_rollouts(Path(file), name, int(rounds))
        case "hold_lock", (*begin,):
            hold_lock(Path(file), *begin)
        case "open_only", ():
            open_only(Path(file))
