"""Scores, money of copies, and events for webhooks, as rows."""

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from interlock.store import Store, events, grades
from interlock.wiring import now_us


def put(store, rollout, at, arm, grader, score, live=None):
    store.writer.row(grades.PUT, (rollout, at, "dec_1", arm, grader, score, live)).result()


def test_only_known_scores_of_a_rollout_since_its_step_are_read_each_once(store):
    put(store, "rol_1", 10, "canary", "x", 1.0)
    put(store, "rol_1", 20, "canary", "x", 0.0)
    put(store, "rol_1", 20, "shadow", "x", 0.5, 1.0)
    put(store, "rol_1", 20, "stable", "x", None)
    put(store, "rol_2", 20, "canary", "x", 1.0)
    found = store.read(partial(grades.known_since, rollout="rol_1", since=20, after=0))
    assert [(one.arm, one.score, one.live) for one in found] == [("canary", 0.0, None), ("shadow", 0.5, 1.0)]
    assert store.read(partial(grades.known_since, rollout="rol_1", since=20, after=found[-1].seq)) == []


def test_what_is_not_known_is_counted_apart_and_in_no_mean(store):
    for score in (1.0, 0.0, None):
        put(store, "rol_1", 20, "shadow", "x", score, 1.0 if score else None)
    (one,) = store.read(partial(grades.compared, rollout="rol_1"))
    assert (one.value, one.n, one.unknown, one.live, one.n_live) == (0.5, 2, 1, 1.0, 1)


def test_two_processes_together_set_no_more_money_aside_than_there_is(store):
    other = Store.open(store.path, now=now_us)
    try:
        took = [
            one.writer.call(partial(grades.reserve, rollout="rol_1", usd=0.3, most_usd=1.0)).result()
            for one in (store, other) * 3
        ]
    finally:
        other.close()
    assert took.count(True) == 3
    assert store.read(partial(grades.counts, rollout="rol_1"))[grades.SPENT] <= 1.0


@given(st.lists(st.floats(0, 1), max_size=30), st.floats(0, 3))
def test_what_is_set_aside_never_exceeds_its_limit(tmp_path_factory, amounts, most):
    store = Store.open(tmp_path_factory.mktemp("money") / "a.db", now=now_us)
    try:
        for usd in amounts:
            store.writer.call(partial(grades.reserve, rollout="r", usd=usd, most_usd=most)).result()
        assert store.read(partial(grades.counts, rollout="r")).get(grades.SPENT, 0.0) <= most
    finally:
        store.close()


async def test_scores_and_events_are_deleted_with_the_records_of_their_time(store):
    for at in (10, 20):
        await store.writer.row(grades.PUT, ("rol_1", at, "dec_1", "canary", "x", 1.0, None))
        await store.writer.call(partial(events.put, kind="alert", data={}, now=at))
    await store.expire(20)
    assert [
        one.seq for one in store.read(partial(grades.known_since, rollout="rol_1", since=0, after=0))
    ] == [2]
    assert [one.at for one in store.read(partial(events.after, seq=0, most=9))] == [20]


def test_a_webhook_hears_of_what_comes_after_it_was_added_and_is_never_moved_back(store):
    def announce():
        store.writer.call(partial(events.put, kind="alert", data={"n": 1}, now=5)).result()

    announce()
    store.writer.call(partial(events.begin, names=["ops"])).result()
    announce()
    seen = store.read(events.told)["ops"]
    (event,) = store.read(partial(events.after, seq=seen.seq, most=9))
    assert (event.kind, event.data, event.at) == ("alert", '{"n":1}', 5)
    to = events.Told(event.seq)
    assert store.writer.call(partial(events.move, name="ops", seen=seen, to=to)).result()
    assert not store.writer.call(partial(events.move, name="ops", seen=seen, to=seen)).result()
    assert store.read(events.told)["ops"] == to
    store.writer.call(partial(events.begin, names=["ops"])).result()
    assert store.read(events.told)["ops"] == to
