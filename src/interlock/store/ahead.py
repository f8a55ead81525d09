"""Rows that are answered for ahead of their transaction: noted in the journal, and on their way.

What was noted stays owed until it is in the file. The journal begins anew whenever nothing is owed.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw

from interlock.errors import StoreError
from interlock.store import records
from interlock.store.connect import as_store_error
from interlock.store.journal import Journal
from interlock.store.shapes import Shapes
from interlock.store.write import Row, Write


class Ahead:
    """Mutable; threads share it. `told` hears, on the loop, of rows that could not be committed yet."""

    def __init__(self, journal: Journal, told: Callable[[StoreError], object]) -> None:
        self._journal = journal
        self._told = told
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._waiting: list[Write[None]] = []
        self._noted = 0

    @property
    def waiting(self) -> int:
        """How many rows nobody has taken yet to commit them."""
        return len(self._waiting)

    @property
    def noted(self) -> int:
        """How many rows are not in the file yet."""
        return self._noted

    def note(self, sql: str, row: Row) -> bool:
        """Take charge of a row; False where the journal cannot."""
        with self._lock:
            if not self._journal.note(row):
                return False
            self._waiting.append(Write(None, sql, row, owed=True, noted=True))
            self._noted += 1
        return True

    def soon(self, act: Callable[[int], None], count: int) -> None:
        """Have `act` called in the next turn of the loop that notes rows."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._loop.call_soon(act, count)

    def take(self) -> list[Write[None]]:
        """The rows that wait, to be committed before anything that was asked for later."""
        with self._lock:
            taken, self._waiting = self._waiting, []
        return taken

    def committed(self, writes: Sequence[Write[Any]]) -> None:
        """Hear of a transaction that is in the file, and of the writes of it that had to be left out."""
        settled = [write for write in writes if write.noted]
        if not settled:
            return
        with self._lock:
            self._noted -= len(settled)
            if not self._noted:
                self._journal.clear()
        for write in settled:
            if write.error is not None:
                self.failed(StoreError(f"a record cannot be kept: {write.error}"))

    def failed(self, error: StoreError) -> None:
        """Say that something that was noted is not in the file."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it is closed: nobody listens any more
                self._loop.call_soon_threadsafe(self._told, error)

    def wipe(self) -> None:
        """Leave nothing in the journal of what is in the file already."""
        with self._lock:
            self._journal.wipe()

    def close(self) -> None:
        """Let go of the journal; it stays where something in it is still owed."""
        self._journal.close(done=not self._noted)


def begin(database: Path, told: Callable[[StoreError], object]) -> Ahead | None:
    """Begin to note rows beside a database; None where another process does, or the disk has no room."""
    with contextlib.suppress(OSError):
        journal, _, rows = _found(database)
        if journal is not None:
            if not rows and journal.begin(records.WRITTEN):
                return Ahead(journal, told)
            journal.close(done=False)
    return None


def _found(database: Path) -> tuple[Journal | None, Sequence[str], list[Row]]:
    """The journal beside a database with what is left in it; None where its owner lives. Raises OSError."""
    journal = Journal.open(database)
    if journal is None:
        return None, (), []
    try:
        return journal, *journal.left()
    except OSError:
        journal.close(done=False)
        raise


def take_in(db: apsw.Connection, path: Path) -> None:
    """Put into the database what a process that has ended left noted. Raises StoreError: there it stays."""
    if not Journal.beside(path).exists():
        return
    try:
        journal, columns, rows = _found(path)
    except OSError as error:
        raise StoreError(
            f"{Journal.beside(path)}: what was noted there cannot be read: {error.strerror}",
            hint="it may hold records: check its owner and permissions, and the disk",
        ) from error
    if journal is None:
        return  # its owner lives
    refused = len(rows)
    try:
        if rows:
            refused = _put(db, columns, rows)
    except apsw.Error as error:
        raise as_store_error(error, path) from error
    except ValueError:
        hint = "start the version that wrote it, once"
        raise StoreError(
            f"{Journal.beside(path)}: these are not rows that this version knows", hint=hint
        ) from None
    finally:
        journal.close(done=not refused)
    if refused:
        raise StoreError(
            f"{Journal.beside(path)}: {refused} of {len(rows)} rows do not fit this database",
            hint="the others are in it now; if these belong to one that is gone, move the file away",
        )


def _put(db: apsw.Connection, columns: Sequence[str], rows: Sequence[Row]) -> int:
    """Put rows into the database, synced; how many do not fit. Raises apsw.Error, ValueError.

    A row whose shape is not there was noted beside another database: it would spoil every listing.
    """
    sql, refused = records.put(columns), 0
    shaped = [columns.index(name) for name in ("decision", "rest") if name in columns]
    db.execute("PRAGMA synchronous = FULL")
    with db:
        plain = Shapes(db).plain
        for row in rows:
            try:
                for place in shaped:
                    plain(row[place])
                db.execute(sql, row)
            except (apsw.ConstraintError, apsw.CorruptError, OverflowError):
                refused += 1
    return refused
