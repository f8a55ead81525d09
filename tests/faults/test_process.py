"""P1, P3, P7, P8, P9 against a real server: killed, locked out, drained, starved, given a bad file."""

import asyncio
import json
import os
import random
import re
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw
import pytest
import yaml

from interlock.mock import Answering, Behaviour, Mock, Script
from interlock.store import Store
from interlock.store.releasing import lease_rollouts
from interlock.wiring import now_us
from tests.faults.served import Served, config, free_port, served, start, wait_for
from tests.mock.raw import chat, exchange
from tests.server.harness import until

FINE = Answering(Script(default=Behaviour(text="fine", delay_s=0.002)))
OK = b"HTTP/1.1 200 "
UNAVAILABLE = b"HTTP/1.1 503 "
_DECISION = re.compile(rb"x-interlock-decision-id: (dec_[0-9a-z]+)")


@contextmanager
def stored(folder: Path) -> Iterator[Store]:
    store = Store.open(folder / "interlock.db", now=lambda: 0)
    try:
        yield store
    finally:
        store.close()


async def keep_asking(port: int, ledger: set[str], note: Callable[[], None], *, stream: bool) -> None:
    """Ask again and again, and write down each decision whose answer came to its end; `note` each at once."""
    while True:
        try:
            got, how = await exchange(port, chat(model="chat", stream=stream))
        except ConnectionError:  # killed, and not there again
            return
        whole = got.endswith(b"0\r\n\r\n") and b"[DONE]" in got if stream else got.endswith(b"}")
        if how == "closed" and got.startswith(OK) and whole:
            ledger.update(map(bytes.decode, _DECISION.findall(got)))
            note()
        else:
            return


async def kill_rounds(folder: Path, rounds: int, seed: int = 0) -> int:
    """Kill -9 under load, and compare what callers hold with what was recorded; how much they hold."""
    draw = random.Random(seed)
    settings = config()
    ledger: set[str] = set()
    for _ in range(rounds):
        with served(folder, settings) as running:
            enough = len(ledger) + draw.randrange(1, 60)

            def kill(running: Served = running, enough: int = enough) -> None:
                """In the moment in which a caller has its answer, before anything else can happen."""
                if len(ledger) >= enough:
                    running.process.kill()

            async with Mock(FINE, port=running.upstream), asyncio.timeout(30):
                await asyncio.gather(
                    *(keep_asking(running.port, ledger, kill, stream=number % 3 == 0) for number in range(12))
                )
        with stored(folder) as store:
            assert store.integrity() == ()
            kept = {record.id: record.status for record in store.each_record()}
            assert {kept.get(name) for name in ledger} == {"ok"}
    return len(ledger)


async def test_p1_killed_under_load_it_has_a_record_of_every_answer_that_a_caller_holds(tmp_path):
    assert await kill_rounds(tmp_path, 2) > 2


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_p1_in_200_rounds_of_kill_9_no_answer_is_without_its_record(tmp_path):
    assert await kill_rounds(tmp_path, 200, seed=1) > 200


async def test_p1_what_a_killed_server_held_of_an_account_is_free_after_its_restart(tmp_path):
    """Slots and tokens of a limit are held in memory only: they end with the process that held them."""
    settings = config()
    settings["providers"]["mock"]["limits"] = {"concurrency": 1, "requests_per_minute": 1}
    gate = asyncio.Event()

    def held(request):
        return (*FINE(request)[:1], gate)

    with served(tmp_path, settings) as running:
        async with Mock(held, port=running.upstream) as mock:
            asking = asyncio.create_task(exchange(running.port, chat(model="chat")))
            await until(lambda: len(mock.received) == 1)
            running.kill()
            got, _ = await asking
            assert not got
    with served(tmp_path, settings) as running:
        async with Mock(FINE, port=running.upstream):
            assert (await exchange(running.port, chat(model="chat")))[0].startswith(OK)
    with stored(tmp_path) as store:
        assert [record.status for record in store.each_record()] == ["ok"]


LEADS = """
import asyncio, pathlib, sys
from interlock.store import Store
from interlock.store.releasing import lease_rollouts
from interlock.wiring import now_us
from interlock.store.releasing import lease_rollouts
from interlock.wiring import now_us

async def lead():
    store = Store.open(pathlib.Path(sys.argv[1]), now=now_us)
    print(await lease_rollouts(store, "one that dies", 4_000_000), flush=True)
    await asyncio.sleep(600)

asyncio.run(lead())
"""


async def test_p1_the_lease_of_a_killed_worker_runs_out_and_another_takes_over_under_a_new_token(tmp_path):
    file = tmp_path / "interlock.db"
    store = Store.open(file, now=now_us)
    try:
        leader = await asyncio.create_subprocess_exec(
            sys.executable, "-c", LEADS, str(file), stdout=asyncio.subprocess.PIPE
        )
        assert leader.stdout is not None
        token = int(await asyncio.wait_for(leader.stdout.readline(), 30))
        leader.kill()
        await leader.wait()
        assert await lease_rollouts(store, "another", 4_000_000) is None, "nobody can know that it is dead"
        taken: list[int | None] = []

        async def take() -> bool:
            taken.append(await lease_rollouts(store, "another", 60_000_000))
            return taken[-1] is not None

        await until(take, 30)
        assert taken[-1] == token + 1
    finally:
        store.close()


# --- P3 -----------------------------------------------------------------------------------------


async def test_p3_while_another_process_holds_the_lock_answers_are_503_in_bounded_time(tmp_path):
    with served(tmp_path, config()) as running:
        async with Mock(FINE, port=running.upstream) as mock:
            db = apsw.Connection(str(tmp_path / "interlock.db"))
            db.set_busy_timeout(5000)  # the server has the lock itself, now and then
            db.execute("BEGIN EXCLUSIVE")
            asking = [asyncio.create_task(exchange(running.port, chat(model="chat"))) for _ in range(20)]
            await until(lambda: len(mock.received) == 20)
            got, _ = await exchange(
                running.port, b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
            )
            assert got.startswith(OK), "nobody else waits"
            assert not any(task.done() for task in asking), "a lock is waited for"
            for answer, _ in await asyncio.gather(*asking):
                assert answer.startswith(UNAVAILABLE), answer
                assert b"retry-after: " in answer
                assert b"fine" not in answer
            db.execute("ROLLBACK")
            db.close()
            assert (await exchange(running.port, chat(model="chat")))[0].startswith(OK)
        assert not [line for line in running.log if line["event"] == "fault"]
        assert running.errors.count("Traceback") == 0
    with stored(tmp_path) as store:
        assert [record.status for record in store.each_record()] == ["ok"]


# --- P7 -----------------------------------------------------------------------------------------


async def test_p7_sigterm_under_50_open_streams_breaks_none_and_ends_with_0(tmp_path):
    gate = asyncio.Event()
    usual = Answering(Script(default=Behaviour(text="begun and ended")))

    def held(request):
        """The usual stream, held before its third event."""
        head, first, second, *rest = usual(request)
        return (head, first, second, gate, *rest)

    with served(tmp_path, config()) as running:
        async with Mock(held, port=running.upstream):
            streams = [
                asyncio.create_task(exchange(running.port, chat(model="chat", stream=True), quiet=60))
                for _ in range(50)
            ]
            await until(lambda: running.sockets >= 2 * len(streams), 20)
            running.stop()
            await until(lambda: refuses(running.port), 20)
            gate.set()
            answers = await asyncio.gather(*streams)
        assert running.ended() == 0
    for got, how in answers:
        assert how == "closed"
        assert b" ended" in got
        assert got.count(b"data: [DONE]") == 1
    with stored(tmp_path) as store:
        assert [record.status for record in store.each_record()] == ["ok"] * 50


def refuses(port: int) -> bool:
    """Whether nobody new is let in."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as sock:
            sock.settimeout(2)
            sock.sendall(b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n")
            return not sock.recv(64).startswith(OK)
    except OSError:
        return True


# --- P8 -----------------------------------------------------------------------------------------


async def test_p8_out_of_file_descriptors_it_sheds_callers_and_comes_good(tmp_path):
    with served(tmp_path, config(), files=64) as running:
        async with Mock(FINE, port=running.upstream):
            assert (await exchange(running.port, chat(model="chat")))[0].startswith(OK)
            crowd = []
            for _ in range(120):
                with suppress(OSError):
                    crowd.append(socket.create_connection(("127.0.0.1", running.port), 2))
            tried = [
                asyncio.create_task(exchange(running.port, chat(model="chat"), wait=1)) for _ in range(5)
            ]
            for got, _ in await asyncio.gather(*tried, return_exceptions=False):
                assert got == b"" or got[9:12] in (b"200", b"502", b"503"), got
            assert running.process.poll() is None
            for sock in crowd:
                sock.close()
            await until(lambda: answers_ok(running.port), 20)
        running.stop()
        assert running.ended() == 0
    assert "Traceback" not in running.errors, running.errors


MEMORY = 700_000_000


async def test_p8_under_a_memory_limit_of_the_kernel_it_sheds_callers_and_comes_good(tmp_path):
    """Forty bodies of nine megabytes at once: all of them together would take twice the limit."""
    limited = config(server={"port": free_port(), "max_bodies_mb": 60})
    with served(tmp_path, limited, memory=MEMORY) as running:
        async with Mock(FINE, port=running.upstream):
            assert (await exchange(running.port, chat(model="chat")))[0].startswith(OK)
            text = "[" + "1," * 4_500_000
            big = chat(model="chat", messages=[{"role": "user", "content": text}])
            for _ in range(2):
                crowd = [exchange(running.port, big, wait=60, quiet=60) for _ in range(40)]
                statuses = Counter(got[9:12] for got, _ in await asyncio.gather(*crowd))
                assert running.process.poll() is None, running.errors
                # Too long for the model, too much at once, or not even room to say so.
                assert statuses.keys() <= {b"413", b"503", b""}
                assert statuses[b"503"] >= 10
            await until(lambda: answers_ok(running.port), 20)
            assert running.memory < MEMORY
        running.stop()
        assert running.ended() == 0
    with stored(tmp_path) as store:
        assert store.integrity() == ()


async def answers_ok(port: int) -> bool:
    try:
        return (await exchange(port, chat(model="chat"), wait=2))[0].startswith(OK)
    except OSError:
        return False


async def test_p8_a_log_that_nobody_reads_holds_nobody_up_and_no_record_is_dropped(tmp_path):
    reading, writing = os.pipe()
    try:
        with served(tmp_path, config(), stdout=writing) as running:
            async with Mock(FINE, port=running.upstream):
                for _ in range(8):
                    asked = [exchange(running.port, chat(model="chat")) for _ in range(25)]
                    assert all(got.startswith(OK) for got, _ in await asyncio.gather(*asked))
                before = os.read(reading, 1 << 20).decode().splitlines()
                assert (await exchange(running.port, chat(model="chat")))[0].startswith(OK)
            lines = [json.loads(line) for line in before]
            await until(lambda: os.get_blocking(reading))
            after = [json.loads(line) for line in os.read(reading, 1 << 20).decode().splitlines()]
    finally:
        os.close(reading)
        os.close(writing)
    kept = sum(line["event"] == "request" for line in lines)
    assert kept < 200
    dropped = [line["lines"] for line in after if line["event"] == "log_dropped"]
    assert sum(dropped) >= 200 - kept
    with stored(tmp_path) as store:
        assert sum(1 for _ in store.each_record()) == 201


# --- P9 -----------------------------------------------------------------------------------------


def refused_start(folder: Path) -> str:
    """What `serve` says when it does not start."""
    (folder / "interlock.yaml").write_text(yaml.safe_dump(config()))
    process = start(folder)
    wait_for(lambda: process.poll() is not None, 30)
    assert process.returncode != 0
    return (folder / "err.txt").read_text()


def test_p9_serve_refuses_a_file_that_is_no_database_and_says_what_to_do(tmp_path):
    (tmp_path / "interlock.db").write_bytes(b"this is a letter, not a database. " * 100)
    said = refused_start(tmp_path)
    assert "not a database, or a damaged one" in said
    assert "hint: restore it from a backup" in said


def test_p9_serve_refuses_a_newer_schema_and_leaves_it_alone(tmp_path):
    with stored(tmp_path):
        pass
    db = apsw.Connection(str(tmp_path / "interlock.db"))
    db.execute("PRAGMA user_version = 99")
    db.close()
    before = (tmp_path / "interlock.db").read_bytes()
    assert "its schema is number 99" in refused_start(tmp_path)
    assert (tmp_path / "interlock.db").read_bytes() == before


async def test_a_signal_before_the_first_request_ends_it_with_0(tmp_path):
    with served(tmp_path, config()) as running:
        running.stop(signal.SIGINT)
        assert running.ended() == 0
