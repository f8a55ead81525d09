"""From written to checked: deployments, facts, keys, paths, hashes; and secrets nowhere in it."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from interlock import config
from interlock.config.checked import Config, Deployment, decode, encode
from interlock.config.source import read_source
from interlock.config.written import File, Price
from tests.config.base import CANARY, COMPLETE, ENV, SMALL, loaded, some, whole, written


@pytest.fixture(scope="module")
def complete():
    return config.load(COMPLETE, ENV)


def test_each_endpoint_is_a_deployment_in_the_region_of_its_name_in_listed_order(complete):
    us, eu = complete.config.providers["cloud"].deployments
    assert (us.id, us.endpoint, us.regions, us.region) == ("cloud/us", "us", ("us",), "us")
    assert eu == Deployment(
        id="cloud/eu",
        provider="cloud",
        base_url="https://eu.cloud.example/v1",
        endpoint="eu",
        regions=("eu",),
    )


def test_an_endpoint_without_a_key_of_its_own_has_the_provider_s(complete):
    assert complete.secrets.api_keys == {"cloud/us": ENV["CLOUD_KEY"], "cloud/eu": ENV["EU_KEY"]}
    assert complete.secrets.caller_keys == {"app": ENV["APP_KEY"], "ops": ENV["OPS_KEY"]}


def test_a_vendor_not_named_is_the_provider_itself(complete):
    assert complete.config.providers["home"].vendor == "home"
    assert complete.config.providers["cloud"].vendor == "openai"


def test_facts_that_a_model_leaves_out_come_from_the_catalogue(complete):
    model = complete.config.models["gpt-5.4"]
    assert (model.upstream, model.version, model.origin) == ("gpt-5.4", "2026-03-05", "us")
    assert model.context_tokens == 1_050_000
    assert model.price == Price(input=2.5, output=15.0, cached_input=0.25, batch_discount=0.5)
    assert set(model.capabilities or ()) >= {"tools", "json_schema", "vision"}


def test_the_file_s_own_figures_win_and_are_not_mixed_with_the_catalogue_s(tmp_path):
    text = """
providers: {openai: {kind: openai, base_url: "https://api.openai.com/v1"}}
models: {gpt-5.4: {provider: openai, capabilities: [], price: {input: 1, output: 2}, context_tokens: 100}}
"""
    model = config.load(written(tmp_path, text=text), {}).config.models["gpt-5.4"]
    assert model.capabilities == ()
    assert model.price == Price(input=1, output=2)
    assert (model.context_tokens, model.max_output_tokens) == (100, 128_000)


def test_a_model_that_nobody_knows_stays_unknown_and_is_not_free(tmp_path):
    model = loaded(tmp_path, "cache: {}\n").config.models["small"]
    assert model.origin is None
    text = SMALL.replace(", price: {input: 2, output: 8}", "")
    assert config.load(written(tmp_path, text=text), {}).config.models["large"].price is None


def test_the_schema_of_a_lane_is_read_from_beside_the_config(complete):
    lane = next(lane for lane in complete.config.lanes if lane.name == "triage")
    assert lane.json_schema is not None
    assert lane.json_schema["required"] == ["category"]


def test_the_tool_default_stands_apart_from_the_tools(complete):
    assert set(complete.config.tools) == {"search", "lookup", "mail"}
    assert complete.config.default_tool.effects == ("write",)


def test_a_key_becomes_a_caller_and_its_end_a_moment_in_utc(complete):
    app, ops = complete.config.keys
    assert (app.caller.key, app.caller.tenant, app.caller.residency) == ("app", "acme", "eu")
    assert app.caller.allow is not None
    assert app.caller.allow.models == ("cloud/gpt-5.4",)
    assert ops.expires == "2027-06-30T10:00:00Z"


def test_a_relative_store_lies_beside_the_config_wherever_one_stands(complete):
    assert complete.config.store.url == f"sqlite:///{COMPLETE.parent}/data/interlock.db"


def test_an_absolute_store_stays_where_it_is(tmp_path):
    assert loaded(tmp_path, 'store: {url: "sqlite:////var/lib/interlock.db"}').config.store.url == (
        "sqlite:////var/lib/interlock.db"
    )


def test_a_config_survives_the_round_trip_through_its_bytes(complete):
    data = encode(complete.config)
    assert decode(data) == complete.config
    assert encode(decode(data)) == data
    assert list(decode(data).models) == list(complete.config.models)


def test_o4_no_secret_is_in_the_bytes_or_in_any_repr(complete):
    everything = (encode(complete.config), repr(complete), repr(complete.config), repr(complete.secrets))
    assert not any(CANARY in str(each) for each in everything)


def test_another_secret_is_the_same_config():
    other = {name: value if name == "PORT" else f"{value}-rotated" for name, value in ENV.items()}
    first, second = config.load(COMPLETE, ENV), config.load(COMPLETE, other)
    assert first.config == second.config
    assert first.secrets != second.secrets


def test_the_same_file_has_the_same_hash_wherever_it_lies(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.mkdir()
    second.mkdir()
    assert loaded(first).config.config_hash == loaded(second).config.config_hash


def test_comments_and_spelling_do_not_change_the_hash_and_every_meaning_does(tmp_path):
    plain = loaded(tmp_path).config
    spelled = loaded(tmp_path, "# a comment\nserver: {port: 8080}\nlanes: {}\n").config
    assert (spelled.config_hash, spelled.policy_hash) == (plain.config_hash, plain.policy_hash)
    port = loaded(tmp_path, "server: {port: 8081}\n").config
    assert port.config_hash != plain.config_hash
    assert port.policy_hash == plain.policy_hash
    rule = loaded(tmp_path, "policy: [{name: r, when: {user_tier: free}, then: {layout: fenced}}]\n").config
    assert rule.config_hash != plain.config_hash
    assert rule.policy_hash != plain.policy_hash


TREE = read_source(COMPLETE.read_bytes()).tree


def shuffled(value: Any, draw: Callable[..., Any]) -> Any:
    if isinstance(value, dict):
        keys = draw(st.permutations(list(value)))
        return {key: shuffled(value[key], draw) for key in keys}
    if isinstance(value, list):
        return [shuffled(inner, draw) for inner in value]
    return value


@some
@given(st.data())
def test_the_order_of_keys_means_nothing_but_among_lanes_and_endpoints(complete, data):
    tree = shuffled(TREE, data.draw)
    tree["lanes"] = {name: tree["lanes"][name] for name in TREE["lanes"]}
    cloud = tree["providers"]["cloud"]
    cloud["endpoints"] = {name: cloud["endpoints"][name] for name in TREE["providers"]["cloud"]["endpoints"]}
    assert whole(as_yaml(tree)).config.config_hash == complete.config.config_hash
    tree["lanes"] = dict(reversed(tree["lanes"].items()))
    assert whole(as_yaml(tree)).config.config_hash != complete.config.config_hash


def as_yaml(tree: Any) -> str:
    return str(yaml.dump(tree, Dumper=yaml.CSafeDumper, sort_keys=False))


def test_every_section_of_the_file_reaches_the_checked_config(complete):
    """A section that `resolve` forgot would be accepted and do nothing."""
    empty = Config(providers={}, models={})
    renamed = {"default": "default_model", "policy": "rules"}
    for name in File.__struct_fields__:
        if name != "version":
            field = renamed.get(name, name)
            assert getattr(complete.config, field) != getattr(empty, field), f"`{name}` is at its default"
