"""The vendors' wires, one module each: what a request asks for there, and how answers and errors look.

A module knows nothing of faults, but for those that cannot happen on its wire; what is said is made once,
for all of them. To add a wire: its module, and its place in `WIRES`.
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from interlock.mock.asked import Asked
from interlock.mock.draft import Draft
from interlock.mock.said import Said
from interlock.mock.wires import anthropic, azure, bedrock, gemini, openai, openai_responses

__all__ = ["WIRES", "Framing", "Wire", "spoken"]


class Framing(Protocol):
    """How the events of streams are written."""

    @property
    def STREAM(self) -> str:  # noqa: N802 - a constant of the module
        """The content type."""

    def halved(self, piece: bytes) -> bytes:
        """An event with half of its JSON, framed as if that were whole."""


class Wire(Protocol):
    """What the module of a wire offers."""

    @property
    def NAME(self) -> str: ...  # noqa: N802 - a constant of the module

    @property
    def FRAMING(self) -> Framing: ...  # noqa: N802 - a constant of the module

    @property
    def WITHOUT(self) -> Mapping[str, str]:  # noqa: N802 - a constant of the module
        """The faults that make no sense there, each with the reason."""

    def read(self, path: str, headers: Mapping[str, str], fields: dict[str, Any]) -> Asked | None:
        """What a request asks for; None where the path is none of this wire's."""

    def whole(self, said: Said, asked: Asked) -> Any:
        """The body of an answer in one piece, of the kind that is asked for."""

    def events(self, said: Said, asked: Asked) -> list[bytes]:
        """The events of a streamed answer as they are written, one by one."""

    def is_start(self, piece: bytes) -> bool:
        """Whether it is the event that begins a stream."""

    def is_end(self, piece: bytes) -> bool:
        """Whether it is one of those that end a stream."""

    def error(self, status: int, message: str, retry_after: str | None = None) -> Draft:
        """The vendor's error of this status, with how long to wait said where the vendor says it."""

    def error_inside(self, asked: Asked) -> Any:
        """An error as the body of an answer with status 200."""

    def error_event(self, asked: Asked) -> bytes:
        """An error as an event of a stream."""


WIRES: Final[tuple[Wire, ...]] = (azure, bedrock, gemini, anthropic, openai_responses, openai)
"""Whose paths are the more particular comes first."""


def spoken(path: str, headers: Mapping[str, str], fields: dict[str, Any]) -> tuple[Wire, Asked]:
    """The wire that a request speaks, and what it asks for; nobody's path is answered as OpenAI would."""
    for wire in WIRES:
        asked = wire.read(path, headers, fields)
        if asked is not None:
            return wire, asked
    return openai, Asked(kind="error", model=str(fields.get("model", "")))
