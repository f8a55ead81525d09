"""The control log: every change of an alias is in it, and tampering shows."""

import msgspec
import pytest

from interlock.store import StaleVersion, Store, UnknownVersion
from tests.store.given import NOW, by_hand, opened


@pytest.fixture
def log(store):
    """A store whose control log has six entries."""
    store.seed_aliases({"prod": "m1"}, now=NOW, by="file")
    store.promote("prod", "m2", if_version=1, by="ann", now=NOW + 1, override="it is urgent").result()
    store.promote("prod", "m3", if_version=2, by="bob", now=NOW + 2, gate="gate_1").result()
    store.rollback("prod", 1, if_version=3, by="ann", now=NOW + 3, reason="slow").result()
    store.log_control(now=NOW + 4, actor="ann", action="record.read", body={"id": "dec_1"}).result()
    store.promote("prod", "m4", if_version=1, by="bob", now=NOW + 5).result()
    return store


def tamper(store: Store, *statements: str) -> None:
    """What somebody with the file and an SQLite shell can do."""
    with by_hand(store.path) as db:
        db.execute("DROP TRIGGER control_log_keep; DROP TRIGGER control_log_stay")
        for statement in statements:
            db.execute(statement)


def test_every_change_is_logged_with_who_when_and_why(log):
    with by_hand(log.path) as db:
        rows = db.execute(
            "SELECT at - ?, actor, action, body FROM control_log ORDER BY seq", (NOW,)
        ).fetchall()
    assert [(at, actor, action, msgspec.json.decode(str(body))) for at, actor, action, body in rows] == [
        (0, "file", "alias.seed", {"alias": "prod", "from": None, "to": 1, "model": "m1", "reason": None}),
        (
            1,
            "ann",
            "alias.promote",
            {
                "alias": "prod",
                "from": 1,
                "to": 2,
                "model": "m2",
                "gate": None,
                "override": "it is urgent",
                "identity": None,
                "reason": None,
            },
        ),
        (
            2,
            "bob",
            "alias.promote",
            {
                "alias": "prod",
                "from": 2,
                "to": 3,
                "model": "m3",
                "gate": "gate_1",
                "override": None,
                "identity": None,
                "reason": None,
            },
        ),
        (3, "ann", "alias.rollback", {"alias": "prod", "from": 3, "to": 1, "model": "m1", "reason": "slow"}),
        (4, "ann", "record.read", {"id": "dec_1"}),
        (
            5,
            "bob",
            "alias.promote",
            {
                "alias": "prod",
                "from": 1,
                "to": 4,
                "model": "m4",
                "gate": None,
                "override": None,
                "identity": None,
                "reason": None,
            },
        ),
    ]


def test_a_chain_that_nobody_touched_holds(log, path):
    assert log.verify_control_log() is None
    log.close()
    with opened(path) as store:
        assert store.verify_control_log() is None


def test_an_empty_log_holds(store):
    assert store.verify_control_log() is None


@pytest.mark.parametrize(
    "column",
    [
        "seq = seq + 100",
        "at = at + 1",
        "actor = 'eve'",
        "action = 'x'",
        "body = '{}'",
        "hash = 'x'",
        "prev_hash = 'x'",
    ],
)
@pytest.mark.parametrize("seq", [1, 3, 6])
def test_p10_an_edited_entry_is_named(log, seq, column):
    tamper(log, f"UPDATE control_log SET {column} WHERE seq = {seq}")
    assert log.verify_control_log() == seq


@pytest.mark.parametrize("seq", [1, 3, 5, 6])
def test_p10_a_removed_entry_is_named(log, seq):
    tamper(log, f"DELETE FROM control_log WHERE seq = {seq}")
    assert log.verify_control_log() == seq


@pytest.mark.parametrize("seq", [1, 3])
def test_p10_a_removed_entry_is_named_though_the_rest_was_numbered_anew(log, seq):
    tamper(
        log,
        f"DELETE FROM control_log WHERE seq = {seq}",
        f"UPDATE control_log SET seq = seq - 1 WHERE seq > {seq}",
    )
    assert log.verify_control_log() == seq


def test_p10_entries_that_changed_places_are_named(log):
    tamper(
        log,
        "UPDATE control_log SET seq = 100 WHERE seq = 2",
        "UPDATE control_log SET seq = 2 WHERE seq = 4",
        "UPDATE control_log SET seq = 4 WHERE seq = 100",
    )
    assert log.verify_control_log() == 2


def test_p10_an_emptied_log_is_noticed(log):
    tamper(log, "DELETE FROM control_log")
    assert log.verify_control_log() == 1


def test_p10_an_entry_added_by_hand_is_named(log):
    tamper(
        log,
        "INSERT INTO control_log SELECT 7, at, actor, action, body, hash, 'x' FROM control_log WHERE seq = 6",
    )
    assert log.verify_control_log() == 7


def test_p10_a_head_that_was_moved_back_is_noticed(log):
    tamper(
        log,
        "UPDATE control_head SET (seq, hash) = (SELECT seq, hash FROM control_log WHERE seq = 5)",
    )
    assert log.verify_control_log() == 6


def test_p10_a_head_that_was_edited_is_noticed(log):
    tamper(log, "UPDATE control_head SET hash = 'x'")
    assert log.verify_control_log() == 6


def test_entries_cannot_be_changed_by_accident(log):
    with by_hand(log.path) as db:
        for statement in (
            "UPDATE control_log SET actor = 'eve'",
            "DELETE FROM control_log",
            "UPDATE alias_versions SET model = 'x'",
            "DELETE FROM alias_versions",
            "UPDATE alias_moves SET by = 'eve'",
            "DELETE FROM alias_moves",
        ):
            with pytest.raises(Exception, match="append-only"):
                db.execute(statement)


def test_a_change_that_is_refused_leaves_no_entry(log):
    with by_hand(log.path) as db:
        before = db.execute("SELECT max(seq) FROM control_log").get
        with pytest.raises(StaleVersion):
            log.promote("prod", "m9", if_version=1, by="eve", now=NOW).result()
        with pytest.raises(UnknownVersion):
            log.rollback("prod", 99, if_version=4, by="eve", now=NOW).result()
        log.promote("prod", "m4", if_version=4, by="eve", now=NOW).result()
        assert db.execute("SELECT max(seq) FROM control_log").get == before
