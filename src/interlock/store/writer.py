"""One connection that writes for a whole process, many writes to a transaction.

Whatever one turn of a loop has asked for becomes one transaction. Where that is quick it is carried out
at the end of that very turn: plain rows, no lock of another process in the way, a disk that has not been
slow of late. Everything else is a thread's, which may wait: durable writes, work, checkpoints, a lock that
is taken. Handing each commit to the thread costs more than the commit, in CPU and in latency.

Rows that are noted in a journal (`ahead`) need nobody to wait: they are committed once the turn in which
their answers leave is over, and where more come with every turn, several turns' together. Whatever is asked
for after them is written after them.

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
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

import apsw

from interlock.errors import StoreError
from interlock.store.ahead import Ahead
from interlock.store.connect import Others, as_store_error, patience
from interlock.store.write import OWN_FAULTS, Row, Work, Write, insert, running_loop, settle

T = TypeVar("T")

MAX_PENDING: Final = 10_000
MAX_BATCH: Final = 256
MAX_ROWS: Final = 32
"""How many rows one statement writes at most. Each number of rows is a statement that is kept, prepared."""
MAX_QUICK: Final = 32
"""How many rows a loop commits at most in its own thread."""
MAX_NOTED: Final = 16
"""From so many noted rows on they are committed, even if more come with every turn."""
SLOW_S: Final = 0.02
"""A loop that had to wait this long for a commit leaves them to the thread, for AWAY_S."""
AWAY_S: Final = 5.0
CHECKPOINT_PAGES: Final = 2000
"""So many pages in the write-ahead log are moved into the file. The thread's work: it syncs to the disk."""


class _Checkpoint(Enum):
    """In the queue: nothing to write, but a checkpoint is due."""

    DUE = 0


class Writer:
    """The writing connection, its thread and its queue, and `ahead`, where rows of a loop can be noted.

    `commits` counts the transactions committed. Whoever holds `_turn` may use the connection. `_behind` is
    how many writes are the thread's, in the queue or in its hands, until they are in the file: nothing may
    overtake them. `busy_s` bounds the thread's wait for another process.
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
        self._free_at = 0.0
        self._log_pages = 0
        self._db = db
        self._others = Others(db)
        self._path = path
        self._max_pending = max_pending
        self._max_batch = max_batch
        self._queue: SimpleQueue[Write[Any] | _Checkpoint | None] = SimpleQueue()  # None: stop
        self._arrived: dict[asyncio.AbstractEventLoop, list[Write[Any]]] = {}
        self.ahead: Ahead | None = None
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
        waiting = self.ahead.waiting if self.ahead is not None else 0
        return self._queue.qsize() + sum(map(len, self._arrived.values())) + waiting

    @property
    def owes(self) -> bool:
        """Whether something could not be written and is to be tried again."""
        return bool(self._owed)

    def row(self, sql: str, row: Row, *, durable: bool = False) -> Write[None]:
        """Run one statement with these values. Neighbours in the queue with the same one run together."""
        return self._put(Write(running_loop(), sql, row, None, durable))

    def call(self, work: Work[T], *, durable: bool = False, owed: bool = False) -> Write[T]:
        """Run `work(connection)` inside the transaction; where it raises, only what it did is undone.

        `owed`: where the transaction could not be kept, it is tried again in the next one before anything
        else, and so on. So nothing that was asked for after it can be in the file without it.
        """
        return self._put(Write(running_loop(), "", (), work, durable, owed))

    def note(self, sql: str, row: Row, *, since: float) -> bool:
        """Take charge of a row: from now on it outlives this process, and soon it is committed.

        False where that cannot be now, because there is no journal, something else has to be written before
        it, or another process may have been at the file since an instant of the monotonic clock: then it is
        `row` that has to be waited for.
        """
        ahead = self.ahead
        if (
            ahead is None
            or self._free_at < since
            or self._arrived
            or self._behind
            or self._owed
            or self._closing
            or not ahead.note(sql, row)
        ):
            return False
        if ahead.waiting == 1:
            ahead.soon(self._follow, 0)
        return True

    def probe(self, since: float) -> None:
        """Find out for a `note` to come if another process is at the file. A commit finds out as well."""
        if self.ahead is not None and self._free_at < since and not self._others.there():
            self._free_at = time.monotonic()

    def forget_noted(self) -> None:
        """Wipe what is in the file already out of the journal, where it would outlive its retention."""
        if self.ahead is not None:
            self.ahead.wipe()

    def commit_noted(self) -> None:
        """Commit what was noted until now, if that is quick: somebody is about to read. A thread waits."""
        if self.ahead is not None and self.ahead.noted:
            if running_loop() is not None:
                self._commit()
            elif not self._owed:
                with contextlib.suppress(StoreError):
                    self.call(lambda _: None).result()

    async def caught_up(self) -> None:
        """Return when what was noted until now is in the file; what could not be written is tried again.

        Raises StoreError where it still cannot.
        """
        if self.ahead is not None and self.ahead.noted:
            await self.call(lambda _: None)

    def run(self, work: Work[T]) -> T:
        """Like a durable `call`, but wait for it here, even where a loop runs: for the start of a process."""
        return self._put(Write(None, work=work, durable=True)).result()

    def close(self) -> None:
        """Commit what is queued, end the thread, close the connection."""
        if not self._closing:
            self._closing = True
            for loop in list(self._arrived):
                self._hand_over(loop)
            self._leave([])
            self._queue.put(None)
        self._thread.join()
        ahead, self.ahead = self.ahead, None
        if ahead is not None:
            ahead.close()

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
        self._commit(self._arrived.pop(loop, ()))

    def _follow(self, before: int) -> None:
        """Commit what was noted, when a turn has passed in which no more was, or when it is enough."""
        ahead = self.ahead
        if ahead is not None:
            count = ahead.waiting
            if before < count < MAX_NOTED:
                ahead.soon(self._follow, count)
            else:
                self._commit()

    def _noted(self) -> Sequence[Write[Any]]:
        return self.ahead.take() if self.ahead is not None and self.ahead.waiting else ()

    def _commit(self, arrived: Sequence[Write[Any]] = ()) -> None:
        """Commit what was noted and what has arrived here, or leave it to the thread."""
        with self._count:  # until it is clear which, nothing else can be left to the thread, and be earlier
            writes = [*self._noted(), *arrived]
            here = bool(writes) and self._is_quick(writes) and self._has_turn()
            if not here:
                self._queue_up(writes)
        if here and not self._write_here(writes):
            self._leave(writes)

    def _leave(self, writes: list[Write[Any]]) -> None:
        """Leave writes to the thread, behind what was noted before them."""
        with self._count:
            self._queue_up([*self._noted(), *writes])

    def _queue_up(self, writes: list[Write[Any]]) -> None:
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

    def _has_turn(self) -> bool:
        """Take the turn at the connection, where that needs no wait and nothing comes before."""
        if not self._turn.acquire(blocking=False):
            return False
        free = not (self._closing or self._behind or not self._queue.empty())
        if not free:  # what came before has to be written before, and a checkpoint wants its turn
            self._turn.release()
        return free

    def _write_here(self, writes: list[Write[Any]]) -> bool:
        """Commit in the loop's own thread, which has the turn; False where that would mean to wait."""
        began = time.monotonic()
        self._may_wait = False
        try:
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
            insert(self._db, sql, writes)
        except apsw.BusyError:
            raise
        except Exception:  # noqa: BLE001 - it is found out and told where they are tried again, one by one
            return False
        self._committed(writes)
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
            settle(batch)
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
        for write in self._owed:
            write.error = None
        batch[:0], self._owed = self._owed, []
        try:
            self._carry_out(batch)
            self._db.execute("COMMIT")
            self._committed(batch)
        except Exception as error:  # noqa: BLE001  # whatever it was, everybody is told and the work goes on
            self._abandon(batch, error)

    def _committed(self, writes: list[Write[Any]]) -> None:
        self.commits += 1
        self._free_at = time.monotonic()
        if self.ahead is not None and self.ahead.noted:
            self.ahead.committed(writes)

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
                insert(self._db, sql, writes)
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

    def _blame(self, write: Write[Any], error: Exception) -> None:
        """Fail one write. Raises the error again where it took the whole transaction with it."""
        of_sqlite = isinstance(error, apsw.Error)
        if (of_sqlite and not isinstance(error, OWN_FAULTS)) or not self._db.in_transaction:
            raise error
        write.error = as_store_error(error, self._path) if of_sqlite else error

    def _abandon(self, batch: list[Write[Any]], error: Exception) -> None:
        if self._db.in_transaction:
            with contextlib.suppress(apsw.Error):  # SQLite has rolled back already, or will when it can
                self._db.execute("ROLLBACK")
        self._owed[:0] = [write for write in batch if write.owed]
        self._tell(batch, as_store_error(error, self._path))
        for write in batch:
            told = as_store_error(error, self._path)
            told.__cause__ = error
            write.error = told

    def _tell(self, writes: list[Write[Any]], error: StoreError) -> None:
        """Say that noted rows are not in the file yet, once for all of them."""
        if self.ahead is not None and any(write.noted for write in writes):
            self.ahead.failed(error)

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
        self._tell(refused, error)
        self._no_longer_behind(len(refused))
        if stop:
            self._queue.put(None)
        settle(refused)
