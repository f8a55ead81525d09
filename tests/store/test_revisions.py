"""Revisions of the config in the store: only added to, once for all workers, each in the control log."""

import json

import apsw
import pytest

from interlock.store import StaleRevision, Store, revisions
from interlock.store.connect import connect
from interlock.store.migrate import migrate, scripts
from interlock.store.revisions import Ran
from tests.store.given import NOW, by_hand, clock, opened


def ran(name, text="version: 1\n"):
    body = f'{{"name":"{name}"}}'.encode()
    return Ran(hash=name, policy_hash=f"p-{name}", body=body, text=None if text is None else text.encode())


def add(store, wanted, kind="reload", at=NOW):
    return store.writer.run(lambda db: revisions.add(db, wanted, kind=kind, by="test", at=at))


def history(store):
    return [(one.number, one.hash, one.kind) for one in store.read(revisions.history)]


def test_each_config_that_begins_to_run_is_a_revision_also_one_that_comes_again(store):
    for number, name in enumerate(("a", "b", "a"), start=1):
        added = add(store, ran(name), at=NOW + number)
        assert (added.number, added.at, added.policy_hash) == (number, NOW + number, f"p-{name}")
    assert history(store) == [(3, "a", "reload"), (2, "b", "reload"), (1, "a", "reload")]
    assert store.get_config("b") == b'{"name":"b"}'


def test_what_runs_already_is_no_new_revision_whoever_loads_it(path):
    with opened(path) as one, opened(path) as other:
        assert add(one, ran("a"), "start").number == 1
        assert add(other, ran("a"), "start") is None
        assert history(other) == [(1, "a", "start")]


def test_the_same_config_from_another_text_is_a_revision_of_its_own(store):
    add(store, ran("a"))
    assert add(store, ran("a", "version: 1  # why\n")).number == 2
    assert add(store, ran("a", None)).number == 3
    texts = [store.read(lambda db, n=n: revisions.text_of(db, n)) for n in (1, 2, 3, 4)]
    assert texts == [b"version: 1\n", b"version: 1  # why\n", None, None]


def test_a_writer_that_saw_another_revision_is_told_which_is_the_newest(store):
    with pytest.raises(StaleRevision) as stale:
        store.read(lambda db: revisions.check_newest(db, 1))
    assert stale.value.newest == 0
    add(store, ran("a"))
    store.read(lambda db: revisions.check_newest(db, 1))
    add(store, ran("b"))
    with pytest.raises(StaleRevision, match="at revision 2"):
        store.read(lambda db: revisions.check_newest(db, 1))


@pytest.mark.parametrize("table", ["config_revisions", "config_effects"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET number = 9", "DELETE FROM {}"])
def test_revisions_and_effects_cannot_be_changed_or_taken_out(store, table, statement):
    add(store, ran("a"))
    store.writer.run(lambda db: revisions.put_effect(db, 1, b'{"changed":3}'))
    store.writer.run(lambda db: revisions.put_effect(db, 1, b'{"changed":4}'))
    with by_hand(store.path) as db, pytest.raises(apsw.ConstraintError, match="append-only"):
        db.execute(statement.format(table))
    (one,) = store.read(revisions.history)
    assert json.loads(bytes(one.effect)) == {"changed": 3}


def test_each_revision_is_in_the_control_log_and_the_chain_holds(store):
    add(store, ran("a"), "start")
    add(store, ran("b"), "rollback")
    with by_hand(store.path) as db:
        rows = db.execute("SELECT actor, action, body FROM control_log ORDER BY seq").fetchall()
    assert [(actor, action) for actor, action, _ in rows] == [
        ("test", "config.start"),
        ("test", "config.rollback"),
    ]
    assert json.loads(str(rows[1][2])) == {"revision": 2, "hash": "b", "from": 1, "reason": None}
    assert store.verify_control_log() is None


def test_configs_that_ran_before_revisions_were_kept_are_the_first_revisions(tmp_path):
    path = tmp_path / "old.db"
    path.touch()
    db = connect(path, busy_s=1)
    migrate(db, path, scripts()[:6], busy_s=1)
    for hash_, at, by in (("b", 20, "config"), ("a", 10, "config"), ("e", 15, "eval")):
        db.execute("INSERT INTO configs VALUES (?, ?, x'00', 'p', ?)", (hash_, at, by))
    db.close()
    store = Store.open(path, now=clock)
    try:
        found = store.read(revisions.history)
        assert [(one.number, one.hash, one.at, one.text_hash) for one in found] == [
            (2, "b", 20, None),
            (1, "a", 10, None),
        ]
    finally:
        store.close()
