"""The config as written, to the config as checked: names filled in, facts looked up, hashed.

It says what cannot be resolved (an address, a schema file, a date); whether names refer to
something that exists is `lint`'s business, and a model whose provider does not exist is left out
here. Secrets arrive by place and leave in `Secrets`, by deployment and key.
"""

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, get_args
from urllib.parse import SplitResult, urlsplit

import msgspec
from msgspec import Struct

from interlock.config import checked, written
from interlock.config.aws import check_access_key
from interlock.config.azure import KEY_HEADER, at_newer_addresses
from interlock.config.catalogue import Catalogue, Facts, look_up
from interlock.config.environment import Place
from interlock.config.problems import below, error, listed, nearest, warning
from interlock.config.proxy import with_proxies
from interlock.config.schema_file import read_schema
from interlock.config.vendors import VENDORS, by_name, vendor_at
from interlock.errors import Problem
from interlock.types.labels import Kind
from interlock.types.quirks import Quirks
from interlock.types.signals import Allow, Caller
from interlock.wire.webhook import key_of

DEFAULT_TOOL: Final = "default"
_SQLITE: Final = "sqlite:///"
_USUAL_ADDRESSES: Final = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "gemini": "https://generativelanguage.googleapis.com",
    "bedrock": "https://bedrock-runtime.us-east-1.amazonaws.com",
    "azure": "https://NAME.openai.azure.com",
}
_POLICY_PARTS: Final = (
    "rules",
    "lanes",
    "tools",
    "default_tool",
    "sources",
    "classification",
    "metadata",
    "latency_classes",
)


class Resolved(Struct, frozen=True, kw_only=True):
    config: checked.Config
    secrets: checked.Secrets
    problems: tuple[Problem, ...]


def resolve(file: written.File, secrets: Mapping[Place, str], folder: Path, catalogue: Catalogue) -> Resolved:
    """Resolve a file that lies in `folder`. Reads its schemas and looks whether its suites exist."""
    problems: list[Problem] = []
    api_keys: dict[str, str] = {}
    proxies: dict[str, str] = {}
    providers = {
        name: _provider(name, provider, secrets, api_keys, proxies, problems)
        for name, provider in file.providers.items()
    }
    models = {
        name: _model(name, model, providers[model.provider], catalogue)
        for name, model in file.models.items()
        if model.provider in providers
    }
    config = checked.Config(
        providers=providers,
        models=models,
        aliases=file.aliases,
        tools={name: spec for name, spec in file.tools.items() if name != DEFAULT_TOOL},
        default_tool=file.tools.get(DEFAULT_TOOL, written.ToolSpec()),
        sources=file.sources,
        classification=file.classification,
        metadata=file.metadata,
        latency_classes=file.latency_classes,
        lanes=tuple(_lane(name, lane, folder, problems) for name, lane in file.lanes.items()),
        default_model=file.default.model if file.default is not None else None,
        fallbacks=file.fallbacks,
        rules=file.policy,
        budgets=file.budgets,
        resilience=file.resilience,
        evals=file.evals,
        gates=file.gates,
        rollouts=file.rollouts,
        watch=file.watch,
        webhooks=file.webhooks,
        approvals=file.approvals,
        cache=file.cache,
        store=file.store,
        server=file.server,
        telemetry=file.telemetry,
        keys=tuple(_key(place, key, problems) for place, key in enumerate(file.keys)),
        prices_version=catalogue.version,
    )
    problems += _missing_suites(file.evals, folder)
    config = _hashed(config)
    store = msgspec.structs.replace(file.store, url=_store_url(file.store.url, folder, problems))
    config = msgspec.structs.replace(config, store=store)
    return Resolved(
        # What runs is exactly what a store gives back for this revision, down to the order of its names.
        config=checked.decode(checked.encode(config)),
        secrets=_secrets(file, secrets, api_keys, proxies, problems),
        problems=tuple(problems),
    )


def _secrets(
    file: written.File,
    secrets: Mapping[Place, str],
    api_keys: dict[str, str],
    proxies: dict[str, str],
    problems: list[Problem],
) -> checked.Secrets:
    """The secrets by the name of whose they are."""
    callers: dict[str, Place] = {key.id: ("keys", place, "key") for place, key in enumerate(file.keys)}
    hooks: dict[str, Place] = {name: ("webhooks", name, "secret") for name in file.webhooks}
    webhooks = {name: secrets[place] for name, place in hooks.items() if place in secrets}
    for name, secret in webhooks.items():
        try:
            key_of(secret)
        except ValueError as fault:
            hint = "32 random bytes will do: `openssl rand -hex 32`"
            problems.append(error(f"webhooks.{name}.secret", str(fault), hint))
    return checked.Secrets(
        api_keys=api_keys,
        proxies=proxies,
        caller_keys={name: secrets[place] for name, place in callers.items() if place in secrets},
        webhooks=webhooks,
    )


def _hashed(config: checked.Config) -> checked.Config:
    """The config with its hashes. The store's url is hashed as the file has it, so that one file has
    one hash wherever it lies.
    """
    policy = {name: getattr(config, name) for name in _POLICY_PARTS}
    return msgspec.structs.replace(
        config,
        config_hash=_digest(checked.encode(config)),
        policy_hash=_digest(msgspec.json.encode(policy, order="sorted")),
    )


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _provider(
    name: str,
    provider: written.Provider,
    secrets: Mapping[Place, str],
    api_keys: dict[str, str],
    proxies: dict[str, str],
    problems: list[Problem],
) -> checked.Provider:
    path = f"providers.{name}"
    shared = secrets.get(("providers", name, "api_key"))
    known = by_name(provider.vendor or name)
    spoken = provider.kind or (known.kind if known is not None else None)
    if spoken is None:
        problems.append(_no_kind(provider, path))
    kind: Kind = spoken or "openai"
    base_url = provider.base_url
    at_home = base_url is None and not provider.endpoints and known is not None and known.kind == kind
    if at_home and known is not None:
        base_url = known.base_url
    if base_url is None and not provider.endpoints and spoken is not None:
        problems.append(error(path, "has neither `base_url` nor `endpoints`", _usual_address(kind)))
    if provider.api != "chat" and kind not in ("openai", "azure"):
        hint = "only `kind: openai` and `kind: azure` have two APIs; take `api` out"
        problems.append(error(below(path, "api"), f"`{kind}` has no API `{provider.api}`", hint))
    deployments = _deployments(name, provider, base_url, problems)
    deployments = with_proxies(name, provider, deployments, secrets, proxies, problems)
    azures_own = kind == "azure" and provider.api == "responses"
    if azures_own:
        deployments = at_newer_addresses(deployments)
    for deployment in deployments:
        own = secrets.get(("providers", name, "endpoints", deployment.endpoint or "", "api_key"))
        key = own if own is not None else shared
        if key is not None:
            api_keys[deployment.id] = key
            if kind == "bedrock":
                place = f"{path}.endpoints.{deployment.endpoint}" if deployment.endpoint is not None else path
                problems += check_access_key(key, deployment, path if own is None else place, place)
    first = deployments[0].base_url if deployments else ""
    served_by = vendor_at(vendor=provider.vendor or name, kind=kind, base_url=first)
    return checked.Provider(
        name=name,
        kind=kind,
        vendor=provider.vendor or name,
        deployments=deployments,
        jurisdiction=provider.jurisdiction or (known.jurisdiction if at_home and known is not None else None),
        trusted_for=provider.trusted_for,
        limits=provider.limits,
        local_model=provider.local_model,
        auth=provider.auth or (KEY_HEADER if azures_own else None),
        api_version=provider.api_version,
        api=provider.api,
        quirks=served_by.quirks if served_by is not None else Quirks(),
    )


def _deployments(
    name: str, provider: written.Provider, base_url: str | None, problems: list[Problem]
) -> tuple[checked.Deployment, ...]:
    """One for each of the endpoints, in their order; else the one at `base_url`."""
    path = f"providers.{name}"
    if base_url is not None and provider.endpoints:
        problems.append(
            error(path, "has both `base_url` and `endpoints`", "an address is one or the other; keep one")
        )
    if provider.endpoints and provider.regions:
        problems.append(
            error(
                below(path, "regions"), "is not read beside `endpoints`", "an endpoint's name is its region"
            )
        )
    deployments = [
        checked.Deployment(
            id=f"{name}/{region}",
            provider=name,
            base_url=_base_url(endpoint.base_url, f"{path}.endpoints.{region}.base_url", problems),
            endpoint=region,
            regions=(region,),
        )
        for region, endpoint in provider.endpoints.items()
    ]
    if base_url is not None:
        address = _base_url(base_url, below(path, "base_url"), problems)
        deployments.append(
            checked.Deployment(id=name, provider=name, base_url=address, regions=provider.regions)
        )
    return tuple(deployments)


def _no_kind(provider: written.Provider, path: str) -> Problem:
    """A provider whose wire format nobody knows: neither `kind` nor a vendor that says it."""
    if provider.vendor is not None:
        meant = nearest(provider.vendor, VENDORS)
        hint = f"did you mean `{meant}`? Else add `kind`" if meant is not None else "add `kind`"
        return error(below(path, "vendor"), f"`{provider.vendor}` is no vendor that is known", hint)
    kinds = listed(get_args(Kind))
    hint = f"add `kind:` with one of {kinds}, or `vendor:` with one that is known, such as `mistral`"
    return error(path, "`kind` is missing", hint)


def _usual_address(kind: Kind) -> str:
    """The hint for a provider without an address."""
    usual = _USUAL_ADDRESSES.get(kind)
    return f"for instance `base_url: {usual}`" if usual is not None else "give its `base_url`"


def _base_url(url: str, path: str, problems: list[Problem]) -> str:
    """The address without a slash at its end; what is wrong with it is noted."""
    parts = split_url(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        problems.append(error(path, f"`{url}` is not a web address", "write `https://HOST/v1`"))
    elif parts.username is not None or parts.password is not None:
        problems.append(error(path, "has credentials in it, which would be recorded", "use `api_key`"))
    elif parts.query or parts.fragment:
        problems.append(error(path, f"`{url}` has a query or fragment", "end it with the path"))
    return url.rstrip("/")


def split_url(url: str) -> SplitResult | None:
    """The parts of a URL, None where it has none that make sense."""
    if any(char <= " " for char in url):
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _model(
    name: str, model: written.Model, provider: checked.Provider, catalogue: Catalogue
) -> checked.Model:
    upstream = model.upstream or name
    facts = _facts(upstream, provider, catalogue)
    return checked.Model(
        name=name,
        provider=provider.name,
        upstream=upstream,
        version=model.version or facts.version,
        context_tokens=model.context_tokens or facts.context_tokens,
        max_output_tokens=model.max_output_tokens or facts.max_output_tokens,
        capabilities=model.capabilities if model.capabilities is not None else facts.capabilities,
        quality=model.quality,
        origin=model.origin or facts.origin,
        price=model.price or facts.price,
        temperature=model.temperature,
        top_p=model.top_p,
        effort=model.effort,
        system=model.system,
    )


def _facts(upstream: str, provider: checked.Provider, catalogue: Catalogue) -> Facts:
    base_url = provider.deployments[0].base_url if provider.deployments else ""
    vendor = vendor_at(vendor=provider.vendor, kind=provider.kind, base_url=base_url)
    return look_up(catalogue, vendor.name if vendor is not None else None, upstream)


def _lane(name: str, lane: written.Lane, folder: Path, problems: list[Problem]) -> checked.Lane:
    schema: dict[str, Any] | None = None
    if lane.output.json_schema is not None:
        schema, found = read_schema(folder, lane.output.json_schema, f"lanes.{name}.output.json_schema")
        problems += found
    return checked.Lane(
        name=name,
        match=lane.match,
        models=lane.models,
        cascade=lane.cascade,
        select=lane.select,
        weights=lane.weights,
        budgets=lane.budgets,
        tools=lane.tools,
        require_tools=lane.require_tools,
        json_schema=schema,
        citations_required=lane.output.citations == "required",
        strict_arguments=lane.output.tool_arguments == "valid",
        temperature=lane.temperature,
        top_p=lane.top_p,
        safety_mode=lane.safety_mode,
        risk_tier=lane.risk_tier,
        escalate=lane.escalate,
        hedge_after_ms=lane.hedge_after_ms,
    )


def _missing_suites(evals: Mapping[str, written.EvalRef], folder: Path) -> Iterator[Problem]:
    for name, ref in evals.items():
        if not (folder / ref.suite).is_file():
            hint = "paths are relative to the config's own folder"
            yield warning(f"evals.{name}.suite", f"`{ref.suite}`: no such file", hint)


def _key(place: int, key: written.Key, problems: list[Problem]) -> checked.Key:
    allow = key.allow
    return checked.Key(
        caller=Caller(
            key=key.id,
            tenant=key.tenant,
            team=key.team,
            user_tier=key.user_tier,
            role=key.role,
            environment=key.environment,
            residency=key.residency,
            data_class=key.data_class,
            max_data_class=key.max_data_class,
            allow=Allow(aliases=allow.aliases, lanes=allow.lanes, models=allow.models) if allow else None,
        ),
        expires=_expires(key.expires, f"keys[{place}].expires", problems),
        budgets=key.budgets,
    )


def _expires(text: str | None, path: str, problems: list[Problem]) -> str | None:
    """The moment in UTC. A date alone is refused: whose midnight it means is not said."""
    if text is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        hint = "write the moment with its time zone: `2027-01-31T00:00:00Z`"
        problems.append(error(path, f"`{text}` is not a moment in time", hint))
        return None
    return moment.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def _store_url(url: str, folder: Path, problems: list[Problem]) -> str:
    """The store's url with an absolute path: a relative one is relative to the config."""
    if not url.startswith(_SQLITE) or url == _SQLITE:
        hint = "write `sqlite:///interlock.db`, a file beside the config"
        what = "this version keeps its store in SQLite only" if "://" in url else "is not the url of a store"
        problems.append(error("store.url", what, hint))
        return url
    return f"{_SQLITE}{(folder / url.removeprefix(_SQLITE)).absolute()}"
