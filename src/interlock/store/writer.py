"""One connection that writes for a whole process, many writes to a transaction.

Whatever one turn of a loop has asked for becomes one transaction. Where that is quick it is carried out
at the end of that very turn: plain rows, no lock of another process in the way, a disk that has not been
slow of late. Everything else is a thread's, which may wait: durable writes, work, checkpoints, a lock that
is taken. Handing each commit to the thread costs more than the commit, in CPU and in latency.

While the thread commits, the next writes queue up; whatever is there becomes its next transaction. A
write that fails, fails alone, unless the transaction itself cannot be kept (disk full, damage, lock not to
be had): then all its writes fail, nothing of it is in the file, and the next one is tried.

Transactions are ordinary ones (`synchronous=NORMAL`: they outlive the process, kill -9 included) unless
one of their writes is durable: those are synced to the disk before they are acknowledged, and with them
everything that was committed before.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from enum import Enum
from functools import lru_cache
from itertools import chain
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, TypeVar

import apsw

from interlock.errors import StoreError
from interlock.store.connect import as_store_error, patience

T = TypeVar("T")
Work = Callable[[apsw.Connection], T]
Row = Sequence[Any]

MAX_PENDING: Final = 10_000
MAX_BATCH: Final = 256
MAX_ROWS: Final = 16
"""How many rows one statement writes at most. Each number of rows is a statement that is kept, prepared."""
MAX_QUICK: Final = 32
"""How many rows a loop commits at most in its own thread."""
SLOW_S: Final = 0.02
"""A loop that had to wait this long for a commit leaves them to the thread, for AWAY_S."""
AWAY_S: Final = 5.0
CHECKPOINT_PAGES: Final = 2000
"""So many pages in the write-ahead log are moved into the file. The thread's work: it syncs to the disk."""

# Failures of one write's own making: the transaction around it is sound.
_OWN_FAULTS: Final = (
    apsw.ConstraintError,
    apsw.MismatchError,
    apsw.TooBigError,
    apsw.SQLError,
    apsw.BindingsError,
)


class Write(Generic[T]):
    """A write on its way. In a coroutine, await it; where no loop runs, call `result`.

    Whoever stops waiting does not stop the write. Raises StoreError where it is not in the file.
    """

    __slots__ = ("durable", "error", "future", "loop", "outcome", "owed", "row", "sql", "work")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None,
        sql: str = "",
        row: Row = (),
        work: Work[T] | None = None,
        durable: bool = False,
        owed: bool = False,
    ) -> None:
        self.loop = loop
        self.sql = sql
        self.row = row
        self.work = work
        self.durable = durable
        self.owed = owed
        self.error: Exception | None = None
        self.outcome: T | None = None
        self.future: asyncio.Future[T] | Future[T] = loop.create_future() if loop is not None else Future()

    def __await__(self) -> Generator[Any, None, T]:
        assert isinstance(self.future, asyncio.Future), "made where no loop runs: call result()"
        return self.future.__await__()

    def result(self) -> T:
        """Block until it is committed."""
        assert isinstance(self.future, Future), "made in a coroutine: await it"
        return self.future.result()

    def settle(self) -> None:
        """Tell whoever waits. Called in the thread of the loop, if there is one."""
        if self.future.done():  # cancelled
            return
        if self.error is not None:
            self.future.set_exception(self.error)
            if self.owed:
                self.future.exception()  # nobody has to look: it will be tried again
        else:
            self.future.set_result(self.outcome)  # type: ignore[arg-type]  # set by the work, or T is None


class _Checkpoint(Enum):
    """In the queue: nothing to write, but a checkpoint is due."""

    DUE = 0


@lru_cache(maxsize=64)
def _for_rows(sql: str, count: int) -> str:
    """An INSERT of one row, made into one of `count`."""
    group = sql[sql.index("VALUES (") + len("VALUES ") : sql.index(")", sql.index("VALUES (")) + 1]
    return sql.replace(group, ", ".join([group] * count), 1)


class Writer:
    """The writing connection, its thread and its queue. `commits` counts the transactions committed.

    Whoever holds `_turn` may use the connection. `_behind` is how many writes are the thread's, in the queue
    or in its hands, until they are in the file: nothing may overtake them. `busy_s` bounds the thread's wait
    for another process.
    """

    def __init__(
        self,
        db: apsw.Connection,
        path: Path,
        *,
        busy_s: float,
        max_pending: int = MAX_PENDING,
        max_batch: int = MAX_BATCH,
    ) -> None:
        self.commits = 0
        self._turn = threading.Lock()
        self._patience = patience(busy_s)
        self._may_wait = True
        self._away_until = 0.0
        self._log_pages = 0
        self._db = db
        self._path = path
        self._max_pending = max_pending
        self._max_batch = max_batch
        self._queue: SimpleQueue[Write[Any] | _Checkpoint | None] = SimpleQueue()  # None: stop
        self._arrived: dict[asyncio.AbstractEventLoop, list[Write[Any]]] = {}
        self._owed: list[Write[Any]] = []
        self._count = threading.Lock()
        self._behind = 0
        self._full_sync: bool | None = None
        self._closing = False
        self._stopped = False
        db.set_busy_handler(self._wait)
        db.execute("PRAGMA temp_store = MEMORY")  # else a statement of many rows opens a file to undo them
        db.set_wal_hook(self._note_pages)
        self._thread = threading.Thread(target=self._run, name="interlock-store", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """Writes that wait for the next transaction."""
        return self._queue.qsize() + sum(map(len, self._arrived.values()))

    def row(self, sql: str, row: Row, *, durable: bool = False) -> Write[None]:
        """Run one statement with these values. Neighbours in the queue with the same one run together."""
        return self._put(Write(_running_loop(), sql, row, None, durable))

    def call(self, work: Work[T], *, durable: bool = False, owed: bool = False) -> Write[T]:
        """Run `work(connection)` inside the transaction; where it raises, only what it did is undone.

        `owed`: where the transaction could not be kept, it is tried again in the next one before anything
        else, and so on. So nothing that was asked for after it can be in the file without it.
        """
        return self._put(Write(_running_loop(), "", (), work, durable, owed))

    def run(self, work: Work[T]) -> T:
        """Like a durable `call`, but wait for it here, even where a loop runs: for the start of a process."""
        return self._put(Write(None, work=work, durable=True)).result()

    def close(self) -> None:
        """Commit what is queued, end the thread, close the connection."""
        if not self._closing:
            self._closing = True
            for loop in list(self._arrived):
                self._hand_over(loop)
            self._queue.put(None)
        self._thread.join()

    def _put(self, write: Write[T]) -> Write[T]:
        if self._closing:
            raise StoreError("the store is closed")
        loop = write.loop
        arrived = self._arrived.get(loop) if loop is not None else None
        if self._queue.qsize() + (len(arrived) if arrived is not None else 0) >= self._max_pending:
            raise StoreError(
                f"{self._path}: {self._max_pending} writes are waiting already",
                hint="the disk is too slow for this load, or another process holds the lock",
            )
        if arrived is not None:
            arrived.append(write)
        elif loop is not None:
            self._arrived[loop] = [write]
            loop.call_soon(self._hand_over, loop)
        else:
            self._leave([write])
        if self._stopped:  # it came in behind the thread's last look
            self._refuse_queued(StoreError("the store is closed"))
        return write

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        """Commit what one turn of a loop has asked for, or leave it to the thread."""
        writes = self._arrived.pop(loop, None)
        if writes and not (self._is_quick(writes) and self._write_here(writes)):
            self._leave(writes)

    def _leave(self, writes: list[Write[Any]]) -> None:
        """Leave writes to the thread."""
        with self._count:
            self._behind += len(writes)
        for write in writes:
            self._queue.put(write)

    def _no_longer_behind(self, count: int) -> None:
        with self._count:
            self._behind -= count

    def _is_quick(self, writes: list[Write[Any]]) -> bool:
        if self._owed or len(writes) > MAX_QUICK or time.monotonic() < self._away_until:
            return False
        for write in writes:  # noqa: SIM110 - a generator costs each of them twice as much
            if write.durable or write.work is not None:
                return False
        return True

    def _write_here(self, writes: list[Write[Any]]) -> bool:
        """Commit in the loop's own thread; False where that would mean to wait."""
        if not self._turn.acquire(blocking=False):
            return False
        began = time.monotonic()
        self._may_wait = False
        try:
            if self._closing or self._behind or not self._queue.empty():
                return False  # what came before has to be written before, and a checkpoint wants its turn
            if not self._write_alike(writes):
                self._write(writes, full_sync=False)
        except apsw.BusyError:
            return False
        finally:
            self._may_wait = True
            self._turn.release()
        now = time.monotonic()
        if now - began > SLOW_S:
            self._away_until = now + AWAY_S
        for write in writes:
            write.settle()
        if self._log_pages >= CHECKPOINT_PAGES:
            self._queue.put(_Checkpoint.DUE)
        return True

    def _write_alike(self, writes: list[Write[None]]) -> bool:
        """Commit rows of one statement with that statement alone: half the calls, and most of what comes.

        False: nothing is done, since they are not alike, or one of them is at fault. Raises BusyError.
        """
        sql = writes[0].sql
        if self._full_sync is not False or len(writes) > MAX_ROWS or self._db.in_transaction:
            return False
        for write in writes:
            if write.sql is not sql:
                return False
        try:
            self._run_at_once(sql, writes)
        except apsw.BusyError:
            raise
        except Exception:  # noqa: BLE001 - it is found out and told where they are tried again, one by one
            return False
        self.commits += 1
        return True

    def _wait(self, tries: int) -> bool:
        """SQLite's question whether to try for another process's lock again."""
        return self._may_wait and self._patience(tries)

    def _note_pages(self, db: apsw.Connection, name: str, pages: int) -> int:  # noqa: ARG002 - SQLite's call
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint(self) -> None:
        """Move the write-ahead log into the file, as far as no reader is in the way, and begin it anew.

        The first commit of a new log syncs its header, so that is done here too: a page is written as it is.
        """
        self._log_pages = 0
        with contextlib.suppress(apsw.Error):  # nothing is lost by it; the next commits try again
            self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            version = self._db.execute("PRAGMA user_version").get
            self._db.execute(f"PRAGMA user_version = {version}")

    def _run(self) -> None:
        more = True
        while more:
            batch: list[Write[Any]] = []
            more = self._gather(batch)
            taken = len(batch)
            with self._turn:
                if batch:
                    try:
                        self._write(batch, full_sync=any(write.durable for write in batch))
                    except apsw.BusyError as error:
                        # Those behind have waited as well. If each batch took its full turn, the last would
                        # never end.
                        self._refuse_queued(as_store_error(error, self._path))
                        self._abandon(batch, error)
                self._no_longer_behind(taken)
                if self._log_pages >= CHECKPOINT_PAGES:
                    self._checkpoint()
            self._settle(batch)
        self._db.close()
        self._stopped = True
        self._refuse_queued(StoreError("the store is closed"))

    def _gather(self, batch: list[Write[Any]]) -> bool:
        """Wait for a write and take all that are there. False: it is time to stop."""
        queue = self._queue
        while True:
            write = queue.get()
            if write is None:
                return False
            if write is not _Checkpoint.DUE:
                batch.append(write)
            if queue.empty() or len(batch) >= self._max_batch:
                return True

    def _write(self, batch: list[Write[Any]], *, full_sync: bool) -> None:
        """Carry out a transaction; how each write of it ended is noted there.

        Raises BusyError, and has done nothing, where another process's lock is not to be had.
        """
        try:
            self._begin(full_sync=full_sync)
        except apsw.BusyError:
            raise
        except apsw.Error as error:
            self._abandon(batch, error)
            return
        batch[:0], self._owed = self._owed, []
        try:
            self._carry_out(batch)
            self._db.execute("COMMIT")
            self.commits += 1
        except Exception as error:  # noqa: BLE001  # whatever it was, everybody is told and the work goes on
            self._abandon(batch, error)

    def _begin(self, *, full_sync: bool) -> None:
        if full_sync is not self._full_sync:
            self._db.execute(f"PRAGMA synchronous = {'FULL' if full_sync else 'NORMAL'}")
            self._full_sync = full_sync
        self._db.execute("BEGIN IMMEDIATE")

    def _carry_out(self, batch: list[Write[Any]]) -> None:
        start = 0
        while start < len(batch):
            write = batch[start]
            end = start + 1
            if write.work is not None:
                self._run_work(write, write.work)
            else:
                while end < len(batch) and batch[end].work is None and batch[end].sql == write.sql:
                    end += 1
                self._run_rows(write.sql, batch[start:end])
            start = end

    def _run_work(self, write: Write[T], work: Work[T]) -> None:
        self._db.execute("SAVEPOINT work")
        try:
            write.outcome = work(self._db)
        except Exception as error:  # noqa: BLE001  # it belongs to whoever asked for the work
            if self._db.in_transaction:
                self._db.execute("ROLLBACK TO work")
            self._blame(write, error)
        self._db.execute("RELEASE work")

    def _run_rows(self, sql: str, writes: list[Write[None]]) -> None:
        """The rows of one statement, as many at a time as may be.

        Each step of SQLite gives up the interpreter's lock and asks for it again, so that a row a
        step would make the loop's thread and this one take turns for every row.
        """
        if len(writes) <= MAX_ROWS:
            self._run_some(sql, writes)
            return
        for start in range(0, len(writes), MAX_ROWS):
            self._run_some(sql, writes[start : start + MAX_ROWS])

    def _run_some(self, sql: str, writes: list[Write[None]]) -> None:
        """All of them in one step; where that fails, each by itself, so that only the guilty one does."""
        if len(writes) > 1:
            try:
                self._run_at_once(sql, writes)
            except Exception:  # one of them is at fault; which one shows below
                if not self._db.in_transaction:
                    raise
            else:
                return
        for write in writes:
            try:
                self._db.execute(sql, write.row)
            except Exception as error:  # noqa: BLE001  # it belongs to whoever sent the row
                self._blame(write, error)

    def _run_at_once(self, sql: str, writes: list[Write[None]]) -> None:
        if len(writes) == 1:
            self._db.execute(sql, writes[0].row)
        else:
            values = tuple(chain.from_iterable([write.row for write in writes]))
            self._db.execute(_for_rows(sql, len(writes)), values)

    def _blame(self, write: Write[Any], error: Exception) -> None:
        """Fail one write. Raises the error again where it took the whole transaction with it."""
        of_sqlite = isinstance(error, apsw.Error)
        if (of_sqlite and not isinstance(error, _OWN_FAULTS)) or not self._db.in_transaction:
            raise error
        write.error = as_store_error(error, self._path) if of_sqlite else error

    def _abandon(self, batch: list[Write[Any]], error: Exception) -> None:
        if self._db.in_transaction:
            with contextlib.suppress(apsw.Error):  # SQLite has rolled back already, or will when it can
                self._db.execute("ROLLBACK")
        self._owed[:0] = [write for write in batch if write.owed]
        for write in batch:
            told = as_store_error(error, self._path)
            told.__cause__ = error
            write.error = told

    def _refuse_queued(self, error: StoreError) -> None:
        """Fail everything in the queue. A request to stop stays in it."""
        refused: list[Write[Any]] = []
        stop = False
        with contextlib.suppress(Empty):
            while True:
                write = self._queue.get_nowait()
                if write is None:
                    stop = True
                elif write is not _Checkpoint.DUE:
                    write.error = StoreError(error.problem, hint=error.hint)
                    refused.append(write)
        self._owed.extend(write for write in refused if write.owed)
        self._no_longer_behind(len(refused))
        if stop:
            self._queue.put(None)
        self._settle(refused)

    def _settle(self, writes: list[Write[Any]]) -> None:
        """Tell everybody at once: one wake-up for each loop, not one for each write."""
        loops: dict[asyncio.AbstractEventLoop, list[Write[Any]]] = {}
        for write in writes:
            if write.loop is None:
                write.settle()
            else:
                loops.setdefault(write.loop, []).append(write)
        for loop, theirs in loops.items():
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_settle_all, theirs)


def done() -> Write[None]:
    """A write that needs nothing to be done."""
    write = Write[None](_running_loop())
    write.settle()
    return write


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _settle_all(writes: list[Write[Any]]) -> None:
    for write in writes:
        write.settle()
