"""Rollouts over HTTP: starting one, looking, and the four things that can be done to one. For operators."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from msgspec import Struct

from interlock.errors import ApiError
from interlock.release.gates import GateFailed
from interlock.release.rollouts import shown, wanted
from interlock.rollout.plan import VERBS, NotNow, Plan, Progress
from interlock.server.control import actor, read_json
from interlock.server.exchange import Exchange
from interlock.server.gateway import Gateway
from interlock.server.ids import fresh_name
from interlock.store import rollouts
from interlock.store.aliases import StaleVersion
from interlock.store.releasing import move_rollout, start_rollout
from interlock.store.rollouts import RolloutUnderWay, StoredRollout, UnknownRollout


class Start(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`plan` is a name under `rollouts:`; `if_version` the active version that the caller saw."""

    alias: str
    to: str
    plan: str
    if_version: int | None = None
    override: str | None = None
    reason: str | None = None


class Act(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reason: str | None = None


async def start(gateway: Gateway, exchange: Exchange) -> None:
    """Begin a rollout. An alias with a gate needs its record, or a reason to go past it."""
    asked = read_json(exchange.body, Start)
    prepare = partial(
        wanted,
        gateway.store,
        exchange.state.config,
        gateway.folder,
        name=f"rol_{fresh_name()}",
        alias=asked.alias,
        to_model=asked.to,
        plan=asked.plan,
        if_version=asked.if_version,
        override=asked.override,
    )
    row = await _changed(_start(gateway, prepare, actor(exchange), asked.reason))
    gateway.refresh_world()
    exchange.answer_json(shown(gateway.store, row))


async def list_rollouts(gateway: Gateway, exchange: Exchange) -> None:
    rows = gateway.store.read(rollouts.everything)
    exchange.answer_json({"data": [shown(gateway.store, row) for row in rows], "next": None})


async def show(gateway: Gateway, exchange: Exchange) -> None:
    row = gateway.store.read(partial(rollouts.find, name=exchange.params[0]))
    if row is None:
        raise _absent()
    exchange.answer_json(shown(gateway.store, row))


async def act(gateway: Gateway, exchange: Exchange) -> None:
    """Pause, resume, abort or promote: the last word of the path. Done already, it stays done."""
    name, verb = exchange.params[0], exchange.path.rpartition("/")[2]
    asked = read_json(exchange.body or b"{}", Act)
    why = asked.reason or f"{verb} by {actor(exchange)}"

    def change(plan: Plan, progress: Progress, now: int) -> Progress:
        return VERBS[verb](plan, progress, why, now)

    row = await _changed(move_rollout(gateway.store, name, change, by=actor(exchange)))
    gateway.refresh_world()
    exchange.answer_json(shown(gateway.store, row))


async def _start(
    gateway: Gateway, prepare: Callable[[], rollouts.Wanted], by: str, reason: str | None
) -> StoredRollout:
    ready = await asyncio.to_thread(prepare)
    return await start_rollout(gateway.store, ready, by=by, reason=reason)


async def _changed(write: Awaitable[StoredRollout]) -> StoredRollout:
    try:
        return await write
    except GateFailed as error:
        raise ApiError("gate_failed", error.problem, hint=error.hint) from None
    except UnknownRollout:
        raise _absent() from None
    except StaleVersion as error:
        raise ApiError(
            "stale_version",
            f"version {error.active} is active, another one than was seen",
            hint="look at the alias again",
        ) from None
    except RolloutUnderWay as error:
        raise ApiError("conflict", str(error), hint="abort or promote that one first") from None
    except NotNow as error:
        raise ApiError("conflict", str(error)) from None


def _absent() -> ApiError:
    return ApiError("not_found", "there is no such rollout")
