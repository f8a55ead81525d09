"""Aliases over HTTP: what they stand for, their history, and moving them. For operators."""

from collections.abc import Awaitable
from typing import TypeVar

from msgspec import Struct

from interlock.errors import ApiError
from interlock.server.control import actor, read_json
from interlock.server.exchange import Exchange
from interlock.server.gateway import Gateway
from interlock.store.aliases import AliasHistory, StaleVersion, UnknownAlias, UnknownVersion
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
    """Make a model the alias's next version. An alias with a gate needs a reason to go past it."""
    wanted = read_json(exchange.body, Promotion)
    name, config = _name(exchange), exchange.state.config
    if wanted.to not in config.models:
        raise ApiError("unknown_model", f"`{wanted.to}` is no model of the pool", param="to")
    _check_seen(gateway, name, wanted.if_version)
    if name in config.gates and not wanted.override:
        raise ApiError(
            "gate_failed",
            f"`{name}` has a gate, and no record of `{wanted.to}` passing it",
            hint="give a reason in `override` to go past it; the reason is kept in the audit log",
        )
    await _changed(
        gateway.store.promote(
            name,
            wanted.to,
            if_version=wanted.if_version,
            by=actor(exchange),
            now=now_us(),
            reason=wanted.reason,
            override=wanted.override,
        )
    )
    gateway.refresh_world()
    exchange.answer_json(_history(gateway, exchange))


def _check_seen(gateway: Gateway, name: str, seen: int | None) -> None:
    """A caller whose view is stale is told that first; the store checks again as it changes."""
    state = gateway.store.aliases().get(name)
    if state is not None and seen is not None and seen != state.active:
        raise _stale(state.active)


async def roll_back(gateway: Gateway, exchange: Exchange) -> None:
    """Make an earlier version active again. It passed once: going back needs no gate."""
    wanted = read_json(exchange.body or b"{}", Rollback)
    await _changed(
        gateway.store.rollback(
            _name(exchange),
            wanted.to,
            if_version=wanted.if_version,
            by=actor(exchange),
            now=now_us(),
            reason=wanted.reason or wanted.override,
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
