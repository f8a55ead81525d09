"""What the detectors found in a request, and the data class that it stands for."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from interlock.classify.detect import scan, suspicious
from interlock.classify.positions import texts
from interlock.classify.seams import Row, are_quiet, is_quiet_pair, lay, new_stretches, rows
from interlock.classify.seen import Kinds, Known, Reading
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


def find(request: Request, reading: Reading) -> tuple[Finding, ...]:
    """Kind, place and number of everything found. Most requests end after one pass over all new texts.

    `reading` is of this very request.
    """
    if reading.bare is None:
        every = [text for _, text in texts(request)]
        known = [reading.of(text) for text in every]
    else:
        every, known = reading.bare, reading.known
        beside = reading.beside
        if beside:
            every, known = [*every, *beside], [*known, *map(reading.of, beside)]
    laid = [] if is_quiet_pair(request, reading) else rows(request, reading)
    stretches = new_stretches(laid) if laid else []
    is_new = is_loud = False
    for about in known:
        if about.kinds is None:
            is_new = True
        elif about.kinds:
            is_loud = True
    if stretches or is_new:
        new = [text for text, about in zip(every, known, strict=True) if about.kinds is None]
        if suspicious("\n".join([*new, *[text for _, text in stretches]])):
            return _closely(request, reading, laid)
        for about in known:
            if about.kinds is None:
                about.kinds = ()
        are_quiet(stretches)
    return _closely(request, reading, []) if is_loud else ()


def _closely(request: Request, reading: Reading, laid: list[Row]) -> tuple[Finding, ...]:
    """What stands in the request's texts, and over the seams of rows."""
    counts: dict[tuple[str, str], int] = {}
    for where, text in texts(request):
        for kind, count in _kinds(text, reading.of(text)):
            counts[kind, where] = max(count, counts.get((kind, where), 0))
    for row in laid:
        text, offsets = lay(row)
        for hit in scan(text, most=MOST_COUNTED):
            if any(hit.start < offset < hit.end for offset in offsets):
                counts[hit.kind, row.where] = counts.get((hit.kind, row.where), 0) + 1
    return tuple(Finding(kind=kind, where=where, count=count) for (kind, where), count in counts.items())


def _kinds(text: str, known: Known) -> Kinds:
    found = known.kinds
    if found is None:
        found = tuple(Counter(hit.kind for hit in scan(text, most=MOST_COUNTED)).items())
        known.kinds = found
    return found


def class_of(kind: str, detectors: Mapping[str, DataClass]) -> DataClass | None:
    """The class that a kind of finding stands for: as configured for it, for its detector, else usual.

    None for those that raise nothing unless configured: e-mail addresses and phone numbers.
    """
    detector = kind.partition(".")[0]
    return detectors.get(kind) or detectors.get(detector) or _CLASSES.get(detector)
