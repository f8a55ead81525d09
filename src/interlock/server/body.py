"""Reads a request's body within a size and a time, before anybody looks inside it."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from interlock.errors import ApiError
from interlock.server.asgi import Disconnected, Receive
from interlock.server.protocol import has_arrived

IDLE_S: Final = 30.0
"""How long a caller may pause while it sends its body."""
LINGER_S: Final = 1.0


async def read_body(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
    """The whole body, at most `limit` bytes.

    Raises ApiError: unsupported_media_type, request_too_large, request_timeout; Disconnected if
    the caller leaves first.
    """
    _check_type(headers)
    declared = headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and len(declared) < 20 and int(declared) > limit:
        raise _too_large(limit)
    message = await (receive() if has_arrived(receive) else _next(receive))
    if message["type"] == "http.disconnect":
        raise Disconnected
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        if len(body) > limit:
            raise _too_large(limit)
        return body
    pieces, size = [body], len(body)
    while message.get("more_body", False):
        if size > limit:
            raise _too_large(limit)
        message = await _next(receive)
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
    if size > limit:
        raise _too_large(limit)
    return b"".join(pieces)


async def discard_body(receive: Receive) -> None:
    """Take in what a caller still sends of a body that was refused, for at most LINGER_S."""
    try:
        async with asyncio.timeout(LINGER_S):
            while (await receive()).get("more_body", False):
                pass
    except TimeoutError:
        return


def _check_type(headers: Mapping[str, str]) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in ("", "application/json"):
        raise ApiError(
            "unsupported_media_type", "the body must be `application/json`", hint="set `content-type`"
        )
    if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
        raise ApiError(
            "unsupported_media_type", "compressed bodies are not accepted", hint="send it as it is"
        )


async def _next(receive: Receive) -> dict[str, Any]:
    try:
        async with asyncio.timeout(IDLE_S):
            message = await receive()
    except TimeoutError:
        raise ApiError("request_timeout", f"no more of the body came for {IDLE_S:.0f} seconds") from None
    if message["type"] == "http.disconnect":
        raise Disconnected
    return message


def _too_large(limit: int) -> ApiError:
    return ApiError(
        "request_too_large",
        f"the body is larger than {limit} bytes",
        hint="the limit is `server.max_body_mb`",
    )
