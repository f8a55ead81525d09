"""Notices that a caller has left, and stops the work done for it.

A cancellation must not hit the commit of a record, so the work says when it may be interrupted.
"""

import asyncio
from types import TracebackType

from interlock.server.asgi import Receive
from interlock.server.protocol import on_disconnect


class Watch:
    """`with Watch(receive):` the block is cancelled when the caller disconnects.

    `gone` tells that from every other cancellation.
    """

    def __init__(self, receive: Receive) -> None:
        self.gone = False
        self._receive = receive
        self._worker: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None

    def __enter__(self) -> "Watch":
        self._worker = asyncio.current_task()
        if not on_disconnect(self._receive, self.leave):
            # A server that only tells who asks: one task, which ends by itself when the answer is complete.
            self._watcher = asyncio.create_task(self._wait())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._worker = None
        on_disconnect(self._receive, None)

    def leave(self) -> None:
        """The caller is gone, or as good as gone: it does not read what it is sent."""
        worker, self._worker = self._worker, None
        if worker is not None:
            self.gone = True
            worker.cancel()

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.leave()
