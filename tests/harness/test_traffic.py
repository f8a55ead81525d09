"""Recorded traffic becomes cases: only what was stored, only what ended well, only up to a data class."""

import json

import httpx2
from click.testing import CliRunner
from tests.harness.world import reply
from tests.server.harness import pool, serving
from tests.server.upstream import Upstream

from interlock.cli.app import cli
from interlock.evals.loading import load_suite


def say(_model, _messages):
    return "It opens at nine."


async def recorded(folder, content: str) -> None:
    """A server that has answered four requests: two plain ones, a confidential one, one of Anthropic's
    form.
    """
    async with Upstream(reply(say)) as up:
        sections = {"telemetry": {"content": content}, "fallbacks": []}
        config = pool(up.url, up.url, **sections)
        config["providers"]["alpha"]["trusted_for"] = "regulated"
        async with serving(folder, config) as server:
            first = await server.chat("When do you open?", headers={"x-interlock-task": "hours"})
            assert first.status_code == 200
            name = first.headers["x-interlock-decision-id"]
            told = await server.client.post(f"/v1/decisions/{name}/outcome", json={"success": True})
            assert told.status_code == 200, told.text
            await server.chat("And on Sunday?")
            secret = await server.chat("My salary?", headers={"x-interlock-data-class": "confidential"})
            assert secret.status_code == 200, secret.text
            by_message = await server.message("Hello?", system="Be brief.")
            assert isinstance(by_message, httpx2.Response)


def made(folder, monkeypatch, *arguments: str):
    """What the command makes: its JSON, and the cases."""
    monkeypatch.setenv("ALPHA_KEY", "a")
    monkeypatch.setenv("BETA_KEY", "b")
    file = folder / "traffic.jsonl"
    told = CliRunner().invoke(
        cli,
        [
            "eval",
            "from-decisions",
            "--config",
            str(folder / "interlock.yaml"),
            "--out",
            str(file),
            "--json",
            *arguments,
        ],
        catch_exceptions=False,
    )
    assert told.exit_code == 0, told.stderr
    return json.loads(told.stdout), [json.loads(line) for line in file.read_text().splitlines()]


async def test_traffic_becomes_a_suite_that_can_be_run(tmp_path, monkeypatch):
    await recorded(tmp_path, "full")
    value, cases = made(tmp_path, monkeypatch)
    assert (value["cases"], value["left_out"]) == (3, {"it is confidential, more than internal": 1})
    assert cases[0]["messages"] == [{"role": "user", "content": "When do you open?"}]
    assert (cases[0]["family"], cases[0]["data_class"]) == ("hours", "internal")
    assert cases[0]["expect"] == {"reference": "It opens at nine."}
    assert "expect" not in cases[1]
    assert [message["role"] for message in cases[2]["messages"]] == ["system", "user"]
    (tmp_path / "traffic.yaml").write_text(
        "suite: traffic\ncases: ./traffic.jsonl\ngraders: [{kind: exact, expect: reference}]\n"
    )
    assert len(load_suite(tmp_path / "traffic.yaml").cases) == 3
    value, _ = made(tmp_path, monkeypatch, "--max-data-class", "confidential")
    assert value["cases"] == 4


async def test_what_was_not_stored_becomes_no_case(tmp_path, monkeypatch):
    await recorded(tmp_path, "off")
    value, cases = made(tmp_path, monkeypatch)
    assert (value["cases"], cases) == (0, [])
    assert value["left_out"] == {"its content was not stored": 4}
