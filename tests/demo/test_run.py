"""The whole demo with stand-ins for the models: a real gateway and replay, and nothing left over."""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from interlock import local_models
from interlock.demo import run as demo
from interlock.demo.scenarios import SCENARIOS, Expected
from interlock.demo.show import Screen
from tests.data import ROOT

FAKE = "tests.demo.fake_model"


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Where the demo writes, what it may import, and every process that it starts."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "src")]))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "INTERLOCK_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    processes = []

    class Popen(subprocess.Popen[bytes]):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            processes.append(self)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    return processes


def test_every_scenario_ends_as_it_says_and_no_process_is_left(started, capsys):
    ok = demo.run(Screen(as_json=True), keep=False, models_module=FAKE)
    printed = capsys.readouterr()
    value = json.loads(printed.out)
    assert {request["name"]: request["problems"] for request in value["requests"]} == {
        scenario.name: [] for scenario in SCENARIOS if scenario.needs is None
    }
    assert ok
    assert value["ok"]
    assert value["verified"] == {"decisions": len(value["requests"]), "differing": []}
    assert len(started) == 4  # two models, the gateway, the replay
    assert all(process.poll() is not None for process in started)
    folder = Path(value["folder"])
    assert {file.name for file in folder.iterdir()} >= {
        "interlock.yaml",
        "interlock.db",
        "env.sh",
        "server.log",
    }
    assert "14 of 14 requests ended as expected" in printed.err


def test_a_request_that_ends_otherwise_is_shown_and_fails_the_demo(started, capsys, monkeypatch):
    wrong = [s for s in SCENARIOS if s.name == "nobody"]
    other = type(wrong[0])(
        name="other", asks="x", body=wrong[0].body, headers=wrong[0].headers, expect=Expected()
    )
    monkeypatch.setattr(demo, "SCENARIOS", (other,))
    assert not demo.run(Screen(as_json=False), keep=False, models_module=FAKE)
    out = capsys.readouterr().out
    assert "the status should be 200, and is 403" in out
    assert "0 of 1 requests ended as expected" in out
    assert all(process.poll() is not None for process in started)


def test_a_gateway_that_does_not_start_is_told_with_its_own_words(started, monkeypatch):
    monkeypatch.setattr(demo, "_interlock", lambda _: [sys.executable, "-c", "raise SystemExit('error: no')"])
    with pytest.raises(demo.DemoError, match="the gateway did not become ready: error: no"):
        demo.run(Screen(as_json=True), keep=False, models_module=FAKE)
    assert all(process.poll() is not None for process in started)


def test_without_the_extra_the_demo_says_how_to_get_it(started, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(local_models.LocalModelError) as caught:
        demo.run(Screen(as_json=True), keep=False)
    assert "make demo" in caught.value.hint
    assert started == []
