"""Kept responses by the names of their items, and what becomes of those."""

from typing import Any

from interlock.store import Store, StoredResponse
from interlock.store.connect import connect
from interlock.store.migrate import migrate, scripts
from tests.store.given import NOW, by_hand, clock, opened


def kept(number: int, **changes: Any) -> StoredResponse:
    """A response of the tenant `acme`; higher numbers are newer."""
    fields: dict[str, Any] = {
        "id": f"resp_{number}",
        "tenant": "acme",
        "created_at": NOW + number,
        "data_class": "internal",
        "input": b"[]",
        "body": b'{"output":[]}',
    }
    return StoredResponse(**(fields | changes))


def names(store: Store) -> list[Any]:
    with by_hand(store.path) as db:
        return db.execute("SELECT item FROM response_items ORDER BY item").fetchall()


def test_a_response_is_found_by_the_names_of_its_items(path):
    with opened(path) as store:
        store.put_response(kept(1), ("msg_1", "rs_1", "msg_1")).result()
        store.put_response(kept(2)).result()
        assert store.holders("rs_1", "acme", "internal", NOW) == ("resp_1",)
        assert store.holders("msg_1", "acme", "internal", NOW) == ("resp_1",)
        assert store.holders("msg_2", "acme", "internal", NOW) == ()
        assert store.get_response("resp_1", "acme", NOW) == kept(1)


def test_a_name_finds_nothing_of_another_tenant_above_a_class_or_too_old(path):
    with opened(path) as store:
        store.put_response(kept(1), ("msg_1",)).result()
        assert store.holders("msg_1", "other", "regulated", NOW) == ()
        assert store.holders("msg_1", "acme", "public", NOW) == ()
        assert store.holders("msg_1", "acme", "regulated", NOW + 2) == ()


def test_two_responses_of_one_name_are_told_apart_and_more_are_not_counted(path):
    with opened(path) as store:
        for number in range(3):
            store.put_response(kept(number), ("msg_1",)).result()
        assert len(store.holders("msg_1", "acme", "internal", NOW)) == 2


def test_names_are_deleted_with_their_response_and_those_of_others_stay(path):
    with opened(path) as store:
        store.put_response(kept(1), ("msg_1", "rs_1")).result()
        store.put_response(kept(2), ("msg_1",)).result()
        assert store.delete_response("resp_1", "other").result() is False
        assert store.delete_response("resp_1", "acme").result() is True
        assert store.holders("msg_1", "acme", "internal", NOW) == ("resp_2",)
        assert names(store) == [("msg_1",)]


async def test_names_expire_with_their_response(path):
    with opened(path) as store:
        await store.put_response(kept(1), ("msg_1",))
        await store.put_response(kept(9), ("msg_9",))
        await store.expire(NOW + 5)
        assert names(store) == [("msg_9",)]


def test_responses_of_before_items_had_names_are_kept_and_can_be_deleted(path):
    path.touch()
    db = connect(path, busy_s=1)
    migrate(db, path, scripts()[:10], busy_s=1)
    values = ("resp_1", "acme", NOW + 1, 1, "[]", b"[]", b'{"output":[]}')
    columns = "id, tenant, created_at, data_class, residency, input, body"
    db.execute(f"INSERT INTO responses ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?)", values)
    db.close()
    store = Store.open(path, now=clock)
    try:
        assert store.get_response("resp_1", "acme", NOW) == kept(1)
        store.put_response(kept(2), ("msg_2",)).result()
        assert store.holders("msg_2", "acme", "internal", NOW) == ("resp_2",)
        assert store.delete_response("resp_1", "acme").result() is True
    finally:
        store.close()
