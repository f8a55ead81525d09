"""The ASGI application: finds the route, checks who calls, hands over, and answers what went wrong.

Routes are matched exactly and whole, segment by segment; nothing is served by prefix or suffix, and
who may call a route is part of the route itself.
"""

import time
from asyncio import get_running_loop

from interlock.errors import ApiError, StoreError
from interlock.server.asgi import Disconnected, Receive, Scope, Send
from interlock.server.auth import authenticate, may, read_headers
from interlock.server.exchange import Exchange
from interlock.server.gateway import Gateway
from interlock.server.ids import fresh_name
from interlock.server.protocol import abort
from interlock.server.routes import Route, find_route


class Application:
    """The ASGI callable of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(f"no {scope['type']} is served here")
        gateway = self.gateway
        exchange = Exchange(scope, receive, send, gateway.state, fresh_name(), get_running_loop().time())
        try:
            await self._serve(exchange)
        except ApiError as error:
            await exchange.fail(error)
        except StoreError as error:
            await exchange.fail(gateway.store_failed(error))
        except Disconnected:
            exchange.status, exchange.facts["error"] = 499, "client_closed"
        except Exception as error:  # noqa: BLE001 - whatever it was, the caller is told so and no more
            told = gateway.fault(f"req_{exchange.name}", error)
            if exchange.status:
                abort(send)  # in the middle of an answer there is nothing left that could be said
            else:
                await exchange.fail(told)
        gateway.log_request(exchange)

    async def _serve(self, exchange: Exchange) -> None:
        found = find_route(exchange.path, exchange.method)
        exchange.headers = read_headers(exchange.scope["headers"])
        if "anthropic-version" in exchange.headers:
            exchange.dialect = "anthropic-messages"
        if isinstance(found, Route) and found.role is None:
            exchange.route = found.name
            await found.handle(self.gateway, exchange)
            return
        exchange.caller = authenticate(exchange.headers, exchange.state.keys, time.time())
        if isinstance(found, ApiError):
            raise found
        exchange.route, exchange.params = found.name, found.params(exchange.path)
        if found.role is None or not may(exchange.caller, found.role):
            raise ApiError("policy_denied", f"this needs the role `{found.role}`", hint="ask an operator")
        await found.handle(self.gateway, exchange)
