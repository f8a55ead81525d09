"""`eval` and `gate` as commands: what they print, write, and exit with."""

import asyncio
import json
import os
import pty
import re
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from interlock.cli.app import cli
from interlock.store import watches
from interlock.store.releasing import begin_gate
from interlock.store.sqlite import Store
from tests.harness.world import asks, last, reply, write_config, write_suite
from tests.server.upstream import HANG, Reply, Upstream, answer

CASES = [asks(f"q{number}", expect="yes") for number in range(120)]
NASTY = asks("<script>alert(1)</script>\u0007", '<b>"it\'s"</b>', expect="yes")
GATE = {
    "evals": {"basics": {"suite": "./suite.yaml"}},
    "gates": {"prod": {"suites": ["basics"], "checks": [{"metric": "task_success", "drop_at_most": 0.1}]}},
}


class Voice:
    """Says yes, but echoes what has a script in it; after `limit` answers it says nothing any more."""

    def __init__(self) -> None:
        self.asked = 0
        self.limit = 1_000_000
        self.down = ""

    def __call__(self, model: str, messages: list[dict[str, Any]]) -> str | Reply:
        self.asked += 1
        if model == self.down:
            return answer({"error": {"message": "down"}}, 503)
        if self.asked > self.limit:
            return HANG
        return last(messages) if "script" in last(messages) else "yes"


@pytest.fixture
def voice():
    return Voice()


@pytest.fixture
def folder(tmp_path, monkeypatch, voice):
    """A folder with a config, a suite, and a provider that answers in a thread of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INTERLOCK_CONFIG", raising=False)
    ready, done = threading.Event(), threading.Event()
    found: list[str] = []

    async def serve() -> None:
        async with Upstream(reply(voice)) as upstream:
            found.append(upstream.url)
            ready.set()
            await asyncio.to_thread(done.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait(10)
    write_config(tmp_path, found[0], **GATE)
    write_suite(tmp_path, [*CASES, NASTY], [{"kind": "exact"}])
    yield tmp_path
    done.set()
    thread.join(10)


def run(*arguments: str):
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


def test_eval_run_prints_one_json_value_and_writes_a_report(folder):
    told = run("eval", "run", "suite.yaml", "--model", "new", "--baseline", "old", "--out", "out", "--json")
    assert told.exit_code == 0, told.stderr
    value = json.loads(told.stdout)
    assert (value["suite"], value["model"], value["cases"]) == ("basics", "new", 121)
    success = value["measures"]["task_success"]
    assert set(success) == {"value", "low", "high", "n"}
    assert success["value"] == pytest.approx(120 / 121)
    assert value["baseline"]["model"] == "old"
    assert value["baseline"]["agreement"]["value"] == 1.0
    assert Path(value["report"]).is_file()
    samples = [json.loads(line) for line in Path("out/samples.jsonl").read_text().splitlines()]
    assert len(samples) == 242
    assert samples[0]["sample"]["turns"][0]["text"] == "yes"
    assert "242/242 samples" in told.stderr


def test_eval_run_for_people_is_a_table_and_says_where_the_report_is(folder):
    shown = run("eval", "run", "basics", "--model", "prod")
    assert shown.exit_code == 0
    assert "task_success" in shown.stdout
    assert "report.html" in shown.stdout


def test_a_gate_exits_0_on_a_pass_and_keeps_its_record(folder):
    told = run("gate", "basics", "--alias", "prod", "--to", "new", "--json")
    value = json.loads(told.stdout)
    assert (told.exit_code, value["verdict"]) == (0, "pass"), told.stdout
    assert (value["alias"], value["baseline"], value["candidate"]) == ("prod", "old", "new")
    assert {"metric", "family", "verdict", "value", "baseline", "low", "high", "n", "why"} <= set(
        value["checks"][0]
    )
    store = Store.open(folder / "interlock.db", now=lambda: 0)
    assert [row.id for row in store.gate_records("prod")] == [value["record"]]
    store.close()


def test_a_gate_that_is_inconclusive_exits_1(folder):
    write_suite(folder, CASES[:3], [{"kind": "exact"}])
    told = run("gate", "basics", "--alias", "prod", "--to", "new", "--json")
    assert (told.exit_code, json.loads(told.stdout)["verdict"]) == (1, "inconclusive")
    assert "too few cases" in run("gate", "basics", "--alias", "prod", "--to", "new").stdout


JUDGE = {"kind": "judge", "model": "wise", "rubric": "It is polite."}
KEPT = {"metric": "task_success", "drop_at_most": 0.1}
JUDGED = {"metric": "judged", "drop_at_most": 0.1}
ABSENT = {"metric": "citation_valid", "at_least": 0.5}


@pytest.mark.parametrize(
    ("cases", "graders", "checks", "says"),
    [
        (CASES[:3], [], [KEPT], "too few cases"),
        (CASES[:40], [JUDGE], [KEPT, JUDGED], "cases have no value|pairs have no value"),
        (CASES, [], [KEPT, ABSENT], "`citation_valid` was not measured"),
    ],
    ids=["too few cases", "the judge is down", "a metric is missing"],
)
def test_o6_doubt_exits_1_is_kept_as_inconclusive_and_lets_nothing_through(
    folder, voice, cases, graders, checks, says
):
    voice.down = "gamma"  # the judge's upstream
    write_suite(folder, cases, [{"kind": "exact"}, *graders])
    config = yaml.safe_load((folder / "interlock.yaml").read_text())
    config["gates"]["prod"]["checks"] = checks
    (folder / "interlock.yaml").write_text(yaml.safe_dump(config))
    told = run("gate", "basics", "--alias", "prod", "--to", "new", "--out", "out", "--json")
    value = json.loads(told.stdout)
    assert (told.exit_code, value["verdict"]) == (1, "inconclusive"), value
    assert "fail" not in {check["verdict"] for check in value["checks"]}
    assert re.search(says, value["why"]), value["why"]
    tests = ET.parse("out/junit.xml").getroot()
    assert (tests.get("failures"), int(tests.get("errors", "0")) > 0) == ("0", True)
    store = Store.open(folder / "interlock.db", now=lambda: 0)
    assert [row.verdict for row in store.gate_records("prod")] == ["inconclusive"]
    store.close()
    refused = run("alias", "promote", "prod", "--to", "new", "--json")
    assert (refused.exit_code, "no record" in json.loads(refused.stdout)["error"]["problem"]) == (1, True)


def test_o6_without_checks_a_gate_is_inconclusive_and_a_config_with_none_is_not_used(folder):
    config = yaml.safe_load((folder / "interlock.yaml").read_text())
    empty = {**config, "gates": {"prod": {"suites": ["basics"], "checks": []}}}
    (folder / "interlock.yaml").write_text(yaml.safe_dump(empty))
    assert run("gate", "basics", "--alias", "prod", "--to", "new").exit_code == 2
    (folder / "interlock.yaml").write_text(yaml.safe_dump({**config, "gates": {}}))
    told = run("gate", "basics", "--alias", "prod", "--to", "new", "--json")
    value = json.loads(told.stdout)
    assert (told.exit_code, value["verdict"]) == (1, "inconclusive")
    assert "nothing says what a release must keep" in value["why"]


class Page(HTMLParser):
    """What a page opens and never closes, and whatever it would fetch.

    HTML lets a cell end where the next one or its row does; all else has to be closed in its place.
    """

    VOID = ("meta", "br", "hr", "img", "input", "link")
    CELLS = ("th", "td")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[tuple[str, str | None]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in self.CELLS and self.open[-1] in self.CELLS:
            self.open.pop()
        if tag not in self.VOID:
            self.open.append(tag)
        self.fetched += [(name, value) for name, value in attrs if name in ("src", "href", "srcset", "data")]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if self.open and self.open[-1] == tag:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.CELLS and self.open[-1] in self.CELLS:
            self.open.pop()
        assert self.open.pop() == tag


def test_a_report_is_one_well_formed_page_that_fetches_nothing(folder):
    run("gate", "basics", "--alias", "prod", "--to", "new", "--out", "gate", "--json")
    run("eval", "run", "basics", "--model", "new", "--baseline", "old", "--out", "run", "--json")
    for name in ("gate", "run"):
        text = Path(f"{name}/report.html").read_text()
        page = Page(text)
        assert (page.open, page.fetched) == ([], [])
        assert not re.search(r"url\(|@import|//[a-z]", text.replace("http://www.w3.org/2000/svg", ""))
        assert "<svg" in text
        assert ET.parse(f"{name}/junit.xml").getroot().tag in ("testsuite", "testsuites")


def test_on_a_terminal_the_progress_is_one_bar_that_is_drawn_over_itself(folder):
    """A real terminal: the command is a process whose stderr is one."""
    write_suite(folder, CASES[:12], [{"kind": "exact"}])
    ours, its = pty.openpty()
    command = [sys.executable, "-m", "interlock.cli", "eval", "run", "basics", "--model", "new", "--json"]
    told = subprocess.run(command, stderr=its, stdout=subprocess.PIPE, check=True)
    os.close(its)
    drawn = os.read(ours, 65_536).decode()
    os.close(ours)
    bars = re.findall(r"\r\[(#*)(\.*)\] (\d+)/12 samples", drawn)
    assert len(bars) == 12
    assert {len(done) + len(left) for done, left, _ in bars} == {30}
    assert bars[-1][0] == "#" * 30
    assert json.loads(told.stdout)["cases"] == 12


def test_reports_escape_what_suites_and_models_say_and_hold_no_script(folder):
    assert run("gate", "basics", "--alias", "prod", "--to", "new", "--out", "out", "--json").exit_code == 0
    page = Path("out/report.html").read_text()
    assert "<script" not in page
    assert "<b>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<svg" in page
    assert "http" not in page.replace("http-equiv", "")
    tree = ET.parse("out/junit.xml").getroot()
    assert (tree.get("failures"), tree.get("errors")) == ("0", "0")
    assert [case.get("name") for case in tree.iter("testcase")] == [
        "task_success",
        "cost_per_case",
        "policy_drift",
        "verdict",
    ]
    run("eval", "run", "basics", "--model", "new", "--out", "run", "--json")
    cases = {case.get("name"): case for case in ET.parse("run/junit.xml").getroot().iter("testcase")}
    assert cases['<b>"it\'s"</b>'].find("failure") is not None
    assert cases["q1"].find("failure") is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("eval", "run", "nope", "--model", "new"), "there is no such suite"),
        (("eval", "run", "basics", "--model", "nww"), "did you mean `new`?"),
        (("gate", "basics", "--alias", "prd", "--to", "new"), "did you mean `prod`?"),
        (("gate", "basics", "--alias", "prod", "--to", "prod"), "is not a model of the pool"),
        (("eval", "run", "judged.yaml", "--model", "new"), "its judge `wis` is no model and no alias"),
        (("eval", "run", "broken.yaml", "--model", "new"), "broken.yaml:1: `suit`: unknown key `suit`"),
    ],
    ids=["suite", "model", "alias", "not of the pool", "judge", "broken"],
)
def test_a_mistake_is_said_and_nothing_is_asked(folder, arguments, says):
    judge = "graders: [{kind: judge, model: wis, rubric: x}]"
    (folder / "judged.yaml").write_text(
        f"suite: x\ncases: [{{id: a, messages: [{{role: user, content: x}}]}}]\n{judge}\n"
    )
    (folder / "broken.yaml").write_text("suit: x\ncases: []\ngraders: []\n")
    shown = run(*arguments)
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert says in shown.stderr


def test_a_budget_needs_a_price(folder):
    config = yaml.safe_load((folder / "interlock.yaml").read_text())
    config["models"] = {name: {**entry, "price": None} for name, entry in config["models"].items()}
    (folder / "interlock.yaml").write_text(yaml.safe_dump(config))
    for name, model in (("new", "new"), ("prod", "old")):
        shown = run("eval", "run", "basics", "--model", name, "--budget-usd", "1")
        assert shown.exit_code == 2
        assert f"the price of `{model}` is unknown" in shown.stderr


def test_check_names_what_is_wrong_with_suites_and_what_they_do_not_measure(folder):
    assert run("check").exit_code == 0
    (folder / "suite.yaml").write_text("suite: x\ngraders: [{kind: exat}]\ncases: [{id: a, messages: []}]\n")
    told = run("check", "--json")
    (problem,) = [p for p in json.loads(told.stdout)["problems"] if p["file"].endswith("suite.yaml")][:1]
    assert (told.exit_code, problem["path"], problem["severity"]) == (0, "graders[0].kind", "warning")
    write_suite(folder, CASES[:1], [{"kind": "exact", "measure": "rightness"}])
    problems = json.loads(run("check", "--json").stdout)["problems"]
    assert "no suite of this gate measures `task_success`" in " ".join(p["problem"] for p in problems)


def test_a_run_that_is_killed_goes_on_where_it_was(folder, voice):
    """The process is killed in the middle; the second run asks for what is missing only."""
    write_suite(folder, CASES, [{"kind": "exact"}])
    voice.limit = 40
    arguments = ["eval", "run", "basics", "--model", "new", "--out", "out", "--concurrency", "1"]
    process = subprocess.Popen([sys.executable, "-m", "interlock.cli", *arguments], stderr=subprocess.DEVNULL)
    while voice.asked <= 40:
        time.sleep(0.02)
    process.kill()
    process.wait()
    voice.limit = 1_000_000
    told = run(*arguments, "--json")
    assert json.loads(told.stdout)["states"] == {"answered": 120}
    assert "120/120 samples, 40 kept from before" in told.stderr
    assert voice.asked == 40 + 1 + 80


def test_a_run_that_nobody_answers_exits_3(folder):
    write_config(folder, "http://127.0.0.1:9", **GATE)
    write_suite(folder, CASES[:2], [{"kind": "exact"}])
    told = run("eval", "run", "basics", "--model", "new", "--json")
    assert (told.exit_code, json.loads(told.stdout)["states"]) == (3, {"unavailable": 2})
    assert "nobody answered" in told.stderr


def again(*more):
    told = run("gate", "--again", "prod", "--json", *more)
    return told.exit_code, json.loads(told.stdout)


def test_a_gate_runs_again_over_what_is_active_and_leaves_its_verdict_for_the_server(folder):
    """One case echoes differently in no run, so a release that is what it was passes."""
    assert run("gate", "basics", "--alias", "prod", "--to", "new", "--json").exit_code == 0
    assert run("alias", "promote", "prod", "--to", "new").exit_code == 0
    status, value = again()
    assert (status, value["verdict"]) == (0, "pass"), value["why"]
    assert (value["baseline"], value["candidate"]) == ("new", "new")
    assert (folder / "reports" / "again-prod" / "report.html").exists()
    store = Store.open(folder / "interlock.db", now=lambda: 0)
    row = store.read(lambda db: watches.again(db, "prod"))
    store.close()
    assert row is not None
    assert (row.version, row.verdict, row.record, row.handled) == (2, "pass", value["record"], False)
    shown = run("alias", "watch", "prod")
    assert "gate at" in shown.stdout
    assert "pass" in shown.stdout


def test_of_two_runs_of_one_gate_over_what_is_active_the_second_is_refused(folder):
    run("alias", "list")
    store = Store.open(folder / "interlock.db", now=lambda: 0)
    try:
        assert begin_gate(store, "prod", "again_x", "somebody", 60_000_000).result() is not None
        status, value = again()
        assert (status, value["error"]["where"]) == (2, "--again")
        assert "is running over what is active already" in value["error"]["problem"]
        assert begin_gate(store, "prod", "again_y", "somebody", 0).result() is not None
        status, value = again()
        assert (status, value["verdict"]) == (1, "inconclusive")
        row = store.read(lambda db: watches.again(db, "prod"))
        assert row is not None
        assert (row.run, row.ended is not None) == ("again_x", True), "what was cut short is gone on with"
    finally:
        store.close()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("gate", "--again", "prd"), "did you mean `prod`?"),
        (("gate", "basics", "--again", "prod"), "names all there is to run"),
        (("gate", "basics", "--alias", "prod"), "are needed"),
    ],
)
def test_what_a_gate_is_asked_to_run_is_said_once_and_whole(folder, arguments, says):
    told = run(*arguments)
    assert told.exit_code == 2
    assert says in told.stderr
