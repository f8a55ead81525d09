"""The writing thread: what it groups, what it promises, and what becomes of writes that fail."""

import asyncio
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw
import msgspec
import pytest

from interlock.errors import StoreError
from interlock.store import Store, records
from interlock.store.write import Write
from interlock.store.writer import Writer
from tests.store.faulty import NAME, Disk
from tests.store.given import NOW, by_hand, locked, opened, record, until_taken


def put(writer: Writer, number: int, *, durable: bool = False) -> Write[None]:
    return writer.row(records.PUT, records.written_row(record(number)), durable=durable)


def kept(path: Path) -> list[int]:
    with by_hand(path) as db:
        return [
            int(name.removeprefix("dec_")) for (name,) in db.execute("SELECT id FROM records ORDER BY id")
        ]


def error_of(write: Write[None]) -> Exception | None:
    try:
        write.result()
    except (StoreError, OverflowError, UnicodeError) as error:
        return error
    return None


def test_writes_that_came_while_one_was_committing_share_the_next_transaction(path):
    with opened(path, busy_s=5) as store:
        with locked(path):
            first = put(store.writer, 0)
            until_taken(store.writer)
            others = [put(store.writer, number) for number in range(1, 101)]
            assert store.writer.pending == 100
        for write in (first, *others):
            write.result()
        assert store.writer.commits == 2
        assert kept(path) == list(range(101))


def test_a_transaction_is_never_larger_than_its_limit(path):
    with opened(path, busy_s=5) as store:
        with locked(path):
            first = put(store.writer, 0)
            until_taken(store.writer)
            others = [put(store.writer, number) for number in range(1, 1 + 256 + 1)]
        for write in (first, *others):
            write.result()
        assert store.writer.commits == 3


async def test_a_coroutine_awaits_its_write_and_then_the_record_is_there(store):
    await store.put_record(record(1))
    assert store.get_record(record(1).id) == record(1)


async def test_writes_of_many_coroutines_are_all_acknowledged(store):
    await asyncio.gather(*(store.put_record(record(number)) for number in range(1000)))
    assert len(list(store.each_record())) == 1000
    assert store.writer.commits < 500


def test_a_row_that_fails_does_not_fail_its_neighbours(path):
    """The middle one has no status; the statement, the transaction and the thread are the others' too."""
    with opened(path, busy_s=5) as store:
        with locked(path):
            writes = [
                store.put_record(record(number, status=None if number in {3, 4, 9} else "ok"))
                for number in range(10)
            ]
        failed = [number for number, write in enumerate(writes) if error_of(write) is not None]
        assert failed == [3, 4, 9]
        with pytest.raises(StoreError, match="a row breaks the schema"):
            writes[3].result()
    assert kept(path) == [0, 1, 2, 5, 6, 7, 8]


def test_values_that_sqlite_cannot_take_fail_alone_as_well(path):
    with opened(path, busy_s=5) as store:
        with locked(path):
            writes = [
                store.put_record(one)
                for one in (record(1), record(2, created_at=2**70), record(3, session="\ud800"), record(4))
            ]
        assert [error_of(write) is None for write in writes] == [True, False, False, True]
    assert kept(path) == [1, 4]


def test_work_that_raises_undoes_only_what_it_did(path):
    def half(db):
        db.execute("DELETE FROM records")
        raise ValueError("no")

    with opened(path, busy_s=5) as store:
        with locked(path):
            before, bad, after = put(store.writer, 1), store.writer.call(half), put(store.writer, 2)
        before.result()
        after.result()
        with pytest.raises(ValueError, match="no"):
            bad.result()
        assert store.writer.commits <= 2
    assert kept(path) == [1, 2]


def test_when_one_write_takes_the_transaction_with_it_its_neighbours_are_told(path):
    def roll_back(db: apsw.Connection) -> None:
        db.execute("INSERT OR ROLLBACK INTO control_head VALUES (2, 1, '')")

    with opened(path, busy_s=5) as store:
        with locked(path):
            first = put(store.writer, 0)
            until_taken(store.writer)
            writes = [put(store.writer, 1), store.writer.call(roll_back), put(store.writer, 2)]
        first.result()
        for write in writes:
            with pytest.raises(StoreError, match="a row breaks the schema"):
                write.result()
        put(store.writer, 3).result()
    assert kept(path) == [0, 3]


def test_damage_that_one_write_meets_fails_the_whole_transaction(path):
    """SQLite would go on, but a file that is known to be damaged is not written any further."""

    def meet_damage(_: apsw.Connection) -> None:
        raise apsw.CorruptError("injected")

    with opened(path, busy_s=5) as store:
        with locked(path):
            first = put(store.writer, 0)
            until_taken(store.writer)
            writes = [put(store.writer, 1), store.writer.call(meet_damage), put(store.writer, 2)]
        first.result()
        for write in writes:
            with pytest.raises(StoreError, match="damaged"):
                write.result()
        put(store.writer, 3).result()
    assert kept(path) == [0, 3]


def test_work_may_give_back_a_value(store):
    assert store.writer.call(lambda db: db.execute("SELECT 40 + 2").get).result() == 42


def test_writes_are_carried_out_in_the_order_they_came(path):
    def delete_all(db: apsw.Connection) -> int:
        db.execute("DELETE FROM records")
        return db.changes()

    with opened(path, busy_s=5) as store:
        with locked(path):
            put(store.writer, 1)
            gone = store.writer.call(delete_all)
            put(store.writer, 2)
        assert gone.result() == 1
    assert kept(path) == [2]


def test_when_the_lock_is_not_to_be_had_everything_that_waits_is_told_at_once(path):
    """Those behind are told no later than the one in hand: waits do not add up."""
    told = []
    with opened(path, busy_s=0.5) as store:
        with locked(path):
            first = put(store.writer, 0)
            first.future.add_done_callback(lambda _: told.append("first"))
            until_taken(store.writer)
            others = [put(store.writer, number) for number in range(1, 50)]
            others[-1].future.add_done_callback(lambda _: told.append("last"))
            for write in (first, *others):
                with pytest.raises(StoreError, match="another process holds its lock"):
                    write.result()
            assert told == ["last", "first"]
            assert store.writer.commits == 0
        put(store.writer, 1).result()
    assert kept(path) == [1]


def test_more_writes_than_may_wait_are_refused(path):
    with opened(path, busy_s=5, max_pending=10) as store:
        with locked(path):
            put(store.writer, 0)
            until_taken(store.writer)
            writes = [put(store.writer, number) for number in range(1, 11)]
            with pytest.raises(StoreError, match="10 writes are waiting already\nhint: "):
                put(store.writer, 11)
        for write in writes:
            write.result()
    assert kept(path) == list(range(11))


async def test_a_waiter_that_goes_away_does_not_stop_its_write(path):
    with opened(path, busy_s=5) as store:
        with locked(path):

            async def one() -> None:
                await put(store.writer, 1)

            task = asyncio.create_task(one())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await put(store.writer, 2)
    assert kept(path) == [1, 2]


def test_a_loop_that_ended_before_its_write_does_not_trouble_the_thread(path):
    async def leave(store: Store) -> None:
        put(store.writer, 1)

    with opened(path, busy_s=5) as store:
        with locked(path):
            asyncio.run(leave(store))
        put(store.writer, 2).result()
    assert kept(path) == [1, 2]


async def test_run_waits_even_where_a_loop_runs(store):
    assert store.writer.run(lambda _: "done") == "done"


def test_closing_commits_what_is_queued(path):
    with opened(path) as store:
        writes = [put(store.writer, number) for number in range(500)]
    for write in writes:
        write.result()
    assert kept(path) == list(range(500))


def test_a_closed_store_takes_no_more_writes(path):
    with opened(path) as store:
        pass
    with pytest.raises(StoreError, match="the store is closed"):
        put(store.writer, 1)
    store.close()


def test_a_write_that_slips_in_while_the_store_closes_is_refused_and_not_forgotten(store):
    store.writer.close()
    store.writer._closing = False  # as it was when the write looked
    with pytest.raises(StoreError, match="the store is closed"):
        put(store.writer, 1).result()


def test_every_write_is_answered_even_when_the_store_closes_under_its_threads(path):
    """Each write is either in the file or refused; none is left waiting."""
    acknowledged: list[int] = []

    def work(first):
        for number in range(first, first + 10_000):
            try:
                put(store.writer, number).result()
            except StoreError:
                return
            acknowledged.append(number)

    with opened(path) as store:
        threads = [threading.Thread(target=work, args=(n * 10_000,)) for n in range(4)]
        for thread in threads:
            thread.start()
        while len(acknowledged) < 100:
            pass
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert kept(path) == sorted(acknowledged)


@pytest.fixture(scope="module")
def disk():
    disk = Disk()
    yield disk
    disk.unregister()


@contextmanager
def writer_on(disk, path):
    """A writer whose file lies on a disk that fails on demand."""
    with opened(path):
        pass
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=NAME)
    db.set_busy_timeout(5000)
    writer = Writer(db, path, busy_s=2.0)
    try:
        yield writer
    finally:
        disk.mend()
        writer.close()


def test_a_durable_write_is_synced_before_it_is_acknowledged_and_others_are_not(disk, path):
    with writer_on(disk, path) as writer:
        put(writer, 1).result()
        before = disk.syncs
        put(writer, 2).result()
        assert disk.syncs == before
        put(writer, 3, durable=True).result()
        assert disk.syncs == before + 1
        put(writer, 4).result()
        assert disk.syncs == before + 1
        writer.run(lambda db: db.execute("DELETE FROM sessions"))
        assert disk.syncs > before


def test_one_durable_write_makes_its_whole_transaction_durable(disk, path):
    with writer_on(disk, path) as writer:
        put(writer, 100).result()  # the first write of a log syncs its header
        before = disk.syncs
        with locked(path):
            first = put(writer, 0)
            until_taken(writer)
            others = [put(writer, number, durable=number == 5) for number in range(1, 10)]
        for write in (first, *others):
            write.result()
        assert disk.syncs == before + 1
        assert writer.commits == 3


@pytest.mark.parametrize("error", [apsw.FullError, apsw.IOError])
@pytest.mark.parametrize("lasting", [True, False], ids=["lasting", "passing"])
def test_p2_a_disk_that_fails_at_the_nth_write_loses_nothing_that_was_acknowledged(
    disk, path, error, lasting
):
    """Whatever step fails: what was acknowledged is there, what was refused is not, and writing resumes."""
    acknowledged: list[int] = []
    told: set[str] = set()
    failures = number = 0
    for nth in range(1, 25):
        with writer_on(disk, path) as writer:
            disk.fail(nth, error, lasting=lasting)
            for _ in range(4):
                number += 1
                try:
                    put(writer, number, durable=number % 2 == 0).result()
                except StoreError as refused:
                    failures += 1
                    told.add(refused.problem.removeprefix(f"{path}: "))
                else:
                    acknowledged.append(number)
            disk.mend()
            number += 1
            put(writer, number).result()
            acknowledged.append(number)
        assert kept(path) == acknowledged
        with by_hand(path) as db:
            assert db.execute("PRAGMA integrity_check").get == "ok"
    assert failures >= 20
    assert told == {"the disk is full" if error is apsw.FullError else "reading or writing it failed"}
    assert len(acknowledged) > 24


def test_p2_when_a_transaction_cannot_be_kept_all_its_writes_are_told_and_nothing_of_it_stays(path):
    """A real SQLITE_FULL: the file may not grow."""

    def pages(db: apsw.Connection, most: int) -> None:
        db.execute(f"PRAGMA max_page_count = {most}")

    with opened(path, busy_s=5) as store:
        store.writer.run(lambda db: pages(db, 1))  # as many as it has: it never shrinks
        with locked(path):
            small = store.raise_session_class("acme", "s", "internal", NOW)
            until_taken(store.writer)
            writes = [store.put_record(record(number, decision=b"d" * 9000)) for number in range(20)]
            writes.append(store.raise_session_class("acme", "t", "internal", NOW))
        small.result()
        for write in writes:
            with pytest.raises(StoreError, match="the disk is full\nhint: free some space"):
                write.result()
        assert list(store.each_record()) == []
        assert store.session_class("acme", "t", NOW) is None, "it would have fitted, but is told the same"
        store.writer.run(lambda db: pages(db, 1_000_000))
        store.put_record(record(1)).result()
        assert len(list(store.each_record())) == 1


@contextmanager
def traced(store):
    """The thread in which each transaction of a store began."""
    threads = []

    def note(cursor, sql, values):
        if sql.startswith("BEGIN") or (sql.startswith("INSERT") and not store.writer._db.in_transaction):
            threads.append("loop" if threading.current_thread() is threading.main_thread() else "thread")
        return True

    store.writer._db.exec_trace = note
    yield threads
    store.writer._db.exec_trace = None


async def test_plain_rows_are_committed_in_the_loops_own_turn_together(store):
    with traced(store) as threads:
        await asyncio.gather(*(put(store.writer, number) for number in range(5)))
    assert threads == ["loop"]
    assert store.get_record("dec_00000004") is not None


async def test_what_a_process_wrote_before_its_loop_ran_keeps_no_row_from_the_loop(store):
    store.writer.run(lambda db: db.execute("DELETE FROM sessions").get)
    with traced(store) as threads:
        await put(store.writer, 1)
        await put(store.writer, 2)
    assert threads == ["loop", "loop"]


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    ("field", "value", "fault"), [("tenant", None, StoreError), ("created_at", 1 << 64, OverflowError)]
)
async def test_a_row_at_fault_fails_alone_in_the_loops_own_turn_too(store, path, place, field, value, fault):
    await put(store.writer, 9)
    good = [put(store.writer, number) for number in range(place)]
    bad = store.put_record(msgspec.structs.replace(record(5), **{field: value}))
    good += [put(store.writer, number) for number in range(place, 2)]
    with pytest.raises(fault):
        await bad
    await asyncio.gather(*good)
    assert kept(path) == [0, 1, 9]


async def test_a_single_row_at_fault_fails_and_the_next_is_kept(store, path):
    await put(store.writer, 1)
    with pytest.raises(StoreError):
        await store.put_record(msgspec.structs.replace(record(2), tenant=None))
    await put(store.writer, 3)
    assert kept(path) == [1, 3]


async def test_durable_rows_work_and_long_batches_are_the_threads(store):
    with traced(store) as threads:
        await put(store.writer, 1, durable=True)
        await store.writer.call(lambda db: db.execute("DELETE FROM sessions").get)
        await asyncio.gather(*(put(store.writer, number) for number in range(100, 200)))
    assert set(threads) == {"thread"}


async def test_p3_a_loop_never_waits_for_another_process(path):
    with opened(path, busy_s=5) as store, traced(store) as threads:
        with locked(path):
            write = put(store.writer, 1)
            ticks = 0
            while not write.future.done() and ticks < 20:
                await asyncio.sleep(0.005)
                ticks += 1
            assert ticks == 20, "the loop went on while the lock was taken"
        await write
        assert threads[:2] == ["loop", "thread"]
        assert kept(path) == [1]


async def test_a_loop_that_met_a_slow_disk_leaves_commits_to_the_thread(store, monkeypatch):
    monkeypatch.setattr("interlock.store.writer.SLOW_S", -1.0)
    with traced(store) as threads:
        await put(store.writer, 1)
        await put(store.writer, 2)
        store.writer._away_until = 0.0
        await put(store.writer, 3)
    assert threads == ["loop", "thread", "loop"]


async def test_rows_are_never_written_before_what_was_asked_for_earlier(path):
    with opened(path, busy_s=5) as store:
        with locked(path):
            slow = store.writer.call(lambda db: db.execute("DELETE FROM records"))
            await asyncio.sleep(0)
            await asyncio.sleep(0.01)
            later = put(store.writer, 7)
            await asyncio.sleep(0.01)
        await slow
        await later
        assert kept(path) == [7]


async def test_no_row_overtakes_a_write_that_the_thread_has_in_its_hands(path, monkeypatch):
    """Between the queue and the file: the queue is empty then, and the connection is free."""
    taken, go_on, gather = threading.Event(), threading.Event(), Writer._gather

    def slowly(writer, batch):
        more = gather(writer, batch)
        taken.set()
        go_on.wait(5)
        return more

    monkeypatch.setattr(Writer, "_gather", slowly)
    with opened(path, busy_s=5) as store, traced(store) as threads:
        early = store.writer.call(lambda db: db.execute("DELETE FROM records").get)
        await asyncio.sleep(0)
        await asyncio.to_thread(taken.wait, 5)
        later = put(store.writer, 7)
        await asyncio.sleep(0.01)
        assert not later.future.done()
        go_on.set()
        await early
        await later
        assert threads == ["thread"] * len(threads)
        assert kept(path) == [7]


async def test_no_row_overtakes_what_the_thread_has_just_failed_to_write_and_owes(path, monkeypatch):
    """It fails between the loop's question whether this is quick and its turn at the connection."""
    quick, found = Writer._is_quick, []
    with opened(path, busy_s=0.05) as store, by_hand(path) as other:
        await put(store.writer, 0)

        def after_the_failure(writer, writes):
            answer = quick(writer, writes)
            for _ in range(200):
                if not writer._owed:
                    time.sleep(0.001)
            other.execute("ROLLBACK")
            return answer

        other.execute("BEGIN EXCLUSIVE")
        count = "SELECT count(*) FROM records"
        early = store.writer.call(lambda db: found.append(db.execute(count).get), owed=True)
        await asyncio.sleep(0)
        with monkeypatch.context() as late:
            late.setattr(Writer, "_is_quick", after_the_failure)
            with suppress(StoreError):
                await put(store.writer, 1)
        await put(store.writer, 2)
        assert found == [1]
        with suppress(StoreError):
            await early


async def test_checkpoints_are_the_threads_and_keep_the_log_short(store, path, monkeypatch):
    monkeypatch.setattr("interlock.store.writer.CHECKPOINT_PAGES", 20)
    with traced(store) as threads:
        for number in range(600):
            await put(store.writer, number)
    assert threads.count("loop") > 300
    wal = path.with_name(path.name + "-wal")
    assert wal.stat().st_size < 600 * 2 * 4096, "each row writes three pages"
    assert store.integrity() == ()
