"""Opening: whose file, which version of it, in what state, and with which SQLite."""

import os
import signal
import stat
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import pytest

from interlock.errors import StoreError
from interlock.store import Store, connect
from interlock.store.migrate import migrate, scripts
from tests.store.given import NOW, by_hand, child, clock, go, opened, record


def filled(path: Path, how_many: int = 200) -> None:
    """A closed store with records in it."""
    with opened(path) as store:
        for number in range(how_many):
            store.put_record(record(number, decision=b"d" * 500)).result()
        store.seed_aliases({"prod": "m"}, now=NOW, by="file")


@pytest.mark.parametrize("version", ["3.7.0", "3.40.1", "3.44.5", "3.45.0", "3.50.6", "3.51.0", "3.51.2"])
def test_an_sqlite_with_the_wal_reset_bug_is_refused(version):
    with pytest.raises(StoreError, match=f"SQLite {version} can corrupt .*\nhint: install `apsw`"):
        connect.check_library(version)


@pytest.mark.parametrize("version", ["3.6.23", "3.44.6", "3.44.7", "3.50.7", "3.51.3", "3.54.1", "4.0.0"])
def test_an_sqlite_without_the_bug_is_taken(version):
    connect.check_library(version)


def test_the_sqlite_of_this_process_is_taken():
    connect.check_library(apsw.sqlite_lib_version())


def test_the_library_is_looked_at_before_the_file(path, monkeypatch):
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.40.1")
    with pytest.raises(StoreError, match="WAL-reset"):
        Store.open(path, now=clock)
    assert not path.exists()


@pytest.mark.parametrize(
    ("where", "file"),
    [
        ("sqlite:///interlock.db", "/base/interlock.db"),
        ("sqlite:////var/lib/interlock.db", "/var/lib/interlock.db"),
        ("sqlite:///data/a.db", "/base/data/a.db"),
        ("a.db", "/base/a.db"),
        ("/var/a.db", "/var/a.db"),
    ],
)
def test_a_url_names_a_file_relative_to_its_base(where, file, tmp_path):
    assert str(connect.locate(where, tmp_path / "base")) == file.replace("/base", str(tmp_path / "base"))


@pytest.mark.parametrize("where", ["postgresql://db/x", "sqlite://", "sqlite:///", "sqlite:///:memory:", ""])
def test_a_store_that_is_not_a_file_is_refused(where):
    with pytest.raises(StoreError, match=r"store\.url.*\nhint: use"):
        Store.open(where, now=clock)


def test_the_files_are_for_their_owner_only(path):
    with opened(path) as store:
        store.put_record(record(1)).result()
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
        assert len(list(path.parent.iterdir())) == 3


def test_the_mode_that_an_operator_gave_the_file_is_left_alone(path):
    path.touch()
    path.chmod(0o660)
    with opened(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StoreError, match="the store cannot be created: No such file or directory\nhint: "):
        Store.open(tmp_path / "none" / "a.db", now=clock)


def test_a_folder_in_place_of_the_file_is_refused(tmp_path):
    with pytest.raises(StoreError, match="cannot be opened"):
        Store.open(tmp_path, now=clock)


def test_what_was_written_is_there_after_opening_again(path):
    with opened(path) as store:
        store.put_record(record(1)).result()
        secret = store.secret("keys")
        assert len(secret) == 32
        assert store.secret("other") != secret
    with opened(path) as store:
        assert store.get_record(record(1).id) == record(1)
        assert store.secret("keys") == secret


def test_a_copy_made_by_vacuum_into_opens_like_the_original(path, tmp_path):
    """o9: such a backup is not in WAL mode."""
    filled(path)
    copy = tmp_path / "backup.db"
    with by_hand(path) as db:
        db.execute("VACUUM INTO ?", (str(copy),))
    with opened(copy) as store:
        assert len(list(store.each_record())) == 200
        assert store.verify_control_log() is None
        store.put_record(record(1000)).result()
    with by_hand(copy) as db:
        assert db.execute("PRAGMA journal_mode").get == "wal"


@pytest.mark.parametrize("patient", [True, False])
def test_the_switch_to_wal_mode_waits_for_readers_as_long_as_it_may(path, tmp_path, patient):
    filled(path)
    copy = tmp_path / "backup.db"
    with by_hand(path) as db:
        db.execute("VACUUM INTO ?", (str(copy),))
    with by_hand(copy) as reader:
        reader.execute("BEGIN; SELECT count(*) FROM records")
        if patient:
            done = threading.Timer(0.03, lambda: reader.execute("ROLLBACK"))
            done.start()
            with opened(copy, busy_s=10) as store:
                assert store.get_record(record(1).id) is not None
            done.join()
        else:
            with pytest.raises(StoreError, match="another process holds its lock"):
                Store.open(copy, now=clock, busy_s=0.01)


def test_p9_a_file_that_is_no_database_is_refused_and_left_alone(path):
    path.write_bytes(b"all of this is text, and long enough for a header. " * 100)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not a database, or a damaged one\nhint: restore"):
        Store.open(path, now=clock)
    assert path.read_bytes() == before


@pytest.mark.parametrize("offset", [0, 16, 20, 100, 103])
def test_p9_flipped_bytes_in_the_header_or_schema_are_refused_at_the_start(path, offset):
    filled(path)
    data = bytearray(path.read_bytes())
    for place in range(offset, offset + 4):
        data[place] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(StoreError, match=r"damaged|SQLite says|another program"):
        Store.open(path, now=clock)


def test_p9_a_file_cut_short_is_refused(path):
    filled(path)
    path.write_bytes(path.read_bytes()[: connect.PAGE_BYTES * 3])
    with pytest.raises(StoreError, match="damaged"):
        Store.open(path, now=clock)


def test_p9_flipped_bytes_inside_are_found_by_integrity_and_end_in_a_store_error_when_read(path):
    filled(path)
    data = bytearray(path.read_bytes())
    with by_hand(path) as db:
        root = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'records_by_time'").get
    start = (root - 1) * connect.PAGE_BYTES
    data[start : start + 2000] = b"\xff" * 2000
    path.write_bytes(data)
    with opened(path) as store:
        assert store.integrity() != ()
        with pytest.raises(StoreError, match="damaged"):
            store.list_records()
        assert store.get_record(record(1).id) is not None, "what is sound can still be read"


def test_p9_a_newer_schema_is_refused_and_left_alone(path):
    filled(path)
    with by_hand(path) as db:
        db.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"its schema is number 99, this program knows up to .*\nhint: "):
        Store.open(path, now=clock)
    assert path.read_bytes() == before


def test_the_database_of_another_program_is_refused_and_left_alone(path):
    with by_hand(path) as db:
        db.execute("CREATE TABLE theirs (a)")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="belongs to another program"):
        Store.open(path, now=clock)
    assert path.read_bytes() == before


def schema(path: Path) -> tuple[set[Any], Any]:
    with by_hand(path) as db:
        names = {name for (name,) in db.execute("SELECT name FROM sqlite_schema")}
        return names, db.execute("PRAGMA user_version").get


STEPS = ("CREATE TABLE one (a)", "CREATE TABLE two (a); INSERT INTO two VALUES (1)", "CREATE TABLE three (a)")


def migrate_file(
    path: Path, steps: Sequence[str], *, busy_s: float = 1, **functions: Callable[..., None]
) -> None:
    connect.create(path)
    db = connect.connect(path, busy_s=busy_s)
    for name, function in functions.items():
        db.create_scalar_function(name, function, 0)
    try:
        migrate(db, path, steps, busy_s=busy_s)
    finally:
        db.close()


def test_only_the_steps_that_are_missing_are_applied(path):
    migrate_file(path, STEPS[:1])
    assert schema(path) == ({"one"}, 1)
    migrate_file(path, STEPS)
    assert schema(path) == ({"one", "two", "three"}, 3)
    migrate_file(path, STEPS)
    assert schema(path) == ({"one", "two", "three"}, 3)


@pytest.mark.parametrize("bad", range(1, 4))
def test_p9_a_migration_that_fails_leaves_nothing_behind(path, bad):
    migrate_file(path, STEPS[:1])
    broken = [*STEPS[:bad], "CREATE TABLE half (a); INSERT INTO nowhere VALUES (1)", *STEPS[bad:]]
    with pytest.raises(StoreError, match="no such table"):
        migrate_file(path, broken)
    assert schema(path) == ({"one"}, 1)
    migrate_file(path, STEPS)
    assert schema(path) == ({"one", "two", "three"}, 3)


@pytest.mark.parametrize("last", range(1, 4))
def test_p9_a_process_killed_while_it_migrates_leaves_nothing_behind(path, last):
    migrate_file(path, STEPS[:1])
    pid = os.fork()
    if pid == 0:
        killing = [*STEPS[:last], "CREATE TABLE half (a); SELECT die()", *STEPS[last:]]
        migrate_file(path, killing, die=lambda: os.kill(os.getpid(), signal.SIGKILL))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    migrate_file(path, STEPS)
    assert schema(path) == ({"one", "two", "three"}, 3)


def test_a_file_that_another_process_is_making_is_not_taken_for_a_foreign_one(path):
    """The other one strikes between two looks at the header."""
    struck: list[str] = []

    def strike(_cursor: object, sql: str, _values: object) -> bool:
        if "sqlite_schema" in sql and not struck:
            struck.append(sql)
            with suppress(StoreError):
                migrate_file(path, STEPS, busy_s=0.01)
        return True

    connect.create(path)
    db = connect.connect(path, busy_s=1)
    db.exec_trace = strike
    migrate(db, path, STEPS, busy_s=1)
    db.close()
    assert struck
    assert schema(path) == ({"one", "two", "three"}, 3)


class Hasty:
    """A connection to which SQLite says `busy` without waiting, as it may when a file becomes a WAL one."""

    def __init__(self, db: apsw.Connection, times: int) -> None:
        self.db = db
        self.times = times

    def execute(self, sql: str) -> Any:
        self.times -= 1
        if self.times >= 0:
            raise apsw.BusyError("database is locked")
        return self.db.execute(sql)


def test_busy_without_a_wait_is_tried_again_until_time_is_up(path):
    connect.create(path)
    db: Any = Hasty(connect.connect(path, busy_s=1), times=3)
    connect.switch_to_wal(db, path, busy_s=10)
    assert db.db.execute("PRAGMA journal_mode").get == "wal"
    db.times = 1_000_000
    with pytest.raises(StoreError, match="another process holds its lock"):
        connect.switch_to_wal(db, path, busy_s=0.01)
    db.db.close()


def test_the_scripts_of_the_package_are_numbered_and_found():
    assert len(scripts()) >= 1
    assert "CREATE TABLE records" in scripts()[0]


def test_a_store_that_another_process_has_locked_still_opens_and_reads(path):
    filled(path)
    with child("hold_lock", path) as process, opened(path, busy_s=0.05) as store:
        assert len(list(store.each_record())) == 200
        go(process)
