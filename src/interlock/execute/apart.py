"""Work that goes through all of a large request: in another thread and in short turns, for others wait."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any, Final, TypeVar

T = TypeVar("T")

TURN_S: Final = 0.001
"""How long such work keeps the interpreter from others: usually 5 ms, and who is served needs it often."""


class _Turns:
    """Mutable, of the process: how much of such work is under way. Only the loop's thread counts."""

    def __init__(self) -> None:
        self.count = 0
        self.usual = 0.0

    def __enter__(self) -> None:
        if not self.count:
            self.usual = sys.getswitchinterval()
            sys.setswitchinterval(TURN_S)
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.count -= 1
        if not self.count:
            sys.setswitchinterval(self.usual)


_TURNS: Final = _Turns()


async def apart(work: Callable[..., T], *given: Any, **named: Any) -> T:
    """What the work gives, or raises."""
    with _TURNS:
        return await asyncio.to_thread(work, *given, **named)
