"""A request as bytes: which origin it goes to, and its head. Pure.

A line break in a url or a header would let its author write headers, or a second request, in our
name. Such input is refused here, once, for every caller.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from interlock.types.proxy import Proxy

_PORTS: Final = {"http": 80, "https": 443}
_TOKEN: Final = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_OURS: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_LINES_BESIDE_HEADERS: Final = 3
"""Request line, host, accept-encoding."""


class Origin(NamedTuple):
    """What a connection is good for: an upstream, through this proxy or through none."""

    tls: bool
    host: str
    port: int
    proxy: Proxy | None = None


class Destination(NamedTuple):
    """A parsed url: whom to connect to, and the lines that every request there begins with."""

    origin: Origin
    first_lines: str


def parse_url(url: str) -> Destination:
    """The destination of an absolute http(s) url. Raises ValueError, with a reason, for any other.

    A host outside ASCII has to be written in its `xn--` form. Credentials in a url are refused.
    """
    # urlsplit drops tabs and line breaks without a word, so they must be looked for before it.
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise ValueError("a url may hold printable ASCII only, without spaces and backslashes")
    parts = urlsplit(url)
    port = _PORTS.get(parts.scheme)
    if port is None:
        raise ValueError("a url must begin with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("a url may not hold credentials")
    if "#" in url:
        raise ValueError("a url may not hold a fragment")
    host = parts.hostname or ""
    if not _is_host(host):
        raise ValueError("a url must name a host")
    port = port if parts.port is None else parts.port
    if port == 0:
        raise ValueError("port 0 cannot be connected to")
    named = f"[{host}]" if ":" in host else host
    if port != _PORTS[parts.scheme]:
        named = f"{named}:{port}"
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    lines = f"POST {path} HTTP/1.1\r\nhost: {named}\r\naccept-encoding: identity\r\n"
    return Destination(Origin(tls=parts.scheme == "https", host=host, port=port), lines)


def _is_host(host: str) -> bool:
    """Whether a resolver can be asked for it: it raises its own errors on labels that it cannot encode."""
    if ":" in host:
        return True  # an address of IPv6, which urlsplit has checked
    labels = host.removesuffix(".").split(".")
    return len(host) <= 253 and all(0 < len(label) <= 63 for label in labels)


@lru_cache(maxsize=1024)
def begin_head(
    url: str, headers: tuple[tuple[str, str], ...], proxy: Proxy | None = None
) -> tuple[Origin, bytes]:
    """Whom to send to, and the head up to the length of the body: the same for every request of a deployment.

    What is missing is that number and the empty line. Raises ValueError, which may name a header but never
    its value.
    """
    destination = parse_url(url)
    lines = [destination.first_lines]
    for name, value in headers:
        _check_name(name)
        lines.append(f"{name}: {value}\r\n")
    text = "".join(lines)
    # One look at the whole: any line break beyond our own came in with a value.
    breaks = len(headers) + _LINES_BESIDE_HEADERS
    if text.count("\n") != breaks or text.count("\r") != breaks or "\0" in text or not text.isascii():
        raise ValueError(
            f"header `{_culprit(headers)}` holds a line break, a NUL or a character beyond ASCII"
        )
    return destination.origin._replace(proxy=proxy), text.encode("ascii") + b"content-length: "


@lru_cache(maxsize=256)
def _check_name(name: str) -> None:
    if not name or not _TOKEN.issuperset(name):
        raise ValueError("a header name may hold letters, digits and !#$%&'*+-.^_`|~ only")
    if name.lower() in _OURS:
        raise ValueError(f"header `{name}` is set by the transport")


def _culprit(headers: Sequence[tuple[str, str]]) -> str:
    for name, value in headers:
        if not value.isascii() or any(character in value for character in "\r\n\0"):
            return name
    return "?"
