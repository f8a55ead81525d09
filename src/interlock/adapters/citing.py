"""Citations as vendors write them -> canonical ones, for callers of other dialects."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

import msgspec

from interlock.types.answer import CITATIONS, Answer, Citation, Cites
from interlock.types.labels import Dialect
from interlock.types.request import AnyPart, Extra, Text


def cites(known_to: Dialect | None, found: list[Citation]) -> Extra:
    """What goes into an `extra`; callers of `known_to` have these citations in the vendor's own fields."""
    if not found:
        return {}
    group: Cites = {"known_to": known_to, "found": found}
    return {CITATIONS: [group]}


def of_annotation(raw: Any, before: int = 0, length: int | None = None) -> Citation:
    """One of OpenAI's annotations, flat or nested, on a text that `before` characters were said before.

    Where it does not say of which words (xAI), it is all of the text's `length`, if that is known.
    """
    fields = raw if isinstance(raw, dict) else {}
    inner = fields.get(str(fields.get("type")))
    fields = inner if isinstance(inner, dict) else fields
    return {
        "url": text_or_none(fields.get("url")),
        "title": text_or_none(fields.get("title")) or "",
        "quoted": text_or_none(fields.get("content")) or "",
        "start": _place(fields.get("start_index", length and 0), before),
        "end": _place(fields.get("end_index", length), before),
        "own": raw,
    }


def of_block(raw: Any, start: int | None, end: int | None) -> Citation:
    """One of Anthropic's citations, on a block of text from `start` to `end`."""
    fields = raw if isinstance(raw, dict) else {}
    source = text_or_none(fields.get("source")) or ""
    page = source if source.startswith(("https://", "http://")) else None
    return {
        "url": text_or_none(fields.get("url")) or page,
        "title": text_or_none(fields.get("title")) or "",
        "quoted": text_or_none(fields.get("cited_text")) or "",
        "start": start,
        "end": end,
        "own": raw,
    }


def of_list(citations: Any, results: Any) -> list[Citation]:
    """Sources that a vendor lists beside its answer, each once: their addresses, and what a search found.

    Perplexity gives both, xAI the addresses alone. They stand for the whole of the text.
    """
    listed: dict[Any, Citation] = {}
    for raw in (*_listed(citations), *_listed(results)):
        fields = raw if isinstance(raw, dict) else {"url": raw}
        url = text_or_none(fields.get("url"))
        known = listed.get(url) if url is not None else None
        if known is not None:
            known["title"] = known["title"] or text_or_none(fields.get("title")) or ""
            known["quoted"] = known["quoted"] or text_or_none(fields.get("snippet")) or ""
            continue
        listed[len(listed) if url is None else url] = {
            "url": url,
            "title": text_or_none(fields.get("title")) or "",
            "quoted": text_or_none(fields.get("snippet")) or "",
            "start": None,
            "end": None,
            "own": raw,
        }
    return list(listed.values())


def with_citations(answer: Answer, known_to: Dialect | None, found: list[Citation]) -> Answer:
    """An answer with these citations, each on the text that it begins in; without one, on it as a whole."""
    texts = [place for place, part in enumerate(answer.parts) if isinstance(part, Text)]
    if not texts:
        return msgspec.structs.replace(answer, extra={**(answer.extra or {}), **cites(known_to, found)})
    parts = list(answer.parts)
    ends = list(accumulate(len(part.text) for part in parts if isinstance(part, Text)))
    on: dict[int, list[Citation]] = {}
    for one in found:
        start = one["start"]
        at = len(texts) if start is None else bisect_right(ends, start)
        on.setdefault(texts[min(at, len(texts) - 1)], []).append(one)
    for place, here in on.items():
        extra = {**(parts[place].extra or {}), **cites(known_to, here)}
        parts[place] = msgspec.structs.replace(parts[place], extra=extra)
    return msgspec.structs.replace(answer, parts=tuple(parts))


def by_part(parts: Iterable[AnyPart], dialect: Dialect) -> tuple[AnyPart, ...]:
    """The parts of an answer whose texts have citations in the fields of `dialect`, with canonical ones."""
    done: list[AnyPart] = []
    before = 0
    for part in parts:
        if isinstance(part, Text):
            found = of_part(part, dialect, before)
            if found:
                extra = {**(part.extra or {}), **cites(dialect, found)}
                part = msgspec.structs.replace(part, extra=extra)  # noqa: PLW2901 - the same part
            before += len(part.text)
        done.append(part)
    return tuple(done)


def of_part(part: Text, dialect: Dialect, before: int) -> list[Citation]:
    """The citations in the fields of `dialect` of a text that `before` characters were said before."""
    own = part.extra.get(dialect) if part.extra else None
    if not own:
        return []
    if "part" in own:
        return [of_annotation(raw, before, len(part.text)) for raw in _listed(own["part"].get("annotations"))]
    return [of_block(raw, before, before + len(part.text)) for raw in _listed(own.get("citations"))]


def text_or_none(value: Any) -> str | None:
    return value if type(value) is str else None


def _place(value: Any, before: int) -> int | None:
    return before + value if type(value) is int and value >= 0 else None


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()
