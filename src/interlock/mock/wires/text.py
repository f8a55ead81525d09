"""Streams of server-sent events: how one is written, and what cannot be wrong with it."""

from typing import Any, Final

import msgspec

STREAM: Final = "text/event-stream; charset=utf-8"
WITHOUT: Final = {"bad_checksum": "its events are text, which has no checksums"}


def event(value: Any, name: str = "", *, ends: bytes = b"\n") -> bytes:
    """An event, with its name where the vendor writes one."""
    head = b"event: %b%b" % (name.encode(), ends) if name else b""
    return b"%bdata: %b%b" % (head, msgspec.json.encode(value), ends * 2)


def halved(piece: bytes) -> bytes:
    """An event of half its JSON, which ends as its lines do."""
    ends = b"\r\n" if piece.endswith(b"\r\n") else b"\n"
    return piece[: len(piece) // 2] + ends * 2
