"""Names, instants and draws for requests: the randomness and the clock that pure code is given."""

import hashlib
import os
import time
from base64 import b32hexencode
from datetime import UTC, datetime

_LAST_BELOW_ONE = 1 - 2**-53


def fresh_name() -> str:
    """26 characters, unique and sortable by the millisecond they were made in."""
    stamp = time.time_ns() // 1_000_000
    return b32hexencode(stamp.to_bytes(6, "big") + os.urandom(10))[:26].decode("ascii").lower()


def fresh_nonce() -> str:
    """32 random hexadecimal digits."""
    return os.urandom(16).hex()


def draw(tenant: str, subject: str) -> float:
    """A number in [0, 1) that is always the same for one subject (a session, else a decision) of a tenant."""
    digest = hashlib.sha256(f"{tenant}:{subject}".encode("utf-8", "surrogatepass")).digest()
    return min(int.from_bytes(digest[:8], "big") / 2**64, _LAST_BELOW_ONE)


class Clock:
    """Wall-clock instants as RFC 3339 text in UTC with microseconds. It remembers the running second."""

    def __init__(self) -> None:
        self._second = -1
        self._text = ""

    def now(self) -> str:
        return self.at(time.time_ns())

    def at(self, nanoseconds: int) -> str:
        second, rest = divmod(nanoseconds, 1_000_000_000)
        if second != self._second:
            self._text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._second = second
        return f"{self._text}.{rest // 1000:06d}Z"
