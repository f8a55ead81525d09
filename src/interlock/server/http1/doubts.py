"""Why bytes of a caller are not taken for a request."""

from math import inf
from typing import Final

import httptools

from interlock.errors import ApiError
from interlock.server.http1.call import Call

MOST_HEADERS: Final = 128


def doubt(call: Call, version: str) -> ApiError | None:
    """Why a head that could be read is refused all the same."""
    problem = _other_reading(call, version)
    if problem is not None:
        return ApiError("invalid_request", problem)
    if len(call.headers) > MOST_HEADERS:
        problem = f"the request has more than {MOST_HEADERS} headers"
        return ApiError("invalid_request", problem, status=431)
    return None


def _other_reading(call: Call, version: str) -> str | None:
    """Why somebody else could read a head differently (RFC 9112, 2.3, 3.2, 6.1); the rest is the parser's."""
    headers = call.headers
    if version not in ("1.1", "1.0"):
        return "the request is not valid HTTP/1.1"
    if version == "1.1" and ("host" not in headers or "host" in call.doubled):
        return "a request has one `host`"
    coding = headers.get("transfer-encoding")
    if coding is not None and (version == "1.0" or coding.lower() != "chunked"):
        return "of transfer codings only `chunked` is understood, and none in HTTP/1.0"
    return None


def unread(error: httptools.HttpParserError) -> ApiError:
    """Why bytes could not be read: they are no request, or what reads them had no memory to put them in."""
    if isinstance(error.__context__, MemoryError):
        return ApiError("overloaded", "there is no memory left for this request", retry_after_s=1)
    return ApiError("invalid_request", "the request is not valid HTTP/1.1")


def expects(call: Call) -> bool:
    """Whether a caller waits for a word before its body (RFC 9110, 10.1.1; in HTTP/1.0 none does)."""
    return not call.http10 and call.headers.get("expect", "").lower() == "100-continue"


def declared(call: Call) -> float | None:
    """How many bytes of body a head announces: 0 for none, infinity for too many; None: it does not say."""
    length = call.headers.get("content-length", "")
    if not length:
        return None if "transfer-encoding" in call.headers else 0
    # The grammar has seen to it that it is a number; a longer one than this fits no limit.
    return int(length) if len(length) < 20 else inf


def too_slow(pause_s: float) -> ApiError:
    """What whoever does not send on is told."""
    problem = f"no more of the body came for {pause_s:.0f} seconds, or too little of it"
    return ApiError("request_timeout", problem)


def too_large(call: Call) -> ApiError:
    """What whoever sends more than `call.limit` is told."""
    return ApiError(
        "request_too_large",
        f"the body is larger than {call.limit} bytes",
        hint="the limit is `server.max_body_mb`" if call.method == "POST" else f"{call.method} needs no body",
    )
