"""What is known of a text that comes again: a system prompt, a document, earlier turns of a conversation.

An agent sends its whole history with every step, so most of what is to be read has been read before. A text
is held by its digest, never by its words, and apart for each tenant: else the time that an answer takes would
tell one tenant what another has sent.
"""

from hashlib import sha256
from typing import Final, Generic, TypeVar

T = TypeVar("T")

LEAST: Final = 256
"""Characters; to read a shorter text costs no more than to know it."""
MOST: Final = 8192
"""Texts, in each of two generations: some megabytes."""
NAMELESS: Final = b""


def name_of(whose: str, text: str) -> bytes:
    """The name that a tenant's text goes by; NAMELESS where it is too short to be remembered."""
    if len(text) < LEAST:
        return NAMELESS
    return sha256(f"{len(whose)}:{whose}{text}".encode("utf-8", "surrogatepass")).digest()


class Seen(Generic[T]):
    """What was found in texts, by name. Mutable and bounded: who is not asked for is forgotten.

    Two generations take the place of an order of use: when the young one is full, it becomes the old one.
    Threads may share it; at worst a text is read twice.
    """

    __slots__ = ("_most", "_old", "_young")

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._young: dict[bytes, T] = {}
        self._old: dict[bytes, T] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, name: bytes) -> T | None:
        """What is known of a text; None: nothing."""
        found = self._young.get(name)
        if found is None and (found := self._old.get(name)) is not None:
            self.put(name, found)
        return found

    def put(self, name: bytes, found: T) -> None:
        """Remember what a text holds, unless it is nameless."""
        if not name:
            return
        if len(self._young) >= self._most:
            self._old, self._young = self._young, {}
        self._young[name] = found
