"""A vendor that is known needs one line: its address, format and ways come with its name."""

import pytest

from interlock import config
from interlock.config.init import starter
from interlock.config.vendors import VENDORS, by_name, vendor_at
from interlock.types.quirks import Quirks
from tests.config.base import written

READY = (
    "mistral",
    "groq",
    "together",
    "fireworks",
    "deepseek",
    "xai",
    "cohere",
    "openrouter",
    "perplexity",
    "cerebras",
    "nvidia",
    "ollama",
    "vllm",
    "llamacpp",
)


def one_line(folder, line, env=None, extra=""):
    text = f"providers:\n  {line}\nmodels:\n  m: {{provider: {line.partition(':')[0]}}}\n{extra}"
    return config.load(written(folder, text=text), env or {"KEY": "sk-1"}).config


@pytest.mark.parametrize("name", READY)
def test_a_provider_of_a_ready_vendor_is_one_line(tmp_path, name):
    vendor = VENDORS[name]
    key = "api_key: '${KEY}'" if vendor.variable else ""
    provider = one_line(tmp_path, f"{name}: {{{key}}}", extra="server: {port: 9090}").providers[name]
    assert provider.kind == vendor.kind == "openai"
    assert [deployment.base_url for deployment in provider.deployments] == [vendor.base_url]
    assert provider.deployments[0].regions == ()
    assert (provider.quirks, provider.jurisdiction) == (vendor.quirks, vendor.jurisdiction)


def test_the_vendor_may_be_named_beside_another_name_of_the_provider(tmp_path):
    provider = one_line(tmp_path, "fast: {vendor: Groq, api_key: '${KEY}'}").providers["fast"]
    assert provider.deployments[0].base_url == VENDORS["groq"].base_url
    assert provider.vendor == "Groq"


def test_an_address_of_one_s_own_keeps_the_vendor_s_ways_and_takes_nothing_else_for_known(tmp_path):
    line = "groq: {kind: openai, base_url: 'http://127.0.0.1:9/v1'}"
    provider = one_line(tmp_path, line).providers["groq"]
    assert provider.deployments[0].base_url == "http://127.0.0.1:9/v1"
    assert (provider.jurisdiction, provider.quirks) == (None, VENDORS["groq"].quirks)


def test_what_the_file_says_goes_before_what_is_known(tmp_path):
    line = "mistral: {api_key: '${KEY}', jurisdiction: fr, regions: [eu]}"
    provider = one_line(tmp_path, line).providers["mistral"]
    assert (provider.jurisdiction, provider.deployments[0].regions) == ("fr", ("eu",))


def test_a_server_that_nobody_knows_has_no_quirks(tmp_path):
    line = "home: {kind: openai, base_url: 'http://127.0.0.1:9/v1'}"
    assert one_line(tmp_path, line).providers["home"].quirks == Quirks()


def test_regional_endpoints_are_known_by_their_host_too(tmp_path):
    line = "prod: {kind: openai, endpoints: {eu: {base_url: 'https://eu.api.openai.com/v1'}}}"
    assert one_line(tmp_path, line).providers["prod"].quirks.limit == "max_completion_tokens"


@pytest.mark.parametrize("url", ["https://[broken", "", "https://:80"])
def test_what_is_no_address_belongs_to_nobody(url):
    assert vendor_at(vendor="prod", kind="openai", base_url=url) is None


def test_azure_needs_the_address_of_the_resource_and_keeps_how_it_is_called(tmp_path):
    line = (
        "azure: {base_url: 'https://me.openai.azure.com', api_key: '${KEY}', api_version: '2024-10-21', "
        "auth: bearer}"
    )
    provider = one_line(tmp_path, line).providers["azure"]
    assert (provider.kind, provider.api_version, provider.auth) == ("azure", "2024-10-21", "bearer")
    assert provider.quirks.limit == "max_completion_tokens"


def test_no_name_or_host_stands_for_two_vendors():
    names = [name for vendor in VENDORS.values() for name in (vendor.name, *vendor.also)]
    hosts = [host for vendor in VENDORS.values() for host in vendor.hosts]
    assert len(set(names)) == len(names)
    assert len(set(hosts)) == len(hosts)
    assert all(by_name(name.upper()) is not None for name in names)


@pytest.mark.parametrize(
    "vendor", [vendor for vendor in VENDORS.values() if vendor.variable and vendor.base_url]
)
def test_init_finds_the_key_of_each_vendor_and_writes_a_config_that_works(tmp_path, vendor):
    env = {vendor.variable: "sk-canary"}
    text = starter(env, lambda _: None)
    assert f"${{{vendor.variable}}}" in text
    assert "sk-canary" not in text
    file = written(tmp_path, text=text)
    assert [str(p) for p in config.check(file, env) if p.severity == "error"] == []


def test_init_with_every_key_serves_each_alias_and_names_the_vendors_it_could_not_choose_for(tmp_path):
    env = {vendor.variable: "sk" for vendor in VENDORS.values() if vendor.variable}
    text = starter(env, lambda _: None)
    found = config.load(written(tmp_path, text=text), env).config
    assert {"mistral", "groq", "deepseek", "xai", "cohere"} <= found.providers.keys()
    assert "# $OPENROUTER_API_KEY is set, too" in text
    assert all(model.price is not None for model in found.models.values())
