"""The application: finds the route, checks who calls, hands over, and answers what went wrong.

Routes are matched exactly and whole, segment by segment; nothing is served by prefix or suffix, and
who may call a route is part of the route itself. All of that is settled before a body is read, or was for the
same head on the same connection: then only what may have changed since is asked again.
"""

import time
from asyncio import get_running_loop
from typing import Final

import httptools
from msgspec import Struct

from interlock.errors import ApiError, StoreError, let_go
from interlock.resilience.load import RETRY_S
from interlock.server.auth import KeyTable, authenticate, may, refuse_doubled, valid_until
from interlock.server.exchange import Asked, Exchange, asked_of
from interlock.server.gateway import Gateway
from interlock.server.http1 import Call
from interlock.server.http1.connection import SMALL_BODY
from interlock.server.ids import fresh_name
from interlock.server.routes import Handle, Route, find_route
from interlock.types.signals import Caller

_LARGE: Final = 100_000
"""From so many bytes on a body is large."""
_LARGE_DIGITS: Final = 6
"""So many digits its length has."""
_MOST_DIGITS: Final = 16
_SETTLED: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "anthropic-version",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "host",
        "user-agent",
        "x-api-key",
    }
)
"""Headers that nobody looks at once a call is admitted."""


class Admission(Struct, frozen=True, kw_only=True):
    """What was found of a head, under `keys`. Its key is valid until `until_s` (of the epoch), or for ever.

    `headers` are those that the work on a request may ask for.
    """

    keys: KeyTable
    until_s: float | None
    headers: dict[str, str]
    caller: Caller
    asked: Asked
    route: str
    handle: Handle
    params: tuple[str, ...]


class Application:
    """Serves the calls of one gateway, on the loop that it is made on. Implements `http1.App`."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self._now = get_running_loop().time

    def admit(self, call: Call) -> None:
        """Settle who calls what. Raises ApiError."""
        exchange = self._exchange(call)
        call.limit = SMALL_BODY
        path = exchange.asked.path
        found = find_route(path, call.method)
        if call.doubled:
            refuse_doubled(call.doubled)
        if not (isinstance(found, Route) and found.role is None):
            exchange.caller = authenticate(call.headers, exchange.state.keys, time.time())
        if isinstance(found, ApiError):
            raise found
        exchange.route, exchange.handle, exchange.params = found.name, found.handle, found.params(path)
        if found.role is not None and not may(exchange.caller, found.role):
            raise ApiError("policy_denied", f"this needs the role `{found.role}`", hint="ask an operator")
        if call.method == "POST":  # no other route takes a body
            call.limit = exchange.state.max_body
            _check_type(call.headers)
            length = call.headers.get("content-length", "")
            if len(length) >= _LARGE_DIGITS:
                self._hold(exchange, int(length) if len(length) < _MOST_DIGITS else call.limit)
            elif "transfer-encoding" in call.headers:
                call.room = _LARGE - 1

    def again(self, call: Call) -> Admission | None:
        """What of an admission holds for the same head as long as the table of keys does."""
        exchange: Exchange = call.held
        handle, keys = exchange.handle, exchange.state.keys
        if handle is None or call.method != "POST":
            return None
        headers = {name: text for name, text in call.headers.items() if name not in _SETTLED}
        return Admission(
            keys=keys,
            until_s=valid_until(call.headers, keys),
            headers=headers,
            caller=exchange.caller,
            asked=exchange.asked,
            route=exchange.route,
            handle=handle,
            params=exchange.params,
        )

    def admit_again(self, call: Call, again: Admission) -> bool:
        """Admit a head as before. False where keys have changed, its own has ended, or its body is large."""
        gateway, size = self.gateway, len(call.body)
        state, until_s = gateway.state, again.until_s
        if (
            again.keys is not state.keys
            or (until_s is not None and time.time() >= until_s)
            or size >= _LARGE
            or size > state.max_body
        ):
            return False
        exchange = Exchange(call, state, fresh_name(), self._now(), again.asked)
        exchange.caller, exchange.route = again.caller, again.route
        exchange.handle, exchange.params = again.handle, again.params
        call.held, call.limit, call.headers = exchange, state.max_body, again.headers
        return True

    def grow(self, call: Call, size: int) -> None:
        """Make room for a body that does not say its length, as it comes. Raises ApiError."""
        call.room = size + size // 4
        self._hold(call.held, call.room)

    async def serve(self, call: Call) -> None:
        """Answer a call that was admitted and whose body is here."""
        exchange: Exchange = call.held
        gateway = self.gateway
        assert exchange.handle is not None, "only an admitted call is served"
        if exchange.weight:
            self._weigh(exchange, len(call.body))
        try:
            await exchange.handle(gateway, exchange)
        except ApiError as error:
            let_go(error)
            self._fail(exchange, error)
        except StoreError as error:
            self._fail(exchange, gateway.store_failed(error))
        except MemoryError:
            gateway.say("out_of_memory", during=f"req_{exchange.name}")
            self._fail(exchange, _overloaded("there is no memory left for this request"))
        except Exception as error:  # noqa: BLE001 - whatever it was, the caller is told so and no more
            self._fail(exchange, gateway.fault(f"req_{exchange.name}", error))
        if exchange.status == 0:  # nobody was there any more to be answered
            exchange.status = 499
        gateway.log_request(exchange)
        if exchange.weight:
            self._weigh(exchange, 0)
        call.forget()

    def refuse(self, call: Call, error: ApiError) -> None:
        """Answer a call that was not admitted, or whose body is not fit to be read."""
        exchange = call.held or self._exchange(call)
        self._fail(exchange, error)
        self.gateway.log_request(exchange)
        if exchange.weight:
            self._weigh(exchange, 0)
        call.forget()

    def lost(self, call: Call) -> None:
        """Note a caller that left before its request was whole, or before it could be refused."""
        exchange = call.held or self._exchange(call)
        exchange.status, exchange.error = 499, "client_closed"
        self.gateway.log_request(exchange)
        if exchange.weight:
            self._weigh(exchange, 0)
        call.forget()

    def _hold(self, exchange: Exchange, size: int) -> None:
        """Make room for a large body, before it is read: memory has an end. Raises ApiError."""
        state = exchange.state
        weight = min(size, state.max_body)
        others = self.gateway.load.held - exchange.weight
        if others and others + weight > state.max_bodies:
            raise _overloaded("there are too many large requests at once")
        self._weigh(exchange, weight)

    def _weigh(self, exchange: Exchange, size: int) -> None:
        """Let a body count as so many bytes; none, where it is small."""
        weight = size if size >= _LARGE else 0
        self.gateway.load.held += weight - exchange.weight
        exchange.weight = weight

    def _exchange(self, call: Call) -> Exchange:
        if not call.target.startswith(b"/"):
            call.target = _origin_form(call.target)
        exchange = Exchange(call, self.gateway.state, fresh_name(), self._now(), asked_of(call))
        call.held = exchange
        return exchange

    def _fail(self, exchange: Exchange, error: ApiError) -> None:
        if exchange.call.begun:
            exchange.call.abort()  # in the middle of an answer there is nothing left that could be said
        else:
            exchange.fail(error)


def _overloaded(problem: str) -> ApiError:
    return ApiError(
        "overloaded",
        problem,
        hint="the limit is `server.max_bodies_mb`",
        retry_after_s=RETRY_S["interactive"],
    )


def _origin_form(target: bytes) -> bytes:
    """The path and query of an absolute target, as clients of a proxy send them."""
    try:
        found = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        return target
    return found.path + (b"?" + found.query if found.query else b"") if found.path else target


def _check_type(headers: dict[str, str]) -> None:
    kind = headers.get("content-type", "application/json")
    if kind != "application/json" and kind.partition(";")[0].strip().lower() not in ("", "application/json"):
        raise ApiError(
            "unsupported_media_type", "the body must be `application/json`", hint="set `content-type`"
        )
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise ApiError(
            "unsupported_media_type", "compressed bodies are not accepted", hint="send it as it is"
        )
