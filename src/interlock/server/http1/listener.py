"""Accepts connections, looks after those that wait too long, and ends all of them in order."""

import asyncio
import socket
import sys
from contextlib import suppress
from typing import Final

from interlock.server.http1.call import App
from interlock.server.http1.connection import Connection
from interlock.transport.outbox import Outbox

LOOK_S: Final = 0.25
LAST_WORDS_S: Final = 2.0
"""What is cut off by a stop still gets this long to say so and to be recorded."""
MOST_UNSENT: Final = 128 * 1024
"""What the system may hold for a caller that does not read. Left to itself it takes megabytes of each."""
_TCP_NOTSENT_LOWAT: Final = {"linux": 25, "darwin": 0x201}.get(sys.platform)
"""The option for that. Python 3.11 has no name for it."""


class Listener:
    """The server of one listening socket, on the running loop."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._looking: asyncio.TimerHandle | None = None

    async def start(self, listener: socket.socket) -> None:
        """Accept from a socket that is bound."""
        loop = asyncio.get_running_loop()
        outbox = Outbox(loop)
        with suppress(OSError):  # a socket of another family
            # An event must never wait for the acknowledgement of the one before it. This, too, is inherited.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if _TCP_NOTSENT_LOWAT is not None:
            with suppress(OSError):  # as above, or a system that does not know it
                listener.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, MOST_UNSENT)
        self._server = await loop.create_server(
            lambda: Connection(loop, self._app, self._connections, outbox), sock=listener, backlog=2048
        )
        self._look()

    async def stop(self, within_s: float) -> None:
        """Accept nothing more, let what is under way end within a time, cut off the rest."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.drain()
        if not await self._empty(within_s):
            for connection in list(self._connections):
                if connection.active is not None:
                    connection.active.interrupt()
            await self._empty(LAST_WORDS_S)
        for connection in list(self._connections):
            connection.abort()
        if self._looking is not None:
            self._looking.cancel()

    async def _empty(self, within_s: float) -> bool:
        loop = asyncio.get_running_loop()
        until = loop.time() + within_s
        while self._connections and loop.time() < until:  # noqa: ASYNC110 - once, at the very end
            await asyncio.sleep(0.01)
        return not self._connections

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self._connections):
            connection.look(now)
        self._looking = loop.call_later(LOOK_S, self._look)
