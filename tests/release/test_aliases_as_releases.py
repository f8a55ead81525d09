"""A version of an alias is what really answers: who may be released, and what a change of the pool means."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
import yaml
from click.testing import CliRunner

from interlock.cli.app import cli
from interlock.config import load
from interlock.errors import ConfigError
from interlock.evals.identity import change_of, differences, identity, identity_hash
from interlock.evals.record import GateRecord, Side
from interlock.harness.gating import keep
from interlock.release.gates import GateFailed, gate_suites, permit
from interlock.release.pool import changes_of, follow_pool
from interlock.server.ids import fresh_name
from interlock.store import Store
from interlock.wiring import now_us, remember
from tests.server.harness import pool, serving
from tests.server.upstream import Upstream
from tests.server.vendors import chat

SUITE = """suite: basics
graders: [{kind: exact}]
cases:
  - {id: a, messages: [{role: user, content: hi}], expect: {answer: hi}}
"""
GATED: dict[str, Any] = {
    "evals": {"basics": {"suite": "./suite.yaml"}},
    "gates": {"prod": {"suites": ["basics"], "checks": [{"metric": "task_success", "drop_at_most": 0.02}]}},
}


def written(folder, **sections):
    """The config in a folder, with its suite."""
    (folder / "suite.yaml").write_text(SUITE)
    file = folder / "interlock.yaml"
    file.write_text(yaml.safe_dump(pool("http://127.0.0.1:9", **sections), sort_keys=False))
    return load(file, {"ALPHA_KEY": "a", "BETA_KEY": "b"})


def changed(folder, model, part, value, **sections):
    """The same config with one part of one model changed."""
    config = pool("http://127.0.0.1:9", **sections)
    config["models"][model][part] = value
    file = folder / "interlock.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    return load(file, {"ALPHA_KEY": "a", "BETA_KEY": "b"})


@pytest.fixture
def store(tmp_path):
    store = Store.open(tmp_path / "interlock.db", now=now_us)
    yield store
    store.close()


def gate_record(store, loaded, to_model, verdict="pass", baseline=None):
    """Keep a signed record for exactly the change from what is active to a model."""
    config = loaded.config
    suites = gate_suites(config, loaded.path.parent, "prod")
    before = baseline or store.aliases()["prod"].identity
    side = Side(model="gpt", version=None, identity={}, cases=1, samples="")
    record = GateRecord(
        id=f"gate_{fresh_name()}",
        at="2026-11-26T12:00:00.000000Z",
        by="test",
        alias="prod",
        verdict=verdict,
        why="",
        change=change_of(config, suites, "prod", before, to_model),
        suites={suite.name: suite.hash for suite in suites},
        config_hash=config.config_hash,
        policy_hash=config.policy_hash,
        baseline=side,
        candidate=side,
        checks=(),
    )
    asyncio.run(keep(store, config, record))
    return record.id


def allowed(store, loaded, to_model, override=None):
    return permit(store, loaded.config, loaded.path.parent, "prod", to_model, override=override)


def test_a_gated_alias_takes_a_model_only_with_a_record_that_passed_for_exactly_this_change(tmp_path, store):
    loaded = written(tmp_path, **GATED)
    remember(store, loaded.config)
    with pytest.raises(GateFailed, match="no record of `small` passing it against version 1"):
        allowed(store, loaded, "small")
    gate_record(store, loaded, "small", "inconclusive")
    gate_record(store, loaded, "claude")
    gate_record(store, loaded, "small", baseline=identity_hash(loaded.config, "claude"))
    with pytest.raises(GateFailed):
        allowed(store, loaded, "small")
    name = gate_record(store, loaded, "small")
    assert allowed(store, loaded, "small") == name
    assert allowed(store, loaded, "gpt", override="INC-7") is None


def test_a_record_stops_counting_when_the_suite_or_the_candidate_changes(tmp_path, store):
    loaded = written(tmp_path, **GATED)
    remember(store, loaded.config)
    gate_record(store, loaded, "small")
    for part, value in (("upstream", "up-z"), ("version", "9"), ("max_output_tokens", 5)):
        with pytest.raises(GateFailed):
            allowed(store, changed(tmp_path, "small", part, value, **GATED), "small")
    assert allowed(store, changed(tmp_path, "small", "quality", 0.4, **GATED), "small")
    (tmp_path / "suite.yaml").write_text(SUITE.replace("answer: hi", "answer: ho"))
    with pytest.raises(GateFailed):
        allowed(store, loaded, "small")
    (tmp_path / "suite.yaml").unlink()
    with pytest.raises(GateFailed, match="cannot be read"):
        allowed(store, loaded, "small")


def test_a_model_that_becomes_another_is_the_next_version_of_every_alias_over_it(tmp_path, store):
    names = {"aliases": {"prod": "gpt", "beta": "gpt", "other": "small"}}
    loaded = written(tmp_path, **names)
    remember(store, loaded.config)
    follow_pool(store, loaded.config, loaded.path)
    assert {name: state.active for name, state in store.aliases().items()} == dict.fromkeys(
        ("beta", "other", "prod"), 1
    )
    later = changed(tmp_path, "gpt", "version", "2", **names)
    for _ in range(2):  # a second worker finds it done
        follow_pool(store, later.config, later.path)
        assert {name: state.active for name, state in store.aliases().items()} == {
            "beta": 2,
            "other": 1,
            "prod": 2,
        }
    version = store.alias_history("prod").versions[1]
    assert (version.model, version.by) == ("gpt", "config")
    assert version.reason == "the pool changed: version None, now 2"
    assert version.identity == msgspec.json.decode(msgspec.json.encode(identity(later.config, "gpt")))
    dearer = changed(tmp_path, "gpt", "quality", 0.1, **names)
    assert changes_of(store, dearer.config, dearer.path)[0].reason == "the pool changed: version 2, now None"


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("upstream", "up-9"),
        ("version", "9"),
        ("provider", "beta"),
        ("max_output_tokens", 77),
        ("temperature", 0.3),
        ("top_p", 0.5),
        ("effort", "high"),
        ("system", "Be brief."),
    ],
)
def test_every_part_of_what_answers_makes_a_version_needs_the_gate_and_shows_in_the_diff(
    tmp_path, store, part, value
):
    loaded = written(tmp_path, **GATED)
    remember(store, loaded.config)
    before = getattr(loaded.config.models["gpt"], part)
    later = changed(tmp_path, "gpt", part, value, **GATED)
    with pytest.raises(ConfigError, match="has not passed for that"):
        follow_pool(store, later.config, later.path)
    gate_record(store, later, "gpt")
    follow_pool(store, later.config, later.path)
    one, two = store.alias_history("prod").versions
    assert differences(one.identity, two.identity) == {part: (before, value)}


@pytest.mark.parametrize(("part", "value"), [("local_model", "smollm2-135m"), ("api", "responses")])
def test_weights_and_api_of_a_provider_are_part_of_what_answers_through_it(tmp_path, store, part, value):
    loaded = written(tmp_path, **GATED)
    remember(store, loaded.config)
    config = pool("http://127.0.0.1:9", **GATED)
    config["providers"]["alpha"][part] = value
    later = written(tmp_path, **{**GATED, "providers": config["providers"]})
    with pytest.raises(ConfigError, match="has not passed for that"):
        follow_pool(store, later.config, later.path)
    gate_record(store, later, "gpt")
    follow_pool(store, later.config, later.path)
    one, two = store.alias_history("prod").versions
    assert differences(one.identity, two.identity) == {part: (None, value)}


@pytest.mark.parametrize(
    ("part", "value"), [("quality", 0.4), ("price", {"input": 9, "output": 9}), ("context_tokens", 5)]
)
def test_what_does_not_decide_who_answers_makes_no_version(tmp_path, store, part, value):
    loaded = written(tmp_path, **GATED)
    remember(store, loaded.config)
    later = changed(tmp_path, "gpt", part, value, **GATED)
    follow_pool(store, later.config, later.path)
    assert store.aliases()["prod"].active == 1


def test_a_version_from_before_an_entry_could_fix_parameters_is_the_same_version(tmp_path):
    config = written(tmp_path).config
    for name in ("gpt", "claude"):
        assert set(identity(config, name)) == {"provider", "upstream", "version", "max_output_tokens"}


async def test_what_an_entry_fixes_is_what_its_provider_is_asked_with(tmp_path):
    async with Upstream(chat()) as up:
        config = pool(up.url)
        config["models"]["gpt"] |= {"effort": "low", "system": "Be brief.", "top_p": 0.5}
        async with serving(tmp_path, config) as server:
            assert (await server.chat(reasoning_effort="high", top_p=0.9)).status_code == 200
            sent = up.seen[0].json
            assert (sent["reasoning_effort"], sent["top_p"]) == ("low", 0.5)
            assert sent["messages"][0] == {"role": "system", "content": "Be brief."}


async def test_what_an_entry_puts_before_a_request_has_to_fit_with_it(tmp_path):
    config = pool("http://127.0.0.1:9")
    config["models"]["gpt"] |= {"context_tokens": 200, "system": "word " * 190}
    async with serving(tmp_path, config) as server:
        got = await server.chat("word " * 40)
        assert (got.status_code, got.json()["error"]["code"]) == (413, "context_too_large")


def test_under_a_gate_a_changed_model_needs_a_record_or_an_override_and_else_nothing_changes(tmp_path, store):
    loaded = written(tmp_path, **GATED)
    remember(store, loaded.config)
    later = changed(tmp_path, "gpt", "upstream", "up-9", **GATED)
    with pytest.raises(ConfigError) as refused:
        follow_pool(store, later.config, later.path)
    (problem,) = refused.value.problems
    assert problem.path == "models.gpt"
    assert "upstream up-1, now up-9" in problem.problem
    assert "interlock alias promote prod --to gpt --override REASON" in problem.hint
    assert store.aliases()["prod"].active == 1
    name = gate_record(store, later, "gpt")
    follow_pool(store, later.config, later.path)
    assert store.alias_history("prod").versions[1].gate == name


async def test_a_running_server_keeps_its_config_when_a_file_would_change_what_a_gated_alias_is(tmp_path):
    (tmp_path / "suite.yaml").write_text(SUITE)
    async with Upstream(chat(), chat(), chat()) as up, serving(tmp_path, pool(up.url, **GATED)) as server:
        other = pool(up.url, **GATED)
        other["models"]["gpt"]["upstream"] = "up-9"
        server.write(other)
        assert not await server.reloader.reload()
        assert "the gate of `prod` has not passed" in server.log[-1]["problems"][0]
        await server.chat()
        assert up.seen[-1].json["model"] == "up-1"
        done = await server.client.post("/v1/aliases/prod/promote", json={"to": "small", "override": "INC-8"})
        assert done.json()["active"] == 2
        assert await server.reloader.reload(), "nothing gated is over `gpt` now"
        gone = await server.client.post("/v1/aliases/prod/rollback", json={})
        assert (gone.status_code, gone.json()["error"]["code"]) == (409, "conflict")
        assert server.gateway.store.aliases()["prod"].active == 2


def test_promote_names_its_gate_and_diff_says_what_is_different(tmp_path, store, monkeypatch):
    loaded = written(tmp_path, **GATED)
    remember(store, loaded.config)
    name = gate_record(store, loaded, "small")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALPHA_KEY", "a")
    monkeypatch.setenv("BETA_KEY", "b")

    def run(*arguments):
        return CliRunner().invoke(cli, arguments)

    told = run("alias", "promote", "prod", "--to", "small", "--json")
    assert json.loads(told.stdout)["versions"][1]["gate"] == name
    told = run("alias", "diff", "prod", "--json")
    assert json.loads(told.stdout) == {
        "name": "prod",
        "from": 1,
        "to": 2,
        "changes": [{"part": "upstream", "before": "up-1", "after": "up-s"}],
    }
    refused = run("alias", "promote", "prod", "--to", "gpt")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "interlock gate basics --alias prod --to gpt" in refused.stderr
    assert run("alias", "rollback", "prod").exit_code == 0
    assert run("alias", "rollback", "prod").exit_code == 0
    assert store.aliases()["prod"].active == 1
    said = " ".join(p["problem"] for p in json.loads(run("check", "--json").stdout)["problems"])
    assert "version 1 (`gpt`) never passed this gate (it came with the file)" in said


def test_check_lists_every_way_past_the_gates(tmp_path):
    ways = {
        "aliases": {"prod": "gpt", "beta": "small"},
        "lanes": {
            "a": {"match": {"task": "a"}, "models": ["prod", "claude"]},
            "b": {
                "match": {"task": "b"},
                "cascade": [{"model": "beta", "escalate_when": ["refused"]}, {"model": "prod"}],
            },
        },
        "fallbacks": [{"from": "*", "to": "claude", "when": "timeout_or_5xx"}],
        "keys": [
            {"id": "app", "key": "k" * 30, "allow": {"aliases": ["prod"], "models": ["small"]}},
            {"id": "ops", "key": "o" * 30, "role": "operator"},
        ],
    }
    found = {
        problem.path: problem.problem
        for problem in written(tmp_path, **GATED, **ways).warnings
        if "past every gate" in problem.problem
    }
    assert found == {
        "models.claude": "can be reached past every gate: lanes.a.models[1] (`claude`); "
        "fallbacks[0] (`claude`); by its own name (key ops)",
        "models.gpt": "can be reached past every gate: by its own name (key ops)",
        "models.small": "can be reached past every gate: aliases.beta; lanes.b.cascade[0] (`beta`); "
        "by its own name (key app, ops)",
    }
    assert not [p for p in written(tmp_path, **ways).warnings if "past every gate" in p.problem]
