"""`init`, `check` and `config`: the config as a file, before anything runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from interlock import config
from interlock.cli.app import cli
from interlock.config.init import starter
from tests.data import ROOT


def first_config(env):
    """What `init` writes where no server answers on this machine."""
    return starter(env, lambda _: None)


GOOD = first_config({})
BAD = GOOD.replace("default: {model: cheap}", "default: {model: chaep}")
KEYS = {"OPENAI_API_KEY": "sk-one", "ANTHROPIC_API_KEY": "sk-two"}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    """Every command runs in a folder of its own, with no config but what the test writes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("interlock.config.init.LOCAL_SERVERS", ())  # whatever happens to run here
    for name in ("INTERLOCK_CONFIG", *KEYS):
        monkeypatch.delenv(name, raising=False)


def run(*arguments):
    return CliRunner().invoke(cli, arguments, catch_exceptions=False)


@pytest.mark.parametrize(
    "env",
    [{}, {"OPENAI_API_KEY": "sk-one"}, {"ANTHROPIC_API_KEY": "sk-two"}, KEYS],
    ids=["no key", "openai", "anthropic", "both"],
)
def test_the_first_config_has_no_error(env):
    Path("interlock.yaml").write_text(first_config(env))
    assert [p for p in config.check(Path("interlock.yaml"), env) if p.severity == "error"] == []


def test_init_writes_a_config_and_never_replaces_one_unasked():
    assert run("init").exit_code == 0
    assert Path("interlock.yaml").read_text() == GOOD
    Path("interlock.yaml").write_text("mine")
    again = run("init")
    assert (again.exit_code, Path("interlock.yaml").read_text()) == (2, "mine")
    assert again.stderr == "error: interlock.yaml: there is a config already\nhint: --force replaces it\n"
    assert json.loads(run("init", "--force", "--json").stdout) == {"file": "interlock.yaml"}
    assert Path("interlock.yaml").read_text() == GOOD


def test_init_into_a_folder_that_is_not_there_says_so():
    told = run("init", "--config", "nowhere/interlock.yaml", "--json")
    assert told.exit_code == 2
    assert json.loads(told.stdout)["error"]["where"] == "nowhere/interlock.yaml"


def test_check_of_a_good_config_is_ok():
    Path("interlock.yaml").write_text(GOOD)
    assert (run("check").exit_code, run("check").stdout) == (0, "interlock.yaml: no problem found\n")
    assert json.loads(run("check", "--json").stdout) == {"ok": True, "problems": []}


def test_check_of_a_bad_config_exits_1_with_where_problem_and_hint():
    Path("interlock.yaml").write_text(BAD)
    shown = run("check")
    assert shown.exit_code == 1
    assert "`default.model`" in shown.stdout
    assert "hint: did you mean `cheap`?" in shown.stdout
    told = run("check", "--json")
    assert told.exit_code == 1
    value = json.loads(told.stdout)
    assert value["ok"] is False
    assert {"file", "path", "problem", "hint", "severity"} <= value["problems"][0].keys()


def test_warnings_alone_do_not_fail_a_check():
    Path("interlock.yaml").write_text(GOOD + "cache: {exact: {ttl: 10m}}\n")
    told = run("check", "--json")
    value = json.loads(told.stdout)
    assert (told.exit_code, value["ok"], [p["severity"] for p in value["problems"]]) == (0, True, ["warning"])


def test_check_tells_graders_of_rollouts_that_are_none():
    plan = "{steps: [{weight: 1.0}], graders: {x: {kind: lenght, at_most: 5}}, guardrails: []}"
    Path("interlock.yaml").write_text(f"{GOOD}\nrollouts: {{canary: {plan}}}\n")
    found = run("check", "--json")
    assert found.exit_code == 1
    (error,) = [one for one in json.loads(found.stdout)["problems"] if one["severity"] == "error"]
    assert (error["path"], error["hint"]) == ("rollouts.canary.graders.x.kind", "did you mean `length`?")


def test_the_config_is_looked_for_in_the_folder_and_then_in_the_environment(monkeypatch):
    Path("other.yaml").write_text(BAD)
    monkeypatch.setenv("INTERLOCK_CONFIG", "other.yaml")
    assert run("check").exit_code == 1
    Path("interlock.yaml").write_text(GOOD)
    assert run("check").exit_code == 0
    assert run("check", "--config", "other.yaml").exit_code == 1


def test_no_config_at_all_is_a_mistake_with_a_hint():
    shown = run("check")
    assert shown.exit_code == 2
    assert shown.stderr.startswith("error: interlock.yaml: there is no such file\nhint: `interlock init`")


def test_config_schema_is_json_that_names_every_section():
    shown, told = run("config", "schema"), run("config", "schema", "--json")
    assert json.loads(shown.stdout) == json.loads(told.stdout)
    assert len(told.stdout.splitlines()) == 1
    assert "providers" in json.loads(told.stdout)["$defs"]["File"]["properties"]


def test_config_show_is_the_resolved_config_without_secrets(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary-one")
    Path("interlock.yaml").write_text(first_config({"OPENAI_API_KEY": "x"}))
    for arguments in (("config", "show"), ("config", "show", "--json")):
        shown = run(*arguments)
        assert json.loads(shown.stdout)["models"]["gpt-6-luna"]["price"]["input"] > 0
        assert "canary" not in shown.output


def test_a_config_that_cannot_be_used_stops_every_other_command_with_status_2():
    Path("interlock.yaml").write_text(BAD)
    shown = run("config", "show")
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert "`default.model`" in shown.stderr
    told = run("config", "show", "--json")
    assert told.exit_code == 2
    assert json.loads(told.stdout)["error"]["problems"][0]["path"] == "default.model"


def test_as_a_process_it_ends_with_the_status_and_keeps_stdout_for_json():
    Path("interlock.yaml").write_text(BAD)
    done = subprocess.run(
        [sys.executable, "-m", "interlock.cli", "check", "--json"],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, b"")
    assert json.loads(done.stdout)["ok"] is False
