"""Names, instants and draws for requests: the randomness and the clock that pure code is given."""

import hashlib
import os
import time
from datetime import UTC, datetime

_SECOND = 1_000_000_000
_THREE = tuple(f"{number:03d}" for number in range(1000))
"""Three digits each: looked up they cost a third of what it takes to write them."""
_LAST_BELOW_ONE = 1 - 2**-53


class Entropy:
    """The kernel's random bytes, fetched by the page: each fetch gives up the interpreter's lock for a while.

    Made in the process that uses it; a copy in a forked child would repeat what its parent gives out.
    """

    PAGE = 4096

    def __init__(self) -> None:
        self._page = b""
        self._used = 0

    def take(self, count: int) -> bytes:
        """`count` random bytes that nobody was given before; at most a page."""
        end = self._used + count
        if end > len(self._page):
            self._page, self._used, end = os.urandom(self.PAGE), 0, count
        taken = self._page[self._used : end]
        self._used = end
        return taken


_entropy = Entropy()


def fresh_name() -> str:
    """26 hexadecimal digits: the millisecond they were made in, then 56 random bits. They sort by time."""
    return ((time.time_ns() // 1_000_000).to_bytes(6, "big") + _entropy.take(7)).hex()


def fresh_nonce() -> str:
    """32 random hexadecimal digits."""
    return _entropy.take(16).hex()


def draw(tenant: str, subject: str) -> float:
    """A number in [0, 1) that is always the same for one subject (a session, else a decision) of a tenant."""
    digest = hashlib.sha256(f"{tenant}:{subject}".encode("utf-8", "surrogatepass")).digest()
    return min(int.from_bytes(digest[:8], "big") / 2**64, _LAST_BELOW_ONE)


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
