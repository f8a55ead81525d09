"""The sources that a request gives, and by which marks an answer may cite them.

Sources are numbered from 1 in the order in which they stand: attached documents, search results, texts that
carry a `source`, and what tools returned. A tool's result counts once, or once per passage where it is JSON
with a list of objects. A label in square brackets at the beginning of a line, in anything but the model's
own words, is a source's mark as well: `[7] …`, `[kb-12] …`.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
import re2
from msgspec import Struct

from interlock.types.request import AnyPart, File, Opaque, Request, Text, ToolResult

_decode: Final = msgspec.json.Decoder().decode
_LABEL: Final = re2.compile(r"(?m)^[ \t>*-]{0,8}[\[【]\^?([^\[\]【】\n]{1,80})[\]】]")
_URL: Final = re2.compile(r"https?://[^\s<>\"'`\[\](){}|\\]+")
_NAMES: Final = frozenset(
    {"id", "doc_id", "document_id", "title", "name", "source", "url", "uri", "link", "file", "filename"}
)
"""Fields by which a passage in a tool's result can be called."""


class Sources(Struct, frozen=True, kw_only=True):
    """`count` sources, by number; `names`, lower-case; `urls`, as `plain_url` writes them.

    `documents` and `results` are how many of them a vendor counts as documents and as search results.
    `searches`: the request lets the provider look for more.
    """

    count: int
    names: frozenset[str]
    urls: frozenset[str]
    documents: int
    results: int
    searches: bool


def sources_of(request: Request) -> Sources:
    """Every source in a request. What the model itself said earlier is none."""
    found = _Found()
    for message in request.messages:
        if message.role != "assistant":
            for part in message.parts:
                found.add(part)
        else:
            for part in message.parts:
                if isinstance(part, Opaque):  # what the provider's own search found in an earlier turn
                    found.urls.update(urls_in(part.value))
    return Sources(
        count=found.count,
        names=frozenset(name.strip().lower() for name in found.names if name.strip()),
        urls=frozenset(found.urls),
        documents=found.documents,
        results=found.results,
        searches=any(tool.vendor is not None for tool in request.tools)
        or "web_search_options" in request.extra,
    )


def plain_url(url: str) -> str:
    """A URL without what makes no other source of it: its fragment, a slash or a full stop at its end."""
    return url.partition("#")[0].rstrip("/.,;:!?")


def urls_in(value: Any) -> set[str]:
    """Every URL in the strings of a JSON value."""
    if isinstance(value, str):
        return {plain_url(url) for url in _URL.findall(value)}
    inner: Iterable[Any] = value.values() if isinstance(value, dict) else value
    if not isinstance(value, dict | list | tuple):
        return set()
    return {url for item in inner for url in urls_in(item)}


class _Found:
    """Mutable: the sources so far."""

    def __init__(self) -> None:
        self.count = self.documents = self.results = 0
        self.names: set[str] = set()
        self.urls: set[str] = set()

    def add(self, part: AnyPart) -> None:
        if isinstance(part, ToolResult):
            self._add_result(part)
        elif not self._add_document(part) and isinstance(part, Text):
            self._read(part.text)
            if part.source is not None:
                self._name(part.source)

    def _add_document(self, part: AnyPart) -> bool:
        if isinstance(part, File):
            self.documents += 1
            self._name(part.name, part.source, part.url, part.file_id)
            self._read(part.text or "")
            return True
        if isinstance(part, Opaque) and part.kind in ("document", "search_result"):
            self.documents += part.kind == "document"
            self.results += part.kind == "search_result"
            self._name(*(part.value.get(field) for field in ("title", "source")), part.source)
            self.urls |= urls_in(part.value)
            return True
        return False

    def _add_result(self, result: ToolResult) -> None:
        apart = [part for part in result.content if self._add_document(part)]
        texts = [part for part in result.content if isinstance(part, Text)]
        for text in texts:
            self._read(text.text)
        if apart:
            return
        passages = [passage for text in texts for passage in _passages(text.text)]
        for passage in passages:
            self._name(*(value for field, value in passage.items() if field.lower() in _NAMES))
        if not passages:
            self._name(result.call_id)
        self.names.update(name for name in (result.name, result.source) if name is not None)

    def _name(self, *names: Any) -> None:
        """One more source, under these names."""
        self.count += 1
        self.names.update(str(name) for name in names if isinstance(name, str | int) and name is not True)

    def _read(self, text: str) -> None:
        self.names.update(_LABEL.findall(text))
        self.urls |= urls_in(text)


def _passages(text: str) -> Iterator[dict[str, Any]]:
    """The objects of a JSON list, or of the one list in a JSON object."""
    if not text.lstrip().startswith(("[", "{")):
        return
    try:
        value = _decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return
    if isinstance(value, dict):
        lists = [inner for inner in value.values() if isinstance(inner, list) and inner]
        value = lists[0] if len(lists) == 1 else None
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        yield from value
