"""Opening connections to one SQLite file: where it is, whether it is ours, how long to wait for a lock.

It never opens the file by itself: closing a plain file descriptor would drop the locks that
SQLite holds on the same file in this process.
"""

import os
import stat
import time
from collections.abc import Callable
from ctypes import addressof, c_int
from pathlib import Path
from typing import Final

import apsw

from interlock.errors import StoreError

APPLICATION_ID: Final = 0x494C_4B31  # "ILK1" in the file's header: whose file this is
PAGE_BYTES: Final = 4096  # a few records; each commit writes whole pages, so smaller ones write less
READ_ENDS_S: Final = 5.0
_SCHEME: Final = "sqlite:///"


def check_library(version: str) -> None:
    """Refuse an SQLite (3.7.0 to 3.51.2) in which two processes that checkpoint at once corrupt the file."""
    major, minor, patch = (int(part) for part in version.split(".")[:3])
    number = (major, minor, patch)
    mended = number >= (3, 51, 3) or number < (3, 7, 0)
    if mended or (number >= (3, 50, 7) and minor == 50) or (number >= (3, 44, 6) and minor == 44):
        return
    raise StoreError(
        f"SQLite {version} can corrupt a database that several processes write (the WAL-reset bug)",
        hint="install `apsw` from its wheel, which brings SQLite 3.51.3 or newer",
    )


def locate(where: str | Path, base: Path) -> Path:
    """The file that a path or a `sqlite:///` URL names; a relative one is relative to `base`."""
    text = str(where)
    if text.startswith(_SCHEME):
        text = text.removeprefix(_SCHEME)
    elif "://" in text:
        scheme = text.partition("://")[0]
        raise StoreError(
            f"store.url: `{scheme}` is not a store that this version has",
            hint="use a file: `sqlite:///interlock.db`",
        )
    if text in ("", ":memory:"):
        raise StoreError(
            "store.url: a store must be a file, because several processes share it",
            hint="use `sqlite:///interlock.db`",
        )
    return base / text


def create(path: Path) -> None:
    """Make the file for its owner only, unless it exists. SQLite gives `-wal` and `-shm` the same mode."""
    try:
        os.mknod(path, stat.S_IFREG | 0o600)  # makes it without opening it
    except FileExistsError:
        return
    except OSError as error:
        raise StoreError(
            f"{path}: the store cannot be created: {error.strerror}",
            hint="the folder must exist and be writable; `store.url` names the file",
        ) from error


def connect(path: Path, *, busy_s: float) -> apsw.Connection:
    """A connection that waits at most `busy_s` seconds for a lock."""
    try:
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    except apsw.Error as error:
        raise as_store_error(error, path) from error
    db.set_busy_handler(patience(busy_s))
    return db


def connect_reader(path: Path, *, busy_s: float) -> apsw.Connection:
    db = connect(path, busy_s=busy_s)
    db.execute("PRAGMA query_only = ON")
    return db


def close_reader(db: apsw.Connection) -> None:
    """Close a connection. What another thread reads with it ends first, unless it takes READ_ENDS_S."""
    deadline = time.monotonic() + READ_ENDS_S
    while True:
        try:
            db.close()
        except apsw.ThreadingViolationError:
            if time.monotonic() > deadline:
                return  # the end of the process closes it
            time.sleep(0.002)
        else:
            return


def switch_to_wal(db: apsw.Connection, path: Path, *, busy_s: float) -> None:
    """In WAL mode readers and the writer do not block each other. SQLite does not wait for this switch."""
    wait = patience(busy_s)
    tries = 0
    while True:
        try:
            mode = db.execute("PRAGMA journal_mode = WAL").get
        except apsw.BusyError as error:
            if not wait(tries):
                raise as_store_error(error, path) from error
            tries += 1
        else:
            break
    if mode != "wal":
        raise StoreError(
            f"{path}: the file system does not support what SQLite needs (shared memory)",
            hint="keep the store on a local disk",
        )


def patience(busy_s: float) -> Callable[[int], bool]:
    """A busy handler with short naps: SQLite's own soon sleeps for 100 ms, an age among group commits."""
    deadline = 0.0

    def wait(tries: int) -> bool:
        nonlocal deadline
        now = time.monotonic()
        if tries == 0:
            deadline = now + busy_s
        if now >= deadline:
            return False
        time.sleep(min(0.0005 * (tries + 1), 0.01, deadline - now))
        return True

    return wait


class Others:
    """Whether other processes are at a file: SQLITE_FCNTL_EXTERNAL_READER, one question to the kernel."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._found = c_int()
        self._address = addressof(self._found)

    def there(self) -> bool:
        """Whether another process has a transaction open, to read or to write, or that is not known."""
        try:
            self._db.file_control("main", apsw.SQLITE_FCNTL_EXTERNAL_READER, self._address)
        except apsw.Error:  # another thread of ours is at it
            return True
        return self._found.value != 0


def as_store_error(error: Exception, path: Path) -> StoreError:
    """What an operator is told about a failure of SQLite: the file, never what was being written to it."""
    match error:
        case apsw.BusyError() | apsw.LockedError():
            what, hint = (
                "another process holds its lock",
                "find it with `fuser`; a backup tool must not lock it",
            )
        case apsw.FullError():
            what, hint = "the disk is full", "free some space; writing resumes by itself"
        case apsw.CorruptError() | apsw.NotADBError():
            what, hint = (
                "not a database, or a damaged one",
                "restore it from a backup, or move it and all beside it away to start with an empty one",
            )
        case apsw.ReadOnlyError() | apsw.CantOpenError() | apsw.PermissionsError():
            what, hint = "it cannot be opened for writing", "check the path, its owner and its permissions"
        case apsw.IOError():
            what, hint = "reading or writing it failed", "check the disk; writing resumes by itself"
        case apsw.ConstraintError():
            what, hint = f"a row breaks the schema ({error})", ""
        case apsw.Error():
            what, hint = f"SQLite says: {error}", ""
        case _:
            what, hint = f"writing to it failed unexpectedly ({type(error).__name__})", ""
    return StoreError(f"{path}: {what}", hint=hint)
