"""Records, the configs and worlds that they name, sessions: written, found, listed, expired."""

import asyncio
import gc

import msgspec
import pytest

from interlock.errors import StoreError
from interlock.store import BadCursor, Store, StoredRecord, records
from tests.store.given import NOW, by_hand, locked, numbers, opened, record, until_taken

HOUR = 3_600_000_000
DAY = 24 * HOUR


def put_all(store: Store, *some: StoredRecord) -> None:
    for write in [store.put_record(one) for one in some]:
        write.result()


def test_a_record_comes_back_as_it_was_put_byte_for_byte(store):
    odd = record(
        1,
        decision=bytes(range(256)),
        rest=b'{"a":"\xc3\xa9"}',
        key=None,
        team="tëam",
        lane="code",
        session="s\x00'; DROP TABLE records; --",
        status="dry_run",
        alias=None,
        alias_version=None,
        provider=None,
        model=None,
    )
    put_all(store, odd)
    assert store.get_record(odd.id) == odd


def test_a_record_that_is_put_again_is_replaced_and_keeps_its_outcome(store):
    early = record(1, status="failed", decision=b"{}", rest=b"{}")
    put_all(store, early, record(2))
    assert store.put_outcome(early.id, "acme", b'{"success":true}').result() is True
    late = record(1, status="ok", rest=b'{"attempts":[]}', model="other")
    put_all(store, late)
    assert store.get_record(early.id) == msgspec.structs.replace(late, outcome=b'{"success":true}')
    assert store.get_record(record(2).id) == record(2)
    assert len(list(store.each_record())) == 2


def test_an_outcome_takes_the_place_of_an_earlier_one(store):
    put_all(store, record(1))
    store.put_outcome(record(1).id, None, b"1").result()
    store.put_outcome(record(1).id, "acme", b"2").result()
    assert store.get_record(record(1).id).outcome == b"2"


def test_a10_another_tenants_record_is_as_if_absent(store):
    theirs = record(1, tenant="globex")
    put_all(store, theirs, record(2))
    assert store.get_record(theirs.id, "acme") is None
    assert store.get_record("dec_none", "acme") is None
    assert store.put_outcome(theirs.id, "acme", b"{}").result() is False
    assert store.put_outcome("dec_none", "acme", b"{}").result() is False
    assert numbers(store.list_records(tenant="acme")[0]) == [2]
    with pytest.raises(BadCursor, match=theirs.id):
        store.list_records(tenant="acme", cursor=theirs.id)
    with pytest.raises(BadCursor, match="dec_none"):
        store.list_records(tenant="acme", cursor="dec_none")
    assert store.get_record(theirs.id) == theirs
    assert store.get_record(theirs.id, "globex") == theirs


def test_listing_is_newest_first_however_records_arrive(store):
    put_all(store, *(record(number) for number in (3, 1, 4, 2)))
    assert numbers(store.list_records()[0]) == [4, 3, 2, 1]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 50])
def test_pages_follow_one_another_without_gap_or_repeat_even_among_equal_times(store, limit):
    put_all(store, *(record(number, created_at=NOW + number // 4) for number in range(21)))
    seen, cursor = [], None
    while True:
        page, cursor = store.list_records(limit=limit, cursor=cursor)
        assert len(page) == limit or cursor is None
        seen.extend(numbers(page))
        if cursor is None:
            break
    assert seen == sorted(range(21), key=lambda number: (number // 4, number), reverse=True)


def test_a_page_goes_on_where_it_stopped_though_newer_records_came_in(store):
    put_all(store, *(record(number) for number in range(4)))
    page, cursor = store.list_records(limit=2)
    put_all(store, record(9))
    assert numbers(page) == [3, 2]
    assert numbers(store.list_records(limit=2, cursor=cursor)[0]) == [1, 0]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, [4, 3, 2, 1]),
        ({"tenant": "globex"}, [2]),
        ({"key": "key-2"}, [3]),
        ({"status": "denied"}, [3]),
        ({"alias": "beta"}, [1]),
        ({"model": "claude"}, [4]),
        ({"since": NOW + 3}, [4, 3]),
        ({"tenant": "acme", "key": "key-1", "since": NOW + 2}, [4]),
        ({"tenant": "nobody"}, []),
    ],
)
def test_filters_all_have_to_hold(store, filters, found):
    put_all(
        store,
        record(1, alias="beta"),
        record(2, tenant="globex"),
        record(3, key="key-2", status="denied"),
        record(4, model="claude"),
    )
    page, cursor = store.list_records(**filters)
    assert (numbers(page), cursor) == (found, None)


@pytest.mark.parametrize("filters", [{}, {"tenant": "acme"}, {"tenant": "acme", "key": "key-1"}])
def test_listing_and_walking_read_the_index_in_order_and_never_sort(store, filters):
    for sql, values in (
        records.listing(filters, (NOW, 1), 50),
        (records.AFTER, (0, 0, 9)),
        (records.EXPIRE, (0,)),
    ):
        with by_hand(store.path) as db:
            plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
        assert any("records_by_time" in step for step in plan), plan
        assert not any("TEMP B-TREE" in step or step == "SCAN records" for step in plan), plan


def test_each_record_walks_from_the_oldest_through_all_pages_and_ends(store):
    how_many = records.PAGE * 2 + 1
    put_all(store, *(record(number, created_at=NOW + number // 300) for number in range(how_many)))
    walk = store.each_record()
    first = next(walk)
    put_all(store, record(how_many))
    assert [numbers((one,))[0] for one in (first, *walk)] == list(range(how_many))


def test_each_record_begins_at_the_time_given(store):
    put_all(store, *(record(number) for number in range(5)))
    assert numbers(tuple(store.each_record(since=NOW + 2))) == [2, 3, 4]


async def test_what_is_too_old_expires_and_what_later_records_name_stays(store):
    await store.put_config("c" * 64, b"config")
    await store.put_world("w" * 64, b"world")
    for number in range(records.PAGE + 50):
        await store.put_record(record(number))
    await store.raise_session_class("acme", "s", "regulated", NOW - 2 * DAY)
    assert await store.expire(NOW + records.PAGE + 10) == records.PAGE + 10
    assert numbers(tuple(store.each_record())) == list(range(records.PAGE + 10, records.PAGE + 50))
    assert store.get_config("c" * 64) == b"config"
    assert store.get_world("w" * 64) == b"world"
    with by_hand(store.path) as db:
        assert db.execute("SELECT count(*) FROM sessions").get == 0


def test_configs_and_worlds_come_back_by_hash_byte_for_byte(path):
    body = bytes(range(256)) * 100
    with opened(path) as store:
        store.put_config("a", body, policy_hash="p", by="reload").result()
        store.put_world("a", b"{}").result()
    with opened(path) as store:
        assert store.get_config("a") == body
        assert store.get_world("a") == b"{}"
        assert store.get_config("b") is None
        assert store.get_world("b") is None


def test_a_world_is_written_once_in_a_process(store):
    store.put_world("w", b"{}").result()
    commits = store.writer.commits
    store.put_world("w", b"{}").result()
    assert store.writer.commits == commits


def test_no_record_is_in_the_file_without_the_config_and_world_asked_for_before_it(path):
    """Not even where those could not be written at first, and nobody asks again."""
    with opened(path, busy_s=0.02) as store:
        with locked(path):
            store.put_config("c" * 64, b"config")
            until_taken(store.writer)
            store.put_world("w" * 64, b"world")
            for number in range(3):
                with pytest.raises(StoreError):
                    store.put_record(record(number)).result()
        assert store.get_config("c" * 64) is None
        store.put_record(record(3)).result()
        assert store.writer.commits == 1
        assert store.get_config("c" * 64) == b"config"
        assert store.get_world("w" * 64) == b"world"
        store.put_record(record(4)).result()
        assert numbers(tuple(store.each_record())) == [3, 4]


async def test_a_repeated_world_can_be_awaited_too(store):
    await store.put_world("w", b"{}")
    await store.put_world("w", b"{}")


async def test_nobody_has_to_await_a_world(path):
    """It is tried again by itself, so its failure is no forgotten error of anybody's."""
    complaints = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    with opened(path, busy_s=0.01) as store:
        with locked(path):
            store.put_world("w", b"{}")
            with pytest.raises(StoreError):
                await store.put_record(record(1))
        await store.put_record(record(2))
    gc.collect()
    assert complaints == []


def test_damaged_bytes_of_a_config_end_in_a_store_error(store):
    store.put_config("a", b"config").result()
    with by_hand(store.path) as db:
        db.execute("UPDATE configs SET body = x'00'")
    with pytest.raises(StoreError, match="damaged"):
        store.get_config("a")


def test_a_session_never_becomes_less_sensitive_within_its_day(store):
    assert store.session_class("acme", "s", NOW) is None
    for data_class, then in (
        ("confidential", "confidential"),
        ("public", "confidential"),
        ("regulated", "regulated"),
        ("internal", "regulated"),
    ):
        store.raise_session_class("acme", "s", data_class, NOW).result()
        assert store.session_class("acme", "s", NOW) == then
    assert store.session_class("globex", "s", NOW) is None
    assert store.session_class("acme", "t", NOW) is None


def test_a_session_is_forgotten_a_day_after_it_was_last_seen_or_up_to_an_hour_later(store):
    store.raise_session_class("acme", "s", "regulated", NOW).result()
    store.raise_session_class("acme", "s", "internal", NOW + DAY - 1).result()
    assert store.session_class("acme", "s", NOW + 2 * DAY - 1) == "regulated"
    assert store.session_class("acme", "s", NOW + 2 * DAY + HOUR) is None
    store.raise_session_class("acme", "s", "public", NOW + 3 * DAY).result()
    assert store.session_class("acme", "s", NOW + 3 * DAY) == "public"


@pytest.mark.parametrize("seen", [0, 1, HOUR - 1, HOUR, HOUR + 1, 2 * HOUR])
def test_a_session_is_kept_for_a_whole_day_whenever_it_was_seen(store, seen):
    store.raise_session_class("acme", "s", "regulated", NOW).result()
    store.raise_session_class("acme", "s", "internal", NOW + seen).result()
    assert store.session_class("acme", "s", NOW + seen + DAY - 1) == "regulated"


def test_a_busy_session_is_written_once_an_hour_and_when_its_class_rises(store):
    commits = []
    for data_class, at in (
        ("internal", 0),
        ("internal", 1),
        ("public", 2),
        ("confidential", 3),
        ("confidential", HOUR + 2),
        ("confidential", HOUR + 4),
    ):
        store.raise_session_class("acme", "s", data_class, NOW + at).result()
        commits.append(store.writer.commits)
    assert commits == [1, 1, 1, 2, 2, 3]


def test_p4_a_clock_that_goes_back_does_not_shorten_a_session(store):
    store.raise_session_class("acme", "s", "confidential", NOW).result()
    store.raise_session_class("acme", "s", "regulated", NOW - DAY // 2).result()
    assert store.session_class("acme", "s", NOW + DAY - 1) == "regulated"
