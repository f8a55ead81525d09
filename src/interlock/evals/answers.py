"""Reading answers: the JSON that a text is or holds, and a field of it by path."""

from typing import Any, Final

import msgspec
import re2

_FENCE: Final = re2.compile(r"(?s)```[a-zA-Z]*\s*\n(.*?)```")


def as_json(text: str, *, fenced: bool = False) -> tuple[bool, Any]:
    """Whether the text is JSON, and its value. `fenced`: the first fenced block of it will do as well."""
    candidates = [text]
    if fenced:
        match = _FENCE.search(text)
        if match is not None:
            candidates.append(match[1])
    for candidate in candidates:
        try:
            return True, msgspec.json.decode(candidate)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            continue
    return False, None


def at(value: Any, path: str) -> Any:
    """The value at a path of names and numbers (`items.0.id`); None where there is none."""
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value
