"""Everything that can be wrong with an answer, by name, each with what it stands for.

A fault changes what is said or how it is sent; several can be asked for at once and apply in the
order of these tables. Each is one of some kinds of answers, and there are wires on which it makes no
sense: where it cannot be had, `impossible` says why, and nothing is answered as if all were well.
"""

import gzip
import zlib
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from interlock.mock.asked import Kind
from interlock.mock.draft import Draft, in_runs, whole
from interlock.mock.moves import Repeat
from interlock.mock.request import Received
from interlock.mock.said import Call, Said, Usage
from interlock.mock.wires import WIRES, Wire

T = TypeVar("T")
_replace: Final = msgspec.structs.replace
_MB: Final = b" " * 1_000_000
_ELSEWHERE: Final = "http://169.254.169.254/latest/meta-data/"
_HTML: Final = b"<!doctype html><title>Sign in</title><p>Your session has expired."


_NAMES: Final[dict[Kind, str]] = {
    "answer": "whole answers",
    "stream": "streams",
    "embed": "embeddings",
    "count": "counts of tokens",
    "models": "lists of models",
    "error": "errors",
    "told": "answers that are sent as they were written or recorded",
    "recorded": "recorded streams",
}
_ANSWERS: Final[tuple[Kind, ...]] = ("answer", "stream")
_FILLED: Final[tuple[Kind, ...]] = (*_ANSWERS, "embed")
_COUNTED: Final[tuple[Kind, ...]] = (*_FILLED, "count")
_STREAMS: Final[tuple[Kind, ...]] = ("stream", "recorded")
_ASKED: Final[tuple[Kind, ...]] = (*_COUNTED, "models")
_ALL: Final = tuple(_NAMES)


class Fault(Struct, Generic[T], frozen=True):
    """`about` says what the answer is like; `change` makes it so; `kinds` are those that can be like it."""

    about: str
    change: Callable[[T, Received], T]
    kinds: tuple[Kind, ...] = _ALL

    @property
    def asked_for(self) -> tuple[Kind, ...]:
        """Those of its kinds that a request can ask for."""
        return tuple(kind for kind in self.kinds if kind in _ASKED)

    @property
    def for_all(self) -> bool:
        return self.kinds == _ALL


# --- what is said -------------------------------------------------------------------------------


def _usage(value: Any) -> Callable[[Said, Received], Said]:
    return lambda said, _: _replace(said, usage=Usage(input=value, output=value))


def _two_calls(said: Said, request: Received) -> Said:
    """Two calls whose pieces come in turns: those scripted, else of the first tool that is offered."""
    calls = said.calls if len(said.calls) > 1 else (_some_call(request, 1), _some_call(request, 2))
    return _replace(said, text="", calls=calls, finish="tool_calls", interleaved=True)


def _some_call(request: Received, number: int) -> Call:
    return Call(_first_tool(request), msgspec.json.encode({"query": f"question {number}"}).decode())


def _first_tool(request: Received) -> str:
    return request.asked.tools[0].name if request.asked.tools else "search"


def _calling(name: str | None, arguments: str) -> Callable[[Said, Received], Said]:
    def change(said: Said, request: Received) -> Said:
        call = Call(name or _first_tool(request), arguments)
        return _replace(said, text="", calls=(call,), finish="tool_calls")

    return change


SAID: Final[dict[str, Fault[Said]]] = {
    "empty": Fault("no choice, no content; no vectors", lambda said, _: _replace(said, empty=True), _FILLED),
    "blank": Fault(
        "a text of no characters", lambda said, _: _replace(said, text="", calls=(), finish="stop"), _ANSWERS
    ),
    "refused": Fault(
        "a refusal in the model's own words, where it has a place of its own",
        lambda said, _: _replace(said, text="", calls=(), refusal="I will not do that.", finish="stop"),
        _ANSWERS,
    ),
    "cut_short": Fault("ended by its output cap", lambda said, _: _replace(said, finish="length"), _ANSWERS),
    "filtered": Fault(
        "ended by the vendor's filter", lambda said, _: _replace(said, finish="content_filter"), _ANSWERS
    ),
    "no_finish": Fault("does not say why it ended", lambda said, _: _replace(said, finish=None), _ANSWERS),
    "no_usage": Fault("reports no tokens", lambda said, _: _replace(said, usage=None), _COUNTED),
    "negative_usage": Fault("reports -5 tokens", _usage(-5), _COUNTED),
    "huge_usage": Fault("reports 10^12 tokens", _usage(10**12), _COUNTED),
    "text_usage": Fault('reports "many" tokens', _usage("many"), _COUNTED),
    "breaks_schema": Fault(
        "JSON that no sensible schema allows",
        lambda said, _: _replace(said, text='{"surprise":[null]}', calls=(), finish="stop"),
        _ANSWERS,
    ),
    "bad_json": Fault(
        "half of a JSON value where one is wanted",
        lambda said, _: _replace(said, text='{"surprise": [nu', calls=(), finish="stop"),
        _ANSWERS,
    ),
    "interleaved_tools": Fault("two calls of tools, their pieces in turns", _two_calls, ("stream",)),
    "unknown_tool": Fault("a call of a tool that nobody offered", _calling("launch_rocket", "{}"), _ANSWERS),
    "bad_arguments": Fault(
        "a call whose arguments are not JSON", _calling(None, '{"query": "half'), _ANSWERS
    ),
}


# --- how it is sent -----------------------------------------------------------------------------


def _half(**fields: Any) -> Callable[[Draft, Received], Draft]:
    """What fails in the middle: half of the pieces, at least one, unless `after` says how many."""

    def change(draft: Draft, _: Received) -> Draft:
        draft = in_runs(draft)
        middle = max(1, len(draft.pieces) // 2) if draft.after is None else draft.after
        return _replace(draft, after=middle, **fields)

    return change


def _body(
    status: int, kind: str, body: bytes, *headers: tuple[str, str]
) -> Callable[[Draft, Received], Draft]:
    """Something else altogether in place of the answer."""
    fresh = Draft(status=status, headers=(("content-type", kind), *headers), pieces=(body,))
    return lambda draft, _: _replace(fresh, delay_s=draft.delay_s)


def _error_object(draft: Draft, request: Received) -> Draft:
    error = whole(200, request.wire.error_inside(request.asked))
    return _replace(draft.with_header("content-type", "application/json"), pieces=error.pieces, chunked=False)


def _error_event(pieces: tuple[bytes, ...], request: Received) -> tuple[bytes, ...]:
    return (*pieces[: max(1, len(pieces) // 2)], request.wire.error_event(request.asked))


def _malformed(draft: Draft, request: Received) -> Draft:
    """Half of the JSON: of the whole body, or of an event in the middle."""
    pieces = list(draft.pieces)
    place = len(pieces) // 2
    piece = pieces[place] if pieces else b""
    if not isinstance(piece, bytes) or not piece:
        return draft
    pieces[place] = request.wire.FRAMING.halved(piece) if draft.chunked else piece[: len(piece) // 2]
    return _replace(draft, pieces=tuple(pieces))


def _each(change: Callable[[bytes], bytes]) -> Callable[[Draft, Received], Draft]:
    """The same for every event of a stream."""
    return _events(lambda pieces, _: tuple(map(change, pieces)))


def _events(
    change: Callable[[tuple[bytes, ...], Received], tuple[bytes, ...]],
) -> Callable[[Draft, Received], Draft]:
    """Other events of a stream; there is always one. What another fault has put in its place stays."""

    def changed(draft: Draft, request: Received) -> Draft:
        if not draft.chunked or not draft.pieces:
            return draft
        pieces = tuple(one for one in draft.pieces if isinstance(one, bytes))
        return _replace(draft, pieces=change(pieces, request))

    return changed


def _twice_begun(pieces: tuple[bytes, ...], request: Received) -> tuple[bytes, ...]:
    return tuple(
        one for piece in pieces for one in ((piece, piece) if request.wire.is_start(piece) else (piece,))
    )


def _without_end(pieces: tuple[bytes, ...], request: Received) -> tuple[bytes, ...]:
    return tuple(piece for piece in pieces if not request.wire.is_end(piece))


def _bad_checksum(pieces: tuple[bytes, ...], _: Received) -> tuple[bytes, ...]:
    middle = len(pieces) // 2
    wrong = pieces[middle][:-1] + bytes([pieces[middle][-1] ^ 0xFF])
    return (*pieces[:middle], wrong, *pieces[middle + 1 :])


def _single_bytes(draft: Draft, _: Received) -> Draft:
    joined = b"".join(piece for piece in draft.pieces if isinstance(piece, bytes))
    return _replace(draft, pieces=tuple(joined[at : at + 1] for at in range(len(joined))))


def _gzip(draft: Draft, _: Received) -> Draft:
    packed = gzip.compress(b"".join(piece for piece in draft.pieces if isinstance(piece, bytes)), mtime=0)
    return _replace(draft.with_header("content-encoding", "gzip"), pieces=(packed,))


def _bomb(draft: Draft, _: Received) -> Draft:
    """A stream of zeros packed 1:1000, as large as 1 GB when unpacked."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = packer.compress(_MB) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(_MB) + packer.flush(zlib.Z_FULL_FLUSH)
    return _replace(
        draft.with_header("content-encoding", "gzip"), pieces=(start, Repeat(block, 1000)), chunked=False
    )


def _huge(draft: Draft, _: Received) -> Draft:
    return _replace(draft, pieces=(Repeat(_MB, 1000), *draft.pieces))


@cache
def _many_headers() -> str:
    """The value of a header, and all the others: made once, as it takes its time."""
    return "x" + "".join(f"\r\nx-{number}: x" for number in range(100_000))


def _multiline(event: bytes) -> bytes:
    """An event whose data stands on two lines, where JSON allows a break."""
    return event.replace(b"data: {", b"data: {\ndata: ", 1)


SENT: Final[dict[str, Fault[Draft]]] = {
    "hang": Fault("accepted, never answered", lambda draft, _: _replace(draft, silent=True, end="hang")),
    "drop": Fault("reset before any answer", lambda draft, _: _replace(draft, silent=True, end="reset")),
    "refuse": Fault(
        "reset before any answer, and new connections refused for a second",
        lambda draft, _: _replace(draft, silent=True, end="refuse"),
    ),
    "html": Fault("200 with a page for people", _body(200, "text/html", _HTML)),
    "redirect": Fault(
        "302 to an address inside a cloud", _body(302, "text/plain", b"", ("location", _ELSEWHERE))
    ),
    "error_object": Fault("200 with an error inside", _error_object),
    "malformed": Fault("half of the JSON, in the body or in one event", _malformed),
    "error_event": Fault("an error event in the middle of a stream", _events(_error_event), _STREAMS),
    "duplicate_start": Fault("a stream that begins twice", _events(_twice_begun), _STREAMS),
    "no_end": Fault(
        "a stream without the event that ends it (`[DONE]`, `message_stop`)", _events(_without_end), _STREAMS
    ),
    "bad_checksum": Fault("a frame whose checksum is wrong", _events(_bad_checksum), _STREAMS),
    "comments": Fault("a comment before each event", _each(lambda one: b": keep-alive\n\n" + one), _STREAMS),
    "multiline": Fault("events whose data takes two lines", _each(_multiline), _STREAMS),
    "bom": Fault(
        "a byte order mark before a stream",
        _events(lambda all_, _: (b"\xef\xbb\xbf" + all_[0], *all_[1:])),
        _STREAMS,
    ),
    "crlf": Fault("lines of a stream end in CR LF", _each(lambda one: one.replace(b"\n", b"\r\n")), _STREAMS),
    "cr": Fault(
        "lines of a stream end in CR",
        _each(lambda one: one.replace(b"\r\n", b"\n").replace(b"\n", b"\r")),
        _STREAMS,
    ),
    "no_last_break": Fault(
        "no blank line after the last event",
        _events(lambda all_, _: (*all_[:-1], all_[-1].rstrip(b"\r\n"))),
        _STREAMS,
    ),
    "single_bytes": Fault("a write for each byte; with `pause_s` a slow drip", _single_bytes),
    "gzip": Fault("a compressed body, though nobody asked", _gzip),
    "gzip_bomb": Fault("1 GB, compressed to a thousandth", _bomb),
    "huge_body": Fault("1 GB of spaces before the answer", _huge),
    "huge_header": Fault(
        "a header line of 1 MB", lambda draft, _: draft.with_header("x-huge", "x" * 1_000_000)
    ),
    "many_headers": Fault(
        "a hundred thousand headers", lambda draft, _: draft.with_header("x-first", _many_headers())
    ),
    "broken_header": Fault(
        "a header line without a colon",
        lambda draft, _: draft.with_header("this line has no colon\r\nx-mock", "mock"),
    ),
    "cookies": Fault(
        "headers that must not reach a caller",
        lambda draft, _: _replace(
            draft, headers=(*draft.headers, ("set-cookie", "session=mock"), ("x-internal", "mock"))
        ),
    ),
    "cut": Fault("closed in the middle", _half(end="close")),
    "reset": Fault("reset in the middle", _half(end="reset")),
    "stall": Fault("nothing more from the middle on", _half(end="hang")),
}

FAULTS: Final[dict[str, Fault[Said] | Fault[Draft]]] = {**SAID, **SENT}
ABOUT: Final[dict[str, str]] = {name: fault.about for name, fault in FAULTS.items()}
"""Every fault with what it stands for."""


def without(name: str) -> dict[str, str]:
    """The wires on which a fault makes no sense, each with the reason."""
    return {wire.NAME: wire.WITHOUT[name] for wire in WIRES if name in wire.WITHOUT}


def impossible(faults: Iterable[str], wire: Wire, kind: Kind) -> str | None:
    """Why one of these faults cannot be had in an answer of this kind; None where all of them can."""
    for name in faults:
        if name in wire.WITHOUT:
            return f"`{name}` makes no sense on the wire of {wire.NAME}: {wire.WITHOUT[name]}"
        kinds = FAULTS[name].kinds
        if kind not in kinds:
            return f"`{name}` is a fault of {', '.join(_NAMES[one] for one in kinds)}, not of {_NAMES[kind]}"
    return None
