"""What Gemini says beside the words of an answer, in the form that callers of OpenAI's dialect know.

Log probabilities, and the sources of what was said: pages that a search found (`groundingMetadata`) and
texts that an answer repeats (`citationMetadata`). Gemini counts positions in bytes of UTF-8, OpenAI in
characters.
"""

from collections.abc import Iterable
from typing import Any


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


def to_annotations(grounding: Any, citations: Any, text: str) -> list[dict[str, Any]]:
    """The sources of an answer whose whole text is `text`, as OpenAI's `annotations`."""
    said = text.encode("utf-8", "surrogatepass")
    found = [*_of_search(grounding), *_of_citations(citations)]
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "url": url,
                "title": title,
                "start_index": _characters(said, start),
                "end_index": _characters(said, end),
            },
        }
        for url, title, start, end in found
    ]


_Source = tuple[str, str, int, int]


def _of_search(raw: Any) -> Iterable[_Source]:
    if type(raw) is not dict:
        return
    given = raw.get("groundingChunks")
    chunks = given if type(given) is list else ()
    for support in raw.get("groundingSupports") or ():
        segment = support.get("segment") or {}
        for index in support.get("groundingChunkIndices") or ():
            page = chunks[index].get("web") if type(index) is int and 0 <= index < len(chunks) else None
            if type(page) is dict and type(page.get("uri")) is str:
                title = str(page.get("title") or "")
                yield page["uri"], title, _at(segment.get("startIndex")), _at(segment.get("endIndex"))


def _of_citations(raw: Any) -> Iterable[_Source]:
    """Two names for one list: the Gemini API's and Vertex AI's."""
    if type(raw) is not dict:
        return
    for source in raw.get("citationSources") or raw.get("citations") or ():
        if type(source.get("uri")) is str:
            title = str(source.get("title") or "")
            yield source["uri"], title, _at(source.get("startIndex")), _at(source.get("endIndex"))


def _at(value: Any) -> int:
    return value if type(value) is int and value >= 0 else 0


def _characters(said: bytes, position: int) -> int:
    return len(said[:position].decode("utf-8", "ignore"))
