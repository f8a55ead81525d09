"""What is known of a text that comes again: a system prompt, a document, earlier turns of a conversation.

An agent sends its whole history with every step, so most of what is to be read has been read before. A text
is held by its digest, never by its words, and apart for each tenant: else the time that an answer takes would
tell one tenant what another has sent.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Final, TypeVar

from msgspec import Struct

T = TypeVar("T")

LEAST: Final = 40
"""Characters; to read a shorter text, as ids and names of tools are, costs no more than to name it."""
NAMELESS: Final = b""
MOST: Final = 16_384
"""Texts, in each of two generations: some megabytes."""

Owner = Any
"""Whose texts are read, as a digest that has begun with that name. It is only copied."""
Kinds = tuple[tuple[str, int], ...]
"""What stands in one text: kinds, and how many of each."""


class Known(Struct, gc=False):
    """What has been found out about a text, for one tenant and one way of counting. Mutable.

    None is what nobody has asked yet; whoever asks puts the answer here. Threads may share it: at worst
    something is found out twice. A text that is too short to be remembered is NAMELESS.
    """

    name: bytes
    tokens: int | None = None
    kinds: Kinds | None = None
    asks_for_depth: bool | None = None


class Seen(dict[bytes, T | None]):
    """What is known, by name; None of what is not. Mutable and bounded: who is not asked for is forgotten.

    Two generations take the place of an order of use: when the young one is full, it becomes the old one.
    Threads may share it; at worst a text is read twice.
    """

    __slots__ = ("_most", "_old")

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._old: dict[bytes, T | None] = {}

    @property
    def count(self) -> int:
        """How many are known, of both generations."""
        return len(self) + len(self._old)

    def __missing__(self, name: bytes) -> T | None:
        found = self._old.get(name)
        if found is not None:
            self.put(name, found)
        return found

    def put(self, name: bytes, found: T) -> None:
        if len(self) >= self._most:
            self._old = dict(self)
            self.clear()
        self[name] = found


_TEXTS: Final = Seen[Known]()


def owner(whose: str) -> Owner:
    """The owner of that name, whose texts are told from everybody else's."""
    return sha256(f"{len(whose)}:{whose}".encode("utf-8", "surrogatepass"))


def recall(owner: Owner, texts: Iterable[str]) -> list[Known]:
    """What is known of each of an owner's texts; nothing yet of one that is new."""
    found: list[Known] = []
    for text in texts:
        if len(text) < LEAST:
            found.append(Known(NAMELESS))
            continue
        digest = owner.copy()  # a third of what it costs to begin one
        digest.update(text.encode("utf-8", "surrogatepass"))
        name = digest.digest()
        known = _TEXTS[name]
        if known is None:
            known = Known(name)
            _TEXTS.put(name, known)
        found.append(known)
    return found


class Reading(Struct, gc=False):
    """The texts of one request, each looked up once. Mutable.

    `bare` are those of its messages, where each message is one text and nothing else, and `known` what is
    known of them, in the same order; else `bare` is None. `beside` are the texts that stand beside such
    messages. What is known is shared by all readings of one owner's texts.
    """

    owner: Owner
    bare: list[str] | None
    beside: list[str]
    known: list[Known]
    met: dict[str, Known] | None = None

    def of(self, text: str) -> Known:
        """What is known of any text of the request."""
        if len(text) < LEAST:
            return Known(NAMELESS)
        if self.met is None:
            self.met = {}
        found = self.met.get(text)
        if found is None:
            found = self.met[text] = recall(self.owner, (text,))[0]
        return found
