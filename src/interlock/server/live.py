"""Live figures over HTTP: what each route did within a window that ends now, over all workers. For operators.

They are computed from the records when they are asked for: exact, the same whichever worker is asked, with
the feedback that came late; and nothing is added to the way of a request.
"""

import asyncio
import re
from typing import Final

from msgspec import Struct

from interlock.errors import ApiError
from interlock.live.figures import Figures, Tally
from interlock.server.exchange import Exchange
from interlock.server.gateway import Gateway
from interlock.server.ids import Clock
from interlock.server.records import to_record
from interlock.store.records import BadCursor
from interlock.store.sqlite import Store
from interlock.wiring import now_us

MOST_RECORDS: Final = 50_000
"""So many of the newest records are read at most: about two seconds of one core, beside the loop."""
PAGE: Final = 50
"""Read at a time: between pages the loop has its turn, which decoding would keep from it for milliseconds."""
_DEFAULT: Final = "15m"
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LENGTH: Final = re.compile(r"([1-9][0-9]{0,5})([smhd])", re.ASCII)
_FILTERS: Final = ("window", "alias", "model")


class Window(Struct, frozen=True, kw_only=True):
    """What figures cover. Not `complete`: it has more records than are read, which begin at `since`."""

    since: str
    until: str
    complete: bool


async def show_routes(gateway: Gateway, exchange: Exchange) -> None:
    """Figures by route and alias version over `?window=15m`, of one `alias` or decided `model` if asked."""
    query = exchange.query
    for name in query:
        if name not in _FILTERS:
            hint = f"one of {', '.join(_FILTERS)}"
            raise ApiError("invalid_request", f"there is no filter `{name}`", hint=hint, param=name)
    length_us = _length_s(query.get("window", _DEFAULT)) * 1_000_000
    alias, model = query.get("alias"), query.get("model")
    found, window = await asyncio.to_thread(figures_of, gateway.store, now_us(), length_us, alias, model)
    exchange.answer_json({"data": found, "next": None, "window": window})


def figures_of(
    store: Store,
    until: int,
    length_us: int,
    alias: str | None = None,
    model: str | None = None,
    *,
    most: int = MOST_RECORDS,
) -> tuple[tuple[Figures, ...], Window]:
    """The figures of a window that ends at `until`, in microseconds. Blocks. Raises StoreError."""
    tally, since, left = Tally(), until - length_us, most
    cursor: str | None = None
    while left > 0:
        try:
            rows, cursor = store.list_records(
                since=since, alias=alias, model=model, limit=min(left, PAGE), cursor=cursor
            )
        except BadCursor:  # what is older has just expired
            cursor = None
            break
        for row in rows:
            tally.add(to_record(row))
        left -= len(rows)
        if cursor is None:
            break
    if cursor is not None:
        since = rows[-1].created_at
    clock = Clock()
    window = Window(since=clock.at(since * 1000), until=clock.at(until * 1000), complete=cursor is None)
    return tally.figures(), window


def _length_s(text: str) -> int:
    found = _LENGTH.fullmatch(text)
    if found is None:
        raise ApiError(
            "invalid_request", "`window` must be a length of time like 15m, 24h or 7d", param="window"
        )
    return int(found[1]) * _UNITS_S[found[2]]
