"""Our log: one JSON object a line on stdout. Never content, never keys, and never a reason to wait.

A line that stdout does not take at once is dropped and counted; the audit is the store's, not this.
"""

import os
import select
import sys
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

# A pipe that reports itself writable takes this much without blocking (PIPE_BUF).
_MOST: Final = 4096


class Log:
    """Writes lines to a file descriptor. `dropped` counts those that it did not take; the next says so."""

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = sys.stdout.fileno() if descriptor is None else descriptor
        self.dropped = 0
        self._told = 0
        self._encode = msgspec.json.Encoder().encode
        self._poll = select.poll()
        self._poll.register(self.descriptor, select.POLLOUT)

    def line(self, fields: dict[str, Any]) -> None:
        """Write one event at once. Control characters in values are escaped by the encoding."""
        data = self._encode(fields) + b"\n"
        if len(data) > _MOST:
            data = self._cut(fields.get("at"), fields.get("event"), len(data))
        self._write(data, 1)

    def requests(self, lines: Iterable[Struct]) -> None:
        """Write the lines of requests, as many at a time as go in one piece."""
        piece: list[bytes] = []
        size = 0
        for line in lines:
            data = self._encode(line) + b"\n"
            if len(data) > _MOST:
                data = self._cut(getattr(line, "at", None), "request", len(data))
            if size + len(data) > _MOST:
                self._write(b"".join(piece), len(piece))
                piece, size = [], 0
            piece.append(data)
            size += len(data)
        if piece:
            self._write(b"".join(piece), len(piece))

    def _cut(self, at: Any, event: Any, length: int) -> bytes:
        """In place of a line that is too long to be written in one piece."""
        return self._encode({"at": at, "event": event, "cut": length}) + b"\n"

    def _write(self, data: bytes, lines: int) -> None:
        if self.dropped > self._told:
            lost = {"event": "log_dropped", "lines": self.dropped - self._told}
            if self._put(self._encode(lost) + b"\n"):
                self._told = self.dropped
        if not self._put(data):
            self.dropped += lines

    def _put(self, data: bytes) -> bool:
        """Write if that does not wait; whether it could be."""
        try:
            ready = self._poll.poll(0)
            if ready and ready[0][1] == select.POLLOUT:
                os.write(self.descriptor, data)
                return True
        except OSError:
            pass
        return False
