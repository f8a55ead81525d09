"""Revisions of the config: noting each that begins to run, and putting an earlier one back.

The file is the truth at every start, so to go back is to write the earlier file, in one step, and to let the
servers reload it. The intent stands in the control log before the file is touched; the revision and the file
change while the store's write lock is held, so that of two who go back at once one wins and no server notes
the file before.
"""

import itertools
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import apsw
from msgspec import Struct

from interlock.classify.detect import scan
from interlock.config.checked import encode
from interlock.config.loading import Loaded
from interlock.errors import InterlockError, StoreError
from interlock.store import control_log, revisions
from interlock.store.revisions import Kind, Ran, Revision
from interlock.store.sqlite import Store
from interlock.wiring import now_us


class FileChanged(InterlockError):  # noqa: N818  # it says what is the case
    """Somebody else has written the file meanwhile, or it cannot be written; nothing was changed."""

    def __init__(self, problem: str, hint: str = "look again: `interlock config history`") -> None:
        super().__init__(problem)
        self.hint = hint


class Restored(Struct, frozen=True, kw_only=True):
    """`revision` is what runs from here on; `backup` holds the file as it was, where that was another one."""

    revision: Revision
    backup: Path | None


def ran(loaded: Loaded) -> Ran:
    """What is kept of a config that begins to run: no file in which a key stands, be it one of no use."""
    config, text = loaded.config, loaded.text
    if text is not None and any(hit.kind.startswith("secret") for hit in scan(text.decode(errors="replace"))):
        text = None
    return Ran(hash=config.config_hash, policy_hash=config.policy_hash, body=encode(config), text=text)


def note(store: Store, loaded: Loaded, kind: Kind) -> Revision | None:
    """Note that a config begins to run; None where it is what ran before, or another worker was first.

    Blocks. Raises StoreError.
    """
    found = ran(loaded)
    if store.read(lambda db: revisions.is_newest(db, found)):
        return None
    return store.writer.run(lambda db: revisions.add(db, found, kind=kind, by="config", at=now_us()))


def restore(
    store: Store, loaded: Loaded, *, was: bytes, to: Revision, newest: int, by: str, reason: str | None
) -> Restored:
    """Write an earlier revision's file over the config's, and make it the newest revision.

    `loaded` is that file, checked, with the config's path; `was` what the config's file held when that was
    done, and `newest` the newest revision then. Blocks. Raises StaleRevision, FileChanged or StoreError, and
    then nothing has changed; killed in between, the file is the one or the other, whole.
    """
    text = loaded.text
    assert text is not None, "a file that is kept holds no key"
    file, found, now = loaded.path.resolve(), ran(loaded), now_us()
    asked = {"to": to.number, "from": newest, "hash": found.hash, "reason": reason}

    def announce(db: apsw.Connection) -> None:
        revisions.check_newest(db, newest)
        control_log.append(db, at=now, actor=by, action="config.rollback.asked", body=asked)

    def change(db: apsw.Connection) -> Restored:
        revisions.check_newest(db, newest)
        added = revisions.add(db, found, kind="rollback", by=by, at=now, reason=reason)
        revision = added or revisions.newest(db)
        assert revision is not None, "there is one: it was seen"
        backup = None if was == text else _replace(file, text, was, revision.number)
        return Restored(revision=revision, backup=backup)

    store.writer.run(announce)
    try:
        return store.writer.run(change)
    except StoreError:  # the last step, the commit, may have failed after the file was written
        if was != text and file.read_bytes() == text:
            _write(file, was)
        raise


def _replace(file: Path, text: bytes, was: bytes, number: int) -> Path:
    """Put `text` in the file's place; where the file as it was is kept."""
    try:
        if file.read_bytes() != was:
            raise FileChanged("the file was changed meanwhile")
        backup = _fresh(file, number)
        try:
            _write(backup, was, like=file)
        except BaseException:
            backup.unlink(missing_ok=True)
            raise
        _write(file, text)
    except OSError as error:
        raise FileChanged(f"it cannot be written: {(error.strerror or 'unknown').lower()}") from None
    return backup


def _fresh(file: Path, number: int) -> Path:
    """A backup's name that nobody has, taken: an earlier backup may be the only copy of a file."""
    for count in itertools.count(1):
        again = "" if count == 1 else f".{count}"
        backup = file.with_name(f"{file.name}.before-{number}{again}.bak")
        with suppress(FileExistsError):
            os.close(os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            return backup
    raise AssertionError("there is always another number")


def _write(file: Path, data: bytes, *, like: Path | None = None) -> None:
    """Put data in a file's place, whole or not at all, also across a loss of power; `like`: whose owner and
    mode it gets.
    """
    found = (like or file).stat()
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "wb") as new:
            _own(new.fileno(), found)
            new.write(data)
            new.flush()
            os.fsync(new.fileno())
        Path(name).replace(file)
    except (OSError, FileChanged):
        with suppress(OSError):
            Path(name).unlink()
        raise
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _own(descriptor: int, like: os.stat_result) -> None:
    """Give a new file another's owner, group and mode: whoever could read that one can read this one."""
    made = os.fstat(descriptor)
    if (made.st_uid, made.st_gid) != (like.st_uid, like.st_gid):
        try:
            os.fchown(descriptor, like.st_uid, like.st_gid)
        except OSError:
            raise FileChanged(
                f"its owner could not be kept (user {like.st_uid}, group {like.st_gid}), and a server "
                "that runs as that one could not read it any more",
                hint="run the command as the file's owner, or as root",
            ) from None
    os.fchmod(descriptor, like.st_mode & 0o7777)
