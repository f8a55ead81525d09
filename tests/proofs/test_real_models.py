"""Releases on a real small model of this machine: the server and the commands that users have, unattended.

`make test` installs the model; the long version, over many seeds, is `python -m bench proofs`.
"""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import apsw
import pytest

from bench.release import RISE, Release, forgetful, missing, model_server
from interlock.evals.record import SECRET, Signed, verify
from interlock.store.sqlite import Store

CASES = 20
DROP = 0.25
SURELY = 0.9999
"""So that a test that draws its arms anew each time fails once in ten thousand runs, if all is well."""

pytestmark = [
    pytest.mark.skipif(missing() is not None, reason=missing() or ""),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="session")
def model():
    with model_server() as port:
        yield port


@pytest.fixture
def release(model, tmp_path):
    """`worse` forgets always."""
    with forgetful(model, share=1.0) as vendor:
        yield Release(tmp_path, model, vendor, cases=CASES, drop_at_most=DROP)


def signed_record(release: Release, name: str):
    """A gate's record as the store has it, if its signature holds."""
    store = Store.open(release.folder / "interlock.db", now=lambda: 0)
    try:
        (row,) = [row for row in store.gate_records("prod") if row.id == name]
        return verify(Signed(body=row.body, signature=row.signature), store.secret(SECRET))
    finally:
        store.close()


def test_a_real_regression_is_refused_and_if_forced_through_rolled_back_within_the_stated_number(release):
    # The gate refuses it.
    status, (told,), _ = release.command("gate", "words", "--alias", "prod", "--to", "worse")
    assert (status, told["verdict"]) == (1, "fail"), told
    (check,) = [check for check in told["checks"] if check["metric"] == "task_success"]
    assert (check["verdict"], check["value"], check["n"]) == ("fail", 0.0, CASES)
    assert check["baseline"] > 0.9
    record = signed_record(release, told["record"])
    assert record is not None, "the signature does not hold"
    assert (record.verdict, record.candidate.model, record.candidate.version) == ("fail", "worse", "2")
    report = release.folder / told["report"]
    assert json.loads(report.with_name("report.json").read_text())["verdict"] == "fail"
    assert int(ET.parse(report.with_name("junit.xml")).getroot().get("failures", "0")) > 0

    # So does the rollout, until somebody says why it must be.
    start = ("rollout", "start", "prod", "--to", "worse", "--plan", "canary")
    status, (refused,), _ = release.command(*start)
    assert (status, "has a gate" in refused["error"]["problem"]) == (1, True)
    # How many requests its rollback may take is said now, before the first of them.
    rates = ("--candidate", "1", "--stable", "0", "--chance", str(SURELY))
    stated = release.value("rollout", "forecast", "canary", "--metric", "error_rate", *rates)
    assert (stated["requests"], stated["of_candidate"]) == (37, 30)
    forced = release.value(*start, "--override", "the vendor retires the old one tonight")

    # The canary takes it back, by itself.
    with release.serving():
        found = release.traffic(forced["id"], most=stated["requests"], batch=3)
        assert (found["state"], found["weight"]) == ("aborted", 0.0), found
        by_metric = {finding["metric"]: finding for finding in found["evidence"]}
        assert by_metric["error_rate"]["verdict"] == "breach"
        assert by_metric["error_rate"]["low"] > RISE
        assert release.ask()["decision"]["route"]["model"] == "good"
    arms = release.drawn()
    assert arms["canary"] <= stated["of_candidate"]
    assert sum(arms.values()) <= stated["requests"]
    history = release.value("alias", "history", "prod")
    assert (history["active"], history["model"]) == (1, "good")
    assert overrides(release.folder) == ["the vendor retires the old one tonight"]
    assert release.value("audit", "verify")["ok"]


def overrides(folder: Path) -> list[str]:
    """The reasons that the audit log has for going past a gate."""
    with apsw.Connection(str(folder / "interlock.db")) as db:
        bodies = [json.loads(body) for (body,) in db.execute("SELECT body FROM control_log")]
    return [body["override"] for body in bodies if body.get("override")]


def test_a_truly_equal_candidate_passes_the_gate_and_is_promoted_unattended(release):
    told = release.value("gate", "words", "--alias", "prod", "--to", "same")
    assert told["verdict"] == "pass"
    record = signed_record(release, told["record"])
    assert record is not None
    assert record.verdict == "pass"
    begun = release.value("rollout", "start", "prod", "--to", "same", "--plan", "canary")
    with release.serving():
        found = release.traffic(begun["id"], most=240, batch=8)
        assert (found["state"], found["weight"]) == ("promoted", 1.0), found
    history = release.value("alias", "history", "prod")
    assert (history["active"], history["model"]) == (2, "same")
    assert history["versions"][-1]["gate"] == told["record"]
