"""Citations of an answer that several calls have made. Pure.

A vendor counts places from where its own call began. Where a further call cites places, callers of its
dialect are told in the canonical form as well, with places counted in the whole answer.
"""

from collections.abc import Iterable
from typing import Any, Final

from interlock.types.answer import CITATIONS, Citation, Cites
from interlock.types.labels import Dialect
from interlock.types.request import Extra

_LISTS: Final = ("citations", "search_results")
_CHAT: Final = "openai-chat"
_RESPONSES: Final = "openai-responses"


def moved(extras: Iterable[Extra | None], by: int, keep: tuple[Dialect, ...] = ()) -> list[Cites]:
    """The citations of a further call, whose words begin `by` characters into the answer.

    Only callers of the dialects to `keep` have been told of theirs.
    """
    groups: list[Cites] = [group for extra in extras for group in (extra or {}).get(CITATIONS, ())]
    return [
        {
            "known_to": group["known_to"] if group["known_to"] in keep else None,
            "found": [_moved(one, by) for one in group["found"]],
        }
        for group in groups
    ]


def moved_delta(extra: Any, by: int) -> Any:
    """The `extra` of a further call's delta, without the vendor's form of what has a place in its words."""
    if not extra:
        return extra
    left = dict(extra)
    keep: tuple[Dialect, ...] = ("anthropic-messages", _CHAT)
    if "annotations" in extra.get(_CHAT, {}).get("delta", ()):
        keep = keep[:1]
        left[_CHAT] = {**extra[_CHAT], "delta": _without(extra[_CHAT]["delta"], "annotations")}
    if _RESPONSES in extra:
        left[_RESPONSES] = _without(extra[_RESPONSES], "annotation")
    if CITATIONS in extra:
        left[CITATIONS] = moved((extra,), by, keep)
    return {name: value for name, value in left.items() if value} or None


def with_lists(earlier: Extra | None, last: Extra | None) -> Extra | None:
    """What a last call says of the whole, with the sources that an earlier one listed beside its words."""
    listed = _top(earlier)
    found = {name: listed[name] for name in _LISTS if isinstance(listed.get(name), list)}
    if not found:
        return last
    top = _top(last)
    for name, sources in found.items():
        more = top.get(name)
        new = [one for one in more if one not in sources] if isinstance(more, list) else []
        top = {**top, name: [*sources, *new]}
    return {**(last or {}), _CHAT: {**(last or {}).get(_CHAT, {}), "top": top}}


def _top(extra: Extra | None) -> Extra:
    found: Extra = (extra or {}).get(_CHAT, {}).get("top", {})
    return found


def _without(fields: Extra, name: str) -> Extra:
    return {key: value for key, value in fields.items() if key != name}


def _moved(one: Citation, by: int) -> Citation:
    start, end = one["start"], one["end"]
    moved_to: Citation = {**one, "start": None if start is None else start + by}
    return {**moved_to, "end": None if end is None else end + by}
