"""What control calls share: reading their bodies, and saying who called."""

from typing import TypeVar

import msgspec

from interlock.errors import ApiError
from interlock.server.exchange import Exchange
from interlock.wire.json import check_body

T = TypeVar("T")


def read_json(body: bytes, kind: type[T]) -> T:
    """A control call's body. Raises ApiError: invalid_request."""
    check_body(body)
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise ApiError("invalid_request", str(error)) from None


def actor(exchange: Exchange) -> str:
    """Who acts, for the control log: the key's id, or that there are no keys."""
    caller = exchange.caller
    return f"key:{caller.tenant}/{caller.key}" if caller.key is not None else "local"
