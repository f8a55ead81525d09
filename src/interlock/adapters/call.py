"""What an adapter is given beside the request, and what it gives to the transport."""

from typing import Final

from msgspec import Struct

from interlock import __version__

USER_AGENT: Final = f"interlock/{__version__}"


class Target(Struct, frozen=True, kw_only=True):
    """Where a request goes. `upstream_model` is the name that the vendor knows the model by."""

    upstream_model: str
    base_url: str
    api_key: str | None
    max_output_tokens: int | None

    def __repr__(self) -> str:
        return f"Target({self.upstream_model!r} at {self.base_url!r})"


class HttpCall(Struct, frozen=True):
    """One request over HTTP, always a POST. Header names are lower-case; the credential is among them."""

    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def __repr__(self) -> str:
        return f"HttpCall({self.url!r}, {len(self.headers)} headers, {len(self.body)} bytes)"
