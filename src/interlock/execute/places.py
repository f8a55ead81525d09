"""Addresses taken out of what a provider says of a failure: where it runs is no business of its callers.

Pure. Taken out are the host that was called, addresses by number, and names that only an inner network knows,
alone or in a URL. A page of a vendor's documentation stays: it is what helps.
"""

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

_GONE: Final = "…"
_INNER: Final = frozenset(
    {"cluster", "corp", "home", "internal", "intra", "intranet", "lan", "local", "localdomain", "localhost"}
    | {"private", "svc"}
)
"""Last labels of names that no public name has."""
_PORT: Final = r"(?::\d{1,5})?"
_URL: Final = re.compile(
    r"(?i)\b[a-z][a-z0-9+.-]{0,20}://[^\s'\"<>`()\[\]{},]*(?:\[[^\s\]]*\])?[^\s'\"<>`()\[\]{},]*"
)
_NAME: Final = re.compile(rf"(?i)(?<![\w.-])(?:[a-z0-9-]{{1,63}}\.)*[a-z][a-z0-9-]{{0,62}}{_PORT}(?![\w-])")
_V4: Final = re.compile(rf"(?<![\w.])(?:\d{{1,3}}\.){{3}}\d{{1,3}}{_PORT}(?!\.?\w)")
_V6: Final = re.compile(r"(?i)\[([0-9a-f:]{3,39})\](?::\d{1,5})?|(?<![\w:.])([0-9a-f:]{3,39})(?!\w)")


def without_places(text: str, url: str) -> str:
    """A report without the address `url` that was called, and without any other of an inner network."""
    own = _host(url)
    text = _URL.sub(lambda found: _without_url(found.group(), own), text)
    text = _V4.sub(_GONE, text)
    text = _V6.sub(_without_v6, text)
    return _NAME.sub(lambda found: _GONE if _is_inner(found.group(), own) else found.group(), text)


def _without_url(url: str, own: str) -> str:
    kept = url.rstrip(".;:!?")
    host = _host(kept)
    known = host and "." in host and host != own and not _is_number(host) and not _is_inner(host, own)
    return url if known else _GONE + url[len(kept) :]


def _host(url: str) -> str:
    """The host of a URL; empty for what has none."""
    try:
        return (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return ""


def _is_inner(name: str, own: str) -> bool:
    """Whether a name, with or without a port, is the host that was called or one of an inner network.

    A name of one word may be a word, so it counts only with a port, or where it is `localhost`.
    """
    host, _, port = name.lower().partition(":")
    if "." not in host:
        return host == "localhost" or (bool(port) and host == own)
    return host == own or host.rpartition(".")[2] in _INNER


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _without_v6(found: re.Match[str]) -> str:
    """Names in code (`a::b`) look like addresses of hexadecimal letters: one without a digit is kept."""
    text = found.group()
    bare = found.group(1) or text
    colon = ":" if bare.endswith(":") and not bare.endswith("::") else ""
    bare = bare.removesuffix(colon)
    return _GONE + colon if _is_number(bare) and any(map(str.isdigit, bare)) else text
