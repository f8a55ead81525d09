"""What the detectors found in a request, and the data class that it stands for."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from interlock.classify.detect import scan, suspicious
from interlock.classify.positions import seams, texts, texts_beside
from interlock.classify.seen import Seen, name_of
from interlock.types.labels import DataClass
from interlock.types.request import Request
from interlock.types.signals import Finding

_CLASSES: Final[dict[str, DataClass]] = {
    "secret": "confidential",
    "iban": "confidential",
    "card": "regulated",
    "national_id": "regulated",
}


MOST_COUNTED: Final = 1000
"""How many of one kind are counted in one text; so many stand for as many or more."""


Kinds = tuple[tuple[str, int], ...]
"""What stands in one text: kinds, and how many of each."""

_NOTHING: Final[Kinds] = ()
_READ: Final = Seen[Kinds]()


def find(request: Request, bare: list[str] | None = None, whose: str = "") -> tuple[Finding, ...]:
    """Kind, place and number of everything found. Most requests end after one pass over all new texts.

    `bare` is what `bare_texts` says of the request, where that is known; `whose` the tenant, for whom
    findings in long texts are remembered.
    """
    laid = seams(request)
    every = [*bare, *texts_beside(request)] if bare is not None else [text for _, text in texts(request)]
    names = [name_of(whose, text) for text in every]
    known = [_READ.get(name) for name in names]
    new = [text for text, kinds in zip(every, known, strict=True) if kinds is None]
    if not any(known) and not suspicious("\n".join(new + [text for _, text, _ in laid] if laid else new)):
        if new:
            for name in names:
                _READ.put(name, _NOTHING)
        return ()
    counts: dict[tuple[str, str], int] = {}
    for where, text in texts(request):
        for kind, count in _kinds(text, whose):
            counts[kind, where] = max(count, counts.get((kind, where), 0))
    for where, text, offsets in laid:
        for hit in scan(text, most=MOST_COUNTED):
            if any(hit.start < offset < hit.end for offset in offsets):
                counts[hit.kind, where] = counts.get((hit.kind, where), 0) + 1
    return tuple(Finding(kind=kind, where=where, count=count) for (kind, where), count in counts.items())


def _kinds(text: str, whose: str) -> Kinds:
    name = name_of(whose, text)
    found = _READ.get(name)
    if found is None:
        found = tuple(Counter(hit.kind for hit in scan(text, most=MOST_COUNTED)).items())
        _READ.put(name, found)
    return found


def class_of(kind: str, detectors: Mapping[str, DataClass]) -> DataClass | None:
    """The class that a kind of finding stands for: as configured for it, for its detector, else usual.

    None for those that raise nothing unless configured: e-mail addresses and phone numbers.
    """
    detector = kind.partition(".")[0]
    return detectors.get(kind) or detectors.get(detector) or _CLASSES.get(detector)
