"""The few ASGI shapes we use, and the one thing that can happen to any of them: the caller leaves."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Disconnected(Exception):  # noqa: N818 - an event, not an error
    """The caller closed the connection before its request was read."""
