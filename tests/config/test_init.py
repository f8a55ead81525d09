"""The first config works at once, whatever is found on the machine."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock import config
from interlock.config import Loaded
from interlock.config.init import ALIASES, LOCAL_SERVERS, OTHER_PORT, PORT, Reachable, starter
from interlock.local_models import KNOWN
from interlock.route.snapshot import snapshot
from tests.config.base import many, written

ADDRESSES = [f"http://127.0.0.1:{port}/v1" for _, port in LOCAL_SERVERS]
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")


def nothing(_address: str) -> None:
    return None


def only(address: str, models: list[str]) -> Reachable:
    return lambda asked: models if asked == address else None


def load(folder: Path, env: dict[str, str], reachable: Reachable = nothing) -> Loaded:
    return config.load(written(folder, text=starter(env, reachable)), env)


USUAL = ["llama3.2:3b", "qwen3", "/models/a b.gguf", "nomic-embed-text", "cheap", "${X}"]
NAMES = st.sampled_from(USUAL) | st.text(max_size=12)


@many
@given(
    env=st.fixed_dictionaries({}, optional={key: st.sampled_from(["sk-1", ""]) for key in KEYS}),
    servers=st.dictionaries(st.sampled_from(ADDRESSES), st.none() | st.lists(NAMES, max_size=6)),
)
def test_it_checks_without_an_error_for_every_combination_of_found_things(tmp_path_factory, env, servers):
    file = written(tmp_path_factory.mktemp("init"), text=starter(env, servers.get))
    assert [str(p) for p in config.check(file, env) if p.severity == "error"] == []
    found = config.load(file, env).config
    assert set(found.aliases) == set(ALIASES)
    assert all(model.price is not None for model in found.models.values())
    snapshot(found)


def test_with_nothing_found_it_runs_a_small_model_itself(tmp_path):
    found = load(tmp_path, {}).config
    (provider,) = found.providers.values()
    assert provider.local_model in KNOWN
    assert (provider.trusted_for, provider.deployments[0].regions) == ("regulated", ("local",))
    (model,) = found.models.values()
    assert model.context_tokens == KNOWN[provider.local_model].context_tokens
    assert set(found.aliases.values()) == {model.name}


def test_a_vendor_s_key_stays_a_reference(tmp_path):
    text = starter({"OPENAI_API_KEY": "sk-canary"}, nothing)
    assert "sk-canary" not in text
    assert "${OPENAI_API_KEY}" in text


def test_confidential_data_stays_at_home_or_is_refused_with_a_reason(tmp_path):
    env = {"OPENAI_API_KEY": "x"}
    rule = next(r for r in load(tmp_path, env).config.rules if r.name == "confidential-stays-home")
    assert rule.then.deny is not None
    both = load(tmp_path, env, only("http://127.0.0.1:11434/v1", ["llama3.2:3b"])).config
    rule = next(r for r in both.rules if r.name == "confidential-stays-home")
    assert (rule.then.deny, rule.then.providers) == (None, ("ollama",))
    assert both.models[both.aliases["safe"]].provider == "ollama"
    assert both.providers["ollama"].trusted_for == "regulated"
    assert both.providers["openai"].trusted_for == "internal"


def test_it_limits_what_each_request_may_cost(tmp_path):
    found = load(tmp_path, {"ANTHROPIC_API_KEY": "x"}).config
    assert found.latency_classes["interactive"].max_cost_usd is not None
    assert any("write" in rule.then.require_approval for rule in found.rules)


def test_interlock_itself_on_its_own_port_is_not_taken_for_a_model_server(tmp_path):
    found = load(tmp_path, {}, only("http://127.0.0.1:8080/v1", [*ALIASES, "local-small"])).config
    assert list(found.providers) == ["local"]


def test_it_serves_beside_a_model_server_that_has_its_port(tmp_path):
    assert load(tmp_path, {}).config.server.port == PORT
    taken = load(tmp_path, {}, only("http://127.0.0.1:8080/v1", ["some-model"])).config
    assert taken.server.port == OTHER_PORT


@pytest.mark.parametrize("name", ["nomic-embed-text", "a\nb", "${X}", "", "日本"])
def test_models_that_cannot_chat_or_be_written_down_are_passed_over(tmp_path, name):
    found = load(tmp_path, {}, only("http://127.0.0.1:8000/v1", [name])).config
    assert list(found.providers) == ["local"]
