"""Everything that can be wrong with an answer, by name, each with what it stands for.

A fault changes what is said or how it is sent; several can be asked for at once and apply in the
order of these tables. Faults of a stream leave an answer that is not streamed as it is.
"""

import gzip
import zlib
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

from interlock.mock.draft import Draft
from interlock.mock.moves import Repeat
from interlock.mock.openai import DONE
from interlock.mock.request import Received
from interlock.mock.said import Call, Said, Usage

T = TypeVar("T")
_replace: Final = msgspec.structs.replace
_MB: Final = b" " * 1_000_000
_ELSEWHERE: Final = "http://169.254.169.254/latest/meta-data/"
_HTML: Final = b"<!doctype html><title>Sign in</title><p>Your session has expired."


class Fault(Struct, Generic[T], frozen=True):
    """`about` says what the answer is like; `change` makes it so."""

    about: str
    change: Callable[[T, Received], T]


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
    tools = request.fields.get("tools")
    if isinstance(tools, list) and tools and isinstance(tools[0], dict):
        inner = tools[0].get("function", tools[0])
        return str(inner.get("name", "search")) if isinstance(inner, dict) else "search"
    return "search"


def _calling(name: str | None, arguments: str) -> Callable[[Said, Received], Said]:
    def change(said: Said, request: Received) -> Said:
        call = Call(name or _first_tool(request), arguments)
        return _replace(said, text="", calls=(call,), finish="tool_calls")

    return change


SAID: Final[dict[str, Fault[Said]]] = {
    "empty": Fault("no choice, no content", lambda said, _: _replace(said, empty=True)),
    "blank": Fault("a text of no characters", lambda said, _: _replace(said, text="", calls=())),
    "cut_short": Fault("ended by its output cap", lambda said, _: _replace(said, finish="length")),
    "filtered": Fault(
        "ended by the vendor's filter", lambda said, _: _replace(said, finish="content_filter")
    ),
    "no_finish": Fault("does not say why it ended", lambda said, _: _replace(said, finish=None)),
    "no_usage": Fault("reports no tokens", lambda said, _: _replace(said, usage=None)),
    "negative_usage": Fault("reports -5 tokens", _usage(-5)),
    "huge_usage": Fault("reports 10^12 tokens", _usage(10**12)),
    "text_usage": Fault('reports "many" tokens', _usage("many")),
    "breaks_schema": Fault(
        "JSON that no sensible schema allows",
        lambda said, _: _replace(said, text='{"surprise":[null]}', calls=(), finish="stop"),
    ),
    "interleaved_tools": Fault("two calls of tools, their pieces in turns", _two_calls),
    "unknown_tool": Fault("a call of a tool that nobody offered", _calling("launch_rocket", "{}")),
    "bad_arguments": Fault("a call whose arguments are not JSON", _calling(None, '{"query": "half')),
}


# --- how it is sent -----------------------------------------------------------------------------


def _half(**fields: Any) -> Callable[[Draft, Received], Draft]:
    """What fails in the middle: half of the pieces, or of the only one, unless `after` says how many."""

    def change(draft: Draft, _: Received) -> Draft:
        if draft.after is not None:
            return _replace(draft, **fields)
        pieces = _two(draft.pieces)
        return _replace(draft, pieces=pieces, after=max(1, len(pieces) // 2), **fields)

    return change


def _two(pieces: tuple[bytes | Repeat, ...]) -> tuple[bytes | Repeat, ...]:
    """At least two pieces, where there is enough to make them of."""
    first = pieces[0] if len(pieces) == 1 else None
    if not isinstance(first, bytes) or len(first) < 2:
        return pieces
    return (first[: len(first) // 2], first[len(first) // 2 :])


def _body(
    status: int, kind: str, body: bytes, *headers: tuple[str, str]
) -> Callable[[Draft, Received], Draft]:
    """Something else altogether in place of the answer."""
    fresh = Draft(status=status, headers=(("content-type", kind), *headers), pieces=(body,))
    return lambda draft, _: _replace(fresh, delay_s=draft.delay_s)


def _error_object(draft: Draft, request: Received) -> Draft:
    return _replace(
        draft.with_header("content-type", "application/json"),
        pieces=(_error(request),),
        chunked=False,
    )


def _error_event(draft: Draft, request: Received) -> Draft:
    if not draft.chunked:
        return draft
    name = b"event: error\n" if request.speaks_messages else b""
    middle = max(1, len(draft.pieces) // 2)
    return _replace(draft, pieces=(*draft.pieces[:middle], b"%bdata: %b\n\n" % (name, _error(request))))


def _error(request: Received) -> bytes:
    error = {"type": "overloaded_error", "message": "the mock was told to fail"}
    return msgspec.json.encode(
        {"type": "error", "error": error} if request.speaks_messages else {"error": error}
    )


def _malformed(draft: Draft, _: Received) -> Draft:
    """Half of the JSON: of the whole body, or of an event in the middle."""
    pieces = list(draft.pieces)
    place = len(pieces) // 2
    piece = pieces[place] if pieces else b""
    if not isinstance(piece, bytes) or not piece:
        return draft
    pieces[place] = piece[: len(piece) // 2] + (b"\n\n" if draft.chunked else b"")
    return _replace(draft, pieces=tuple(pieces))


def _each(change: Callable[[bytes], bytes]) -> Callable[[Draft, Received], Draft]:
    """The same for every event of a stream."""

    def changed(draft: Draft, _: Received) -> Draft:
        if not draft.chunked:
            return draft
        return _replace(draft, pieces=tuple(change(one) for one in draft.pieces if isinstance(one, bytes)))

    return changed


def _with_pieces(
    change: Callable[[tuple[bytes, ...]], tuple[bytes, ...]],
) -> Callable[[Draft, Received], Draft]:
    """Other pieces of a stream; there is always one."""

    def changed(draft: Draft, _: Received) -> Draft:
        if not draft.chunked or not draft.pieces:
            return draft
        return _replace(draft, pieces=change(tuple(one for one in draft.pieces if isinstance(one, bytes))))

    return changed


def _without_end(pieces: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return tuple(piece for piece in pieces if piece != DONE and b'"message_stop"' not in piece)


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
    "error_event": Fault("an error event in the middle of a stream", _error_event),
    "duplicate_start": Fault("a stream that begins twice", _with_pieces(lambda pieces: (pieces[0], *pieces))),
    "no_end": Fault("a stream without `[DONE]` or `message_stop`", _with_pieces(_without_end)),
    "comments": Fault("a comment before each event", _each(lambda one: b": keep-alive\n\n" + one)),
    "multiline": Fault("events whose data takes two lines", _each(_multiline)),
    "bom": Fault(
        "a byte order mark before a stream", _with_pieces(lambda all_: (b"\xef\xbb\xbf" + all_[0], *all_[1:]))
    ),
    "crlf": Fault("lines of a stream end in CR LF", _each(lambda one: one.replace(b"\n", b"\r\n"))),
    "cr": Fault("lines of a stream end in CR", _each(lambda one: one.replace(b"\n", b"\r"))),
    "no_last_break": Fault(
        "no blank line after the last event",
        _with_pieces(lambda all_: (*all_[:-1], all_[-1].rstrip(b"\r\n"))),
    ),
    "single_bytes": Fault("a write for each byte; with `pause_s` a slow drip", _single_bytes),
    "gzip": Fault("a compressed body, though nobody asked", _gzip),
    "gzip_bomb": Fault("1 GB, compressed to a thousandth", _bomb),
    "huge_body": Fault("1 GB of spaces before the answer", _huge),
    "huge_header": Fault(
        "a header line of 1 MB", lambda draft, _: draft.with_header("x-huge", "x" * 1_000_000)
    ),
    "many_headers": Fault(
        "a hundred thousand headers",
        lambda draft, _: _replace(
            draft, headers=(*draft.headers, *((f"x-{number}", "x") for number in range(100_000)))
        ),
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

ABOUT: Final[dict[str, str]] = {
    **{name: fault.about for name, fault in SAID.items()},
    **{name: fault.about for name, fault in SENT.items()},
}
"""Every fault with what it stands for."""
