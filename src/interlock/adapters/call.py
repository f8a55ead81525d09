"""What an adapter is given beside the request, and what it gives to the transport."""

from collections.abc import Callable
from typing import Final

from msgspec import Struct

from interlock import __version__
from interlock.types.quirks import KeyHeader, Quirks

USER_AGENT: Final = f"interlock/{__version__}"


class Target(Struct, frozen=True, kw_only=True):
    """Where a request goes. `upstream_model` is the name that the vendor knows the model by.

    `regions` are those of the deployment, as the config has them. `auth` is how the key is sent, where not
    in the usual way of the wire format.
    """

    upstream_model: str
    base_url: str
    api_key: str | None
    max_output_tokens: int | None
    regions: tuple[str, ...] = ()
    auth: KeyHeader | None = None
    api_version: str | None = None
    quirks: Quirks = Quirks()

    def __repr__(self) -> str:
        return f"Target({self.upstream_model!r} at {self.base_url!r})"


class HttpCall(Struct, frozen=True):
    """One request over HTTP, always a POST. Header names are lower-case; the credential is among them.

    A vendor whose credential is a signature over the request and the instant of its sending has `sign`
    instead: it gives the same call with the signature in it. Whoever sends it knows the instant.

    `left_out` names the fields of the caller's request that are not in it, though it may be answered.
    """

    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    sign: "Callable[[HttpCall, str], HttpCall] | None" = None
    left_out: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"HttpCall({self.url!r}, {len(self.headers)} headers, {len(self.body)} bytes)"


def signed(call: HttpCall, at: str) -> HttpCall:
    """The call as it may be sent at an instant (RFC 3339, UTC), and some minutes after it."""
    return call if call.sign is None else call.sign(call, at)
