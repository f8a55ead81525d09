"""What the tests of the store start from: records, and other processes on the same file."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

import interlock
from interlock.store import Store, StoredRecord
from interlock.store.writer import Writer

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = Path(interlock.__file__).resolve().parent.parent
NOW = 1_790_000_000_000_000


def clock() -> int:
    return NOW


def record(number: int, **changes: Any) -> StoredRecord:
    """A record of the tenant `acme`; higher numbers are newer."""
    fields: dict[str, Any] = {
        "id": f"dec_{number:08}",
        "created_at": NOW + number,
        "tenant": "acme",
        "key": "key-1",
        "status": "ok",
        "alias": "prod",
        "alias_version": 1,
        "provider": "openai",
        "model": "gpt",
        "config_hash": "c" * 64,
        "world_hash": "w" * 64,
        "decision": b'{"id":"dec_%08d"}' % number,
        "rest": b"{}",
    }
    return StoredRecord(**(fields | changes))


def numbers(records: tuple[StoredRecord, ...]) -> list[int]:
    return [int(one.id.removeprefix("dec_")) for one in records]


@contextmanager
def opened(path: Path, **options: Any) -> Iterator[Store]:
    store = Store.open(path, now=clock, **options)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def by_hand(path: Path) -> Iterator[apsw.Connection]:
    """The file as somebody with another program sees and changes it."""
    db = apsw.Connection(str(path))
    try:
        yield db
    finally:
        db.close()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """While this lasts, somebody else holds the write lock."""
    with by_hand(path) as db:
        db.execute("BEGIN EXCLUSIVE")
        yield
        db.execute("ROLLBACK")


def until_taken(writer: Writer) -> None:
    """Until the thread has all that is queued in hand: here, where it waits for the lock."""
    while writer.pending:
        time.sleep(0.001)


@contextmanager
def child(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """`child.py` as a process of its own. It says `ready`, and starts when it is sent a line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.store.child", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE), str(ROOT)])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert answer(process) == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def go(*processes: subprocess.Popen[str]) -> None:
    """Let them start, all at once."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def answer(process: subprocess.Popen[str]) -> str:
    """The next line of a child, with its end; empty when there is none."""
    assert process.stdout is not None
    return process.stdout.readline()


def said(process: subprocess.Popen[str]) -> list[str]:
    """Every line of a child that ends by itself."""
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return out.splitlines()
