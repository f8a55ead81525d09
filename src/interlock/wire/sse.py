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

    __slots__ = ("_after_cr", "_begun", "_held", "_lines", "_rest")

    def __init__(self) -> None:
        self._rest = bytearray()
        self._lines: list[bytes] = []
        self._held = 0
        self._begun = False
        self._after_cr = False

    def feed(self, data: bytes) -> list[bytes]:
        """The data of every event that is complete now. Raises EventTooLargeError."""
        if not self._begun:
            data = self._without_bom(data)
        if self._after_cr or b"\r" in data:
            data = self._with_plain_breaks(data)
        if not self._rest and not self._lines and data.endswith(b"\n\n"):
            return self._read_whole(data)
        end = data.rfind(b"\n")
        rest = self._rest
        if end < 0:
            rest += data
            found = []
        elif rest:
            rest += data[:end]
            whole = bytes(rest)
            rest[:] = data[end + 1 :]
            found = self._read(whole)
        else:
            rest += data[end + 1 :]
            found = self._read(data[:end])
        if len(rest) + self._held > MOST_EVENT:
            raise EventTooLargeError
        return found

    def end(self) -> list[bytes]:
        """The data of an event that the stream ended in, without the blank line that belongs behind it."""
        whole = bytes(self._rest)
        self._rest.clear()
        return self._read(whole + b"\n")

    def _read_whole(self, data: bytes) -> list[bytes]:
        """What nearly every piece of a stream is: whole events, most of them of one line."""
        if data.startswith(b"data: "):
            found = data[6:-2].split(b"\n\ndata: ")
            # To count the breaks, or to look into each event, would cost several times as much.
            if b"\n" not in b"".join(found) and b"" not in found:
                return found
        found = []
        for block in data[:-2].split(b"\n\n"):
            if block[:6] == b"data: " and b"\n" not in block and len(block) > 6:
                found.append(block[6:])
            else:
                found += self._read(block + b"\n")
        return found

    def _read(self, whole: bytes) -> list[bytes]:
        """The events that end in some whole lines; what begins an event after them is kept."""
        found: list[bytes] = []
        lines = self._lines
        for line in whole.split(b"\n"):
            if line.startswith(b"data: "):
                lines.append(line[6:])
            elif not line:
                if lines:
                    data = lines[0] if len(lines) == 1 else b"\n".join(lines)
                    lines.clear()
                    if data:
                        found.append(data)
            elif line.startswith(b"data:"):
                lines.append(line[5:])
            elif line == b"data":
                lines.append(b"")
        if not lines:
            self._held = 0
        elif found:
            self._held = sum(map(len, lines))
        else:
            self._held += len(whole)
        return found

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
