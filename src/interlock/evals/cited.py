"""Citations in a text: the markers `[1]`, what they point to, and the quotations beside them."""

from collections.abc import Container, Mapping
from typing import Final

import re2

_MARKER: Final = re2.compile(
    r"\[\^?([A-Za-z0-9][A-Za-z0-9_.:-]{0,63}(?:\s*[,;]\s*[A-Za-z0-9][A-Za-z0-9_.:-]{0,63})*)\](\()?"
)
_CODE: Final = re2.compile(r"(?s)```.*?```|`[^`\n]*`")
_SPLIT: Final = re2.compile(r"\s*[,;]\s*")
_QUOTE: Final = re2.compile(r"“([^”]{3,})”|\"([^\"\n]{3,})\"|«([^»]{3,})»")
_SENTENCE: Final = re2.compile(r"[.!?](?:\s*\[[^\]\n]{1,80}\])*(?:\s+|$)|\n+")
_MARKS: Final = str.maketrans("\u201c\u201d\u2019\u2018\u2013\u2014\xa0", "\"\"''-- ")


def markers(text: str, known: Container[str] = ()) -> tuple[str, ...]:
    """The markers in order: `[1]`, `[^2]`, `[kb-7]`, and each of `[1, 2]`.

    A word without a digit (`[sic]`) is one only if a source is `known` by it. A link `[text](…)` is none,
    nor is what stands in code.
    """
    found = (
        name
        for names, link in _MARKER.findall(_CODE.sub(" ", text))
        if not link
        for name in _SPLIT.split(names)
    )
    return tuple(name for name in found if name in known or any(map(str.isdigit, name)))


def check_citations(
    text: str, sources: Mapping[str, str], *, required: bool = True, quotes: bool = True
) -> str | None:
    """What is wrong with a text's citations, in a sentence; None: they are valid."""
    found = markers(text, sources)
    if not found:
        return "the answer cites nothing" if required else None
    dangling = next((name for name in found if name not in sources), None)
    if dangling is not None:
        return f"[{dangling}] is not among the sources"
    if not quotes:
        return None
    for sentence in sentences(text):
        cited = [sources[name] for name in markers(sentence, sources)]
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
