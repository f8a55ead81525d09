"""Events of a stream that differ from each other in one string: the next words.

Most of a model's stream is the same JSON over and over, but for the words in it. Once an event has been read
in full, another one that has the very same bytes before and behind its words can say nothing else: reading
those words as a JSON string reads it all. Whoever uses this has to prove the place first, see `Around`.

OpenAI pads its events to hide the length of their words: `obfuscation`, behind them, is another string each
time. It says nothing, so it may be any that a JSON string can hold as it stands.
"""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

import msgspec

PROBE: Final = '\\"}],\u2028 no model says this'
"""Words that show, in place of the real ones, whether they are read where they are thought to stand."""
_PADDED: Final = b'"obfuscation":"'

_encode: Final = msgspec.json.Encoder().encode
_decode_words: Final = msgspec.json.Decoder(str).decode


class Around:
    """The bytes around the words of an event, both quotation marks included.

    `behind` ends where a padding begins, and `end` is what follows that; empty: there is none. It is a guess
    until `probe`, read in full, says the PROBE and nothing else.
    """

    __slots__ = ("_before", "_behind", "_end")

    def __init__(self, before: bytes, behind: bytes, end: bytes = b"") -> None:
        self._before = before
        self._behind = behind
        self._end = end

    def probe(self) -> bytes:
        """The event with the PROBE for its words."""
        return self._before[:-1] + _encode(PROBE) + self._behind[1:] + self._end

    def run(self, found: list[bytes], start: int) -> list[str]:
        """The words of the events from `start` on that are like the one before, up to one that is not.

        An event without words, or whose words are no JSON, is not.
        """
        said: list[str] = []
        try:
            (self._read_padded if self._end else self._read)(islice(found, start, None), said.append)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return said  # whoever reads the next in full says what is wrong with it
        return said

    def _read(self, found: Iterable[bytes], say: Callable[[str], None]) -> None:
        before, behind = self._before, self._behind
        first, last = len(before) - 1, len(behind) - 1
        for data in found:
            if not (data.startswith(before) and data.endswith(behind)):
                return
            words = _decode_words(data[first : len(data) - last])
            if not words:
                return
            say(words)

    def _read_padded(self, found: Iterable[bytes], say: Callable[[str], None]) -> None:
        before, behind, end = self._before, self._behind, self._end
        first, more, last = len(before) - 1, len(behind), len(end)
        for data in found:
            # No JSON string can hold what is behind one: its quotation marks would be written otherwise.
            place = data.find(behind, first)
            if place < 0 or not (data.startswith(before) and data.endswith(end)):
                return
            padding, room = data[place + more : -last], len(data) - place - more - last
            words = _decode_words(data[first : place + 1])
            if not words or room < 0 or (room and not padding.isalnum()):
                return
            say(words)


def around(data: bytes, words: str) -> Around | None:
    """Where these words of an event seem to stand in it; None where they are written in some other way."""
    written = _encode(words)
    place = data.find(written)
    if place < 0:
        return None
    before, behind = data[: place + 1], data[place + len(written) - 1 :]
    sense, padded, rest = behind.partition(_PADDED)
    padding, mark, end = rest.partition(b'"')
    if padded and mark and (not padding or padding.isalnum()):
        return Around(before, sense + padded, mark + end)
    return Around(before, behind)
