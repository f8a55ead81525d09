"""What a request goes on from: the kept answer before it, and kept answers whose items it names.

Both bring what was said earlier into the body, before it is read. It is classified anew there, is at least
as sensitive as each answer that anything comes from, and stays within the places of each.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.config.checked import Config
from interlock.dialects.openai_responses.items import REFERENCE, kind_of, response_of
from interlock.errors import ApiError
from interlock.store.responses import MOST_TURNS, StoredResponse
from interlock.store.sqlite import DAY_US, Store
from interlock.types.labels import DATA_CLASSES, RANK, DataClass
from interlock.types.request import Keeping, Request
from interlock.types.signals import Caller

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode
_SEND_ITEMS: Final = "send the items themselves, as SDKs do that are told `store: false`"


class Earlier(Struct, frozen=True, kw_only=True):
    """What a request goes on from. `body` is the request's, with all items of the conversation in it.

    `given` is the request's with the items that it names in their places, and nothing else.
    """

    body: bytes
    given: bytes
    data_class: DataClass
    residency: tuple[str, ...]


class _Output(Struct):
    output: list[dict[str, Any]]


class _RawOutput(Struct):
    output: list[msgspec.Raw]


class _Label(Struct):
    id: Any = None
    type: Any = None


class _Source(Struct, frozen=True):
    """A kept answer whose items are named: them by their ids, None where it has several of one id."""

    data_class: DataClass
    residency: tuple[str, ...]
    items: dict[str, msgspec.Raw | None]


def recall(store: Store, caller: Caller, config: Config, body: bytes, keeping: Keeping, now: int) -> Earlier:
    """The conversation that a request goes on from. Raises ApiError: not_found, request_too_large, and
    invalid_request for an item that would stand in it twice.
    """
    since, limit = since_of(config, now), int(config.server.max_body_mb * 1_000_000)
    turns = () if keeping.previous is None else _turns(store, caller, keeping.previous, since)
    size = len(body) + sum(len(turn.input) + len(turn.body) for turn in turns)
    if size > limit:
        raise _too_large(f"over {limit} bytes", "previous_response_id")
    said, fields, given = items_of(turns), _decode(body), body
    fields["input"] = listed(fields.get("input"))
    origins: list[StoredResponse | _Source] = [*turns]
    if keeping.refers:
        named = _Named(store, caller, config, since, limit - size)
        fields["input"] = named.put_in(fields["input"], said)
        given = _encode(fields)
        origins += named.sources.values()
    if turns:
        fields["input"] = [*said, *fields["input"]]
    return Earlier(
        body=_encode(fields) if turns else given,
        given=given,
        data_class=max((one.data_class for one in origins), key=RANK.__getitem__),
        residency=tuple(dict.fromkeys(place for one in origins for place in one.residency)),
    )


def going_on(request: Request, earlier: Earlier, keeping: Keeping) -> Request:
    """The request of an earlier's body, to be kept to all places that its conversation must stay within.

    `keeping` is that of the request as it came. Raises ApiError where an answer that it goes on from leads
    elsewhere itself.
    """
    if request.keeping is not None and request.keeping.refers:
        raise ApiError(
            "invalid_request",
            "an earlier answer names an item that only its vendor has",
            hint="send the items of the conversation themselves",
            param="input",
        )
    places = tuple(dict.fromkeys((*request.hints.residencies, *earlier.residency)))
    hints = msgspec.structs.replace(request.hints, residencies=places) if places else request.hints
    return msgspec.structs.replace(request, hints=hints, keeping=keeping)


def _turns(store: Store, caller: Caller, previous: str, since: int) -> tuple[StoredResponse, ...]:
    turns = store.conversation(previous, caller.tenant, since)
    if not turns or any(not may_see(caller, turn) for turn in turns):
        raise absent(previous, param="previous_response_id")
    if turns[0].previous is not None:
        raise absent(turns[0].previous, param="previous_response_id")
    return turns


class _Named:
    """Mutable: the kept answers whose items a request names, each read once, and the room for their items.

    `room` is in bytes.
    """

    def __init__(self, store: Store, caller: Caller, config: Config, since: int, room: int) -> None:
        self.sources: dict[str, _Source] = {}
        self._store = store
        self._caller = caller
        self._config = config
        self._since = since
        self._room = room

    def put_in(self, given: list[Any], said: list[Any]) -> list[Any]:
        """The items of an `input`, each name replaced by what it names. `said` is what stands before them."""
        names = [item["id"] if _refers(item) else None for item in given]
        known = {item.get("id") for item in (*said, *given) if _is_whole(item)}
        found = []
        for place, (name, item) in enumerate(zip(names, given, strict=True)):
            if name is None:
                found.append(item)
                continue
            param = f"input[{place}].id"
            if name in known:
                raise ApiError(
                    "invalid_request",
                    f"Duplicate item found with id '{_short(name)}'.",
                    hint="an item stands in a conversation once: leave it out here",
                    param=param,
                )
            known.add(name)
            found.append(self._item(name, param))
        return found

    def _item(self, name: str, param: str) -> msgspec.Raw:
        own = response_of(name)
        source = None if own is None else self._source(own, param)
        if source is None or name not in source.items:  # a vendor's name, of whatever form
            most = self._caller.max_data_class or DATA_CLASSES[-1]
            ids = self._store.holders(name, self._caller.tenant, most, self._since)
            if len(ids) > 1:
                raise _unclear(name, param)
            source = self._source(ids[0], param) if ids else None
        if source is None or name not in source.items:
            raise self._no_item(name, param)
        item = source.items[name]
        if item is None:
            raise _unclear(name, param)
        return item

    def _source(self, response_id: str, param: str) -> _Source | None:
        """The answer of an id, where this caller may have it. Raises ApiError: request_too_large."""
        source = self.sources.get(response_id)
        if source is not None:
            return source
        row = self._store.get_response(response_id, self._caller.tenant, self._since)
        if row is None or not may_see(self._caller, row):
            return None
        items: dict[str, msgspec.Raw | None] = {}
        for raw in msgspec.json.decode(row.body, type=_RawOutput).output:
            label = msgspec.json.decode(raw, type=_Label)
            if type(label.id) is str and label.type != REFERENCE:
                items[label.id] = raw.copy() if label.id not in items else None
                self._room -= len(raw)
        if self._room < 0:
            raise _too_large(f"over {int(self._config.server.max_body_mb * 1_000_000)} bytes", param)
        if len(self.sources) == MOST_TURNS:
            raise _too_large(f"to items of over {MOST_TURNS} answers", param)
        source = self.sources[response_id] = _Source(row.data_class, row.residency, items)
        return source

    def _no_item(self, name: str, param: str) -> ApiError:
        kept = self._config.store.responses != "never"
        why = "its answer was not kept, was deleted or is too old" if kept else "no answers are kept here"
        return ApiError(
            "not_found",
            f"Item with id '{_short(name)}' not found.",
            hint=f"{why}: {_SEND_ITEMS}",
            param=param,
        )


def _refers(item: Any) -> bool:
    return type(item) is dict and bool(kind_of(item) == REFERENCE)


def _is_whole(item: Any) -> bool:
    """Whether an item is there itself, with a name that could be another's too."""
    return type(item) is dict and type(item.get("id")) is str and not _refers(item)


def items_of(turns: tuple[StoredResponse, ...]) -> list[Any]:
    """Everything that was said, by both sides, in order."""
    found: list[Any] = []
    for turn in turns:
        found += _decode(turn.input)
        found += msgspec.json.decode(turn.body, type=_Output).output
    return found


def listed(given: Any) -> list[Any]:
    """An `input` as the list of items that it stands for; what is wrong with one, its reader says."""
    if type(given) is str:
        return [{"type": "message", "role": "user", "content": given}]
    return given if type(given) is list else [given]


def may_see(caller: Caller, row: StoredResponse) -> bool:
    """Whether a key may have data of a response's class at all."""
    return caller.max_data_class is None or RANK[row.data_class] <= RANK[caller.max_data_class]


def since_of(config: Config, now: int) -> int:
    """From when on kept answers are not too old, in microseconds since the epoch as `now` is."""
    return now - config.telemetry.retention_days * DAY_US


def absent(response_id: str, *, param: str | None = None) -> ApiError:
    """What is said of a response that is not there, or not for this caller."""
    return ApiError(
        "not_found",
        f"there is no kept response `{_short(response_id)}`",
        hint="it was not kept, was deleted or is too old; send the whole conversation in `input`",
        param=param,
    )


def _too_large(grown: str, param: str) -> ApiError:
    return ApiError(
        "request_too_large",
        f"the conversation has grown {grown}",
        hint="begin a new one with what matters of it",
        param=param,
    )


def _unclear(name: str, param: str) -> ApiError:
    return ApiError(
        "invalid_request",
        f"several items were kept with the id '{_short(name)}'",
        hint=f"their vendor names them alike: {_SEND_ITEMS}",
        param=param,
    )


def _short(name: str) -> str:
    return name if len(name) <= 64 else name[:64] + "…"
