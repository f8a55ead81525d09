"""A request that has been understood and decided on."""

from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from interlock.types.decision import Decision
from interlock.types.request import Request

LARGE: Final = 32 * 1024
"""Bytes of a body; larger ones are read, classified, encoded and masked off the loop, because others wait.

The dearest text costs about a microsecond a byte.
"""


class Asker(Struct, frozen=True, gc=False):
    """Who asks, where a request says so: the tenant, the key, and the session or user that it names.

    `attempt` is what a library calls the request, however often it tries.
    """

    tenant: str
    key: str | None
    name: str
    attempt: str | None = None


class Case(Struct, frozen=True, gc=False):
    """`body` is what the caller sent, where its record or a kept response will hold it, else empty; where it
    named items of kept answers, they stand in it themselves.

    `size` is that of what the caller sent, in bytes; `large`: so much was read for it that nothing which goes
    through its whole request is the loop's work. `at` is when it was decided, in microseconds since the
    epoch. `asker` is None where nobody says who asks, or a library tries again.
    """

    request: Request
    decision: Decision
    body: bytes
    at: int
    size: int = 0
    asker: Asker | None = None
    large: bool = False

    def without_words(self) -> "Case":
        """The case without what was said: all that is asked of most once their answer has begun."""
        return replace(self, request=replace(self.request, messages=()))
