"""Rows that are answered for before they are in the database: a file beside it, which outlives the process.

A transaction reads and writes many times what one plain write does, and the caller would wait for all of it.
So the row is noted here, in one piece; its answer may leave, and the transaction follows at once. What a
process that was killed had no time for is put into the database by whoever opens it next. As with a
transaction that is not synced, the end of the process loses nothing; the end of the machine may.

The file has a fixed size, which is taken from the disk at once: a disk that is full later cannot fail it. It
belongs to one process at a time, by a lock that ends with the process.

Layout: an entry with the names of the columns; from ROWS_AT on, an entry for each row, one behind the other,
for as long as they are of one generation and whole. An entry is a generation, a length, a checksum, and so
many bytes of MessagePack. The checksum is an Adler-32 begun with the generation: unlike a CRC it needs no
tables, which would be out of the cache.
"""

import contextlib
import fcntl
import os
import stat
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from interlock.store.write import Row

SUFFIX: Final = "-rows"
SIZE: Final = 256 * 1024
ROWS_AT: Final = 1024
_HEAD: Final = struct.Struct("<III")
_encode: Final = msgspec.msgpack.Encoder().encode


class Journal:
    """Mutable: one process's hold on the file. Open one with `Journal.open`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._generation = 1
        self._end = ROWS_AT

    @classmethod
    def open(cls, database: Path) -> "Journal | None":
        """The journal beside a database, for whoever may use that; None where another process has it.

        What an earlier process has left there is still to be `left`, and gone once `begin` was called. Raises
        OSError where the file cannot be had.
        """
        path = cls.beside(database)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.fstat(descriptor)
            if os.path.samestat(found, os.lstat(path)):  # else its owner has just removed it
                if found.st_size == 0:
                    _share(descriptor, database)
                return cls(path, descriptor)
        except (BlockingIOError, FileNotFoundError):
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    @staticmethod
    def beside(database: Path) -> Path:
        """Where the journal of a database is: beside the file itself, whatever link led there."""
        return Path(os.path.realpath(database) + SUFFIX)

    def left(self) -> tuple[tuple[str, ...], list[Row]]:
        """The columns and the rows that an earlier process has noted, the oldest first. Raises OSError."""
        data = os.pread(self._descriptor, SIZE, 0)
        names = _entry(data, 0)
        found: list[Row] = []
        if names is None:
            return (), found
        place, generation = ROWS_AT, None
        while (entry := _entry(data, place)) is not None and generation in (None, entry[0]):
            generation = entry[0]
            found.append(msgspec.msgpack.decode(entry[1]))
            place += _HEAD.size + len(entry[1])
        return tuple(msgspec.msgpack.decode(names[1])), found

    def begin(self, columns: Sequence[str]) -> bool:
        """Empty the file and take its size from the disk, for rows of these columns.

        False: the disk is full, or the file has another name too, under which it may be of use to somebody.
        """
        self._generation, self._end = 1, ROWS_AT
        try:
            if os.fstat(self._descriptor).st_nlink != 1:
                return False
            os.ftruncate(self._descriptor, 0)
            os.posix_fallocate(self._descriptor, 0, SIZE)
            os.pwrite(self._descriptor, _as_entry(0, _encode(columns)), 0)
        except OSError:
            return False
        return True

    def note(self, row: Row) -> bool:
        """Write a row down; False where that cannot be: it is too large, or no row at all."""
        begin = self._end
        try:
            entry = _as_entry(self._generation, _encode(row))
            size = len(entry)
            if begin + size > SIZE or os.pwrite(self._descriptor, entry, begin) != size:
                return False
        except (UnicodeError, OverflowError, TypeError, OSError):
            return False
        self._end = begin + size
        return True

    def clear(self) -> None:
        """All rows are in the database: begin anew. The next note says so, by its generation."""
        self._generation = (self._generation + 1) & 0xFFFFFFFF
        self._end = ROWS_AT

    def wipe(self) -> None:
        """Leave nothing of what is not needed any more. It takes no room: a full disk is no matter."""
        with contextlib.suppress(OSError):
            os.pwrite(self._descriptor, bytes(SIZE - self._end), self._end)

    def close(self, *, done: bool) -> None:
        """Let go of the file. `done`: nothing in it is needed, so it goes."""
        if done:
            with contextlib.suppress(OSError):
                self._path.unlink()
        os.close(self._descriptor)


def _share(descriptor: int, database: Path) -> None:
    """Give a new file the mode and, if we may, the owner of the database, as SQLite does with its own."""
    with contextlib.suppress(OSError):
        like = database.stat()
        os.fchmod(descriptor, stat.S_IMODE(like.st_mode) & 0o666)
        if os.geteuid() == 0:
            os.fchown(descriptor, like.st_uid, like.st_gid)


def _as_entry(generation: int, data: bytes) -> bytes:
    return _HEAD.pack(generation, len(data), zlib.adler32(data, generation)) + data


def _entry(data: bytes, place: int) -> tuple[int, bytes] | None:
    """The generation and the bytes of a whole entry; None where there is none."""
    if place + _HEAD.size > len(data):
        return None
    generation, length, _ = _HEAD.unpack_from(data, place)
    body = data[place + _HEAD.size : place + _HEAD.size + length]
    whole = (
        0 < length == len(body) and _as_entry(generation, body) == data[place : place + _HEAD.size + length]
    )
    return (generation, body) if whole else None
