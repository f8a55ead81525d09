"""Our log: one JSON object a line on stdout. Never content, never keys, and never a reason to wait.

A line that stdout does not take at once is dropped and counted; the audit is the store's, not this.
"""

import os
import select
import sys
from typing import Any, Final

import msgspec

# A pipe that reports itself writable takes this much without blocking (PIPE_BUF).
_MOST: Final = 4096


class Log:
    """Writes lines to a file descriptor. `dropped` counts those that it did not take."""

    def __init__(self, descriptor: int | None = None) -> None:
        self.descriptor = sys.stdout.fileno() if descriptor is None else descriptor
        self.dropped = 0
        self._encode = msgspec.json.Encoder().encode
        self._poll = select.poll()
        self._poll.register(self.descriptor, select.POLLOUT)

    def line(self, fields: dict[str, Any]) -> None:
        """Write one event. Control characters in values are escaped by the encoding."""
        data = self._encode(fields) + b"\n"
        if len(data) > _MOST:
            data = (
                self._encode({"at": fields.get("at"), "event": fields.get("event"), "cut": len(data)}) + b"\n"
            )
        try:
            ready = self._poll.poll(0)
            if ready and ready[0][1] == select.POLLOUT:
                os.write(self.descriptor, data)
                return
        except OSError:
            pass
        self.dropped += 1
