"""What importers share: a foreign file becomes a tree of our own form, and what has no place there is a
problem.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from interlock.errors import Problem

Read = Callable[[str], bytes | str]
"""The bytes of a file named in the suite (relative to it), or what keeps it from being read."""


class Imported(Struct, frozen=True, kw_only=True):
    """A suite as our own YAML would hold it, and everything that could not be carried over."""

    tree: dict[str, Any] | None
    problems: tuple[Problem, ...] = ()


Importer = Callable[[str, Any, Read], Imported]
"""From a file's name and its tree (or its bytes, for JSON Lines) to a suite of our form."""


def name_of(path: str) -> str:
    """A suite's name from its file's."""
    return path.rsplit("/", 1)[-1].rsplit(".", 1)[0]


def messages_of(value: Any) -> list[dict[str, Any]]:
    """A conversation: a text is one message of the user."""
    return [{"role": "user", "content": value}] if isinstance(value, str) else value
