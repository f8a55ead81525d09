"""Decisions over HTTP: made without being carried out, listed, shown, and judged by their callers."""

from contextlib import suppress
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from interlock.dialects import CHAT, ENDPOINTS, MESSAGES
from interlock.errors import ApiError, StoreError
from interlock.route.decide import encode_decision
from interlock.server.auth import may
from interlock.server.control import actor, read_json
from interlock.server.exchange import Exchange
from interlock.server.gateway import Gateway
from interlock.server.judge import judge
from interlock.server.metrics import note_override
from interlock.server.records import microseconds, to_json
from interlock.store.records import BadCursor, StoredRecord
from interlock.types.record import Status
from interlock.wiring import now_us

MOST_ROWS: Final = 200
_FILTERS: Final = ("status", "alias", "model", "since", "tenant", "key", "limit", "cursor")


class Outcome(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Feedback on one decision."""

    success: bool | None = None
    score: Annotated[float, Meta(ge=0, le=1)] | None = None
    override: Literal["edit", "reask", "escalate"] | None = None
    labels: dict[str, str | float | bool] = {}


_NOTHING_SAID: Final = Outcome()


async def dry_run(gateway: Gateway, exchange: Exchange) -> None:
    """Decide on the body of an inference call; nobody is called, and the decision is the answer."""
    default = MESSAGES.path if exchange.dialect == "anthropic-messages" else CHAT.path
    path = exchange.query.get("endpoint", default)
    endpoint = ENDPOINTS.get(path)
    if endpoint is None:
        raise ApiError(
            "invalid_request",
            f"`{path}` is no inference endpoint",
            hint=f"one of {', '.join(ENDPOINTS)}",
            param="endpoint",
        )
    exchange.dialect = endpoint.dialect
    case = await judge(gateway, exchange, exchange.body, endpoint, remember=False)
    await gateway.record(exchange, case, "dry_run")
    exchange.answer(encode_decision(case.decision))


async def list_records(gateway: Gateway, exchange: Exchange) -> None:
    """Records, newest first. A user sees its own key's, whatever it filters by."""
    query = exchange.query
    unknown = [name for name in query if name not in _FILTERS]
    if unknown:
        raise ApiError(
            "invalid_request",
            f"there is no filter `{unknown[0]}`",
            hint=f"one of {', '.join(_FILTERS)}",
            param=unknown[0],
        )
    tenant, key = query.get("tenant"), query.get("key")
    if not may(exchange.caller, "operator"):
        tenant, key = exchange.caller.tenant, exchange.caller.key
    with suppress(StoreError):  # what is in the file can be listed, whatever else there is
        await gateway.store.writer.caught_up()
    try:
        rows, following = gateway.store.list_records(
            tenant=tenant,
            key=key,
            status=_status(query),
            alias=query.get("alias"),
            model=query.get("model"),
            since=_since(query),
            limit=_limit(query),
            cursor=query.get("cursor"),
        )
    except BadCursor:
        raise ApiError("invalid_request", "there is no such place in the list", param="cursor") from None
    await _note_reading(gateway, exchange, rows)
    data = b",".join(to_json(row) for row in rows)
    exchange.answer(b'{"data":[%b],"next":%b}' % (data, msgspec.json.encode(following)))


async def show_record(gateway: Gateway, exchange: Exchange) -> None:
    row = await _own_record(gateway, exchange)
    await _note_reading(gateway, exchange, (row,))
    exchange.answer(to_json(row))


async def put_outcome(gateway: Gateway, exchange: Exchange) -> None:
    """Keep a caller's feedback on its decision; the latest stands."""
    outcome = read_json(exchange.body, Outcome)
    if outcome == _NOTHING_SAID:
        hint = "send `success`, `score`, `override` or `labels`"
        raise ApiError("invalid_request", "the outcome says nothing", hint=hint)
    row = await _own_record(gateway, exchange)
    kept = msgspec.json.encode(outcome)
    if not await gateway.store.put_outcome(row.id, row.tenant, kept):
        raise _absent()
    await note_override(gateway, row, outcome.override)
    exchange.answer_json({"id": row.id, "outcome": msgspec.Raw(kept)})


async def _own_record(gateway: Gateway, exchange: Exchange) -> StoredRecord:
    """The record that the path names, if the caller may see it; another's is as if absent.

    Raises StoreError where it is not known: it may be among those that could not be written yet.
    """
    store = gateway.store
    row = store.get_record(exchange.params[0])
    if row is None:
        await store.writer.caught_up()
        row = store.get_record(exchange.params[0])
    caller = exchange.caller
    if row is None or not (
        may(caller, "operator") or (row.tenant == caller.tenant and row.key == caller.key)
    ):
        raise _absent()
    return row


def _absent() -> ApiError:
    return ApiError("not_found", "there is no such decision")


async def _note_reading(gateway: Gateway, exchange: Exchange, rows: tuple[StoredRecord, ...]) -> None:
    """Reading a strictly logged record is itself recorded, before anything of it is shown."""
    strict = [row.id for row in rows if _logging(row) == "strict"]
    if strict:
        await gateway.store.log_control(
            now=now_us(), actor=actor(exchange), action="record.read", body={"records": strict}
        )


class _Policy(Struct):
    logging: str


class _Logged(Struct):
    policy: _Policy


def _logging(row: StoredRecord) -> str:
    return msgspec.json.decode(row.decision, type=_Logged).policy.logging


def _status(query: dict[str, str]) -> Status | None:
    text = query.get("status")
    if text is None:
        return None
    try:
        status: Status = msgspec.convert(text, Status)
    except msgspec.ValidationError:
        raise _bad("status", "ok, failed, denied, cancelled or dry_run") from None
    return status


def _since(query: dict[str, str]) -> int | None:
    text = query.get("since")
    if text is None:
        return None
    try:
        return microseconds(text)
    except ValueError:
        raise _bad("since", "an instant like 2026-11-24T09:00:00Z") from None


def _limit(query: dict[str, str]) -> int:
    text = query.get("limit", "50")
    if not text.isascii() or not text.isdigit() or len(text) > 4 or not 1 <= int(text) <= MOST_ROWS:
        raise _bad("limit", f"a number from 1 to {MOST_ROWS}")
    return int(text)


def _bad(name: str, expected: str) -> ApiError:
    return ApiError("invalid_request", f"`{name}` must be {expected}", param=name)
