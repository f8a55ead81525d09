"""Why bytes of a caller are not taken for a request."""

import httptools

from interlock.errors import ApiError
from interlock.server.http1.call import Call


def doubt(call: Call, version: str) -> str | None:
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


def too_large(call: Call) -> ApiError:
    """What whoever sends more than `call.limit` is told."""
    return ApiError(
        "request_too_large",
        f"the body is larger than {call.limit} bytes",
        hint="the limit is `server.max_body_mb`" if call.method == "POST" else f"{call.method} needs no body",
    )
