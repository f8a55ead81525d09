"""`GET /v1/models`: the names that a key may put into `model`, as the caller's SDK lists them."""

from collections.abc import Iterator
from typing import Any, Final

from interlock.server.exchange import Exchange
from interlock.server.gateway import Gateway
from interlock.types.signals import Caller

_UNKNOWN_DATE: Final = "1970-01-01T00:00:00Z"


async def list_models(gateway: Gateway, exchange: Exchange) -> None:  # noqa: ARG001 - every handler has both
    names = list(_names(exchange))
    if exchange.dialect == "anthropic-messages":
        exchange.answer_json(_anthropic([name for name, _ in names]))
    else:
        rows = [{"id": name, "object": "model", "created": 0, "owned_by": owner} for name, owner in names]
        exchange.answer_json({"object": "list", "data": rows})


def _names(exchange: Exchange) -> Iterator[tuple[str, str]]:
    """Each name with who owns it: aliases and lanes are ours, a model is its vendor's."""
    config, caller = exchange.state.config, exchange.caller
    for alias in config.aliases:
        if _allowed(caller, "aliases", alias):
            yield alias, "interlock"
    for lane in config.lanes:
        if _allowed(caller, "lanes", lane.name):
            yield f"lane:{lane.name}", "interlock"
    for model in config.models.values():
        if _allowed(caller, "models", model.name):
            yield model.name, config.providers[model.provider].vendor


def _allowed(caller: Caller, kind: str, name: str) -> bool:
    return caller.allow is None or name in getattr(caller.allow, kind)


def _anthropic(names: list[str]) -> dict[str, Any]:
    rows = [
        {"type": "model", "id": name, "display_name": name, "created_at": _UNKNOWN_DATE} for name in names
    ]
    return {
        "data": rows,
        "has_more": False,
        "first_id": names[0] if names else None,
        "last_id": names[-1] if names else None,
    }
