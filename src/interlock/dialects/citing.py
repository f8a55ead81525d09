"""Canonical citations -> what callers of the dialects know, and what has no place in one of them.

A citation without an address has a form only in its vendor's own dialect: callers of another one find it as
its vendor wrote it in the list `citations` beside the answer, as Perplexity and xAI have one.
"""

from typing import Any

from interlock.types.answer import CITATIONS, Answer, Citation
from interlock.types.labels import Dialect


def cited(extra: Any, dialect: Dialect) -> list[Citation]:
    """The citations in an `extra` that a caller of `dialect` has not been told in its vendor's own fields."""
    groups = extra.get(CITATIONS) if extra else None
    if groups is None:
        return []
    return [one for group in groups if group["known_to"] != dialect for one in group["found"]]


def homeless(answer: Answer, dialect: Dialect) -> list[Citation]:
    """The citations of a whole answer that the dialect has no place for."""
    found: list[Citation] = []
    for part in answer.parts:
        if part.extra is not None and CITATIONS in part.extra:
            found += [one for one in cited(part.extra, dialect) if one["url"] is None]
    if answer.extra is not None and CITATIONS in answer.extra:
        found += cited(answer.extra, dialect)
    return found


def beside(homeless: list[Citation]) -> dict[str, Any]:
    """The field of an answer that has what no other field of its dialect has a place for."""
    return {"citations": [one["own"] for one in homeless]} if homeless else {}


def to_annotation(one: Citation) -> dict[str, Any]:
    """A citation as callers of OpenAI chat know it; routers add the words of the source as `content`."""
    quoted = {"content": one["quoted"]} if one["quoted"] else {}
    fields = {"url": one["url"], "title": one["title"], **_span(one), **quoted}
    return {"type": "url_citation", "url_citation": fields}


def to_flat_annotation(one: Citation, before: int, length: int) -> dict[str, Any]:
    """The same for callers of responses: on a text of this length that so many characters stand before.

    Words of the source have no place in it.
    """
    start, end = one["start"], one["end"]
    start = 0 if start is None else min(max(start - before, 0), length)
    end = length if end is None else min(max(end - before, start), length)
    return {
        "type": "url_citation",
        "url": one["url"],
        "title": one["title"],
        "start_index": start,
        "end_index": end,
    }


def to_web_location(one: Citation) -> dict[str, Any]:
    """The same for callers of Anthropic messages: a page that a search has found.

    What the vendor would know that page by again is empty. Where in the answer it is cited is said in the
    fields that OpenAI has for it: here blocks of text say that, and one answer is one block.
    """
    return {
        "type": "web_search_result_location",
        "url": one["url"],
        "title": one["title"],
        "cited_text": one["quoted"],
        "encrypted_index": "",
        **_span(one),
    }


def _span(one: Citation) -> dict[str, Any]:
    found = {"start_index": one["start"], "end_index": one["end"]}
    return {name: place for name, place in found.items() if place is not None}
