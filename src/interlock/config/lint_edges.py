"""What is wrong where Interlock meets callers, providers and the network: keys, hosts, addresses."""

from collections import Counter
from collections.abc import Iterator, Mapping
from ipaddress import ip_address

from interlock.config.problems import error, listed, warning
from interlock.config.resolve import split_url
from interlock.config.vendors import by_name
from interlock.config.whole import Whole
from interlock.errors import Problem
from interlock.types.labels import RANK


def check_edges(whole: Whole, caller_keys: Mapping[str, str]) -> Iterator[Problem]:
    """`caller_keys` are the secrets by key id; they are compared, never shown."""
    yield from _server(whole)
    yield from _keys(whole)
    yield from _same_secret(whole, caller_keys)
    yield from _addresses(whole)
    yield from _webhooks(whole)
    yield from _local_models(whole)
    yield from _vendors(whole)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine only."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _server(whole: Whole) -> Iterator[Problem]:
    host = whole.file.server.host
    if not whole.file.keys and not is_loopback(host):
        yield error(
            "server.host",
            f"`{host}` is reachable from other machines, and there are no `keys`",
            "add `keys`, or serve on `127.0.0.1`",
        )


def _keys(whole: Whole) -> Iterator[Problem]:
    counts = Counter(key.id for key in whole.file.keys)
    seen: set[str] = set()
    for place, key in enumerate(whole.file.keys):
        path = f"keys[{place}]"
        if counts[key.id] > 1 and key.id in seen:
            yield error(f"{path}.id", f"a second key is called `{key.id}`", "give each key its own id")
        seen.add(key.id)
        if key.data_class and key.max_data_class and RANK[key.data_class] > RANK[key.max_data_class]:
            yield error(
                path,
                f"its data is at least {key.data_class}, but it may send at most {key.max_data_class}",
                "every request with it would be refused: lower `data_class` or raise `max_data_class`",
            )


def _same_secret(whole: Whole, caller_keys: Mapping[str, str]) -> Iterator[Problem]:
    owner: dict[str, str] = {}
    for place, key in enumerate(whole.file.keys):
        secret = caller_keys.get(key.id)
        if secret is None:
            continue
        first = owner.setdefault(secret, key.id)
        if first != key.id:
            yield error(
                f"keys[{place}].key",
                f"`{key.id}` and `{first}` have the same secret",
                "give each key its own",
            )


def _addresses(whole: Whole) -> Iterator[Problem]:
    for name, provider in whole.file.providers.items():
        path = f"providers.{name}"
        urls: dict[str, str] = {}
        if provider.base_url is not None:
            urls[f"{path}.base_url"] = provider.base_url
        urls |= {
            f"{path}.endpoints.{region}.base_url": e.base_url for region, e in provider.endpoints.items()
        }
        for where, url in urls.items():
            parts = split_url(url)
            if parts is not None and parts.scheme == "http" and not _is_near(parts.hostname or ""):
                yield warning(where, "prompts and keys travel unencrypted", "write `https://`")
    yield from _collector(whole.file.telemetry.otlp_endpoint)
    recorded = {
        "telemetry.otlp_endpoint": whole.file.telemetry.otlp_endpoint,
        "store.counters": whole.file.store.counters,
        "store.url": whole.file.store.url,
    }
    for where, address in recorded.items():
        parts = split_url(address or "")
        if parts is not None and parts.password is not None:
            yield error(
                where, "has a password in it, which would be recorded", "keep passwords out of the url"
            )


def _collector(address: str | None) -> Iterator[Problem]:
    path = "telemetry.otlp_endpoint"
    if address is None:
        return
    parts = split_url(address)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        hint = "the address of a collector without `/v1/traces`: `http://127.0.0.1:4318`"
        yield error(path, "is no http(s) address", hint)
    elif parts.scheme == "http" and not _is_near(parts.hostname):
        yield warning(path, "what requests cost and where they went travels unencrypted", "write `https://`")


def _webhooks(whole: Whole) -> Iterator[Problem]:
    """Events are posted to these addresses and to no other, so each has to be one."""
    for name, hook in whole.file.webhooks.items():
        path = f"webhooks.{name}.url"
        parts = split_url(hook.url)
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
            yield error(path, "is no http(s) address", "write `https://HOST/PATH`")
        elif parts.username is not None or parts.password is not None:
            yield error(path, "has credentials in it, which would be recorded", "use `secret`")
        elif parts.scheme == "http" and not _is_near(parts.hostname):
            yield warning(path, "what is rolled out travels unencrypted", "write `https://`")


def _is_near(host: str) -> bool:
    """Whether a host is this machine, in a private network, or a bare name inside one."""
    try:
        return ip_address(host.strip("[]")).is_private
    except ValueError:
        return is_loopback(host) or "." not in host or host.endswith((".local", ".internal", ".svc"))


def _local_models(whole: Whole) -> Iterator[Problem]:
    """A local model is run at its provider's address, so that has to be on this machine."""
    for name, provider in whole.file.providers.items():
        if provider.local_model is None:
            continue
        parts = split_url(provider.base_url or "")
        if parts is None or not is_loopback(parts.hostname or "") or parts.port is None:
            path = f"providers.{name}.local_model"
            known = listed(["http://127.0.0.1:8091/v1"])
            yield error(path, "needs a `base_url` with a port on this machine", f"for instance {known}")


def _vendors(whole: Whole) -> Iterator[Problem]:
    """Providers at the usual address of a vendor that is known, and a field that only Azure has."""
    port = whole.file.server.port
    for name, provider in whole.file.providers.items():
        path = f"providers.{name}"
        if provider.api_version is not None and whole.config.providers[name].kind != "azure":
            yield error(f"{path}.api_version", "is read for `kind: azure` only", "leave it out")
        elif provider.api_version is not None and provider.api == "responses":
            problem = "belongs to the older addresses, and `api: responses` is spoken at the newer"
            yield error(f"{path}.api_version", problem, "leave it out")
        vendor = by_name(provider.vendor or name)
        if vendor is None or provider.base_url is not None or provider.endpoints:
            continue
        if vendor.variable is not None and provider.api_key is None:
            hint = f"add `api_key: ${{{vendor.variable}}}`, as that variable is usually called"
            yield warning(path, f"`{vendor.name}` wants a key", hint)
        if vendor.base_url == f"http://127.0.0.1:{port}/v1":
            yield error(path, f"Interlock itself serves on port {port}", "set `server.port` to another one")
