"""Work that answers leave behind: done beside the requests, bounded, and given up rather than waited for."""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

Job = Callable[[], Coroutine[Any, Any, None]]


class Beside:
    """Mutable: jobs under way and those that wait. Nothing runs here while there is nothing to do.

    At most `places` jobs wait, and at most `most_bytes` are held by them and by those under way. A job that
    raises is given to `fault`, and takes nothing with it.
    """

    def __init__(self, places: int, most_bytes: int, fault: Callable[[str, Exception], object]) -> None:
        self._places = places
        self._most_bytes = most_bytes
        self._fault = fault
        self._waiting: deque[tuple[Job, int]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._bytes = 0
        self._closed = False

    @property
    def idle(self) -> bool:
        return not self._running and not self._waiting

    def offer(self, job: Job, size: int, at_once: int) -> bool:
        """Do a job that holds so many bytes, with at most so many others; False: there is no room."""
        if self._closed or self._bytes + size > self._most_bytes:
            return False
        if len(self._running) < at_once:
            task = asyncio.ensure_future(self._work(job, size))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        elif len(self._waiting) < self._places:
            self._waiting.append((job, size))
        else:
            return False
        self._bytes += size
        return True

    async def close(self) -> None:
        """Give up what waits and end what runs; each job under way has its turn to put things in order."""
        self._closed = True
        self._waiting.clear()
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _work(self, job: Job, size: int) -> None:
        """Do a job, then those that wait."""
        while True:
            try:
                await job()
            except Exception as error:  # noqa: BLE001 - nobody waits for it; it is said in the log
                self._fault("beside", error)
            finally:
                self._bytes -= size
            if not self._waiting:
                return
            job, size = self._waiting.popleft()
