"""A request that has been understood and decided on."""

from msgspec import Struct

from interlock.types.decision import Decision
from interlock.types.request import Request


class Case(Struct, frozen=True, kw_only=True):
    """`body` is what the caller sent, byte for byte."""

    request: Request
    decision: Decision
    body: bytes
