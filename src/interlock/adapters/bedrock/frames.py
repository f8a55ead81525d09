"""The frames of `application/vnd.amazon.eventstream`, from bytes that come in any pieces.

A frame, as the Smithy documentation of that format has it, all numbers big-endian:

    total length (4) | length of headers (4) | CRC-32 of those eight bytes (4)
    headers | payload | CRC-32 of everything before it (4)

A header is the length of its name (1), the name, a type (1) and a value whose length the type tells. Only
text is given out: what AWS says of an event stands in headers of text. It does not look into payloads.
"""

import zlib
from collections.abc import Iterator
from struct import Struct, error
from typing import Final, NamedTuple

MOST_FRAME: Final = 8 * 1024 * 1024
"""The bytes that one frame may take, as one event of a stream of text may."""
_PRELUDE: Final = Struct(">III")
_CRC: Final = Struct(">I")
_SHORT: Final = Struct(">H")
_LEAST: Final = _PRELUDE.size + _CRC.size
_FIXED: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""The lengths of values by their type: truths, integers, an instant, a UUID."""
_BYTES: Final = 6
_TEXT: Final = 7


class BadFrameError(Exception):
    """Bytes that are no frame, whose checksum is another one, or that would be too large."""


class Frame(NamedTuple):
    headers: dict[str, str]
    payload: bytes


class FrameParser:
    """Mutable: what of a stream has come and is not a whole frame yet."""

    def __init__(self) -> None:
        self._rest = bytearray()

    @property
    def between(self) -> bool:
        """Whether a stream that ended here would end behind a whole frame."""
        return not self._rest

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Every frame that is complete now, in turn. Raises BadFrameError at the first that is none."""
        rest = self._rest
        rest += data
        at = 0
        try:
            while len(rest) - at >= _PRELUDE.size:
                total, headers, crc = _PRELUDE.unpack_from(rest, at)
                if zlib.crc32(memoryview(rest)[at : at + 8]) != crc:
                    raise BadFrameError("the checksum of a prelude")
                if not _LEAST + headers <= total <= MOST_FRAME:
                    raise BadFrameError("a frame of an impossible length")
                if len(rest) - at < total:
                    break
                frame = bytes(rest[at : at + total])
                at += total
                yield _read(frame, headers)
        finally:
            del rest[:at]


def _read(frame: bytes, headers: int) -> Frame:
    end = len(frame) - _CRC.size
    if _CRC.unpack_from(frame, end)[0] != zlib.crc32(memoryview(frame)[:end]):
        raise BadFrameError("the checksum of a frame")
    first = _PRELUDE.size
    try:
        named = _headers(frame[first : first + headers])
    except (IndexError, KeyError, UnicodeDecodeError, error):
        raise BadFrameError("headers that cannot be read") from None
    return Frame(named, frame[first + headers : end])


def _headers(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    at = 0
    while at < len(data):
        end = at + 1 + data[at]
        name, kind = data[at + 1 : end].decode(), data[end]
        at = end + 1
        if kind in (_BYTES, _TEXT):
            size = _SHORT.unpack_from(data, at)[0]
            at += _SHORT.size
            if kind == _TEXT:
                found[name] = data[at : at + size].decode()
        else:
            size = _FIXED[kind]
        at += size
    if at != len(data):
        raise IndexError
    return found
