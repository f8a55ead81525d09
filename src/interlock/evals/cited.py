"""Citations in an answer against a case's sources: what they point to, and the quotations beside them."""

from collections.abc import Container, Mapping
from typing import Final

import re2

from interlock.cited import marks_in

_QUOTE: Final = re2.compile(r"“([^”]{3,})”|\"([^\"\n]{3,})\"|«([^»]{3,})»")
_SENTENCE: Final = re2.compile(r"[.!?](?:\s*\[[^\]\n]{1,80}\])*(?:\s+|$)|\n+")
_MARKS: Final = str.maketrans("\u201c\u201d\u2019\u2018\u2013\u2014\xa0", "\"\"''-- ")


def markers(text: str, known: Container[str] = ()) -> tuple[str, ...]:
    """What a text cites, in order: numbers, names that are `known` (lower-case), and what looks like a name.

    A link behind a mark is not looked at.
    """
    return tuple(str(one.value) for one in marks_in(text, known) if one.kind != "url")


def check_citations(
    text: str, sources: Mapping[str, str], *, required: bool = True, quotes: bool = True
) -> str | None:
    """What is wrong with a text's citations, in a sentence; None: they are valid."""
    given = {name.lower(): source for name, source in sources.items()}
    found = markers(text, given)
    if not found:
        return "the answer cites nothing" if required else None
    dangling = next((name for name in found if name not in given), None)
    if dangling is not None:
        return f"[{dangling}] is not among the sources"
    if not quotes:
        return None
    for sentence in sentences(text):
        cited = [given[name] for name in markers(sentence, given)]
        if not cited:
            continue
        for groups in _QUOTE.findall(sentence):
            quote = next(part for part in groups if part)
            if not any(_plain(quote) in _plain(source) for source in cited):
                return f"what is quoted is not in the source: “{quote[:60]}”"
    return None


def sentences(text: str) -> list[str]:
    """A text's sentences, each with the markers that follow its full stop."""
    found, start = [], 0
    for match in _SENTENCE.finditer(text):
        found.append(text[start : match.end()])
        start = match.end()
    return [part for part in (*found, text[start:]) if part.strip()]


def _plain(text: str) -> str:
    return " ".join(text.translate(_MARKS).strip(" .,;:…").split()).casefold()
