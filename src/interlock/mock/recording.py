"""Recorded calls of real vendors, answered again: a file of JSON Lines, one call a line.

A line has `source`, `index`, `dialect` (openai-chat, openai-responses, anthropic-messages),
`stream`, `status`, `request` and `response` (a JSON value, or the raw text of a stream).
"""

from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.errors import ConfigError, Problem
from interlock.mock.draft import Draft, whole
from interlock.mock.request import Received
from interlock.mock.wires.text import STREAM

_DIALECTS: Final = {
    "anthropic": "anthropic-messages",
    "azure": "openai-chat",
    "openai": "openai-chat",
    "openai-responses": "openai-responses",
}
"""The wires whose calls are recorded, by name."""


class Recording(Struct, frozen=True, kw_only=True):
    source: str
    dialect: str
    request: dict[str, Any]
    response: Any
    index: int = 0
    stream: bool = False
    status: int = 200

    @property
    def name(self) -> str:
        return f"{self.source}#{self.index}"


class Recordings:
    """Recordings by name, and by what was asked: the same messages get the same answer."""

    def __init__(self, rows: tuple[Recording, ...]) -> None:
        self._by_name = {row.name: row for row in reversed(rows)}
        self._by_source = {row.source: row for row in reversed(rows)}
        self._by_question = {
            _question(row.dialect, row.request, stream=row.stream): row for row in reversed(rows)
        }

    def named(self, name: str) -> Recording | None:
        """The recording `SOURCE#INDEX`, or the first of `SOURCE`."""
        return self._by_name.get(name) or self._by_source.get(name)

    def like(self, request: Received) -> Recording | None:
        """The recording of a call with these messages, on the same wire."""
        dialect = _DIALECTS.get(request.wire.NAME)
        if dialect is None or request.asked.kind not in ("answer", "stream"):
            return None
        return self._by_question.get(_question(dialect, request.fields, stream=request.stream))


def replayed(recording: Recording) -> Draft:
    """The recorded answer; a stream in its events."""
    if isinstance(recording.response, str) and recording.stream:
        events = tuple(event + b"\n\n" for event in recording.response.encode().split(b"\n\n"))
        kept = (*events[:-1], events[-1].removesuffix(b"\n\n"))
        return Draft(
            status=recording.status,
            headers=(("content-type", STREAM),),
            pieces=tuple(piece for piece in kept if piece),
            chunked=True,
        )
    return whole(recording.status, recording.response)


def read_recordings(path: Path) -> Recordings:
    """The recordings of a file. Raises ConfigError with the first line that is none."""
    rows = []
    try:
        lines = path.read_bytes().splitlines()
    except OSError as failure:
        raise _error(path, None, (failure.strerror or "cannot be read").lower()) from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                rows.append(msgspec.json.decode(line, type=Recording))
            except (msgspec.DecodeError, UnicodeDecodeError) as failure:
                raise _error(path, number, f"no recorded call: {failure}") from None
    return Recordings(tuple(rows))


def _error(path: Path, line: int | None, problem: str) -> ConfigError:
    hint = "a line is a JSON object with `source`, `dialect`, `request` and `response`"
    return ConfigError((Problem(file=str(path), path="", problem=problem, hint=hint, line=line),))


def _question(dialect: str, request: dict[str, Any], *, stream: bool) -> tuple[str, bool, bytes]:
    asked = request.get("messages", request.get("input"))
    return dialect, stream, msgspec.json.encode(asked, order="sorted")
