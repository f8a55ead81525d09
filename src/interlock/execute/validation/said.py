"""What an answer says, in one shape for whole answers and streams: both are judged by the same code."""

from collections.abc import Iterable
from typing import Any, Final, Literal

from msgspec import Struct

from interlock.types.answer import Answer, FinishReason
from interlock.types.request import AnyPart, Extra, Opaque, Refusal, Text, ToolCall

_THOUGHT: Final = "reasoning"
"""The kind of a block that holds a thought as only its vendor knows it."""
State = Literal["final", "calling", "refused", "cut"]
"""`final`: the model has said what it wanted to; `calling`: its caller has tools to run first."""

_CODE_EXECUTION: Final = ("bash_code_execution", "text_editor_code_execution")
"""What the provider's tool `code_execution` is called by in answers."""
_ENDED: Final = ("stop", "stop_sequence", "tool_calls")


class Said(Struct, frozen=True, kw_only=True):
    """An answer that has ended. `extras` are the vendors' own fields of the answer and of its parts."""

    parts: tuple[AnyPart, ...]
    finish: FinishReason
    extras: tuple[Extra, ...] = ()


def said_of(answer: Answer) -> Said:
    extras = (answer.extra, *(part.extra for part in answer.parts))
    return Said(
        parts=answer.parts,
        finish=answer.finish,
        extras=tuple(extra for extra in extras if extra is not None),
    )


def state_of(said: Said) -> State:
    """How far an answer got. Calls that the provider carries out itself leave nothing to the caller."""
    if any(isinstance(part, ToolCall) for part in said.parts):
        return "calling"
    if refuses(said):
        return "refused"
    return "final" if said.finish in _ENDED else "cut"


def refuses(said: Said) -> bool:
    """Whether the model, or its vendor's classifier, refuses, as far as the answer's structure says so.

    A refusal in plain words is not found here: telling one needs a measured detector. It would be asked
    here, with `text_of`, and everything that acts on refusals would follow.
    """
    return said.finish == "refusal" or any(isinstance(part, Refusal) and part.text for part in said.parts)


def is_empty(said: Said) -> bool:
    """Whether an answer says nothing that a caller could use; thinking alone is nothing."""
    return not any(_says_something(part) for part in said.parts)


def _says_something(part: AnyPart) -> bool:
    if isinstance(part, Text | Refusal):
        return bool(part.text)
    return isinstance(part, ToolCall) or (isinstance(part, Opaque) and part.kind != _THOUGHT)


def text_of(parts: Iterable[AnyPart]) -> str:
    """The answer's own words: all its text parts, in order."""
    return "".join(part.text for part in parts if isinstance(part, Text))


def calls_of(parts: Iterable[Any]) -> list[ToolCall]:
    """The calls among the parts of an answer, those that the provider has carried out itself included.

    Of the latter only the name is judged, and they come without arguments.
    """
    found: list[ToolCall] = []
    for part in parts:
        if isinstance(part, ToolCall):
            found.append(part)
        elif isinstance(part, Opaque) and part.tool is not None:
            found.append(ToolCall(id="", name=part.tool, arguments=""))
        elif isinstance(part, Opaque) and part.kind.endswith("_use"):
            found.append(ToolCall(id="", name=_name_of(part), arguments=""))
    return found


def _name_of(part: Opaque) -> str:
    """The name under which the request offers what the provider has called; empty for none."""
    if part.kind == "mcp_tool_use":
        return f"mcp:{part.value.get('server_name', '')}"
    name = part.value.get("name")
    if name in _CODE_EXECUTION:
        return "code_execution"
    return name if type(name) is str else ""
