"""What is publicly known about a model: window, output limit, capabilities, price, version, origin.

The facts are data in `catalogue.json`, built by `tools/build_catalogue.py` from public sources. A
config's own figures always win; what neither gives stays unknown. Prices are those of the first
tier: what a vendor adds for very long prompts is not in them.
"""

from functools import lru_cache
from importlib import resources
from typing import Final

import msgspec
import re2
from msgspec import Struct

from interlock.config.written import Price

_DATE: Final = re2.compile(r"[-@](20[0-9]{2})-?([01][0-9])-?([0-3][0-9])(?:$|[-:])")
_LATEST: Final = "-latest"


class Facts(Struct, frozen=True, kw_only=True):
    """What is known of one model. None is unknown."""

    context_tokens: int | None = None
    max_output_tokens: int | None = None
    capabilities: tuple[str, ...] | None = None
    price: Price | None = None
    version: str | None = None
    origin: str | None = None


UNKNOWN: Final = Facts()


class _Entry(Struct, frozen=True):
    context: int | None = None
    max_output: int | None = None
    can: str | None = None
    price: Price | None = None
    origin: str | None = None


class Catalogue(Struct, frozen=True):
    """`models` is by vendor and name; a text stands for the entry of that name. `version` is the prices'."""

    version: str
    models: dict[str, dict[str, _Entry | str]]


@lru_cache(maxsize=1)
def bundled() -> Catalogue:
    """The catalogue that ships with this version."""
    data = resources.files("interlock.config").joinpath("catalogue.json").read_bytes()
    return msgspec.json.decode(data, type=Catalogue)


def look_up(catalogue: Catalogue, vendor: str | None, upstream: str) -> Facts:
    """The facts of a model by the name its vendor knows. All None where it is not in the catalogue."""
    names = catalogue.models.get(vendor, {}) if vendor is not None else {}
    for name in _spellings(upstream):
        entry = names.get(name)
        if isinstance(entry, str):
            entry = names.get(entry)
        if isinstance(entry, _Entry):
            return Facts(
                context_tokens=entry.context,
                max_output_tokens=entry.max_output,
                capabilities=tuple(sorted(entry.can.split())) if entry.can is not None else None,
                price=entry.price,
                version=_date_of(upstream) or _only_date(names, name),
                origin=entry.origin,
            )
    return UNKNOWN


def _spellings(upstream: str) -> tuple[str, ...]:
    """A name, then looser readings of it: without a path before it, a date, or `-latest` after it."""
    short = upstream.rsplit("/", 1)[-1]
    undated = _DATE.sub("", short)
    stem = short.removesuffix(_LATEST)
    return tuple(
        dict.fromkeys((upstream, upstream.lower(), short, short.lower(), undated, stem, stem + _LATEST))
    )


def _date_of(name: str) -> str | None:
    found = _DATE.search(name)
    return "-".join(found.groups()) if found else None


def _only_date(names: dict[str, _Entry | str], name: str) -> str | None:
    """The version of an undated name, where exactly one dated name stands for it."""
    dates = {_date_of(other) for other in names if other != name and _DATE.sub("", other) == name}
    return dates.pop() if len(dates) == 1 else None
