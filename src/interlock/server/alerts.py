"""What is seen of releases over HTTP: all alerts, and how one alias stands. For operators."""

import asyncio
from functools import partial
from typing import Final

from interlock.errors import ApiError
from interlock.release.afterwards import duties
from interlock.release.watches import as_json, shown
from interlock.server.exchange import Exchange
from interlock.server.gateway import Gateway
from interlock.store import alerts

PAGE: Final = 50


async def list_alerts(gateway: Gateway, exchange: Exchange) -> None:
    """All alerts, the newest first; `?alias=` narrows it down, `?cursor=` goes on."""
    query = exchange.query
    for name in query:
        if name not in ("alias", "cursor"):
            raise ApiError(
                "invalid_request", f"there is no filter `{name}`", hint="alias, cursor", param=name
            )
    cursor = query.get("cursor")
    if cursor is not None and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 16):
        raise ApiError("invalid_request", "there is no such place in the list", param="cursor")
    below = None if cursor is None else int(cursor)
    rows = gateway.store.read(partial(alerts.newest, below=below, most=PAGE + 1, alias=query.get("alias")))
    following = str(rows[PAGE - 1].seq) if len(rows) > PAGE else None
    exchange.answer_json({"data": [as_json(row) for row in rows[:PAGE]], "next": following})


async def show_watch(gateway: Gateway, exchange: Exchange) -> None:
    """What is watched of an alias, and what was seen."""
    name, config = exchange.params[0], exchange.state.config
    if name not in config.aliases:
        raise ApiError("not_found", f"there is no alias `{name}`")
    found = await asyncio.to_thread(duties, gateway.store, config)
    duty = next((one for one in found if one.alias == name), None)
    exchange.answer_json(await asyncio.to_thread(shown, gateway.store, name, duty))
