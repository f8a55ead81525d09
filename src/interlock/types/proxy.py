"""An HTTP proxy that calls of an upstream go through, as a value."""

from base64 import b64encode
from typing import Final
from urllib.parse import urlsplit

from msgspec import Struct

_ABROAD: Final = ("https", "socks", "socks4", "socks4a", "socks5", "socks5h")


class Proxy(Struct, frozen=True, kw_only=True):
    """Whom to ask for a tunnel. `authorization` is what it is shown: a secret, and no part of the `repr`."""

    host: str
    port: int
    authorization: str | None = None

    def __repr__(self) -> str:
        return f"Proxy({self.host!r}, {self.port})"


def parse_proxy(url: str, credentials: str | None = None) -> Proxy:
    """The proxy at `http://HOST:PORT`, with `USER:PASSWORD` where it wants them, as they are.

    Raises ValueError with a reason that quotes neither: what stands in the wrong place may be a secret.
    """
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url or "@" in url:
        raise ValueError("is not the address of a proxy")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is not the address of a proxy") from None
    if parts.scheme in _ABROAD and host:
        raise ValueError(f"is a proxy of the kind `{parts.scheme}`; only `http` ones are spoken to")
    if parts.scheme != "http" or not host:
        raise ValueError("is not the address of a proxy")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("has a path, a query or a fragment")
    if not port:
        raise ValueError("names no port")
    return Proxy(host=host, port=port, authorization=_basic(credentials))


def _basic(credentials: str | None) -> str | None:
    """The value of the header (RFC 7617), in UTF-8."""
    if credentials is None:
        return None
    user, _, password = credentials.partition(":")
    if not user:
        raise ValueError("has credentials without a user")
    if any(char < " " or char in "\x7f\ufffd" or "\ud800" <= char <= "\udfff" for char in credentials):
        raise ValueError("has a control character in its credentials, or one that is not UTF-8")
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()
