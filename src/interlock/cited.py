"""Citations in a text: one reader of marks, for what is checked on its way and for what evals grade.

A citation is a number in square brackets (`[1]`, `[1, 3]`, `[2-4]`, `[^1]`, `【1】`) or the name of a source
(`[kb]`, `[Handbook.pdf]`), with a word such as `source` before it if need be; a link right behind it
(`[1](https://…)`) is cited too. What looks like the name of a source and is none that is known (`[kb-9]`) is
a label: it may be one that was made up. Anything else in brackets, and everything in code, cites nothing.
"""

from collections.abc import Container, Iterator
from typing import Any, Final, Literal

import re2
from msgspec import Struct

Kind = Literal["number", "name", "label", "url", "document", "search_result"]

_CODE: Final = re2.compile(r"(?s)```.*?```|`[^`\n]*`")
_MARK: Final = re2.compile(r"\[\^?([^\[\]\n]{1,120})\](?:\((https?://[^()\s]*)\))?|【([^【】\n]{1,120})】")
_SPLIT: Final = re2.compile(r"\s*[,;]\s*")
_RANGE: Final = re2.compile(r"^(\d{1,3})(?:\s*[-\x{2013}]\s*(\d{1,3}))?$")
_LABEL: Final = re2.compile(r"^[A-Za-z0-9_.:-]{1,64}$")
_WORD: Final = re2.compile(r"(?i)^(?:sources?|docs?|documents?|refs?|references?|passages?)\s*:?\s+")


class Cited(Struct, frozen=True):
    """One citation: `value` counts from 1 for numbers, documents and search results."""

    kind: Kind
    value: int | str


def marks_in(text: str, names: Container[str]) -> Iterator[Cited]:
    """The marks in a text, in order. `names` are those that sources have, lower-case."""
    for match in _MARK.finditer(_CODE.sub(" ", text)):
        inner, url, wide = match.groups()
        found = _marks(inner if inner is not None else wide.partition("†")[0], names)
        yield from found
        if found and url:
            yield Cited("url", url)


def marks_in_json(value: Any, names: Container[str]) -> Iterator[Cited]:
    """The marks in a structured answer: those in its strings, and strings that are a source's name."""
    if isinstance(value, str):
        whole = value.strip().lower()
        if whole in names:
            yield Cited("name", whole)
        else:
            yield from marks_in(value, names)
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from marks_in_json(item, names)


def _marks(inner: str, names: Container[str]) -> list[Cited]:
    """What stands in one pair of brackets: nothing, unless each part of it cites."""
    label = _WORD.sub("", inner.strip())
    if label.lower() in names:
        return [Cited("name", label.lower())]
    found: list[Cited] = []
    for part in _SPLIT.split(label):
        cited = _mark(part, names)
        if not cited:
            return []
        found += cited
    return found


def _mark(part: str, names: Container[str]) -> list[Cited]:
    if part.lower() in names:
        return [Cited("name", part.lower())]
    match = _RANGE.match(part)
    if match is not None:
        low = int(match[1])
        high = int(match[2] or low)
        # `[0, 1]` is no citation, nor is `[4-2]`.
        return [Cited("number", number) for number in range(low, high + 1)] if 0 < low <= high else []
    named = _LABEL.match(part) and any(map(str.isdigit, part)) and any(map(str.isalpha, part))
    return [Cited("label", part)] if named else []
