"""Two attempts at once: the first to have an answer wins, the other is cancelled."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from interlock.execute.plan import AttemptEnd

Run = Coroutine[Any, Any, AttemptEnd]


class Race:
    """Mutable: one race. A runner that has something to say calls `win` before it says it."""

    def __init__(self) -> None:
        self.hedged = False
        self._runners: list[asyncio.Task[AttemptEnd]] = []
        self._winner: asyncio.Task[Any] | None = None

    def win(self) -> None:
        """The current task has won, if nobody had before: all others are cancelled."""
        if self._winner is None:
            self._winner = asyncio.current_task()
            for runner in self._runners:
                if runner is not self._winner:
                    runner.cancel()

    @property
    def lost(self) -> bool:
        """Whether another task than the current one has won."""
        return self._winner is not None and self._winner is not asyncio.current_task()

    async def run(self, first: Run, after_s: float, second: Callable[[], Run | None]) -> AttemptEnd:
        """How the winner ended; without one, how the first did. Nobody runs on when this returns.

        The second begins where the first has neither ended nor won after `after_s` seconds.
        """
        self._runners.append(asyncio.ensure_future(first))
        try:
            ended, _ = await asyncio.wait(self._runners, timeout=after_s)
            if not ended and self._winner is None:
                run = second()
                if run is not None:
                    self.hedged = True
                    self._runners.append(asyncio.ensure_future(run))
            await asyncio.wait(self._runners)
        except asyncio.CancelledError:
            for runner in self._runners:
                runner.cancel()
            await asyncio.wait(self._runners)  # each writes down how far it came
            raise
        told = next((runner for runner in self._runners if runner is self._winner), self._runners[0])
        return told.result()
