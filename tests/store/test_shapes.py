"""Records by their shapes: whole again when they are read, and never without their shape."""

import base64
import hashlib

import apsw
import msgspec
import pytest

from interlock.errors import StoreError
from interlock.store import records
from interlock.store.live import Place
from interlock.store.rollouts import ended, noted
from interlock.store.shapes import shape
from tests.store.given import NOW, by_hand, locked, opened, record, until_taken

DECIDED = shape(b'{"id":\0,"size":\0,"why":{"scores":\0}}')
RESTS = shape(b'{"status":\0}')


def small(number: int):
    """A record as it is read, and the row that it is written by."""
    decision = b'{"id":"dec_%08d","size":1.50,"why":{"scores":[1, {"a":"\\u0000,"}]}}' % number
    by_shape = b'["%b","dec_%08d",1.50,[1, {"a":"\\u0000,"}]]' % (DECIDED.hash.encode(), number)
    full = record(number, decision=decision, rest=b'{"status":"ok"}')
    row = msgspec.structs.replace(full, decision=by_shape, rest=b'["%b","ok"]' % RESTS.hash.encode())
    return full, records.written_row(row)


def put(store, *numbers):
    store.put_shape(DECIDED)
    store.put_shape(RESTS)
    full = [small(number) for number in numbers]
    for write in [store.put_row(row) for _, row in full]:
        write.result()
    return [one for one, _ in full]


def test_every_reader_is_given_the_record_in_full(store):
    one, two = put(store, 1, 2)
    store.put_record(record(3)).result()
    assert store.get_record(one.id) == one
    assert store.list_records()[0] == (record(3), two, one)
    assert list(store.each_record()) == [one, two, record(3)]
    assert [row for _, row in store.counts.after(Place(seq=0, waiting=(1,)), 9)] == [one, one, two, record(3)]


def test_a_rollout_reads_them_in_full(store):
    one, two = put(store, 1, 2)
    store.notice(two.id, "reask", {}).result()
    assert store.read(lambda db: ended(db, "prod", 0, 1, (1,))).rows == [
        (1, 1, one.decision, one.rest),
        (2, 1, two.decision, two.rest),
    ]
    seen = []
    store.read(lambda db: noted(db, "reask_rate", "prod", 0, 9, lambda *row: seen.append(row)))
    assert seen == [(2, 1, two.decision)]


def test_outcome_and_notice_stay_with_a_record_that_is_written_again_in_full(store):
    (one,) = put(store, 1)
    store.put_outcome(one.id, "acme", b"1").result()
    store.notice(one.id, "edit", {}).result()
    store.put_record(one).result()
    assert store.get_record(one.id) == msgspec.structs.replace(one, outcome=b"1", noticed="edit")


async def test_records_expire_and_their_shapes_stay(store):
    store.put_shape(DECIDED)
    store.put_shape(RESTS)
    await store.put_row(small(1)[1])
    await store.put_row(small(2)[1])
    assert await store.expire(NOW + 2) == 1
    assert store.get_record("dec_00000002") == small(2)[0]


def test_a_shape_is_never_changed_or_deleted(store):
    put(store, 1)
    with by_hand(store.path) as db:
        for sql in ("DELETE FROM shapes", "UPDATE shapes SET body = x'00'"):
            with pytest.raises(apsw.ConstraintError, match="append-only"):
                db.execute(sql)


def test_no_record_is_in_the_file_without_the_shape_asked_for_before_it(path):
    """Not even where that could not be written at first, and nobody asks again."""
    with opened(path, busy_s=0.02) as store:
        with locked(path):
            store.put_shape(DECIDED)
            until_taken(store.writer)
            store.put_shape(RESTS)
            with pytest.raises(StoreError):
                store.put_row(small(1)[1]).result()
        store.put_shape(DECIDED)
        store.put_row(small(2)[1]).result()
        assert store.writer.commits == 1
        assert list(store.each_record()) == [small(2)[0]]


def test_a_shape_has_a_whole_digest_for_its_name():
    """Whoever could find two with one name could have a record read back as another."""
    digest = hashlib.sha256(DECIDED.body).digest()
    assert base64.urlsafe_b64decode(DECIDED.hash + "=") == digest


def test_two_processes_keep_the_same_shape_once(path):
    with opened(path) as one, opened(path) as other:
        (first,) = put(one, 1)
        (second,) = put(other, 2)
        assert list(one.each_record()) == [first, second]
    with by_hand(path) as db:
        assert db.execute("SELECT count(*) FROM shapes").get == 2


@pytest.mark.parametrize(
    "decision",
    [
        b'["0123456789abcdef","dec_1",1,[]]',
        b'["%b","dec_1",1]' % DECIDED.hash.encode(),
        b'["%b","dec_1",1,[],[]]' % DECIDED.hash.encode(),
        b"[]",
        b"[",
        b"[1]",
    ],
    ids=["no such shape", "a value too few", "a value too many", "empty", "no JSON", "no name"],
)
def test_a_record_that_does_not_fit_its_shape_is_damage_and_not_a_guess(store, decision):
    put(store, 1)
    store.put_record(record(2, decision=decision)).result()
    with pytest.raises(StoreError, match="damaged"):
        store.get_record(record(2).id)
