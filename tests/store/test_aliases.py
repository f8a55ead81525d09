"""Releases: compare-and-swap, rolling back, history; against a model of a few lines, too."""

import asyncio
import itertools
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from interlock.store import (
    AliasError,
    AliasState,
    StaleVersion,
    Store,
    TargetGone,
    UnknownAlias,
    UnknownVersion,
    Write,
)
from tests.store.given import NOW, by_hand, clock, opened


@pytest.fixture
def prod(store):
    """A store with one alias, `prod`, at version 1: `m1`."""
    store.seed_aliases({"prod": "m1"}, now=NOW, by="file")
    return store


def promote(store: Store, model: str, if_version: int | None = None, **options: str) -> AliasState:
    return store.promote("prod", model, if_version=if_version, by="ann", now=NOW, **options).result()


def rollback(store: Store, to_version: int | None = None, if_version: int | None = None) -> AliasState:
    return store.rollback("prod", to_version, if_version=if_version, by="ann", now=NOW).result()


def at(version: int, model: str) -> AliasState:
    return AliasState(name="prod", active=version, model=model)


def test_the_files_aliases_are_version_1_of_each(store):
    store.seed_aliases({"prod": "m1", "beta": "m2"}, now=NOW, by="file")
    assert store.aliases() == {
        "beta": AliasState(name="beta", active=1, model="m2"),
        "prod": AliasState(name="prod", active=1, model="m1"),
    }


def test_what_the_store_knows_is_not_seeded_again(prod):
    promote(prod, "m2")
    prod.seed_aliases({"prod": "m9", "new": "m5"}, now=NOW, by="file")
    assert {name: state.model for name, state in prod.aliases().items()} == {"prod": "m2", "new": "m5"}
    commits = prod.writer.commits
    prod.seed_aliases({"prod": "m9"}, now=NOW, by="file")
    assert prod.writer.commits == commits


async def test_aliases_can_be_seeded_while_a_loop_runs(store):
    store.seed_aliases({"prod": "m1"}, now=NOW, by="file")
    assert (await store.promote("prod", "m2", if_version=1, by="ann", now=NOW)).active == 2


def test_promote_makes_the_next_version(prod):
    assert promote(prod, "m2", if_version=1) == at(2, "m2")
    assert promote(prod, "m3") == at(3, "m3")
    assert prod.aliases()["prod"] == at(3, "m3")


def test_promoting_what_is_active_changes_nothing(prod):
    assert promote(prod, "m1", if_version=1) == at(1, "m1")
    assert len(prod.alias_history("prod").versions) == 1


def test_a_model_that_was_released_before_gets_a_new_version(prod):
    promote(prod, "m2")
    assert promote(prod, "m1") == at(3, "m1")


def test_a_version_number_is_never_used_twice(prod):
    promote(prod, "m2")
    rollback(prod)
    assert promote(prod, "m3") == at(3, "m3")


def test_a_stale_writer_is_told_what_is_active(prod):
    promote(prod, "m2")
    for change, arguments in (
        (promote, {"model": "m3", "if_version": 1}),
        (promote, {"model": "m2", "if_version": 1}),
        (rollback, {"to_version": 1, "if_version": 1}),
        (rollback, {"if_version": 3}),
    ):
        with pytest.raises(StaleVersion, match="at version 2 by now") as stale:
            change(prod, **arguments)
        assert stale.value.active == 2
    assert prod.aliases()["prod"] == at(2, "m2")


def test_what_is_not_there_is_named(prod):
    with pytest.raises(UnknownAlias, match="there is no alias `none`"):
        prod.promote("none", "m", if_version=None, by="ann", now=NOW).result()
    with pytest.raises(UnknownAlias):
        prod.rollback("none", 1, if_version=None, by="ann", now=NOW).result()
    for version in (0, -1, 2, 2**70):
        with pytest.raises(UnknownVersion, match=f"alias `prod` has no version {version}"):
            rollback(prod, version)
    assert prod.alias_history("none") is None


def test_rolling_back_returns_to_what_was_active_before_the_last_release(prod):
    promote(prod, "m2")
    promote(prod, "m3")
    rollback(prod, 1)
    promote(prod, "m4")
    assert rollback(prod) == at(1, "m1")


def test_o7_pulling_the_cord_twice_is_pulling_it_once(prod):
    promote(prod, "m2")
    promote(prod, "m3")
    assert rollback(prod) == at(2, "m2")
    assert rollback(prod) == at(2, "m2")
    assert rollback(prod, 1) == at(1, "m1")
    assert rollback(prod) == at(1, "m1")
    assert rollback(prod, 3) == at(3, "m3")
    assert rollback(prod, 3) == at(3, "m3")


def test_o7_there_is_nothing_before_the_first_version(prod):
    with pytest.raises(UnknownVersion, match="has no earlier version"):
        rollback(prod)
    assert prod.aliases()["prod"] == at(1, "m1")


def test_one_alias_does_not_move_another(prod):
    prod.seed_aliases({"beta": "b1"}, now=NOW, by="file")
    promote(prod, "m2")
    prod.promote("beta", "b2", if_version=1, by="ann", now=NOW).result()
    rollback(prod)
    assert prod.aliases()["beta"].active == 2
    assert prod.rollback("beta", None, if_version=2, by="ann", now=NOW).result().model == "b1"


def test_what_must_survive_a_power_cut_is_durable(prod):
    writes = [
        prod.promote("prod", "m2", if_version=1, by="ann", now=NOW),
        prod.rollback("prod", 1, if_version=2, by="ann", now=NOW),
        prod.log_control(now=NOW, actor="ann", action="record.read", body={}),
    ]
    assert all(write.durable for write in writes)
    for write in writes:
        write.result()


def test_history_has_the_shape_of_the_contract(prod):
    promote(prod, "m2", reason="better", gate="gate_7")
    promote(prod, "m3", override="no time")
    rollback(prod, 2)
    assert msgspec.json.decode(msgspec.json.encode(prod.alias_history("prod"))) == {
        "name": "prod",
        "active": 2,
        "model": "m2",
        "versions": [
            {
                "version": version,
                "model": f"m{version}",
                "at": "2026-09-21T14:13:20.000000Z",
                "by": by,
                "reason": reason,
                "gate": gate,
                "override": override,
                "identity": None,
            }
            for version, by, reason, gate, override in (
                (1, "file", None, None, None),
                (2, "ann", "better", "gate_7", None),
                (3, "ann", None, None, "no time"),
            )
        ],
    }


def test_every_activation_is_in_the_log_of_moves(prod):
    promote(prod, "m2")
    rollback(prod)
    rollback(prod)
    promote(prod, "m2")
    with by_hand(prod.path) as db:
        moves = db.execute("SELECT kind, from_version, to_version FROM alias_moves ORDER BY seq").fetchall()
    assert moves == [("seed", None, 1), ("promote", 1, 2), ("rollback", 2, 1), ("promote", 1, 3)]


def test_a_change_is_seen_by_another_store_on_the_file(prod, path):
    with opened(path) as other:
        seen = other.data_version()
        assert other.data_version() == seen
        promote(prod, "m2")
        assert other.data_version() != seen
        assert other.aliases()["prod"] == at(2, "m2")


def test_a_change_of_ones_own_is_seen_too(prod):
    seen = prod.data_version()
    promote(prod, "m2")
    assert prod.data_version() != seen


async def test_p6_of_many_writers_in_one_process_one_wins(prod):
    changes = [
        prod.promote("prod", f"x{number}", if_version=1, by=str(number), now=NOW) for number in range(20)
    ]

    async def finish(change: Write[AliasState]) -> AliasState:
        return await change

    ends = await asyncio.gather(*map(finish, changes), return_exceptions=True)
    assert [end for end in ends if not isinstance(end, StaleVersion)] == [at(2, "x0")]


def test_the_same_model_as_something_else_is_a_new_version(prod):
    promote(prod, "m2", identity='{"upstream":"a"}')
    assert promote(prod, "m2", identity='{"upstream":"a"}').active == 2
    changed = promote(prod, "m2", identity='{"upstream":"b"}')
    assert (changed.active, changed.model) == (3, "m2")
    versions = prod.alias_history("prod").versions
    assert [one.identity for one in versions] == [None, {"upstream": "a"}, {"upstream": "b"}]


def test_o7_a_rollback_to_what_the_pool_has_no_more_is_refused_and_what_was_good_stays(prod):
    one, other = '{"upstream":"a"}', '{"upstream":"b"}'
    first = promote(prod, "m2", identity=one)
    now = promote(prod, "m3", identity=other)
    for pool in ({"m3": now.identity}, {"m2": "another", "m3": now.identity}):
        for _ in range(2):
            with pytest.raises(
                TargetGone, match="version 2 of `prod` was a `m2` that the pool does not have"
            ):
                prod.rollback("prod", 2, if_version=None, by="ann", now=NOW, pool=pool).result()
            assert prod.aliases()["prod"] == now
    pool = {"m1": "anything: what version 1 was is not known", "m2": first.identity}
    assert prod.rollback("prod", 2, if_version=3, by="ann", now=NOW, pool=pool).result() == first
    assert prod.rollback("prod", 1, if_version=2, by="ann", now=NOW, pool=pool).result() == at(1, "m1")


class Releases(RuleBasedStateMachine):
    """Promote and rollback in any order, next to a model of what must come out."""

    numbers = itertools.count()
    folder = tempfile.TemporaryDirectory(prefix="interlock-releases-")

    def __init__(self) -> None:
        super().__init__()
        self.store = Store.open(Path(self.folder.name) / f"{next(self.numbers)}.db", now=clock)
        self.store.seed_aliases({"prod": "m0"}, now=NOW, by="file")
        self.versions = ["m0"]
        self.active = 1
        self.before: int | None = None  # what a plain rollback returns to
        self.moves = 1

    def teardown(self):
        self.store.close()

    def outcome(self, write: Write[AliasState]) -> AliasState | type[AliasError]:
        try:
            return write.result()
        except AliasError as error:
            return type(error)

    def move(self, version: int, before: int) -> None:
        self.active, self.before = version, before
        self.moves += 1

    @rule(model=st.sampled_from(["m0", "m1", "m2"]), seen=st.sampled_from([None, 0, 0, 0, -1, 1]))
    def promote(self, model, seen):
        if_version = None if seen is None else self.active + seen
        found = self.outcome(self.store.promote("prod", model, if_version=if_version, by="ann", now=NOW))
        if seen not in {None, 0}:
            assert found is StaleVersion
            return
        if self.versions[self.active - 1] != model:
            self.versions.append(model)
            self.move(len(self.versions), self.active)
        assert found == at(self.active, model)

    @rule(to=st.one_of(st.none(), st.integers(0, 6)), seen=st.sampled_from([None, 0, 0, 0, -1]))
    def rollback(self, to, seen):
        if_version = None if seen is None else self.active + seen
        found = self.outcome(self.store.rollback("prod", to, if_version=if_version, by="bob", now=NOW))
        target = self.before if to is None else to
        if seen not in {None, 0}:
            assert found is StaleVersion
        elif target is None or not 1 <= target <= len(self.versions):
            assert found is UnknownVersion
        else:
            if target != self.active:
                self.move(target, target)
            assert found == at(self.active, self.versions[self.active - 1])

    @rule()
    def open_again(self):
        self.store.close()
        self.store = Store.open(self.store.path, now=clock)

    @invariant()
    def the_store_says_what_the_model_says(self):
        history = self.store.alias_history("prod")
        assert history is not None
        assert history.active == self.active
        assert [one.model for one in history.versions] == self.versions
        assert self.store.aliases()["prod"] == at(self.active, self.versions[self.active - 1])
        assert self.store.verify_control_log() is None
        with by_hand(self.store.path) as db:
            moves = db.execute("SELECT from_version, to_version FROM alias_moves ORDER BY seq").fetchall()
        assert len(moves) == self.moves
        assert all(one[1] == then[0] for one, then in itertools.pairwise(moves))


TestReleases = Releases.TestCase
TestReleases.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
