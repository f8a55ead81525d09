"""Streams of AWS's frames (`application/vnd.amazon.eventstream`): how one is written.

All numbers are big-endian, checksums are CRC-32:

    total length (4) | length of headers (4) | checksum of those eight bytes (4)
    headers | payload | checksum of everything before it (4)

A header is the length of its name (1), the name, a type (1; 7 is text) and, for text, its length (2)
and bytes.
"""

import struct
import zlib
from typing import Any, Final

import msgspec

STREAM: Final = "application/vnd.amazon.eventstream"
_LINES: Final = "its streams are frames of bytes, not lines of text"
WITHOUT: Final = dict.fromkeys(("comments", "multiline", "bom", "crlf", "cr", "no_last_break"), _LINES)
_TEXT: Final = 7
_PRELUDE: Final = 12
_CHECKSUM: Final = 4


def frame(kind: str, name: str, value: Any) -> bytes:
    """A frame of a `kind` (`event`, `exception`), with the name of that and a payload of JSON."""
    headers = {f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}
    return _framed(b"".join(_header(*pair) for pair in headers.items()), msgspec.json.encode(value))


def halved(piece: bytes) -> bytes:
    """A frame with half of its payload, and with the lengths and checksums that belong to that."""
    (size,) = struct.unpack_from(">I", piece, 4)
    headers = piece[_PRELUDE : _PRELUDE + size]
    payload = piece[_PRELUDE + size : -_CHECKSUM]
    return _framed(headers, payload[: len(payload) // 2])


def _framed(headers: bytes, payload: bytes) -> bytes:
    total = _PRELUDE + len(headers) + len(payload) + _CHECKSUM
    prelude = struct.pack(">II", total, len(headers))
    whole = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return whole + struct.pack(">I", zlib.crc32(whole))


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return struct.pack(">B", len(key)) + key + struct.pack(">BH", _TEXT, len(text)) + text
