"""JSON kept small: what many records have in common is kept once, as a shape; each has what fills its holes.

A shape is JSON with a zero byte in each hole, which no other JSON has in it. What comes out is, byte for
byte, what would have been stored without. Shapes stay when records expire, so whoever makes one leaves a hole
for everything that must not. The name of one is a whole digest: records are read by it, and nobody can find
two that have the same.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import Final

import apsw
import msgspec
from msgspec import Raw, Struct

HOLE: Final = Raw(b"\0")
"""Encoded in the place of a value: a hole."""
PUT: Final = "INSERT INTO shapes (hash, body) VALUES (?, ?) ON CONFLICT DO NOTHING"
_GET: Final = "SELECT body FROM shapes WHERE hash = ?"
_values: Final = msgspec.json.Decoder(list[Raw]).decode


class Shape(Struct, frozen=True):
    """JSON with holes, and its name: the SHA-256 of it in URL-safe base64, without padding."""

    hash: str
    body: bytes


def shape(body: bytes) -> Shape:
    return Shape(urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode("ascii"), body)


def fill(pieces: Sequence[bytes], values: Sequence[Raw]) -> bytes:
    """The JSON: a piece, a value, a piece, … Raises ValueError where values and holes are not as many."""
    parts: list[bytes | Raw] = [b""] * (2 * len(values) + 1)
    parts[::2] = pieces
    parts[1::2] = values
    return b"".join(parts)


class Shapes:
    """The shapes of one store, for one read of it: each is looked up once."""

    def __init__(self, db: apsw.Connection) -> None:
        self._db = db
        self._pieces: dict[bytes, list[bytes]] = {}

    def plain(self, data: bytes) -> bytes:
        """What was stored by its shape or in full. Raises apsw.CorruptError where that shape is not there."""
        if not data.startswith(b"["):
            return data
        try:
            name, *values = _values(data)
            return fill(self._pieces.get(bytes(name)) or self._pieces_of(name), values)
        except ValueError as error:
            raise apsw.CorruptError(f"a record does not fit its shape: {error}") from error

    def _pieces_of(self, name: Raw) -> list[bytes]:
        row = self._db.execute(_GET, (msgspec.json.decode(name, type=str),)).fetchone()
        if row is None:
            raise ValueError(f"there is no shape {bytes(name).decode()}")
        pieces: list[bytes] = row[0].split(b"\0")
        self._pieces[bytes(name)] = pieces
        return pieces
