"""What Gemini says beside the words of an answer: log probabilities, and the sources of what was said.

Log probabilities are in the form that callers of OpenAI's dialect know. Sources are pages that a search found
(`groundingMetadata`) and texts that an answer repeats (`citationMetadata`). Gemini counts positions in bytes
of UTF-8, everyone else in characters.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any, Final

from interlock.adapters.citing import text_or_none
from interlock.types.answer import Citation

_PAGES: Final = ("web", "retrievedContext", "maps", "image")
"""What a chunk of a search may be; each has its `uri` and its `title`."""


_Ends = Sequence[int]
"""Where in its bytes each character of a text ends: so many characters are complete up to a place."""


def to_logprobs(raw: Any) -> dict[str, Any] | None:
    """A `logprobsResult` as OpenAI's `logprobs`; None if there is none."""
    chosen = raw.get("chosenCandidates") if type(raw) is dict else None
    if type(chosen) is not list or not chosen:
        return None
    tops = raw.get("topCandidates")
    content = []
    for at, token in enumerate(chosen):
        top = tops[at] if type(tops) is list and at < len(tops) else None
        listed = top.get("candidates") if type(top) is dict else None
        others = [_token(one) for one in listed or () if type(one) is dict]
        if type(token) is dict:
            content.append({**_token(token), "top_logprobs": others})
    return {"content": content, "refusal": None}


def _token(raw: dict[str, Any]) -> dict[str, Any]:
    text = raw.get("token")
    text = text if type(text) is str else ""
    return {
        "token": text,
        # A probability of zero is left out by servers that leave out what is zero, and so is the log of one.
        "logprob": raw.get("logProbability", 0.0),
        "bytes": list(text.encode("utf-8", "surrogatepass")),
    }


def sources_of(grounding: Any, citations: Any, text: str) -> list[Citation]:
    """The sources of an answer whose whole text is `text`."""
    if not (grounding or citations):
        return []
    ends: _Ends = range(1, len(text) + 1)
    if not text.isascii():
        ends = [*accumulate(len(character.encode("utf-8", "surrogatepass")) for character in text)]
    return [*_of_search(grounding, ends), *_of_citations(citations, ends)]


def _of_search(raw: Any, said: _Ends) -> Iterable[Citation]:
    """What stands behind each piece of the answer; a page that stands behind none stands behind it all."""
    if type(raw) is not dict:
        return
    given = raw.get("groundingChunks")
    chunks = given if type(given) is list else []
    left = dict.fromkeys(range(len(chunks)))
    for support in raw.get("groundingSupports") or ():
        segment = support.get("segment") or {}
        for index in support.get("groundingChunkIndices") or ():
            if type(index) is int and 0 <= index < len(chunks):
                left.pop(index, None)
                span = _at(segment.get("startIndex")), _at(segment.get("endIndex"))
                yield _citation(_page(chunks[index]), chunks[index], said, span)
    for index in left:
        yield _citation(_page(chunks[index]), chunks[index], said, None)


def _page(chunk: dict[str, Any]) -> dict[str, Any]:
    return next((page for name in _PAGES if type(page := chunk.get(name)) is dict), {})


def _of_citations(raw: Any, said: _Ends) -> Iterable[Citation]:
    """Two names for one list: the Gemini API's and Vertex AI's."""
    if type(raw) is not dict:
        return
    for source in raw.get("citationSources") or raw.get("citations") or ():
        yield _citation(source, source, said, (_at(source.get("startIndex")), _at(source.get("endIndex"))))


def _citation(page: dict[str, Any], own: Any, said: _Ends, span: tuple[int, int] | None) -> Citation:
    start, end = (0, said[-1] if said else 0) if span is None else span
    return {
        "url": text_or_none(page.get("uri")),
        "title": str(page.get("title") or ""),
        "quoted": "",
        "start": bisect_right(said, start),
        "end": bisect_right(said, end),
        "own": own,
    }


def _at(value: Any) -> int:
    return value if type(value) is int and value >= 0 else 0
