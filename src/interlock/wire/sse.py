"""Server-sent events, as the WHATWG standard reads them, from bytes that come in any pieces.

Only the data of events is given out: both vendors repeat an event's name inside it. It does not
look into the data. Where the standard throws away an event that lacks its last blank line, `end`
gives it out: an upstream that closed right behind its last event has sent it whole.
"""

from typing import Final

MOST_EVENT: Final = 8 * 1024 * 1024
"""The bytes that one event may take: far more than a search result with all its pages."""
_BOM: Final = b"\xef\xbb\xbf"


class EventTooLargeError(Exception):
    """An upstream sent more than MOST_EVENT bytes without ending an event."""


class EventParser:
    """Mutable: what of a stream has come and is not a whole event yet."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._begun = False
        self._after_cr = False

    def feed(self, data: bytes) -> list[bytes]:
        """The data of every event that is complete now. Raises EventTooLargeError."""
        if not self._begun:
            data = self._without_bom(data)
        if self._after_cr or b"\r" in data:
            data = self._with_plain_breaks(data)
        rest = self._rest
        if rest:
            searched = len(rest) - 1
            rest += data
            end = rest.rfind(b"\n\n", searched)
            whole = bytes(rest[:end]) if end >= 0 else b""
            if end >= 0:
                del rest[: end + 2]
        else:
            end = data.rfind(b"\n\n")
            whole = data[:end] if end >= 0 else b""
            rest += data[end + 2 :] if end >= 0 else data
        if len(rest) > MOST_EVENT:
            raise EventTooLargeError
        return _events(whole) if whole else []

    def end(self) -> list[bytes]:
        """The data of an event that the stream ended in, without the blank line that belongs behind it."""
        whole = bytes(self._rest)
        self._rest.clear()
        return _events(whole)

    def _without_bom(self, data: bytes) -> bytes:
        data = bytes(self._rest) + data
        self._rest.clear()
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._rest += data  # wait for what may become a byte order mark
            return b""
        self._begun = True
        return data.removeprefix(_BOM)

    def _with_plain_breaks(self, data: bytes) -> bytes:
        """The data with LF for each CR and CRLF. A CR at the end may turn out to be half a CRLF."""
        if not data:
            return data
        if self._after_cr and data.startswith(b"\n"):
            data = data[1:]
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _events(whole: bytes) -> list[bytes]:
    found = []
    for block in whole.split(b"\n\n"):
        if block.startswith(b"data: ") and b"\n" not in block:
            found.append(block[6:])
        elif data := _data(block):
            found.append(data)
    return found


def _data(block: bytes) -> bytes:
    """The data lines of one event, joined; empty if it has none and so is no event."""
    lines = []
    for line in block.split(b"\n"):
        if line.startswith(b"data:"):
            lines.append(line[6:] if line.startswith(b"data: ") else line[5:])
        elif line == b"data":
            lines.append(b"")
    return b"\n".join(lines)
