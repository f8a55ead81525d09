"""Events of a stream that differ from each other in one string: the next words.

Most of a model's stream is the same JSON over and over, but for the words in it. Once an event has been read
in full, another one that has the very same bytes before and behind its words can say nothing else: reading
those words as a JSON string reads it all. Whoever uses this has to prove the place first, see `Around`.
"""

from itertools import islice
from typing import Final

import msgspec

PROBE: Final = '\\"}],\u2028 no model says this'
"""Words that show, in place of the real ones, whether they are read where they are thought to stand."""

_encode: Final = msgspec.json.Encoder().encode
_decode_words: Final = msgspec.json.Decoder(str).decode


class Around:
    """The bytes around the words of an event, both quotation marks included.

    It is a guess until `probe`, read in full, says the PROBE and nothing else.
    """

    __slots__ = ("_before", "_behind", "_from", "_to")

    def __init__(self, before: bytes, behind: bytes) -> None:
        self._before = before
        self._behind = behind
        self._from = len(before) - 1
        self._to = len(behind) - 1

    def probe(self) -> bytes:
        """The event with the PROBE for its words."""
        return self._before[:-1] + _encode(PROBE) + self._behind[1:]

    def run(self, found: list[bytes], start: int) -> list[str]:
        """The words of the events from `start` on that are like the one before, up to one that is not.

        An event without words, or whose words are no JSON, is not.
        """
        before, behind, first, last = self._before, self._behind, self._from, self._to
        said: list[str] = []
        try:
            for data in islice(found, start, None):
                if not (data.startswith(before) and data.endswith(behind)):
                    break
                words = _decode_words(data[first : len(data) - last])
                if not words:
                    break
                said.append(words)
        except (msgspec.DecodeError, UnicodeDecodeError):
            pass  # whoever reads it in full says what is wrong with it
        return said


def around(data: bytes, words: str) -> Around | None:
    """Where these words of an event seem to stand in it; None where they are written in some other way."""
    written = _encode(words)
    place = data.find(written)
    if place < 0:
        return None
    return Around(data[: place + 1], data[place + len(written) - 1 :])
