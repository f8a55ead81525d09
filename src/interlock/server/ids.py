"""Names, instants and draws for requests: the randomness and the clock that pure code is given."""

import hashlib
import os
import struct
import time
from datetime import UTC, datetime
from typing import Final

_SECOND = 1_000_000_000
_TWO = tuple(f"{number:02d}" for number in range(100))
_THREE = tuple(f"{number:03d}" for number in range(1000))
"""Three digits each: looked up they cost a third of what it takes to write them."""
_first_64_bits = struct.Struct(">Q").unpack_from
_BEGUN = hashlib.sha256()
_LAST_BELOW_ONE = 1 - 2**-53


class Entropy:
    """Random hexadecimal digits for `size` bytes at a time, that nobody was given before.

    The kernel's random bytes are fetched by the page, as each fetch gives up the interpreter's lock for a
    while, and cut at once. Filled in the process that uses it: a copy in a forked child would repeat what its
    parent gives out.
    """

    PAGE = 4096

    def __init__(self, size: int) -> None:
        self._size = size
        self._ready: list[str] = []

    def take(self) -> str:
        ready = self._ready
        if not ready:
            page, digits = os.urandom(self.PAGE).hex(), 2 * self._size
            ready.extend(page[at : at + digits] for at in range(0, len(page) - digits + 1, digits))
        return ready.pop()


_ends: Final = Entropy(7)
_nonces: Final = Entropy(16)


def fresh_name() -> str:
    """26 hexadecimal digits: the millisecond they were made in, then 56 random bits. They sort by time."""
    return (time.time_ns() // 1_000_000).to_bytes(6, "big").hex() + _ends.take()


def fresh_nonce() -> str:
    """32 random hexadecimal digits."""
    return _nonces.take()


def draw(tenant: str, subject: str) -> float:
    """A number in [0, 1) that is always the same for one subject (a session, else a decision) of a tenant."""
    digest = _BEGUN.copy()
    digest.update(f"{tenant}:{subject}".encode("utf-8", "surrogatepass"))
    number: int = _first_64_bits(digest.digest())[0]
    share = number * 2.0**-64
    return share if share < 1.0 else _LAST_BELOW_ONE


class Clock:
    """Wall-clock instants as RFC 3339 text in UTC with microseconds. It remembers the running second."""

    def __init__(self) -> None:
        self._began = 0
        self._text = ""

    def now(self) -> str:
        return self.at(time.time_ns())

    def at(self, nanoseconds: int) -> str:
        rest = nanoseconds - self._began
        if not 0 <= rest < _SECOND or not self._text:
            second, rest = divmod(nanoseconds, _SECOND)
            self._text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
            self._began = nanoseconds - rest
        return f"{self._text}{_THREE[rest // 1_000_000]}{_THREE[rest // 1000 % 1000]}Z"


def dollars(usd: float) -> str:
    """An amount to eight decimals: what `format(usd, ".8f")` gives, mostly for a third of its price.

    The product is off by less than 2**-26, so it rounds to the same number unless it is close to a half.
    """
    scaled = usd * 1e8
    if not 0 < scaled < 99_999_999:
        return f"{usd:.8f}"
    whole = int(scaled + 0.5)
    if not -0.49 < scaled - whole < 0.49:
        return f"{usd:.8f}"
    return f"0.{_TWO[whole // 1_000_000]}{_THREE[whole // 1000 % 1000]}{_THREE[whole % 1000]}"
