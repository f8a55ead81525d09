"""Several processes on one file: killed, racing, locked out, all at once."""

import os
import random
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from interlock.errors import StoreError
from interlock.store import rollouts
from interlock.store.releasing import end_rollout
from tests.store.given import NOW, answer, child, go, opened, record, said


def kill_rounds(path: Path, rounds: int) -> int:
    """Write, kill -9, and compare what was acknowledged with what is there; how many were."""
    draw = random.Random(0)
    acknowledged: list[str] = []
    for number in range(rounds):
        with child("write_until_killed", path, number * 1_000_000) as process:
            go(process)
            lines = iter(lambda: answer(process), "")
            seen = [next(lines) for _ in range(draw.randrange(1, 400))]
            os.kill(process.pid, signal.SIGKILL)
            seen.extend(line for line in lines if line.endswith("\n"))  # acknowledged before the kill
        acknowledged.extend(line.strip() for line in seen)
        with opened(path) as store:
            assert store.integrity() == ()
            kept = {one.id for one in store.each_record()}
            assert kept.issuperset(acknowledged)
    return len(acknowledged)


def test_p1_no_acknowledged_record_is_lost_to_kill_9(path):
    assert kill_rounds(path, 8) >= 8


@pytest.mark.long
def test_p1_no_acknowledged_record_is_lost_in_200_rounds_of_kill_9(path):
    assert kill_rounds(path, 200) >= 200


def test_p3_a_lock_held_by_another_process_makes_a_write_fail_in_bounded_time_and_then_it_works(path):
    with opened(path, busy_s=0.05) as store:
        store.put_record(record(1)).result()
        with child("hold_lock", path) as process:
            write = store.put_record(record(2))
            with pytest.raises(StoreError, match="another process holds its lock"):
                write.result()
            assert store.get_record(record(1).id) == record(1), "reads go on"
            assert store.get_record(record(2).id) is None
            go(process)
            assert said(process) == ["released"]
        store.put_record(record(2)).result()
        assert store.get_record(record(2).id) == record(2)


def test_p6_of_two_processes_that_promote_at_once_one_wins_each_time(path):
    rounds = 100
    with opened(path) as store:
        store.seed_aliases({"prod": "first"}, now=NOW, by="file")
    with child("race", path, "a", rounds) as a, child("race", path, "b", rounds) as b:
        winners = []
        for _ in range(rounds):
            go(a, b)
            answers = {"a": answer(a), "b": answer(b)}
            assert sorted(answers.values()) == ["stale\n", "won\n"]
            winners.append(next(name for name, answer in answers.items() if answer == "won\n"))
        assert said(a) == said(b) == []
    with opened(path) as store:
        history = store.alias_history("prod")
        assert history is not None
        assert history.active == rounds + 1
        assert [one.version for one in history.versions] == list(range(1, rounds + 2))
        assert [one.by for one in history.versions] == ["file", *winners]
        assert [one.model for one in history.versions[1:]] == [
            f"{name}-{version}" for version, name in enumerate(winners, start=1)
        ]
        assert store.verify_control_log() is None


def test_p6_of_two_processes_that_begin_a_rollout_of_one_alias_at_once_one_begins_each_time(path):
    rounds = 100
    with opened(path) as store:
        store.seed_aliases({"prod": "first"}, now=NOW, by="file")
        with child("race_rollouts", path, "a", rounds) as a, child("race_rollouts", path, "b", rounds) as b:
            for number in range(rounds):
                go(a, b)
                answers = {"a": answer(a), "b": answer(b)}
                assert sorted(answers.values()) == ["began\n", "under way\n"]
                (row,) = store.read(rollouts.live)
                winner = next(name for name, answer in answers.items() if answer == "began\n")
                assert (row.id, row.to_version) == (f"rol_{winner}_{number}", number + 2)
                end_rollout(store, "prod", "next round")
            assert said(a) == said(b) == []
        assert store.aliases()["prod"].active == 1
        assert store.verify_control_log() is None


def test_four_processes_write_at_once_and_no_record_is_lost(path):
    with ExitStack() as stack:
        processes = [stack.enter_context(child("write_many", path, name, 500)) for name in range(4)]
        go(*processes)
        for process in processes:
            said(process)
    with opened(path) as store:
        assert {one.id for one in store.each_record()} == {record(number).id for number in range(2000)}
        assert store.integrity() == ()


def test_processes_that_open_a_new_store_at_once_agree_on_it(path):
    with ExitStack() as stack:
        processes = [stack.enter_context(child("open_only", path)) for _ in range(4)]
        go(*processes)
        secrets = [said(process) for process in processes]
    with opened(path) as store:
        assert secrets == [[store.secret("keys").hex()]] * 4
        assert store.aliases()["prod"].active == 1
        assert store.verify_control_log() is None


def test_a_change_by_another_process_is_noticed_by_its_data_version(path):
    with opened(path) as store:
        store.seed_aliases({"prod": "first"}, now=NOW, by="file")
        before = store.data_version()
        assert store.data_version() == before
        with child("race", path, "a", 1) as process:
            go(process)
            assert said(process) == ["won"]
        assert store.data_version() != before
        assert store.aliases()["prod"].model == "a-1"
