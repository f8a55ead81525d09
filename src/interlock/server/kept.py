"""Kept answers: which are, and how they are asked for and deleted. `earlier` has what goes on from them.

An answer is kept for its own tenant, with the data class and residency of its request, and for as long
as records are.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.config.checked import Config
from interlock.dialects.openai_responses.items import name_of, response_of, without_digits
from interlock.errors import ApiError, StoreError
from interlock.execute.apart import apart
from interlock.server.case import LARGE, Case
from interlock.server.earlier import absent, items_of, listed, may_see, since_of
from interlock.server.exchange import Exchange
from interlock.server.gateway import Gateway
from interlock.store.responses import StoredResponse
from interlock.wire.sse import EventParser
from interlock.wiring import now_us

MOST_ITEMS: Final = 100
USUAL_ITEMS: Final = 20
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


class _Item(Struct):
    id: Any = None


class _Output(Struct):
    output: list[_Item]


class _Input(Struct):
    input: Any


class _LastEvent(Struct):
    response: msgspec.Raw


def named(case: Case, name: str, config: Config) -> Case:
    """The case with its answer's id, and with whether that is kept.

    Raises ApiError (policy_denied) where the caller asks for what operator or policy do not allow.
    """
    keeping = case.request.keeping
    if keeping is None:
        return case
    wanted = config.store.responses
    may = wanted != "never" and case.decision.policy.logging == "full"
    if keeping.store and not may:
        raise ApiError(
            "policy_denied",
            "this answer may not be kept",
            hint="send `store: false`, and with each request the whole conversation in `input`",
            param="store",
            decision_id=case.decision.id,
        )
    asked = wanted == "default" if keeping.store is None else keeping.store
    settled = msgspec.structs.replace(keeping, id=f"resp_{name}", store=may and asked)
    return msgspec.structs.replace(case, request=msgspec.structs.replace(case.request, keeping=settled))


def is_kept(case: Case) -> bool:
    """Whether the answer to a request is kept. `named` has settled it."""
    return case.request.keeping is not None and bool(case.request.keeping.store)


async def keep(gateway: Gateway, case: Case, body: bytes) -> None:
    """Keep an answer, before its end is sent. `body` is the response. Raises ApiError: overloaded."""
    keeping, decision = case.request.keeping, case.decision
    assert keeping is not None, "only what has a name is kept"
    added = await apart(_added, case.body) if len(case.body) > LARGE else _added(case.body)
    items = await apart(_foreign, keeping.id, body) if len(body) > LARGE else _foreign(keeping.id, body)
    signals = decision.signals
    row = StoredResponse(
        id=keeping.id,
        tenant=signals.tenant,
        created_at=case.at,
        key=signals.key,
        previous=keeping.previous,
        data_class=decision.policy.data_class,
        residency=signals.residency,
        input=added,
        body=body,
    )
    try:
        await gateway.store.put_response(row, items)
    except StoreError as error:
        raise gateway.store_failed(error) from None


def _added(body: bytes) -> bytes:
    """The items that a body adds to its conversation, as JSON."""
    return _encode(listed(msgspec.json.decode(body, type=_Input).input))


def _foreign(response_id: str, body: bytes) -> tuple[str, ...]:
    """The ids in the output of a response that do not lead to it by themselves: a vendor has given them."""
    ids = (item.id for item in msgspec.json.decode(body, type=_Output).output)
    return tuple(name for name in ids if type(name) is str and response_of(name) != response_id)


def response_in(ending: bytes) -> bytes:
    """The response in the last bytes of a stream."""
    data = EventParser().feed(ending)[-1]
    return bytes(msgspec.json.decode(data, type=_LastEvent).response)


# --- over HTTP ----------------------------------------------------------------------------------


async def show(gateway: Gateway, exchange: Exchange) -> None:
    """A kept response, as its caller was given it."""
    if exchange.query.get("stream", "false") != "false":
        raise ApiError("invalid_request", "a kept response is not streamed again", param="stream")
    exchange.answer(_found(gateway, exchange).body)


async def delete(gateway: Gateway, exchange: Exchange) -> None:
    row = _found(gateway, exchange)
    try:
        await gateway.store.delete_response(row.id, row.tenant)
    except StoreError as error:
        raise gateway.store_failed(error) from None
    exchange.answer_json({"id": row.id, "object": "response", "deleted": True})


async def list_input(gateway: Gateway, exchange: Exchange) -> None:
    """What a kept response was made from: the items of its conversation, newest first as a rule."""
    row = _found(gateway, exchange)
    since = since_of(exchange.state.config, now_us())
    turns = gateway.store.conversation(row.id, row.tenant, since)
    items = [*items_of(turns[:-1]), *_decode(row.input)]
    name = name_of(row.id)
    named_items = [_with_id(item, without_digits(f"{name}{place:04x}")) for place, item in enumerate(items)]
    limit, descending, after = _paging(exchange.query)
    if descending:
        named_items.reverse()
    ids = [item["id"] for item in named_items]
    if after is not None and after not in ids:
        raise ApiError("invalid_request", "there is no such place in the list", param="after")
    start = 0 if after is None else ids.index(after) + 1
    page = named_items[start : start + limit]
    exchange.answer_json(
        {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": len(named_items) > start + limit,
        }
    )


def _with_id(item: dict[str, Any], name: str) -> dict[str, Any]:
    """An item as lists show it: with its type and an id, and the content of a message as parts."""
    kind = item.get("type", "message")
    shown: dict[str, Any] = {"id": f"{'msg' if kind == 'message' else 'item'}_{name}", "type": kind, **item}
    if kind == "message" and type(item.get("content")) is str:
        part = "output_text" if item.get("role") == "assistant" else "input_text"
        shown["content"] = [{"type": part, "text": item["content"]}]
    return shown


def _paging(query: dict[str, str]) -> tuple[int, bool, str | None]:
    """How many items, whether the newest come first, and behind which. Raises ApiError: invalid_request."""
    limit, order = query.get("limit", str(USUAL_ITEMS)), query.get("order", "desc")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= MOST_ITEMS):
        raise ApiError("invalid_request", f"must be a number from 1 to {MOST_ITEMS}", param="limit")
    if order not in ("asc", "desc"):
        raise ApiError("invalid_request", "must be `asc` or `desc`", param="order")
    return int(limit), order == "desc", query.get("after")


def _found(gateway: Gateway, exchange: Exchange) -> StoredResponse:
    """The response that a path names. Raises ApiError: not_found, also for what this key may not see."""
    response_id, caller = exchange.params[0], exchange.caller
    row = gateway.store.get_response(response_id, caller.tenant, since_of(exchange.state.config, now_us()))
    if row is None or not may_see(caller, row):
        raise absent(response_id)
    return row
