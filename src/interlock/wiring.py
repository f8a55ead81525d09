"""Puts the parts together: which adapter, URL and key serve which model, which store, which transport.

This is the one place that knows them all. It decides nothing and serves nothing.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final

import msgspec

from interlock.adapters import ADAPTERS, CALLS, Target
from interlock.classify.labels import is_untrusted
from interlock.classify.tokens import count, family_of
from interlock.config.checked import Config, Secrets, encode
from interlock.config.loading import Loaded
from interlock.config.written import Resilience
from interlock.evals.identity import identity_text
from interlock.execute.setting import Destination, Services, Setting
from interlock.execute.validation.contract import contract_of
from interlock.resilience.health import Health
from interlock.route.snapshot import Candidate, snapshot
from interlock.store.rollouts import StoredRollout, live
from interlock.store.sqlite import Store
from interlock.transport.http1 import Http1Transport
from interlock.types.labels import DegradeMode
from interlock.types.proxy import Proxy, parse_proxy
from interlock.types.world import ActiveAlias, Canary, World

KEYS_SECRET: Final = "keys"  # noqa: S105 - a name, not a secret
"""The store's name for the secret that callers' keys are hashed with."""


def open_store(loaded: Loaded) -> Store:
    """The store that a config names, with the file's aliases and the config itself in it.

    Raises StoreError.
    """
    store = Store.open(loaded.config.store.url, now=now_us, base=loaded.path.parent)
    remember(store, loaded.config)
    return store


def now_us() -> int:
    """The wall clock, in microseconds since the epoch."""
    return time.time_ns() // 1000


def remember(store: Store, config: Config) -> None:
    """Put into the store what decisions under a config will be computed again from. May block."""
    store.seed_aliases(config.aliases, now=now_us(), by="config", identities=identities(config))
    store.put_config(config.config_hash, encode(config), policy_hash=config.policy_hash, by="config")


def identities(config: Config) -> dict[str, str]:
    """By model of the pool, the JSON of what really answers."""
    return {name: identity_text(config, name) for name in config.models}


def world_of(
    store: Store,
    latency_ms: Mapping[str, float] = MappingProxyType({}),
    degrade: DegradeMode = "none",
    rollouts: Sequence[StoredRollout] | None = None,
) -> World:
    """The world as the store has it now, with latencies and load as a server has measured them.

    `rollouts` are those under way, where they have been read already.
    """
    states = store.aliases()
    return World(
        aliases={
            name: ActiveAlias(version=state.active, model=state.model) for name, state in states.items()
        },
        latency_ms=dict(latency_ms),
        degrade=degrade,
        rollouts={
            row.alias: Canary(
                rollout=row.id,
                version=row.to_version,
                model=row.candidate,
                weight=row.weight,
                sticky_by=row.plan.sticky_by,
            )
            for row in (store.read(live) if rollouts is None else rollouts)
            if row.weight > 0
        },
    )


def put_world(store: Store, digest: str, world: World) -> None:
    """Keep a world by its hash; it is in the store before any record that names it."""
    store.put_world(digest, msgspec.json.encode(world, order="sorted"))


def services(*, now: Callable[[], str], fresh: Callable[[], str]) -> Services:
    """What executions act with. One per event loop."""
    return Services(
        transport=Http1Transport(),
        now=now,
        epoch_s=_epoch_s,
        fresh=fresh,
        draw=random.random,
        count=_count,
    )


def setting(config: Config, secrets: Secrets, world: World, health: Health) -> Setting:
    """What executions under one config go by. `health` is the process's, and outlives this config."""
    prepared = snapshot(config)
    return Setting(
        snapshot=prepared,
        world=world,
        destinations={
            (model, candidate.deployment.endpoint): _destination(
                candidate, secrets, config.resilience, health
            )
            for model, candidates in prepared.candidates.items()
            for candidate in candidates
            if candidate.provider.wire in ADAPTERS
        },
        is_untrusted=partial(is_untrusted, config=config),
        contracts={
            lane.name: contract for lane in config.lanes if (contract := contract_of(lane)) is not None
        },
    )


def with_own_health(live: Setting, health: Health, rules: Resilience) -> Setting:
    """The same setting with a health of its own: what is tried there tells live requests nothing."""
    return msgspec.structs.replace(
        live,
        destinations={
            where: msgspec.structs.replace(
                place,
                health=health.target(_way(place.target.base_url, place.proxy), place.model.upstream, rules),
                upstream=health.upstream(place.model.provider, rules, None),
            )
            for where, place in live.destinations.items()
        },
    )


def _destination(candidate: Candidate, secrets: Secrets, rules: Resilience, health: Health) -> Destination:
    model, deployment, provider = candidate.model, candidate.deployment, candidate.provider
    wire, proxy = provider.wire, None
    if deployment.proxy is not None:
        proxy = parse_proxy(deployment.proxy, secrets.proxies.get(deployment.id))
    return Destination(
        model=model,
        adapter=ADAPTERS[wire],
        calls={operation: calls[wire] for operation, calls in CALLS.items() if wire in calls},
        target=Target(
            upstream_model=model.upstream,
            base_url=deployment.base_url,
            api_key=secrets.api_keys.get(deployment.id),
            max_output_tokens=model.max_output_tokens,
            regions=deployment.regions,
            auth=provider.auth,
            api_version=provider.api_version,
            quirks=provider.quirks,
        ),
        health=health.target(_way(deployment.base_url, proxy), model.upstream, rules),
        upstream=health.upstream(provider.name, rules, provider.limits),
        proxy=proxy,
    )


def _way(base_url: str, proxy: Proxy | None) -> str:
    """What a breaker is about: an address, and how it is reached."""
    return base_url if proxy is None else f"{base_url} through {proxy}"


def _epoch_s() -> int:
    return int(time.time())


def _count(text: str, model: str) -> int:
    return count(text, family_of(model)[0])
