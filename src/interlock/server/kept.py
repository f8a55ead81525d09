"""Kept answers: which are, what a later request goes on from, and how they are asked for and deleted.

An answer is kept for its own tenant, with the data class and residency of its request, and for as long
as records are. A request that goes on from one brings the whole conversation, classified anew, and is at
least as sensitive as each turn of it.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.config.checked import Config
from interlock.dialects.openai_responses.items import name_of, without_digits
from interlock.errors import ApiError, StoreError
from interlock.execute.apart import apart
from interlock.server.case import LARGE, Case
from interlock.server.exchange import Exchange
from interlock.server.gateway import Gateway
from interlock.store.responses import StoredResponse
from interlock.store.sqlite import DAY_US, Store
from interlock.types.labels import RANK, DataClass
from interlock.types.request import Keeping
from interlock.types.signals import Caller
from interlock.wire.sse import EventParser
from interlock.wiring import now_us

MOST_ITEMS: Final = 100
USUAL_ITEMS: Final = 20
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


class Earlier(Struct, frozen=True, kw_only=True):
    """What a request goes on from. `body` is the request's, with all items of the conversation in it."""

    body: bytes
    data_class: DataClass
    residency: tuple[str, ...]


class _Output(Struct):
    output: list[dict[str, Any]]


class _Input(Struct):
    input: Any


class _LastEvent(Struct):
    response: msgspec.Raw


def recall(store: Store, caller: Caller, config: Config, body: bytes, previous: str, now: int) -> Earlier:
    """The conversation that a request goes on from. Raises ApiError: not_found, request_too_large."""
    turns = store.conversation(previous, caller.tenant, _since(config, now))
    if not turns or any(not _may_see(caller, turn) for turn in turns):
        raise _absent(previous, param="previous_response_id")
    if turns[0].previous is not None:
        raise _absent(turns[0].previous, param="previous_response_id")
    limit = int(config.server.max_body_mb * 1_000_000)
    if len(body) + sum(len(turn.input) + len(turn.body) for turn in turns) > limit:
        raise ApiError(
            "request_too_large",
            f"the conversation has grown over {limit} bytes",
            hint="begin a new one with what matters of it",
            param="previous_response_id",
        )
    fields = _decode(body)
    fields["input"] = [*_items(turns), *_listed(fields.get("input"))]
    return Earlier(
        body=_encode(fields),
        data_class=max((turn.data_class for turn in turns), key=RANK.__getitem__),
        residency=tuple(dict.fromkeys(place for turn in turns for place in turn.residency)),
    )


def _items(turns: tuple[StoredResponse, ...]) -> list[Any]:
    """Everything that was said, by both sides, in order."""
    found: list[Any] = []
    for turn in turns:
        found += _decode(turn.input)
        found += msgspec.json.decode(turn.body, type=_Output).output
    return found


def _listed(given: Any) -> list[Any]:
    """An `input` as the list of items that it stands for; what is wrong with one, its reader says."""
    if type(given) is str:
        return [{"type": "message", "role": "user", "content": given}]
    return given if type(given) is list else [given]


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
    settled = Keeping(id=f"resp_{name}", store=may and asked, previous=keeping.previous)
    return msgspec.structs.replace(case, request=msgspec.structs.replace(case.request, keeping=settled))


def is_kept(case: Case) -> bool:
    """Whether the answer to a request is kept. `named` has settled it."""
    return case.request.keeping is not None and bool(case.request.keeping.store)


async def keep(gateway: Gateway, case: Case, body: bytes) -> None:
    """Keep an answer, before its end is sent. `body` is the response. Raises ApiError: overloaded."""
    keeping, decision = case.request.keeping, case.decision
    assert keeping is not None, "only what has a name is kept"
    added = await apart(_added, case.body) if len(case.body) > LARGE else _added(case.body)
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
        await gateway.store.put_response(row)
    except StoreError as error:
        raise gateway.store_failed(error) from None


def _added(body: bytes) -> bytes:
    """The items that a body adds to its conversation, as JSON."""
    return _encode(_listed(msgspec.json.decode(body, type=_Input).input))


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
    since = _since(exchange.state.config, now_us())
    turns = gateway.store.conversation(row.id, row.tenant, since)
    items = [*_items(turns[:-1]), *_decode(row.input)]
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
    row = gateway.store.get_response(response_id, caller.tenant, _since(exchange.state.config, now_us()))
    if row is None or not _may_see(caller, row):
        raise _absent(response_id)
    return row


def _may_see(caller: Caller, row: StoredResponse) -> bool:
    """Whether a key may have data of a response's class at all."""
    return caller.max_data_class is None or RANK[row.data_class] <= RANK[caller.max_data_class]


def _since(config: Config, now: int) -> int:
    return now - config.telemetry.retention_days * DAY_US


def _absent(response_id: str, *, param: str | None = None) -> ApiError:
    shown = response_id if len(response_id) <= 64 else response_id[:64] + "…"
    return ApiError(
        "not_found",
        f"there is no kept response `{shown}`",
        hint="it was not kept, was deleted or is too old; send the whole conversation in `input`",
        param=param,
    )
