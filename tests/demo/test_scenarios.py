"""The demo's table of scenarios: with the demo's own config, each request decodes and decides as it says."""

import stat
from pathlib import Path

import msgspec
import pytest

from interlock import config
from interlock.adapters import ADAPTERS
from interlock.classify import classify
from interlock.demo.folder import KEYS, VENDORS, Ports, fresh_keys, write
from interlock.demo.judge import judge_decision
from interlock.demo.scenarios import MESSAGES, SCENARIOS
from interlock.dialects import DIALECTS
from interlock.route.decide import decide, hash_world
from interlock.route.snapshot import snapshot
from interlock.types.world import World
from interlock.wire.json import check_body

PORTS = Ports(onprem=18081, abroad=18082, gone=18083, server=18080)
VENDOR_KEYS = {vendor.key: "sk-test" for vendor in VENDORS}


def loaded(folder, env):
    keys = fresh_keys()
    file = write(folder, PORTS, env, keys)
    return file, config.load(file, {**env, **keys}), {**env, **keys}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return loaded(tmp_path_factory.mktemp("demo"), VENDOR_KEYS)[1].config


@pytest.mark.parametrize("env", [{}, VENDOR_KEYS], ids=["no vendor", "both vendors"])
def test_the_demos_config_has_no_problem_at_all(tmp_path, env):
    file, _, full = loaded(tmp_path, env)
    assert config.check(file, full) == ()


def test_vendors_join_only_where_their_key_is(tmp_path):
    assert set(loaded(tmp_path, {})[1].config.providers) == {"onprem", "abroad", "gone"}
    assert {"openai", "anthropic"} <= set(loaded(tmp_path, VENDOR_KEYS)[1].config.providers)


def test_keys_are_fresh_and_stand_only_in_a_file_of_the_owner(tmp_path):
    keys = fresh_keys()
    assert keys.keys() == set(KEYS)
    assert keys != fresh_keys()
    write(tmp_path, PORTS, {}, keys)
    assert stat.S_IMODE((tmp_path / "env.sh").stat().st_mode) == 0o600
    holders = [file.name for file in Path(tmp_path).iterdir() if keys[KEYS[0]] in file.read_text()]
    assert holders == ["env.sh"]


def test_names_are_unique():
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_each_request_decides_as_its_scenario_says(demo, scenario):
    body = msgspec.json.encode(scenario.body)
    check_body(body)
    dialect = DIALECTS["anthropic-messages" if scenario.path == MESSAGES else "openai-chat"]
    request = dialect.decode_request(body, scenario.headers)
    caller = next(key.caller for key in demo.keys if key.caller.key == scenario.key)
    spoken = {provider.kind for provider in demo.providers.values()}
    signals = classify(
        request,
        caller,
        demo,
        endpoint=scenario.path,
        hour_utc=9,
        cannot_carry={kind: found for kind in spoken if (found := ADAPTERS[kind].cannot_carry(request))},
    )
    decision = decide(
        id="dec_demo",
        now="2026-11-24T09:00:00.000000Z",
        signals=signals,
        snapshot=snapshot(demo),
        world=World(),
        world_hash=hash_world(World()),
        draw=0.5,
    )
    assert judge_decision(scenario.expect, decision) == ()
    if scenario.expect.status == 200 and len(scenario.expect.attempts) > 1:
        assert scenario.expect.served_by in {step.model for step in decision.fallbacks}
