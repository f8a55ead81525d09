"""A request that has been understood and decided on."""

from msgspec import Struct

from interlock.types.decision import Decision
from interlock.types.request import Request


class Case(Struct, frozen=True, gc=False):
    """`body` is what the caller sent; `at` when it was decided, in microseconds since the epoch."""

    request: Request
    decision: Decision
    body: bytes
    at: int
