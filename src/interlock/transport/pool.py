"""Idle connections, per origin, the last used first; and a list of all open ones for `close`.

Last in, first out keeps a few connections busy and lets the others grow old. There is no cap on
connections in use: how many calls run at once is decided before a call gets here.
"""

import asyncio
from math import inf
from typing import Final

from interlock.transport.connection import Connection
from interlock.transport.request import Origin

LOOK_S: Final = 1.0
"""How often it looks who is waited for until then, while anybody is."""


class Pool:
    """`max_idle` is per origin; `idle_s` is how long a connection is worth keeping unused.

    `busy` and `looks_at` are for the connections: how many serve a request, and when it looks at them.
    """

    def __init__(self, *, max_idle: int, idle_s: float) -> None:
        self.closed = False
        self.busy = 0
        self.looks_at = inf
        self._max_idle = max_idle
        self._idle_s = idle_s
        self._idle: dict[Origin, list[Connection]] = {}
        self._open: set[Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Event | None = None

    def take(self, origin: Origin) -> Connection | None:
        """A connection that is idle and, as far as can be known without asking it, alive."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.transport.is_closing():
                continue
            now = connection.loop.time()
            if connection.expires > now:
                connection.reused_at = now
                if self._looking is None:
                    self._plan_look(connection.loop)
                return connection
            connection.drop()
        return None

    def opened(self, connection: Connection) -> None:
        """Note a connection that is up. Not earlier: uvloop does not report the end of one that was given
        up while it was being opened.
        """
        self._open.add(connection)
        if self._looking is None:
            self._plan_look(connection.loop)

    def finished(self, connection: Connection, headers: dict[str, str]) -> None:
        """Keep a connection whose answer is complete."""
        keep_s = self._idle_s
        if "keep-alive" in headers:
            keep_s = min(keep_s, _promised_s(headers["keep-alive"]))
        idle = self._idle.get(connection.origin)
        if idle is None:
            idle = self._idle[connection.origin] = []
        if self.closed or keep_s <= 0 or len(idle) >= self._max_idle:
            connection.drop()
            return
        connection.expires = connection.loop.time() + keep_s
        idle.append(connection)
        if self._sweeper is None:
            self._sweeper = connection.loop.call_later(self._idle_s, self._sweep)

    def lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        idle = self._idle.get(connection.origin)
        if idle and connection in idle:
            idle.remove(connection)
        if self._emptied is not None and not self._open:
            self._emptied.set()

    def _plan_look(self, loop: asyncio.AbstractEventLoop) -> None:
        self.looks_at = loop.time() + LOOK_S
        self._looking = loop.call_at(self.looks_at, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have those that are waited for set a timer in time. One for all of them, and none while none is."""
        self._looking, self.looks_at = None, inf
        if self.busy:
            self._plan_look(loop)
            for connection in self._open:
                connection.look()

    def _sweep(self) -> None:
        """Close what has grown old. One timer for all of them, and none while nothing is idle."""
        self._sweeper = None
        for origin, idle in list(self._idle.items()):
            kept = []
            for connection in idle:
                if connection.expires > connection.loop.time():
                    kept.append(connection)
                else:
                    connection.drop()
            if kept:
                self._idle[origin] = kept
                if self._sweeper is None:
                    self._sweeper = kept[0].loop.call_later(self._idle_s, self._sweep)
            else:
                del self._idle[origin]

    async def close(self) -> None:
        """Close all, in use or not; return when the sockets are gone."""
        self.closed = True
        for timer in (self._sweeper, self._looking):
            if timer is not None:
                timer.cancel()
        self._sweeper = self._looking = None
        self.looks_at = inf
        if not self._open:
            return
        if self._emptied is None:
            self._emptied = asyncio.Event()
        for connection in tuple(self._open):
            if connection.response is None:
                connection.drop()
            else:
                connection.response.close()
        await self._emptied.wait()


def _promised_s(hint: str) -> float:
    """Seconds from `Keep-Alive: timeout=5`, less one for the way there; no number is no promise: 0."""
    text = hint.lower().partition("timeout=")[2].partition(",")[0].strip()
    return float(text) - 1 if text.isdecimal() and len(text) < 10 else 0.0
