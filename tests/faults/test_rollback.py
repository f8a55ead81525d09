"""P5, and how far a rollback reaches, with four worker processes under load: whole or undone, seen by all."""

import asyncio
import json
import os
import random
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from interlock.mock import Answering, Behaviour, Mock, Script
from interlock.server.records import to_record
from interlock.store import Store, revisions
from tests.faults.served import Served, config, is_ready, served, start, wait_for
from tests.mock.raw import body, chat, exchange, post
from tests.server.harness import until

FINE = Answering(Script(default=Behaviour(text="fine", delay_s=0.002)))
ASK = chat(model="prod", keep=True)
_VERSION = re.compile(rb"x-interlock-alias: prod@(\d+)")
_LENGTH = re.compile(rb"(?i)content-length: (\d+)")
WORKERS = 4
SETTINGS = {"aliases": {"prod": "chat"}, "default": {"model": "prod"}}


def settings():
    made = config(**SETTINGS)
    made["server"]["workers"] = WORKERS
    made["models"]["other"] = dict(made["models"]["chat"])
    return made


def workers(process) -> list[int]:
    """The process ids of a supervisor's workers."""
    text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(pid) for pid in text.split()]


class Caller:
    """One who keeps its connection, and so stays with one worker; after a kill it comes back with another.

    `seen` is the version of the alias in each answer of this connection, 0 where it was refused.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.over = False
        self.seen: list[int] = []

    async def run(self) -> None:
        while not self.over:
            with suppress(OSError, asyncio.IncompleteReadError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                self.seen = []
                try:
                    while not self.over:
                        writer.write(ASK)
                        await self.read(reader)
                finally:
                    writer.close()
            await asyncio.sleep(0.01)

    async def read(self, reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(_LENGTH.findall(head)[0]))
        if not head.startswith(b"HTTP/1.1 5"):
            self.seen.append(int(_VERSION.findall(head)[0]) if head.startswith(b"HTTP/1.1 200") else 0)


@asynccontextmanager
async def load(port: int, pids: list[int]) -> AsyncIterator[list[Caller]]:
    """Callers of every worker: one more comes until each has somebody."""
    callers: list[Caller] = []
    tasks: list[asyncio.Task[None]] = []
    try:
        idle = {pid: sockets(pid) for pid in pids}
        while any(sockets(pid) <= before for pid, before in idle.items()):
            assert len(callers) < 200, "a worker gets no connection"
            callers.append(Caller(port))
            tasks.append(asyncio.create_task(callers[-1].run()))
            await until(lambda: callers[-1].seen, 30)
        yield callers
    finally:
        for caller in callers:
            caller.over = True
        await asyncio.gather(*tasks)


def sockets(pid: int) -> int:
    """How many sockets a process holds."""
    found = 0
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed while we looked
            found += link.readlink().name.startswith("socket:")
    return found


def open_store(folder: Path) -> Store:
    return Store.open(folder / "interlock.db", now=lambda: 0)


def check_whole(store: Store) -> None:
    """Pointer, versions, moves and control log tell one story, and every decision used a version as it is."""
    history = store.alias_history("prod")
    assert history is not None
    moves = store._rows("SELECT from_version, to_version FROM alias_moves ORDER BY seq")
    logged = [
        (entry["from"], entry["to"])
        for (text,) in store._rows("SELECT body FROM control_log WHERE action LIKE 'alias.%' ORDER BY seq")
        for entry in [json.loads(text)]
    ]
    assert moves == logged
    assert [before for before, _ in moves[1:]] == [after for _, after in moves[:-1]], (
        "each from where the last led"
    )
    assert moves[-1][1] == history.active
    assert store.verify_control_log() is None
    assert store.integrity() == ()
    models = {version.version: version.model for version in history.versions}
    for row in store.each_record():
        route = to_record(row).decision.route
        assert route is not None
        assert route.alias_version is not None
        assert models[route.alias_version] == route.model


async def follow(store: Store, callers: list[Caller], version: int) -> None:
    """Each caller comes to get a version, from one answer on and for good; so says the store's order too."""
    await until(lambda: all(caller.seen[-1:] == [version] for caller in callers), 30)
    mark = store._rows("SELECT max(seq) FROM records")[0][0]
    for caller in callers:
        first = caller.seen.index(version)
        assert len(set(caller.seen[:first])) <= 1
        assert set(caller.seen[first:]) == {version}
        caller.seen = caller.seen[first:]
    counts = [len(caller.seen) for caller in callers]
    await until(lambda: all(len(c.seen) > n + 3 for c, n in zip(callers, counts, strict=True)), 30)
    later = store._rows(
        "SELECT DISTINCT coalesce(alias_version, 0) FROM records WHERE seq > ? AND status <> 'failed'",
        (mark,),
    )
    assert later == [(version,)]


async def interlock(folder: Path, *arguments: str) -> Any:
    """A command of its own, and the JSON that it says."""
    command = [sys.executable, "-m", "interlock.cli", *arguments, "--json"]
    done = await asyncio.create_subprocess_exec(
        *command, "--config", str(folder / "interlock.yaml"), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await done.communicate()
    assert done.returncode == 0, said
    return json.loads(said)


async def promote(server: Served) -> None:
    got, _ = await exchange(server.port, post("/v1/aliases/prod/promote", {"to": "other", "if_version": 1}))
    assert got.startswith(b"HTTP/1.1 200"), got


async def test_a_rollback_is_seen_by_every_worker_and_by_no_request_half_way(tmp_path):
    with served(tmp_path, settings()) as server:
        pids = workers(server.process)
        assert len(pids) == WORKERS
        async with Mock(FINE, port=server.upstream), load(server.port, pids) as callers:
            store = open_store(tmp_path)
            try:
                await promote(server)
                await follow(store, callers, 2)
                assert (await interlock(tmp_path, "alias", "rollback", "prod"))["active"] == 1
                await follow(store, callers, 1)
                check_whole(store)
            finally:
                store.close()


async def test_a_rollback_of_the_config_is_taken_by_every_worker_and_none_goes_back(tmp_path):
    made = settings()
    with served(tmp_path, made) as server:
        pids = workers(server.process)
        async with Mock(FINE, port=server.upstream), load(server.port, pids) as callers:
            store = open_store(tmp_path)
            try:
                first = (tmp_path / "interlock.yaml").read_bytes()
                rule = {"name": "closed", "when": {"task": "unknown"}, "then": {"deny": "for the audit"}}
                closed = {**made, "policy": [rule]}
                (tmp_path / "interlock.yaml").write_text(yaml.safe_dump(closed, sort_keys=False))
                await follow(store, callers, 0)
                done = await interlock(tmp_path, "config", "rollback", "--yes")
                assert (done["from"], done["to"], done["replayed"]["counts"]["allowed"] > 0) == (2, 1, True)
                await follow(store, callers, 1)
                assert (tmp_path / "interlock.yaml").read_bytes() == first
                kinds = [one.kind for one in store.read(revisions.history)]
                assert kinds == ["rollback", "reload", "start"], "four workers, and each change is noted once"
                assert workers(server.process) == pids
            finally:
                store.close()


async def kill_rounds(folder: Path, rounds: int, seed: int) -> None:
    """A flip over HTTP, and kill -9 within its milliseconds: of workers one by one, at last of all.

    Then the next process goes on where the store is.
    """
    draw = random.Random(seed)
    with served(folder, settings()) as server:
        async with Mock(FINE, port=server.upstream), load(server.port, workers(server.process)):
            store = open_store(folder)
            try:
                await promote(server)
                for _ in range(rounds):
                    await cut_short(store, server, draw, [draw.choice(workers(server.process))])
                    await until(lambda: len(workers(server.process)) == WORKERS, 30)
                await cut_short(store, server, draw, [server.process.pid, *workers(server.process)])
                check_whole(store)
                before = store.aliases()["prod"].active
            finally:
                store.close()
    again = start(folder)
    try:
        wait_for(lambda: again.poll() is not None or is_ready(server.port), 30)
        async with Mock(FINE, port=server.upstream), load(server.port, workers(again)) as callers:
            store = open_store(folder)
            try:
                await follow(store, callers, before)
                check_whole(store)
            finally:
                store.close()
    finally:
        again.send_signal(signal.SIGTERM)
        again.wait(60)


async def test_p5_workers_and_supervisor_killed_in_the_middle_of_rollbacks_leave_each_whole(tmp_path):
    await kill_rounds(tmp_path, 3, seed=7)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_p5_in_100_rounds_of_kill_9_every_rollback_is_whole_or_undone(tmp_path):
    await kill_rounds(tmp_path, 100, seed=8)


async def cut_short(store: Store, server: Served, draw: random.Random, pids: list[int]) -> None:
    """Ask for a flip and kill these at once or a little later; what was acknowledged has to be there."""
    active = store.aliases()["prod"].active
    wanted = {"to": 3 - active, "if_version": active}
    asking = asyncio.create_task(exchange(server.port, post("/v1/aliases/prod/rollback", wanted)))
    await asyncio.sleep(draw.choice((0, 0.001, 0.003, 0.006, 0.02)))
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    try:
        got, _ = await asking
    except OSError:
        got = b""
    now = store.aliases()["prod"].active
    assert now in (1, 2)
    if got.startswith(b"HTTP/1.1 200"):
        with suppress(json.JSONDecodeError):  # cut off behind its head: it acknowledges nothing
            assert json.loads(body(got))["active"] == now == wanted["to"]


@pytest.mark.parametrize("kind", ["alias_versions", "alias_moves"])
def test_versions_and_moves_are_only_added_to(tmp_path, kind):
    import apsw

    store = open_store(tmp_path)
    store.seed_aliases({"prod": "chat"}, now=0, by="test")
    store.close()
    db = apsw.Connection(str(tmp_path / "interlock.db"))
    for statement in (f"UPDATE {kind} SET by = 'eve'", f"DELETE FROM {kind}"):
        with pytest.raises(apsw.ConstraintError, match="append-only"):
            db.execute(statement)
    db.close()
