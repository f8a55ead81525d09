"""An answer on its way to the wire: its head, its body in pieces, its pace and its end."""

from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from interlock.mock.moves import Close, Hang, Move, Pause, Plan, Refuse, Repeat, Reset

JSON: Final = "application/json"

End = Literal["whole", "reset", "close", "hang", "refuse"]
REFUSED_S: Final = 1.0
_RUN: Final = 16
"""Bytes of a piece, where a whole body is sent in pieces."""


class Draft(Struct, frozen=True, kw_only=True):
    """`pieces` are what is written at a time: the events of a stream, or a whole body.

    `after` pieces are sent before `end`; None: all of them.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    pieces: tuple[bytes | Repeat, ...] = ()
    chunked: bool = False
    delay_s: float = 0.0
    pause_s: float = 0.0
    after: int | None = None
    end: End = "whole"
    silent: bool = False
    """Not even a head is sent: accepted, and never answered."""

    def with_header(self, name: str, value: str) -> "Draft":
        """The same with this header in place of any of its name."""
        kept = tuple(pair for pair in self.headers if pair[0].lower() != name.lower())
        return msgspec.structs.replace(self, headers=(*kept, (name, value)))


def whole(status: int, value: Any, *headers: tuple[str, str]) -> Draft:
    """An answer that is one JSON value."""
    return plain(status, msgspec.json.encode(value), *headers)


def plain(status: int, body: bytes, *headers: tuple[str, str]) -> Draft:
    """An answer that is said to be JSON, whatever it is."""
    return Draft(status=status, headers=(("content-type", JSON), *headers), pieces=(body,))


def failed(status: int, value: Any, retry_after: str | None, *headers: tuple[str, str]) -> Draft:
    """An error, with how long to wait where that is said."""
    wait = () if retry_after is None else (("retry-after", retry_after),)
    return whole(status, value, *headers, *wait)


def in_runs(draft: Draft) -> Draft:
    """The same in pieces that something can happen between: a stream has them as it is."""
    if draft.chunked or not all(isinstance(piece, bytes) for piece in draft.pieces):
        return draft
    body = b"".join(piece for piece in draft.pieces if isinstance(piece, bytes))
    runs = tuple(body[at : at + _RUN] for at in range(0, len(body), _RUN))
    return msgspec.structs.replace(draft, pieces=runs)


def moves(draft: Draft) -> Plan:
    """The plan that a draft comes to."""
    made: list[Move] = [Pause(draft.delay_s)] if draft.delay_s else []
    if not draft.silent:
        made.append(_head(draft))
        sent = draft.pieces if draft.after is None else draft.pieces[: draft.after]
        for place, piece in enumerate(sent):
            if draft.pause_s and place:
                made.append(Pause(draft.pause_s))
            made.append(_chunk(piece) if draft.chunked else piece)
    match draft.end:
        case "whole":
            made += [b"0\r\n\r\n"] if draft.chunked else []
        case "reset":
            made.append(Reset())
        case "close":
            made.append(Close())
        case "hang":
            made.append(Hang())
        case "refuse":
            made.append(Refuse(REFUSED_S))
    return tuple(made)


def _head(draft: Draft) -> bytes:
    if draft.chunked:
        framing = ("transfer-encoding", "chunked")
    else:
        framing = ("content-length", str(sum(_size(piece) for piece in draft.pieces)))
    named = {name.lower() for name, _ in draft.headers}
    rows = draft.headers if framing[0] in named else (*draft.headers, framing)
    lines = "".join(f"{name}: {value}\r\n" for name, value in rows)
    return f"HTTP/1.1 {draft.status} Mock\r\n{lines}\r\n".encode("latin-1")


def _chunk(piece: bytes | Repeat) -> bytes | Repeat:
    if isinstance(piece, Repeat):
        return Repeat(b"%x\r\n%b\r\n" % (len(piece.data), piece.data), piece.times)
    return b"%x\r\n%b\r\n" % (len(piece), piece)


def _size(piece: bytes | Repeat) -> int:
    return len(piece.data) * piece.times if isinstance(piece, Repeat) else len(piece)
