"""`GET /v1/models`: the names that a key may put into `model`, as the caller's SDK lists them."""

from collections.abc import Iterator
from typing import Any, Final

from interlock.config.checked import Config
from interlock.errors import ApiError
from interlock.server.exchange import Exchange
from interlock.server.gateway import Gateway
from interlock.types.signals import Caller

MOST_ROWS: Final = 1000
_AUTO: Final = "auto"
_OURS: Final = "interlock"
_UNKNOWN_DATE: Final = "1970-01-01T00:00:00Z"


async def list_models(gateway: Gateway, exchange: Exchange) -> None:  # noqa: ARG001 - every handler has both
    names = dict(_names(exchange.state.config, exchange.caller))
    if exchange.dialect == "anthropic-messages":
        exchange.answer_json(_page(list(names), exchange.query))
    else:
        rows = [_openai(name, owner) for name, owner in names.items()]
        exchange.answer_json({"object": "list", "data": rows})


async def show_model(gateway: Gateway, exchange: Exchange) -> None:  # noqa: ARG001 - every handler has both
    """One name. One that exists and that the key may not ask for is as if absent."""
    wanted = exchange.params[0]
    for name, owner in _names(exchange.state.config, exchange.caller):
        if name == wanted:
            ours = exchange.dialect == "anthropic-messages"
            exchange.answer_json(_anthropic(name) if ours else _openai(name, owner))
            return
    hint = "`GET /v1/models` lists what this key may ask for"
    raise ApiError("unknown_model", "there is no such model for this key", hint=hint, param="model")


def _names(config: Config, caller: Caller) -> Iterator[tuple[str, str]]:
    """Each name with who owns it: aliases and lanes are ours, a model is its vendor's.

    PROVIDER/MODEL is another name for a model; it is listed for the keys whose config has it.
    """
    if _may_leave_it_to_us(config, caller):
        yield _AUTO, _OURS
    for alias in config.aliases:
        if _allowed(caller, "aliases", alias):
            yield alias, _OURS
    for lane in config.lanes:
        if _allowed(caller, "lanes", lane.name):
            yield f"lane:{lane.name}", _OURS
    for model in config.models.values():
        owner = config.providers[model.provider].vendor
        if _allowed(caller, "models", model.name):
            yield model.name, owner
        for name in dict.fromkeys((model.name, model.upstream)):
            direct = f"{model.provider}/{name}"
            if caller.allow is not None and direct in caller.allow.models:
                yield direct, owner


def _may_leave_it_to_us(config: Config, caller: Caller) -> bool:
    """Whether `auto` can lead this key anywhere: to a lane by its `match`, or to the default."""
    default = config.default_model
    kind = "aliases" if default in config.aliases else "models"
    return (default is not None and _allowed(caller, kind, default)) or any(
        lane.match is not None and _allowed(caller, "lanes", lane.name) for lane in config.lanes
    )


def _allowed(caller: Caller, kind: str, name: str) -> bool:
    return caller.allow is None or name in getattr(caller.allow, kind)


def _openai(name: str, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}


def _anthropic(name: str) -> dict[str, Any]:
    return {
        "type": "model",
        "id": name,
        "display_name": name,
        "created_at": _UNKNOWN_DATE,
        "lifecycle": "active",
    }


def _page(names: list[str], query: dict[str, str]) -> dict[str, Any]:
    """A page of names as Anthropic lists them: after or before one of them, at most `limit`."""
    limit = _limit(query)
    after, before = query.get("after_id"), query.get("before_id")
    for name, cursor in (("after_id", after), ("before_id", before)):
        if cursor is not None and cursor not in names:
            raise ApiError("invalid_request", "there is no such place in the list", param=name)
    first = names.index(after) + 1 if after is not None else 0
    last = names.index(before) if before is not None else len(names)
    inside = names[first:last]
    page = inside[-limit:] if before is not None and after is None else inside[:limit]
    return {
        "data": [_anthropic(name) for name in page],
        "has_more": len(page) < len(inside),
        "first_id": page[0] if page else None,
        "last_id": page[-1] if page else None,
    }


def _limit(query: dict[str, str]) -> int:
    text = query.get("limit", str(MOST_ROWS))
    if not text.isascii() or not text.isdigit() or len(text) > 4 or not 1 <= int(text) <= MOST_ROWS:
        raise ApiError("invalid_request", f"`limit` must be a number from 1 to {MOST_ROWS}", param="limit")
    return int(text)
