"""An SQLite file layer that fails on demand: the n-th write or sync from now, as a real disk would."""

from typing import Any

import apsw

NAME = "interlock-faulty"


class Disk(apsw.VFS):
    """Passes everything on to the real disk, until `fail` is due. Counts its syncs.

    `default`: connections that name no file layer are on this one too.
    """

    def __init__(self, *, default: bool = False) -> None:
        self.real = apsw.vfs_names()[0]
        super().__init__(NAME, self.real, makedefault=default)
        self.syncs = 0
        self._left: int | None = None
        self._error: type[apsw.Error] = apsw.FullError
        self._lasting = False

    def fail(self, nth: int, error: type[apsw.Error], *, lasting: bool) -> None:
        """Let the n-th write or sync from now fail; `lasting`: and all later ones."""
        self._left, self._error, self._lasting = nth, error, lasting

    def mend(self) -> None:
        self._left = None

    def step(self) -> None:
        if self._left is None:
            return
        self._left -= 1
        if self._left == 0 or (self._left < 0 and self._lasting):
            raise self._error("injected")

    def xOpen(self, name: Any, flags: Any) -> "File":  # noqa: N802  # SQLite's name
        return File(self, name, flags)


class File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: Any) -> None:
        super().__init__(disk.real, name, flags)
        self._disk = disk

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802  # SQLite's name
        self._disk.step()
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802  # SQLite's name
        self._disk.syncs += 1
        self._disk.step()
        super().xSync(flags)
