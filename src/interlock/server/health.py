"""Whether the process runs, and whether it should be sent requests. The only paths without a key."""

from interlock.server.exchange import Exchange
from interlock.server.gateway import Gateway


async def alive(gateway: Gateway, exchange: Exchange) -> None:  # noqa: ARG001 - answering is the check
    exchange.answer(b'{"status":"ok"}')


async def ready(gateway: Gateway, exchange: Exchange) -> None:
    if gateway.draining:
        exchange.answer(b'{"status":"draining"}', 503)
    else:
        exchange.answer(b'{"status":"ready"}')
