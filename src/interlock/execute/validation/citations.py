"""Citations: an answer that has to cite names at least one source, and none that it was not given.

Whether a source says what it is cited for is not judged here; that takes a reader, or an eval.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial

import msgspec

from interlock.cited import Cited, marks_in, marks_in_json
from interlock.execute.validation.contract import Asked
from interlock.execute.validation.findings import PASSED, Finding, Judge, Violation
from interlock.execute.validation.markers import listed_by_provider, native
from interlock.execute.validation.said import Said, text_of
from interlock.execute.validation.sources import Sources, plain_url, sources_of, urls_in
from interlock.types.request import Opaque


def judges(asked: Asked) -> Iterable[Judge]:
    """One, where the lane requires citations. Sources are gathered when there is an answer to judge."""
    contract = asked.contract
    if contract is not None and contract.citations:
        gather = cache(partial(sources_of, asked.request))
        yield Judge(f"citations of the {contract.owner}", partial(_judge, gather=gather), gather)


def _judge(said: Said, gather: Callable[[], Sources]) -> Finding:
    given = gather()
    listed = listed_by_provider(said.extras)
    sources = msgspec.structs.replace(
        given,
        count=max(given.count, len(listed)),
        urls=given.urls | urls_in(listed) | _found_by_provider(said),
    )
    # A label that is no known source may be anything (`[H2O]`): it cites nothing here.
    marked = (one for one in _marked(said, sources) if one.kind != "label")
    cited = [*marked, *native(said.extras)]
    if not cited:
        few = "" if sources.count or sources.names or sources.urls else "; the request gives none"
        return _failed(f"the answer cites no source{few}")
    wrong = dict.fromkeys(what for one in cited if (what := _unknown(one, sources)) is not None)
    return _failed(*wrong) if wrong else PASSED


def _marked(said: Said, sources: Sources) -> Iterator[Cited]:
    text = text_of(said.parts)
    if text.lstrip().startswith(("{", "[{")):
        try:
            yield from marks_in_json(msgspec.json.decode(text), sources.names)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            pass
        else:
            return
    yield from marks_in(text, sources.names)


def _found_by_provider(said: Said) -> set[str]:
    """What a search that the provider ran for this answer has found: its blocks stand in the answer."""
    results = (
        part.value for part in said.parts if isinstance(part, Opaque) and part.kind.endswith("_result")
    )
    return {url for value in results for url in urls_in(value)}


def _unknown(cited: Cited, sources: Sources) -> str | None:
    """What is wrong with a citation; never the answer's own words."""
    value = cited.value
    if isinstance(value, str):
        if cited.kind == "url":
            known = sources.searches or plain_url(value) in sources.urls or value.lower() in sources.names
            return None if known else "the answer cites a URL that is none of the sources"
        known = sources.searches or value in sources.names
        return None if known else "the answer cites a file that is none of the sources"
    if cited.kind == "number":
        known = value <= sources.count or str(value) in sources.names
        return None if known else f"the answer cites source {value} of {sources.count}"
    most = sources.documents if cited.kind == "document" else sources.results
    words = cited.kind.replace("_", " ")
    return None if 0 < value <= most else f"the answer cites {words} {value} of {most}"


def _failed(*messages: str) -> Finding:
    return Finding(tuple(Violation(rule="citations", message=message) for message in messages))
