"""The pieces in which an answer is streamed, and vectors: what wires share of what they say."""

from typing import Any, Final

_PART: Final = 12
"""Characters in a piece of a call's arguments."""


def words(text: str) -> list[str]:
    """Words, each with the space before it: what a model streams."""
    found = text.split(" ")
    return [word if place == 0 else f" {word}" for place, word in enumerate(found)] if text else []


def parts(text: str) -> list[str]:
    """Arguments of a call in the pieces that they are streamed in."""
    return [text[start : start + _PART] for start in range(0, len(text), _PART)]


def in_turns(rows: list[list[Any]], *, interleaved: bool) -> list[Any]:
    """All items of some rows: row by row, or the first of each, then the second of each."""
    if not interleaved:
        return [item for row in rows for item in row]
    longest = max(map(len, rows), default=0)
    return [row[place] for place in range(longest) for row in rows if place < len(row)]


def vector(text: str, dimensions: int) -> list[float]:
    """A vector of length 1 with its weight where the text's bytes put it: the same for the same text."""
    raw = [1.0] * dimensions
    for place, byte in enumerate(text.encode()):
        raw[(place * 31 + byte) % dimensions] += byte / 16
    length = sum(value * value for value in raw) ** 0.5
    return [round(value / length, 6) for value in raw]
