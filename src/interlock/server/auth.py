"""Who is calling. An identity only ever comes out of a check that succeeded.

Keys are held as HMAC-SHA256 digests under a secret of the store and looked up by digest, so that
no comparison of secrets can stop early. What a caller may do is said by the route table.
"""

import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Final

import re2
from msgspec import Struct

from interlock.config.checked import Config, Secrets
from interlock.errors import ApiError
from interlock.types.labels import Role
from interlock.types.signals import Caller

ROLES: Final[tuple[Role, ...]] = ("user", "approver", "operator", "admin")
"""From the least to the most; each may do what those before it may."""

_LOCAL_HOST: Final = re2.compile(
    r"(?i:localhost|127\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}|\[::1\])(:[0-9]{1,5})?"
)
"""A `Host` header that can only mean this machine, and nothing that two parsers read differently."""

_LOCAL: Final = Caller(role="admin")
_REFUSAL: Final = "the key is missing, unknown or expired"
_HINT: Final = "send one key as `Authorization: Bearer KEY` or as `x-api-key: KEY`"


class KnownKey(Struct, frozen=True):
    caller: Caller
    expires_s: float | None


class KeyTable(Struct, frozen=True, kw_only=True):
    """The callers' keys by digest. `open`: the config has no keys, and whoever reaches loopback may call.

    `seen` remembers, by the SHA-256 of a whole credential, those that were found: an HMAC costs four times
    as much. It goes with the table, so a key that is taken out of the config is gone from here too.
    """

    secret: bytes
    keys: dict[bytes, KnownKey]
    open: bool
    seen: dict[bytes, KnownKey] = {}

    def __repr__(self) -> str:
        return f"KeyTable({len(self.keys)} keys)"

    def find(self, credential: bytes) -> KnownKey | None:
        """The key that a credential is."""
        name = sha256(credential).digest()
        known = self.seen.get(name)
        if known is None:
            known = self.keys.get(_digest(self.secret, credential))
            if known is not None:
                self.seen[name] = known
        return known


def key_table(config: Config, secrets: Secrets, secret: bytes) -> KeyTable:
    """The digests of all configured keys under the store's secret."""
    found: dict[bytes, KnownKey] = {}
    for key in config.keys:
        text = secrets.caller_keys.get(key.caller.key or "")
        if text:
            expires = datetime.fromisoformat(key.expires).timestamp() if key.expires is not None else None
            found[_digest(secret, text.encode("utf-8"))] = KnownKey(key.caller, expires)
    return KeyTable(secret=secret, keys=found, open=not config.keys)


def refuse_doubled(names: Iterable[str]) -> None:
    """Headers that decide something may not come twice with different values.

    Raises ApiError: unauthenticated for two credentials that differ, invalid_request for other
    headers that we interpret.
    """
    for name in names:
        if name in ("authorization", "x-api-key"):
            raise ApiError("unauthenticated", _REFUSAL, hint=_HINT)
        if name in ("host", "origin", "content-type") or name.startswith("x-interlock-"):
            raise ApiError("invalid_request", f"the header `{name}` comes twice with different values")


def authenticate(headers: Mapping[str, str], table: KeyTable, now_s: float) -> Caller:
    """The caller that the request's key belongs to. Raises ApiError: unauthenticated, policy_denied."""
    if table.open:
        _check_local(headers)
        return _LOCAL
    known = table.find(_credential(headers))
    if known is None or (known.expires_s is not None and now_s >= known.expires_s):
        raise ApiError("unauthenticated", _REFUSAL, hint=_HINT)
    return known.caller


def valid_until(headers: Mapping[str, str], table: KeyTable) -> float | None:
    """When the key of a request that `authenticate` has let in ends, in seconds of the epoch; None: never."""
    known = None if table.open else table.find(_credential(headers))
    return known.expires_s if known is not None else None


def may(caller: Caller, role: Role) -> bool:
    """Whether a caller's role includes `role`."""
    return ROLES.index(caller.role) >= ROLES.index(role)


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be this machine."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _credential(headers: Mapping[str, str]) -> bytes:
    bearer, key = headers.get("authorization"), headers.get("x-api-key")
    if key is None and bearer is not None and bearer.startswith("Bearer "):
        return bearer[7:].strip().encode("latin-1")
    found: set[str] = set()
    if bearer is not None:
        scheme, _, token = bearer.partition(" ")
        if scheme.lower() != "bearer":
            raise ApiError("unauthenticated", _REFUSAL, hint=_HINT)
        found.add(token.strip())
    if key is not None:
        found.add(key.strip())
    if len(found) != 1:
        raise ApiError("unauthenticated", _REFUSAL, hint=_HINT)
    return found.pop().encode("latin-1")


def _digest(secret: bytes, key: bytes) -> bytes:
    return hmac.digest(secret, key, "sha256")


def _check_local(headers: Mapping[str, str]) -> None:
    """Without keys a web page must not be able to call: neither across origins nor by a rebound name."""
    host = headers.get("host", "")
    if not _LOCAL_HOST.fullmatch(host):
        raise ApiError(
            "policy_denied",
            "without keys only requests to a loopback host are served",
            hint="configure `keys`, or call http://127.0.0.1",
        )
    origin = headers.get("origin")
    across = headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
    if across or (origin is not None and origin != f"http://{host}"):
        raise ApiError(
            "policy_denied",
            "without keys requests of foreign origins are refused",
            hint="configure `keys`",
        )
