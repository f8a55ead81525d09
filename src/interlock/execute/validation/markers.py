"""The citations in an answer: marks in its text, and the forms that vendors have for them.

In text a citation is a number in square brackets (`[1]`, `[1, 3]`, `[2-4]`, `[^1]`, `【1】`) or the name of a
source (`[kb]`, `[Handbook.pdf]`), with a word such as `source` before it if need be, and a link right behind
it (`[1](https://…)`) must be the source's. Anything else in brackets, and everything in code, cites nothing.
"""

from collections.abc import Container, Iterable, Iterator
from typing import Any, Final, Literal

import re2
from msgspec import Struct

from interlock.types.request import Extra

Kind = Literal["number", "name", "url", "document", "search_result"]

_CODE: Final = re2.compile(r"(?s)```.*?```|`[^`\n]*`")
_MARK: Final = re2.compile(r"\[\^?([^\[\]\n]{1,120})\](?:\((https?://[^()\s]*)\))?|【([^【】\n]{1,120})】")
_NUMBERS: Final = re2.compile(r"^\d{1,3}(?:\s*[-\x{2013},;]\s*\d{1,3})*$")
_RANGE: Final = re2.compile(r"(\d+)(?:\s*[-\x{2013}]\s*(\d+))?")
_SPLIT: Final = re2.compile(r"\s*[,;]\s*")
_WORD: Final = re2.compile(r"(?i)^(?:sources?|docs?|documents?|refs?|references?|passages?)\s*:?\s+")


class Cited(Struct, frozen=True):
    """One citation: `value` counts from 1 for numbers, documents and search results."""

    kind: Kind
    value: int | str


def marks_in(text: str, names: Container[str]) -> Iterator[Cited]:
    """The marks in a text, in order. `names` are those that sources have, lower-case."""
    for match in _MARK.finditer(_CODE.sub(" ", text)):
        inner, url, wide = match.groups()
        found = list(_marks(inner if inner is not None else wide.partition("†")[0], names))
        yield from found
        if found and url:
            yield Cited("url", url)


def _marks(label: str, names: Container[str]) -> Iterator[Cited]:
    label = _WORD.sub("", label.strip())
    if _NUMBERS.match(label):
        numbers = [(int(low), int(high or low)) for low, high in _RANGE.findall(label)]
        if all(0 < low <= high for low, high in numbers):  # `[0, 1]` is no citation
            for low, high in numbers:
                yield from (Cited("number", number) for number in range(low, high + 1))
        return
    if label.lower() in names:
        yield Cited("name", label.lower())
        return
    several = [name.lower() for name in _SPLIT.split(label)]
    if all(name in names for name in several):
        yield from (Cited("name", name) for name in several)


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


def native(extras: Iterable[Extra]) -> Iterator[Cited]:
    """The citations in vendors' own fields, of whole answers and of streams.

    Anthropic: `citations` of a text block, `citations_delta` in a stream. OpenAI and those that follow
    it: `annotations` of kind `url_citation` or `file_citation`, flat or nested, and one by one in a stream.
    """
    for own in (own for extra in extras for own in extra.values() if isinstance(own, dict)):
        for citation in (*_listed(own.get("citations")), own.get("citation")):
            if isinstance(citation, dict):
                yield from _of_anthropic(citation)
        for fields in (own, own.get("message"), own.get("delta"), own.get("part")):
            if isinstance(fields, dict):
                for annotation in _listed(fields.get("annotations")):
                    yield from _of_openai(annotation)
        yield from _of_openai(own.get("annotation"))


def listed_by_provider(extras: Iterable[Extra]) -> list[Any]:
    """What the provider says that its own search found (Perplexity), in the order of its numbers."""
    found: list[Any] = []
    for extra in extras:
        own = extra.get("openai-chat")
        top = own.get("top", {}) if isinstance(own, dict) else {}
        found = _listed(top.get("citations")) or _listed(top.get("search_results")) or found
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _of_anthropic(citation: dict[str, Any]) -> Iterator[Cited]:
    document, result = citation.get("document_index"), citation.get("search_result_index")
    if type(document) is int:
        yield Cited("document", document + 1)
    elif type(result) is int:
        yield Cited("search_result", result + 1)
    elif isinstance(citation.get("url"), str):
        yield Cited("url", citation["url"])


def _of_openai(annotation: Any) -> Iterator[Cited]:
    if not isinstance(annotation, dict):
        return
    inner = annotation.get(str(annotation.get("type")), annotation)
    fields = inner if isinstance(inner, dict) else {}
    if isinstance(fields.get("url"), str):
        yield Cited("url", fields["url"])
    else:
        name = fields.get("filename") or fields.get("file_id")
        if isinstance(name, str):
            yield Cited("name", name.lower())
