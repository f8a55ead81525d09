"""Rows that are answered for ahead of their commit: in no case does one get lost, and none comes twice."""

import asyncio
import errno
import os
import random
import signal
import stat
import threading
import time
from functools import partial

import apsw
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from interlock.errors import StoreError
from interlock.store import Store, records
from interlock.store.journal import ROWS_AT, SIZE, Journal
from interlock.store.writer import Writer
from tests.store.faulty import Disk
from tests.store.given import answer, by_hand, child, clock, go, locked, opened, record, said
from tests.store.test_writer import kept, traced


def row(number, **changes):
    return records.written_row(record(number, **changes))


def note(store, number, **changes):
    return store.note_row(row(number, **changes), since=0.0)


async def until_in_file(path, numbers):
    await until(lambda: kept(path) == list(numbers))


async def until(holds):
    for _ in range(1000):
        if holds():
            return
        await asyncio.sleep(0.005)
    assert holds()


def begun(database):
    journal = Journal.open(database)
    assert journal is not None
    return journal


@pytest.fixture
def told():
    return []


@pytest.fixture
async def ahead(store, told):
    """A store whose loop may note rows."""
    store.go_ahead(told.append)
    return store


# --- the file ---------------------------------------------------------------------------------------

VALUES = st.lists(
    st.one_of(st.none(), st.integers(-(1 << 63), (1 << 63) - 1), st.text(), st.binary()), max_size=8
)


@for_all(st.lists(VALUES, max_size=20), st.integers(0, 400))
def test_what_was_noted_is_read_again_up_to_the_first_entry_that_is_not_whole(tmp_path_factory, rows, cut):
    database = tmp_path_factory.mktemp("journal") / "a.db"
    journal = begun(database)
    assert journal.begin(("a", "b"))
    ends = [ROWS_AT]
    for values in rows:
        assert journal.note(values)
        ends.append(journal._end)
    assert journal.left() == (("a", "b"), rows)
    broken = ROWS_AT + cut
    if broken < ends[-1]:
        os.pwrite(journal._descriptor, bytes([os.pread(journal._descriptor, 1, broken)[0] ^ 1]), broken)
        whole = sum(1 for end in ends[1:] if end <= broken)
        assert journal.left() == (("a", "b"), rows[:whole])
    journal.close(done=True)
    assert not Journal.beside(database).exists()


@for_all(st.lists(st.lists(VALUES, min_size=1, max_size=5), min_size=1, max_size=5))
def test_of_several_generations_only_the_last_is_left(tmp_path_factory, generations):
    journal = begun(tmp_path_factory.mktemp("journal") / "a.db")
    assert journal.begin(("a",))
    for rows in generations:
        journal.clear()
        for values in rows:
            assert journal.note(values)
    assert journal.left()[1] == generations[-1]
    journal.close(done=True)


def test_a_journal_has_one_owner_at_a_time_and_is_for_nobody_else_to_read(path):
    first = begun(path)
    assert stat.S_IMODE(Journal.beside(path).stat().st_mode) == 0o600
    assert Journal.open(path) is None
    first.close(done=False)
    begun(path).close(done=True)


def test_a_journal_is_never_found_through_a_link(path):
    other = path.with_name("other")
    other.write_bytes(b"precious")
    Journal.beside(path).symlink_to(other)
    with pytest.raises(OSError, match="symbolic links"):
        Journal.open(path)
    assert other.read_bytes() == b"precious"


def test_a_journal_is_for_whoever_may_use_its_database(path):
    path.touch()
    path.chmod(0o660)
    journal = begun(path)
    assert stat.S_IMODE(Journal.beside(path).stat().st_mode) == 0o660
    journal.close(done=True)


def test_a_journal_takes_no_more_than_its_size_and_no_value_that_is_none(path):
    journal = begun(path)
    assert journal.begin(("a",))
    assert not journal.note((b"x" * SIZE,))
    assert not journal.note(("\ud800",))
    assert not journal.note((1 << 70,))
    assert journal.note((b"x" * 1000,))
    assert journal.left()[1] == [[b"x" * 1000]]
    journal.close(done=True)


# --- on the way into the database -----------------------------------------------------------------------


async def test_a_noted_row_is_in_the_file_when_its_turn_is_over(ahead, path, told):
    assert note(ahead, 1)
    assert kept(path) == []
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert kept(path) == [1]
    assert told == []


async def test_rows_of_several_turns_are_one_transaction_while_more_come_with_each(ahead, path):
    before = ahead.writer.commits
    for number in range(12):
        assert note(ahead, number)
        await asyncio.sleep(0)
    await until_in_file(path, range(12))
    assert ahead.writer.commits - before < 6


@pytest.mark.parametrize("begin", ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE", "BEGIN"])
async def test_p3_nothing_is_noted_while_another_process_is_at_the_file(ahead, path, begin):
    with child("hold_lock", path, begin) as process:
        began = time.monotonic()
        ahead.writer.probe(began)
        assert not ahead.note_row(row(1), since=began)
        go(process)
        assert said(process) == ["released"]
    ahead.writer.probe(began)
    assert ahead.note_row(row(1), since=began)
    await until_in_file(path, [1])


async def test_a_commit_shows_that_nobody_else_is_at_the_file(ahead):
    began = time.monotonic()
    assert not ahead.note_row(row(1), since=began)
    await ahead.put_record(record(1))
    assert ahead.note_row(row(2), since=began)


async def test_a_row_that_has_to_be_waited_for_comes_behind_those_that_were_noted(ahead, path):
    with traced(ahead) as threads:
        assert note(ahead, 1)
        write = ahead.put_record(record(1, status="failed"))
        assert not note(ahead, 2), "nothing overtakes what is being waited for"
        await write
    assert ahead.get_record("dec_00000001").status == "failed"
    assert threads == ["loop"], "together"


async def test_work_of_another_thread_finds_what_was_noted_before_it(ahead):
    assert note(ahead, 1)
    found = await asyncio.to_thread(
        lambda: ahead.writer.call(lambda db: db.execute("SELECT count(*) FROM records").get).result()
    )
    assert found == 1


async def test_whoever_reads_sees_what_was_noted_before(ahead):
    assert note(ahead, 1)
    assert [one.id for one in ahead.each_record()] == ["dec_00000001"]
    assert note(ahead, 2)
    assert ahead.get_record("dec_00000002") is not None
    assert note(ahead, 3)
    await ahead.writer.caught_up()
    assert ahead.writer.ahead.noted == 0


async def test_a_reader_is_not_overtaken_by_another_threads_reader_that_commits_for_it(
    ahead, path, monkeypatch
):
    """Whatever of the other thread is slow: what was noted is with the loop, in the queue or in the file."""
    writer, here, quick = ahead.writer, threading.get_ident(), Writer._is_quick
    asked, go_on = threading.Event(), threading.Event()

    def slowly(writer, writes):
        if threading.get_ident() != here:
            asked.set()
            go_on.wait(5)
        return quick(writer, writes)

    monkeypatch.setattr(Writer, "_is_quick", slowly)
    assert note(ahead, 1)
    reading = asyncio.create_task(asyncio.to_thread(ahead.get_record, "dec_00000001"))
    try:
        await until(lambda: asked.is_set() or reading.done())
        await writer.caught_up()
        assert kept(path) == [1]
    finally:
        go_on.set()
    assert await reading is not None


async def test_no_other_thread_overtakes_what_the_loop_is_about_to_commit(ahead, monkeypatch):
    quick, kept_by_thread = Writer._is_quick, []

    def outcome():
        kept_by_thread.append(ahead.put_outcome("dec_00000001", None, b"{}").result())

    thread = threading.Thread(target=outcome)

    def while_another_writes(writer, writes):
        answer = quick(writer, writes)
        if not thread.ident:
            thread.start()
            thread.join(0.1)
        return answer

    assert note(ahead, 1)
    monkeypatch.setattr(Writer, "_is_quick", while_another_writes)
    await until(lambda: kept_by_thread)
    assert kept_by_thread == [True]


async def test_a_lock_that_comes_between_note_and_commit_delays_the_row_and_loses_nothing(path, told):
    with opened(path, busy_s=0.05) as store:
        store.go_ahead(told.append)
        with locked(path):
            assert note(store, 1)
            await until(lambda: told)
            assert "another process holds its lock" in told[0].problem
            assert not note(store, 2)
            with pytest.raises(StoreError):
                await store.put_record(record(2))
            assert Journal.beside(path).exists()
        await store.put_record(record(3))
        assert kept(path) == [1, 3]
        assert note(store, 4)
    assert kept(path) == [1, 3, 4]
    assert not Journal.beside(path).exists()


@pytest.mark.parametrize("nth", range(1, 9))
async def test_p2_at_whichever_write_the_disk_fails_a_noted_row_gets_into_the_file_later(path, told, nth):
    disk = Disk(default=True)
    try:
        with opened(path) as store:
            store.go_ahead(told.append)
            await store.put_record(record(0))
            disk.fail(nth, apsw.FullError, lasting=True)
            assert note(store, 1)
            await asyncio.sleep(0.05)
            disk.mend()
            await store.put_record(record(2))
            assert kept(path) == [0, 1, 2]
            assert all("the disk is full" in one.problem for one in told)
    finally:
        disk.unregister()


async def test_a_row_that_the_schema_refuses_is_told_of_and_holds_nobody_up(ahead, path, told):
    assert note(ahead, 1, tenant=None)
    assert note(ahead, 2)
    await until_in_file(path, [2])
    await asyncio.sleep(0.01)
    assert "cannot be kept" in told[0].problem
    assert ahead.writer.ahead.noted == 0


# --- the end of a process ----------------------------------------------------------------------------------


def left_behind(path, *numbers, columns=records.WRITTEN):
    """A journal as a process leaves it that is killed between note and commit."""
    journal = begun(path)
    assert journal.begin(columns)
    for number in numbers:
        assert journal.note(
            [value for name, value in zip(records.WRITTEN, row(number), strict=True) if name in columns]
        )
    journal.close(done=False)


def test_p1_whoever_opens_the_store_next_takes_in_what_was_left(path):
    with opened(path) as store:
        store.put_record(record(1)).result()
    left_behind(path, 1, 2, 3)
    with opened(path) as store:
        assert kept(path) == [1, 2, 3]
        assert store.get_record("dec_00000003") == record(3)
        assert not Journal.beside(path).exists()


def refuse(*_):
    raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize("call", ["open", "pread"])
def test_p1_what_was_left_and_cannot_be_read_is_no_reason_to_go_on_without_it(path, monkeypatch, call):
    with opened(path):
        pass
    left_behind(path, 1)
    with monkeypatch.context() as disk:
        disk.setattr(os, call, refuse)
        with pytest.raises(StoreError, match="noted there cannot be read: Permission denied"):
            Store.open(path, now=clock)
    with opened(path):
        assert kept(path) == [1]


def test_what_is_in_a_journals_place_and_is_no_file_is_told_of(path):
    with opened(path):
        pass
    os.mkfifo(Journal.beside(path))
    with pytest.raises(StoreError, match="noted there cannot be read"):
        Store.open(path, now=clock)


def test_p1_what_was_left_is_found_by_whichever_link_the_database_is_opened(path):
    with opened(path):
        pass
    links = [path.with_name("before.db"), path.with_name("after.db")]
    for link in links:
        link.symlink_to(path)
    left_behind(links[0], 1)
    with opened(links[1]):
        assert kept(path) == [1]


def test_p1_what_was_left_is_taken_in_where_a_copy_by_hard_link_was_made_and_the_copy_stays(path):
    with opened(path):
        pass
    left_behind(path, 1)
    copy = path.with_name("copy")
    os.link(Journal.beside(path), copy)
    before = copy.read_bytes()
    with opened(path):
        assert kept(path) == [1]
    assert copy.read_bytes() == before


def test_a_journal_that_has_another_name_too_is_not_written_to(path):
    precious = path.with_name("precious")
    precious.write_bytes(b"precious")
    os.link(precious, Journal.beside(path))
    journal = begun(path)
    assert not journal.begin(("a",))
    journal.close(done=False)
    assert precious.read_bytes() == b"precious"


async def test_p1_what_lives_is_left_to_its_owner(ahead, path):
    assert note(ahead, 1)
    with opened(path) as other:
        other.go_ahead(print)
        assert not other.note_row(row(2), since=0.0), "a journal has one owner"
        await until_in_file(path, [1])
    assert note(ahead, 3)
    await until_in_file(path, [1, 3])


def test_a_row_that_an_earlier_version_left_with_fewer_columns_is_taken_in(path):
    with opened(path):
        pass
    columns = tuple(name for name in records.WRITTEN if name not in ("lane", "session"))
    left_behind(path, 4, columns=columns)
    with opened(path) as store:
        (found,) = store.each_record()
        assert (found.id, found.model, found.lane) == ("dec_00000004", "gpt", None)


@pytest.mark.parametrize("columns", [("id", "no_such"), ("tenant",), ("id", "tenant) SELECT 1 --")])
def test_rows_that_this_version_does_not_know_are_refused_and_stay(path, columns):
    with opened(path):
        pass
    journal = begun(path)
    journal.begin(columns)
    journal.note(["x"] * len(columns))
    journal.close(done=False)
    with pytest.raises(StoreError, match="rows that this version knows"):
        Store.open(path, now=clock)
    assert Journal.beside(path).exists()


def test_a_row_that_does_not_fit_the_database_keeps_no_other_from_it_and_is_told_of(path):
    with opened(path):
        pass
    journal = begun(path)
    journal.begin(records.WRITTEN)
    foreign = row(5, decision=b'["a shape of another database","dec_00000005"]')
    for values in (row(1), row(2, tenant=None), row(3, created_at=(1 << 64) - 1), foreign, row(4)):
        assert journal.note(values)
    journal.close(done=False)
    with pytest.raises(StoreError, match="3 of 5 rows do not fit") as told:
        Store.open(path, now=clock)
    assert "move the file away" in told.value.hint
    assert kept(path) == [1, 4]
    Journal.beside(path).rename(path.with_name("aside"))
    with opened(path):
        assert kept(path) == [1, 4]


def test_rows_that_the_disk_does_not_take_stay_until_it_does(path):
    with opened(path):
        pass
    left_behind(path, 1)
    disk = Disk(default=True)
    try:
        disk.fail(1, apsw.FullError, lasting=True)
        with pytest.raises(StoreError, match="the disk is full"):
            Store.open(path, now=clock)
        disk.mend()
        with opened(path):
            assert kept(path) == [1]
    finally:
        disk.unregister()


def test_p1_no_row_that_was_noted_is_lost_to_kill_9(path):
    """Killed at any moment: also between note and commit, where most of the process's time is spent."""
    draw = random.Random(1)
    noted: list[str] = []
    for number in range(8):
        with child("note_until_killed", path, number * 1_000_000) as process:
            go(process)
            lines = iter(partial(answer, process), "")
            seen = [next(lines) for _ in range(draw.randrange(1, 400))]
            os.kill(process.pid, signal.SIGKILL)
            seen.extend(line for line in lines if line.endswith("\n"))
        noted.extend(line.strip() for line in seen)
        with opened(path) as store:
            assert store.integrity() == ()
            assert {one.id for one in store.each_record()}.issuperset(noted)


async def test_what_is_in_the_file_is_wiped_out_of_the_journal_when_records_expire(ahead, path):
    secret = b'{"content":"what was said"}'
    assert note(ahead, 1, rest=secret)
    await until_in_file(path, [1])
    assert secret in Journal.beside(path).read_bytes()
    await ahead.expire(0)
    assert secret not in Journal.beside(path).read_bytes()
    assert note(ahead, 2)
    await until_in_file(path, [1, 2])


async def test_what_is_in_the_file_is_wiped_even_while_more_is_on_its_way(ahead, path):
    secret = b'{"content":"what was said"}'
    for number in range(30):
        assert note(ahead, number, rest=secret * 100)
    await until_in_file(path, range(30))
    assert note(ahead, 30)
    ahead.writer.forget_noted()
    assert secret not in Journal.beside(path).read_bytes()
    assert [values[0] for values in ahead.writer.ahead._journal.left()[1]] == ["dec_00000030"]


async def test_p2_a_disk_that_is_full_while_records_expire_costs_no_row_that_is_noted_later(
    ahead, path, monkeypatch
):
    def full(*_):
        raise OSError(errno.ENOSPC, "no space left")

    assert note(ahead, 1)
    await until_in_file(path, [1])
    with monkeypatch.context() as disk:
        disk.setattr(os, "posix_fallocate", full)
        await ahead.expire(0)
    assert note(ahead, 2)
    assert [values[0] for values in ahead.writer.ahead._journal.left()[1]] == ["dec_00000002"]


def test_a_process_without_a_loop_is_not_held_up_by_a_journal(path):
    with opened(path) as store:
        store.go_ahead(print)
        store.put_record(record(1)).result()
        with by_hand(path) as db:
            assert db.execute("SELECT count(*) FROM records").get == 1
