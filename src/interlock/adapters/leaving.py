"""What of a request an upstream is not sent, though it may answer: named, so that the record says so.

Where a prompt may be cached, and whatever else changes no answer, is left out where there is no word for it
(`LEFT_OUT` of each wire format, `carrying.FROM_ELSEWHERE`). So is a thought of an earlier answer that the
model could make nothing of: another vendor's, or one whose signature its caller has not kept. Vendors allow
thoughts to be left out, and refuse those that they have not signed.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from interlock.adapters.carrying import Reads
from interlock.types.labels import Dialect
from interlock.types.request import AnyPart, Extra, Message, Request, Text, Thinking, ToolCall, ToolResult

_NO_NAMES: Final[frozenset[str]] = frozenset()


class Unsent(Struct, frozen=True, kw_only=True):
    """The names of fields that a wire format leaves out: of a request, of its tools, of its messages."""

    top: frozenset[str] = _NO_NAMES
    tools: frozenset[str] = _NO_NAMES
    messages: frozenset[str] = _NO_NAMES


EVERYTHING_SENT: Final = Unsent()
"""Of an upstream of the caller's own dialect: it may still not be sent a thought."""


def unsent(names: Iterable[str], *, carried: Iterable[str] = (), on_top: Iterable[str] = ()) -> Unsent:
    """The same names everywhere, but for what is `carried`, and what is only where a request has it."""
    left = frozenset(names).difference(carried)
    return Unsent(top=left.difference(on_top), tools=left, messages=left)


class _Names(Struct, frozen=True):
    """What a dialect calls a thought, its signature, and one that is not shown."""

    words: str
    signature: str
    opaque: str


_THOUGHTS: Final[dict[Dialect, _Names]] = {
    "openai-chat": _Names(
        "messages[].reasoning_content", "messages[].extra_content", "messages[].extra_content"
    ),
    "openai-responses": _Names("input[].summary", "input[].encrypted_content", "input[].encrypted_content"),
    "anthropic-messages": _Names(
        "messages[].content[].thinking",
        "messages[].content[].signature",
        "messages[].content[].redacted_thinking",
    ),
}


def left_out(request: Request, names: Unsent, reads: Reads, *, words: bool = False) -> tuple[str, ...]:
    """The fields of a caller's request, by their names on its wire, that were left out of the call.

    `reads` says which thoughts were sent as they are; `words`, whether others were sent as words.
    """
    found: dict[str, None] = {}
    if request.extra:
        _note(request.extra, names.top, "", found)
    for tool in request.tools:
        if tool.extra is not None:
            _note(tool.extra, names.tools, "tools[].", found)
    words = words and request.dialect != "openai-responses"
    for message in request.messages:
        if message.extra is not None:
            _note(message.extra, names.messages, "messages[].", found)
        thinks = False
        for part in message.parts:
            if type(part) is Thinking:
                thinks = True
            elif type(part) is not Text or part.extra is not None:
                _note_part(part, names.messages, found)
        if thinks:
            found |= dict.fromkeys(_of_thoughts(message, reads, _THOUGHTS[request.dialect], words=words))
    return tuple(found)


def _note(extra: Extra, names: frozenset[str], where: str, found: dict[str, None]) -> None:
    """Note the fields that ask for something and are not sent."""
    for name, value in extra.items():
        if value and name in names:
            found[where + name] = None


def _note_part(part: AnyPart, names: frozenset[str], found: dict[str, None]) -> None:
    if part.extra is not None:
        where = "messages[].tool_calls[]." if isinstance(part, ToolCall) else "messages[].content[]."
        _note(part.extra, names, where, found)
    if isinstance(part, ToolResult):
        for inner in part.content:
            _note_part(inner, names, found)


def _of_thoughts(message: Message, reads: Reads, names: _Names, *, words: bool) -> Iterable[str]:
    """What of an answer's thoughts is not sent: nothing, where one that is sent stands for them all."""
    thoughts = [part for part in message.parts if isinstance(part, Thinking)]
    if any(reads(part) for part in thoughts):
        return
    for part in thoughts:
        if part.redacted is not None:
            yield names.opaque
        elif not words:
            yield names.words
        elif part.signature:
            yield names.signature
