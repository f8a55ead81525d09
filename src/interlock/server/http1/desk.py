"""The one task of a connection, in which its calls are served one after another.

A task for each call would do the same; but to make one and to let it go costs several times what it takes to
wake one, above all on a server with time between two requests, whose every step is out of the cache.
"""

import asyncio

from interlock.server.http1.call import App, Call


class Desk:
    """Mutable: where one connection's calls are served. Begins its task with the first of them."""

    __slots__ = ("_app", "_asleep", "_closed", "_loop", "_next", "_task")

    def __init__(self, loop: asyncio.AbstractEventLoop, app: App) -> None:
        self._loop = loop
        self._app = app
        self._next: Call | None = None
        self._asleep: asyncio.Future[None] | None = None
        self._closed = False
        self._task: asyncio.Task[None] | None = None

    def serve(self, call: Call) -> None:
        """Serve a call soon. The one before it has its answer, but may still have something to do."""
        self._next = call
        if self._task is None:
            self._task = self._loop.create_task(self._work())
        call.task = self._task
        asleep = self._asleep
        if asleep is not None and not asleep.done():
            asleep.set_result(None)

    def close(self) -> None:
        """Serve nothing more than what was given already."""
        self._closed = True
        if self._asleep is not None and not self._asleep.done():
            self._asleep.set_result(None)

    async def _work(self) -> None:
        try:
            while True:
                call, self._next = self._next, None
                if call is not None:
                    await self._app.serve(call)
                elif self._closed:
                    return
                else:
                    self._asleep = self._loop.create_future()
                    await self._asleep
        finally:
            self._task = None
            if self._next is not None:  # whatever has ended this task is no fault of that call's
                self.serve(self._next)
