"""The citations in vendors' own fields of an answer. Those in its text: `interlock.cited`."""

from collections.abc import Iterable, Iterator
from typing import Any

from interlock.cited import Cited
from interlock.types.answer import CITATIONS
from interlock.types.request import Extra


def native(extras: Iterable[Extra]) -> Iterator[Cited]:
    """The citations in vendors' own fields, of whole answers and of streams.

    Anthropic: `citations` of a text block, `citations_delta` in a stream. OpenAI and those that follow
    it: `annotations` of kind `url_citation` or `file_citation`, flat or nested, and one by one in a stream.
    Gemini, which writes as no dialect does: the canonical ones.
    """
    extras = tuple(extras)
    for group in (group for extra in extras for group in extra.get(CITATIONS, ())):
        if group["known_to"] is None:
            yield from (Cited("url", one["url"]) for one in group["found"] if one["url"] is not None)
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
