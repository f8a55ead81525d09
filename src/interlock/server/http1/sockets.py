"""When what is written to a caller's socket leaves."""

import asyncio
import socket
from typing import Any, Final

_HOLD: Final[int | None] = getattr(socket, "TCP_CORK", None)
"""Linux keeps a segment that is not full until more comes, or the end."""


def with_the_end(transport: asyncio.Transport) -> None:
    """What is written from now on leaves together with the end of the connection, which has to follow.

    A caller that read the last bytes first would take the connection for one that it can ask again on.
    """
    raw: Any = transport.get_extra_info("socket")
    if _HOLD is not None and raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
        raw.setsockopt(socket.IPPROTO_TCP, _HOLD, 1)
