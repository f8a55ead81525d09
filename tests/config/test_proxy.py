"""The proxy of a provider: an address in the config, and credentials that stay out of it."""

import base64
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from interlock.config import checked
from interlock.config.environment import fill
from interlock.config.loading import Loaded, load
from interlock.errors import ConfigError
from interlock.types.proxy import Proxy, parse_proxy

SECRET = "canary-p@ss/w:rd%41#?"


def providers(proxy: str | None, **endpoints: str | None) -> dict[str, Any]:
    """One provider behind a proxy, with these proxies of its endpoints."""
    cloud: dict[str, Any] = {"kind": "openai", "proxy": proxy}
    if endpoints:
        cloud["endpoints"] = {
            region: {"base_url": f"https://{region}.cloud.example/v1", "proxy": own}
            for region, own in endpoints.items()
        }
    else:
        cloud["base_url"] = "https://cloud.example/v1"
    return {"providers": {"cloud": cloud}, "models": {"large": {"provider": "cloud"}}}


@pytest.fixture
def loaded(tmp_path):
    def load_it(tree: dict[str, Any], env: dict[str, str] | None = None) -> Loaded:
        file = tmp_path / "interlock.yaml"
        file.write_text(yaml.safe_dump(tree, sort_keys=False), "utf-8")
        return load(file, env or {})

    return load_it


def ways(found: Loaded) -> list[tuple[str | None, str | None]]:
    """Of each deployment, its proxy and what that is shown."""
    return [
        (deployment.proxy, found.secrets.proxies.get(deployment.id))
        for deployment in found.config.providers["cloud"].deployments
    ]


@pytest.mark.parametrize(
    ("written", "env", "credentials"),
    [
        ("http://ann:${PW}@proxy.example:3128", {"PW": SECRET}, f"ann:{SECRET}"),
        ("http://${WHO}:${PW}@proxy.example:3128", {"WHO": "d@n", "PW": SECRET}, f"d@n:{SECRET}"),
        ("http://${LOGIN}@proxy.example:3128", {"LOGIN": f"ann:{SECRET}"}, f"ann:{SECRET}"),
        ("${HTTPS_PROXY}", {"HTTPS_PROXY": "http://ann:p%40ss@proxy.example:3128"}, "ann:p@ss"),
        ("${HTTPS_PROXY}", {"HTTPS_PROXY": "http://ann:p@ss@proxy.example:3128/"}, "ann:p@ss"),
        ("http://ann:${PW}@${HOST}:3128", {"PW": SECRET, "HOST": "proxy.example"}, f"ann:{SECRET}"),
        ("http://proxy.example:3128", {}, None),
        ("${HTTPS_PROXY}", {"HTTPS_PROXY": "http://proxy.example:3128"}, None),
    ],
)
def test_o4_credentials_are_taken_out_of_a_proxys_url_before_anything_is_recorded(
    loaded, written, env, credentials
):
    found = loaded(providers(written), env)
    assert ways(found) == [("http://proxy.example:3128", credentials)]
    assert b"proxy.example:3128" in checked.encode(found.config)
    for shown in (checked.encode(found.config).decode(), repr(found), repr(found.secrets)):
        assert "canary" not in shown
        assert "p@ss" not in shown
        assert "p%40ss" not in shown
    assert found.text is not None, "no secret stands in the file, so it may be kept"
    assert not [problem for problem in found.warnings if "proxy" in problem.path]


def test_o4_a_password_that_stands_in_the_file_is_warned_of_and_the_file_is_not_kept(loaded):
    found = loaded(providers("http://ann:canary%20pass@proxy.example:3128"))
    assert ways(found) == [("http://proxy.example:3128", "ann:canary pass")]
    assert found.text is None
    [warning] = [problem for problem in found.warnings if problem.path == "providers.cloud.proxy"]
    assert "canary" not in str(found.warnings)
    assert "stands in the file" in warning.problem
    assert "canary" not in repr((found.config, found.secrets))


def test_another_password_is_the_same_config_and_another_address_is_not(loaded):
    def hash_of(proxy: str | None, password: str = "a") -> Any:
        return loaded(providers(proxy), {"PW": password}).config.config_hash

    one = hash_of("http://ann:${PW}@proxy.example:3128")
    assert hash_of("http://ann:${PW}@proxy.example:3128", "b") == one
    assert hash_of("http://proxy.example:3128") == one
    assert len({one, hash_of("http://proxy.example:8080"), hash_of(None)}) == 3


def test_an_endpoints_own_proxy_goes_before_the_providers_and_gets_no_credentials_but_its_own(loaded):
    tree = providers(
        "http://ann:${PW}@one.example:3128", eu=None, us="http://two.example:1", ap="http://bob@3.example:1"
    )
    assert ways(loaded(tree, {"PW": "x"})) == [
        ("http://one.example:3128", "ann:x"),
        ("http://two.example:1", None),
        ("http://3.example:1", "bob"),
    ]


def test_no_proxy_is_taken_from_the_environment_by_itself(loaded):
    env = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "ALL_PROXY"), "http://proxy.example:3128")
    assert ways(loaded(providers(None), env)) == [(None, None)]


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=":\ufffd"), min_size=1),
    st.text(),
)
def test_a_variable_among_credentials_is_meant_as_it_is(user, password):
    place = ("providers", "cloud", "proxy")
    filled = fill(providers("http://${WHO}:${PW}@proxy.example:1"), {"WHO": user, "PW": password})
    if place in filled.secrets:
        assert filled.secrets[place] == f"{user}:{password}"
        assert filled.tree["providers"]["cloud"]["proxy"] == "http://proxy.example:1"
    else:
        assert filled.problems


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("http://proxy.example:3128", Proxy(host="proxy.example", port=3128)),
        ("http://PROXY.example:80/", Proxy(host="proxy.example", port=80)),
        ("http://[::1]:3128", Proxy(host="::1", port=3128)),
    ],
)
def test_a_proxys_url_names_a_host_and_a_port(url, proxy):
    assert parse_proxy(url) == proxy


@pytest.mark.parametrize(
    "url",
    [
        "",
        "proxy.example:3128",
        "http://",
        "http://:3128",
        "http://proxy.example",
        "http://proxy.example:0",
        "http://proxy.example:99999",
        "http://proxy.example:x",
        "http://proxy.example:3128/path",
        "http://proxy.example:3128?a=b",
        "http://proxy.example:3128#a",
        "http://ann:canary@proxy.example:3128",
        "http://proxy.example:3128\r\nx: y",
        "http://pro xy.example:3128",
        "http://bücher.example:3128",
        "http://[::1:3128",
        "https://proxy.example:3128",
        "socks5://proxy.example:1080",
        "ftp://proxy.example:21",
    ],
)
def test_any_other_url_is_refused_and_not_quoted(url):
    with pytest.raises(ValueError) as refusal:
        parse_proxy(url)
    assert "example" not in str(refusal.value)
    assert "canary" not in str(refusal.value)


@pytest.mark.parametrize(
    "credentials", ["", ":", ":canary", "ann:can\nary", "ann:canary\x7f", "a\ufffd:canary"]
)
def test_credentials_that_no_proxy_could_read_are_refused_and_not_quoted(credentials):
    with pytest.raises(ValueError) as refusal:
        parse_proxy("http://proxy.example:3128", credentials)
    assert "canary" not in str(refusal.value)


def test_o4_a_proxy_shows_its_address_and_never_its_credentials():
    proxy = parse_proxy("http://proxy.example:3128", "ann:canary")
    assert proxy.authorization == "Basic " + base64.b64encode(b"ann:canary").decode()
    assert repr(proxy) == "Proxy('proxy.example', 3128)"


@pytest.mark.parametrize("broken", ["http://ann:${PW}@proxy.example:3128", "${PW}"])
def test_a_variable_with_bytes_that_are_no_text_is_a_problem_and_no_crash(loaded, broken):
    with pytest.raises(ConfigError) as refusal:
        loaded(providers(broken), {"PW": "canary\udcff"})
    assert "canary" not in str(refusal.value)
