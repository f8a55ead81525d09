"""Aliases over HTTP: what they stand for, their history, and moving them. For operators."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from msgspec import Struct

from interlock.config.checked import Config
from interlock.errors import ApiError
from interlock.evals.identity import identity_hash, identity_text
from interlock.release.gates import GateFailed, permit
from interlock.release.pool import hashes
from interlock.server.control import actor, read_json
from interlock.server.exchange import Exchange
from interlock.server.gateway import Gateway
from interlock.store.aliases import (
    AliasHistory,
    AliasState,
    StaleVersion,
    TargetGone,
    UnknownAlias,
    UnknownVersion,
)
from interlock.store.rollouts import RolloutUnderWay
from interlock.wiring import now_us

T = TypeVar("T")


class Promotion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`to` is a model of the pool; `if_version` the active version that the caller saw."""

    to: str
    if_version: int | None = None
    override: str | None = None
    reason: str | None = None


class Rollback(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`to` is a version; without it the last release is taken back."""

    to: int | None = None
    if_version: int | None = None
    override: str | None = None
    reason: str | None = None


async def list_aliases(gateway: Gateway, exchange: Exchange) -> None:
    known = exchange.state.config.aliases
    rows = [state for name, state in gateway.store.aliases().items() if name in known]
    exchange.answer_json({"data": rows, "next": None})


async def show_alias(gateway: Gateway, exchange: Exchange) -> None:
    exchange.answer_json(_history(gateway, exchange))


async def promote(gateway: Gateway, exchange: Exchange) -> None:
    """Make a model the alias's next version. One with a gate needs its record, or a reason to go past."""
    wanted = read_json(exchange.body, Promotion)
    name, config = _name(exchange), exchange.state.config
    if wanted.to not in config.models:
        raise ApiError("unknown_model", f"`{wanted.to}` is no model of the pool", param="to")
    seen = _seen(gateway, name, wanted.if_version)
    identity = identity_text(config, wanted.to)
    gate = None
    if (seen.model, seen.identity) != (wanted.to, identity_hash(config, wanted.to)):
        gate = await allowed(gateway, config, name, wanted.to, wanted.override)
    await _changed(
        gateway.store.promote(
            name,
            wanted.to,
            # What was gated is the change from this version: from another one it would be another change.
            if_version=seen.active if name in config.gates else wanted.if_version,
            by=actor(exchange),
            now=now_us(),
            reason=wanted.reason,
            gate=gate,
            override=wanted.override or None,
            identity=identity,
        )
    )
    gateway.refresh_world()
    exchange.answer_json(_history(gateway, exchange))


async def allowed(
    gateway: Gateway, config: Config, name: str, to_model: str, override: str | None
) -> str | None:
    """The gate record that lets a release through, by id. Raises ApiError: gate_failed."""
    try:
        return await asyncio.to_thread(
            permit, gateway.store, config, gateway.folder, name, to_model, override=override
        )
    except GateFailed as error:
        raise ApiError("gate_failed", error.problem, hint=error.hint) from None


def _seen(gateway: Gateway, name: str, seen: int | None) -> AliasState:
    """The alias as it is. A caller whose view is stale is told that first; the store checks again."""
    state = gateway.store.aliases().get(name)
    if state is None:
        raise _absent(name)
    if seen is not None and seen != state.active:
        raise _stale(state.active)
    return state


async def roll_back(gateway: Gateway, exchange: Exchange) -> None:
    """Make an earlier version active again. Going back needs no gate."""
    wanted = read_json(exchange.body or b"{}", Rollback)
    await _changed(
        gateway.store.rollback(
            _name(exchange),
            wanted.to,
            if_version=wanted.if_version,
            by=actor(exchange),
            now=now_us(),
            reason=wanted.reason or wanted.override,
            pool=hashes(exchange.state.config),
        )
    )
    gateway.refresh_world()
    exchange.answer_json(_history(gateway, exchange))


def _name(exchange: Exchange) -> str:
    name = exchange.params[0]
    if name not in exchange.state.config.aliases:
        raise _absent(name)
    return name


def _history(gateway: Gateway, exchange: Exchange) -> AliasHistory:
    found = gateway.store.alias_history(_name(exchange))
    if found is None:
        raise _absent(exchange.params[0])
    return found


async def _changed(write: Awaitable[T]) -> T:
    try:
        return await write
    except UnknownAlias as error:
        raise _absent(error.alias) from None
    except RolloutUnderWay as error:
        raise ApiError("conflict", str(error), hint="abort it, or promote it") from None
    except TargetGone as error:
        raise ApiError(
            "conflict", str(error), hint="put the model back into the pool, or go to another version"
        ) from None
    except UnknownVersion as error:
        raise ApiError("not_found", str(error), param="to") from None
    except StaleVersion as error:
        raise _stale(error.active) from None


def _stale(active: int) -> ApiError:
    return ApiError(
        "stale_version",
        f"version {active} is active, another one than you saw",
        hint=f"look again, then send `if_version`: {active}",
    )


def _absent(name: str) -> ApiError:
    return ApiError("not_found", f"there is no alias `{name}`")
