"""The rollback bench believes nothing that a record does not show."""

from pathlib import Path

import apsw
import pytest

from bench.lab import Wrong
from bench.rollback import FEWEST, Flip, each_worker_worked, took

FLIP = Flip(1, began=1_000_000, returned=1_600_000, ended=3_000_000)
NEW = [(1_500_000 + 1000 * number, 1) for number in range(FEWEST)]


def store(folder: Path, *rows: tuple[int, int]) -> Path:
    path = folder / "bench.db"
    with apsw.Connection(str(path)) as db:
        db.execute("CREATE TABLE records (created_at, alias_version, alias); CREATE TABLE alias_moves (at)")
        db.execute("INSERT INTO alias_moves VALUES (900000), (1300000)")
        db.executemany("INSERT INTO records VALUES (?, ?, 'stable')", rows)
    return path


def test_the_last_request_on_the_old_version_counts(tmp_path):
    found = took(store(tmp_path, *NEW, (1_200_000, 2), (1_450_000, 2), (900_000, 2)), FLIP, 1.5)
    assert (found.change, found.end, found.start) == (150.0, 0.0, 450.0)


def test_where_nobody_used_the_old_version_after_the_change_it_took_no_time(tmp_path):
    found = took(store(tmp_path, *NEW), FLIP, 1.5)
    assert (found.change, found.end) == (0.0, 0.0)


def test_a_version_that_never_goes_out_of_use_makes_the_run_worthless(tmp_path):
    with pytest.raises(Wrong, match="was in use still"):
        took(store(tmp_path, *NEW, (2_950_000, 2)), FLIP, 1.5)


def test_without_requests_on_the_new_version_there_is_no_result(tmp_path):
    with pytest.raises(Wrong, match="only 3 requests"):
        took(store(tmp_path, *NEW[:3]), FLIP, 1.5)


@pytest.mark.parametrize("used", [[10.0, 10.0, 10.0], [9.0, 8.0, 10.0, 0.1]])
def test_a_worker_that_sat_idle_makes_the_run_worthless(used):
    with pytest.raises(Wrong, match="not every worker"):
        each_worker_worked([0.0] * len(used), used)
