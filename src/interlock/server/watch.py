"""Notices that a caller has left, and stops the work done for it.

A cancellation must not hit the commit of a record, so the work says when it may be interrupted.
"""

import asyncio
from types import TracebackType

from interlock.server.asgi import Receive


class Watch:
    """`async with Watch(receive):` the block is cancelled when the caller disconnects.

    `gone` tells that from every other cancellation. One task per request, which ends by itself
    when the answer is complete.
    """

    def __init__(self, receive: Receive) -> None:
        self.gone = False
        self._receive = receive
        self._worker: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> "Watch":
        self._worker = asyncio.current_task()
        self._watcher = asyncio.create_task(self._wait())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker = None

    def leave(self) -> None:
        """The caller is as good as gone: it does not read what it is sent."""
        self.gone = True
        if self._worker is not None:
            self._worker.cancel()

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.leave()
