"""The schema, as numbered scripts: each is applied once, and all that are missing together or not at all.

`user_version` in the file's header is the number of the last one. There is no way back: a file
from a newer version of the program is refused untouched.
"""

from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import apsw

from interlock.errors import StoreError
from interlock.store.connect import APPLICATION_ID, PAGE_BYTES, as_store_error, switch_to_wal


def scripts() -> tuple[str, ...]:
    """The scripts in order; the number in a file's name is its place."""
    folder = resources.files("interlock.store") / "migrations"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name
    )
    for number, file in enumerate(files, start=1):
        assert file.name.startswith(f"{number:04}_"), f"{file.name} is not number {number}"
    return tuple(file.read_text("utf-8") for file in files)


def migrate(db: apsw.Connection, path: Path, migrations: Sequence[str], *, busy_s: float) -> None:
    """Bring the file up to date. Raises StoreError where it is damaged, not ours, or newer than this program.

    Any number of processes may do this at once: one applies, the others wait and find it done.
    """
    try:
        found = _version(db, path, len(migrations))  # before anything is written: it may not be ours
        db.execute(f"PRAGMA page_size = {PAGE_BYTES}")  # heeded in an empty file only
        switch_to_wal(db, path, busy_s=busy_s)
        if found < len(migrations):
            _apply(db, path, migrations)
    except apsw.Error as error:
        raise as_store_error(error, path) from error


def _apply(db: apsw.Connection, path: Path, migrations: Sequence[str]) -> None:
    db.execute("BEGIN EXCLUSIVE")
    try:
        for script in migrations[_version(db, path, len(migrations)) :]:
            db.execute(script)
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {len(migrations)}")
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _version(db: apsw.Connection, path: Path, newest: int) -> int:
    """The number of the last script that was applied. Reads header and schema, so gross damage shows here."""
    with db:  # one state of the file: another process may be making it right now
        version: int = db.execute("PRAGMA user_version").get
        owner: int = db.execute("PRAGMA application_id").get
        tables: int = db.execute("SELECT count(*) FROM sqlite_schema").get
    if owner != APPLICATION_ID and (owner or version or tables):
        raise StoreError(
            f"{path}: this database belongs to another program",
            hint="point `store.url` at a file of its own",
        )
    if version > newest:
        raise StoreError(
            f"{path}: its schema is number {version}, this program knows up to {newest}",
            hint="it was used by a newer Interlock: run that version, or restore an older backup",
        )
    return version
