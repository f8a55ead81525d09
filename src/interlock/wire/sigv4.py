"""AWS Signature Version 4, for requests whose body is sent whole. Pure: the instant comes as an argument.

The algorithm is the one of AWS's own documentation ("Create a signed AWS API request"): a canonical form of
the request is hashed, and the hash signed with a key that is good for one day, region and service. The secret
itself is never sent: what travels is the key's id, its session's token if there is one, and the signature.
"""

import hashlib
import hmac
from collections.abc import Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import quote, urlsplit

import re2
from msgspec import Struct

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_UNRESERVED: Final = "-_.~"
_PORTS: Final = {"http": 80, "https": 443}
_REGION: Final = re2.compile(r"(?:[a-z]{2,3})(?:-[a-z]+)+-[0-9]{1,2}")
_TEMPORARY: Final = "ASIA"
"""How the ids of temporary access keys begin, which are nothing without a session's token."""

Header = tuple[str, str]


class Credentials(Struct, frozen=True):
    """An access key, with the token of its session if it is a temporary one."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None

    def __repr__(self) -> str:
        return "Credentials(…)"

    @property
    def lacks_token(self) -> bool:
        return self.session_token is None and self.access_key_id.startswith(_TEMPORARY)


def parse_credentials(key: str) -> Credentials | None:
    """The credentials in `ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]`; None for any other text."""
    pieces = key.split(":")
    return Credentials(*pieces) if len(pieces) in (2, 3) and all(pieces) else None


def region_of(base_url: str, regions: Sequence[str]) -> str | None:
    """The AWS region to sign for: the one in the host's name, else the only one among `regions`."""
    host = urlsplit(base_url).hostname or ""
    if host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws")):
        named = [label for label in host.split(".") if _REGION.fullmatch(label)]
        if named:
            return named[-1]
    known = [region for region in regions if _REGION.fullmatch(region)]
    return known[0] if len(known) == 1 else None


def sign(
    url: str,
    headers: Sequence[Header],
    body: bytes,
    *,
    credentials: Credentials,
    region: str,
    service: str,
    at: str,
) -> tuple[Header, ...]:
    """The headers of a POST with its date, its token and its signature added.

    `url` is as it goes on the wire, already percent-encoded. `at` is RFC 3339 in UTC; AWS takes a signature
    for some minutes around it. `content-type`, `host` and what begins with `x-amz-` are signed. The canonical
    path is encoded once more, as every service but S3 asks.
    """
    stamp = at[:19].replace("-", "").replace(":", "") + "Z"
    parts = urlsplit(url)
    added: list[Header] = [("x-amz-date", stamp)]
    if credentials.session_token is not None:
        added.append(("x-amz-security-token", credentials.session_token))
    signed = {
        name: " ".join(value.split())
        for name, value in (*headers, *added)
        if name == "content-type" or name.startswith("x-amz-")
    }
    signed["host"] = _host(url)
    names = ";".join(sorted(signed))
    canonical = "\n".join(
        (
            "POST",
            quote(parts.path or "/", safe="/" + _UNRESERVED),
            "&".join(sorted(parts.query.split("&"))),
            *(f"{name}:{signed[name]}" for name in sorted(signed)),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        )
    )
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    text = "\n".join((_ALGORITHM, stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = _signing_key(credentials.secret_access_key, stamp[:8], region, service)
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    who = f"Credential={credentials.access_key_id}/{scope}"
    return (
        *headers,
        *added,
        ("authorization", f"{_ALGORITHM} {who}, SignedHeaders={names}, Signature={signature}"),
    )


@lru_cache(maxsize=256)
def _host(url: str) -> str:
    """The `host` header that goes with a URL, as HTTP clients write it: a default port is left out."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    named = f"[{host}]" if ":" in host else host
    default = parts.port is None or parts.port == _PORTS.get(parts.scheme)
    return named if default else f"{named}:{parts.port}"


@lru_cache(maxsize=64)
def _signing_key(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for word in (day, region, service, "aws4_request"):
        key = hmac.new(key, word.encode(), hashlib.sha256).digest()
    return key
