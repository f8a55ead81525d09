"""A write on its way to the store, and what whoever asked for it waits on."""

import asyncio
import contextlib
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future
from functools import lru_cache
from itertools import chain
from typing import Any, Final, Generic, TypeVar

import apsw

T = TypeVar("T")
Work = Callable[[apsw.Connection], T]
Row = Sequence[Any]

# Failures of one write's own making: the transaction around it is sound.
OWN_FAULTS: Final = (
    apsw.ConstraintError,
    apsw.MismatchError,
    apsw.TooBigError,
    apsw.SQLError,
    apsw.BindingsError,
)


class Write(Generic[T]):
    """A write on its way. In a coroutine, await it; where no loop runs, call `result`.

    Whoever stops waiting does not stop the write. Raises StoreError where it is not in the file. `owed` is
    tried again with the next transaction. For one that is `noted`, in the journal, nobody waits.
    """

    __slots__ = ("durable", "error", "future", "loop", "noted", "outcome", "owed", "row", "sql", "work")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None,
        sql: str = "",
        row: Row = (),
        work: Work[T] | None = None,
        durable: bool = False,
        owed: bool = False,
        noted: bool = False,
    ) -> None:
        self.loop = loop
        self.sql = sql
        self.row = row
        self.work = work
        self.durable = durable
        self.owed = owed
        self.noted = noted
        self.error: Exception | None = None
        self.outcome: T | None = None
        if not noted:
            self.future: asyncio.Future[T] | Future[T] = (
                loop.create_future() if loop is not None else Future()
            )

    def __await__(self) -> Generator[Any, None, T]:
        assert isinstance(self.future, asyncio.Future), "made where no loop runs: call result()"
        return self.future.__await__()

    def result(self) -> T:
        """Block until it is committed."""
        assert isinstance(self.future, Future), "made in a coroutine: await it"
        return self.future.result()

    def settle(self) -> None:
        """Tell whoever waits. Called in the thread of the loop, if there is one."""
        if self.noted or self.future.done():  # nobody waits, or it was cancelled
            return
        if self.error is not None:
            self.future.set_exception(self.error)
            if self.owed:
                self.future.exception()  # nobody has to look: it will be tried again
        else:
            self.future.set_result(self.outcome)  # type: ignore[arg-type]  # set by the work, or T is None


def insert(db: apsw.Connection, sql: str, writes: Sequence[Write[Any]]) -> None:
    """Run the rows of one INSERT in one step. Raises what SQLite does, and then none of them is there."""
    if len(writes) == 1:
        db.execute(sql, writes[0].row)
    else:
        values = tuple(chain.from_iterable([write.row for write in writes]))
        db.execute(_for_rows(sql, len(writes)), values)


@lru_cache(maxsize=64)
def _for_rows(sql: str, count: int) -> str:
    """An INSERT of one row, made into one of `count`."""
    group = sql[sql.index("VALUES (") + len("VALUES ") : sql.index(")", sql.index("VALUES (")) + 1]
    return sql.replace(group, ", ".join([group] * count), 1)


def done() -> Write[None]:
    """A write that needs nothing to be done."""
    write = Write[None](running_loop())
    write.settle()
    return write


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs here, if any."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def settle(writes: Iterable[Write[Any]]) -> None:
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


def _settle_all(writes: list[Write[Any]]) -> None:
    for write in writes:
        write.settle()
