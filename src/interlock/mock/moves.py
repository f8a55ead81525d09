"""The moves of an answer: what the mock does on a connection, one after the other.

Bytes are written as they stand, each in a write of its own. An asyncio.Event is waited for: a test
holds an answer with it. A plan that ends without Hang, Reset, Refuse or Close leaves the connection open for
the next request.
"""

import asyncio

from msgspec import Struct


class Pause(Struct, frozen=True):
    """Do nothing for a while, unless the client leaves."""

    seconds: float


class Repeat(Struct, frozen=True):
    """Write the same bytes many times over: what is too large to lie in memory."""

    data: bytes
    times: int


class Hang(Struct, frozen=True):
    """Send nothing more and keep the connection until the client leaves."""


class Reset(Struct, frozen=True):
    """Break the connection with a TCP reset."""


class Refuse(Struct, frozen=True):
    """Break the connection with a TCP reset, and refuse new ones for a while."""

    seconds: float


class Close(Struct, frozen=True):
    """Close the connection in order."""


Move = bytes | Pause | Repeat | Hang | Reset | Refuse | Close | asyncio.Event
Plan = tuple[Move, ...]
