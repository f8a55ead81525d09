"""Writes of one turn of a loop, made together at its end.

Each write wakes whoever reads the other end, and to wake a process on another core costs more than to send.
Made one after the other, the first write wakes it and the others find it awake.
"""

import asyncio
from collections.abc import Callable


class Outbox:
    """Mutable: what is to be flushed at the end of this turn."""

    __slots__ = ("_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: list[Callable[[], None]] = []

    def add(self, flush: Callable[[], None]) -> None:
        """Have `flush` called once, soon."""
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(flush)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for flush in waiting:
            flush()
