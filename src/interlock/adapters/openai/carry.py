"""What of another dialect's request OpenAI chat has no words for.

Its own dialect goes through whole. Of the others, what changes an answer is named, and the model is
then not asked; what does not is left out, and stands here with the reason.

An earlier answer's thoughts go where the server wants them, as words: their signature means nothing here.
A vendor that forgets them after each turn (`Quirks.reasoning`) is not sent them, whoever its caller is.
"""

from collections.abc import Iterable
from typing import Any, Final

from interlock.adapters.carrying import FROM_ELSEWHERE, asks_for, plain, reads_none, words_of
from interlock.adapters.leaving import unsent
from interlock.adapters.openai.schema import is_strict
from interlock.types.request import (
    AnyPart,
    File,
    Image,
    Message,
    Opaque,
    Request,
    Text,
    Thinking,
    Tool,
    ToolResult,
)

_MOST_STOPS: Final = 4

LEFT_OUT: Final[dict[str, str]] = {
    "anthropic_beta": "switches on fields of the body, which are looked at for themselves",
    "cache_control": "where a prompt may be cached: the answer is the same",
    "service_tier": "how soon a request is served, under names of one vendor",
    "eager_input_streaming": "in which pieces a call's arguments come",
}
"""Fields, at any place, that no upstream of this kind is sent: leaving them out changes no answer."""

UNSENT: Final = unsent(LEFT_OUT | FROM_ELSEWHERE)

_DEFAULTS: Final[dict[str, tuple[Any, ...]]] = {
    "allowed_callers": (["direct"],),
    "caller": ({"type": "direct"},),
    "citations": ({"enabled": False}, []),
    "defer_loading": (False,),
    "speed": ("standard",),
}
"""Values that ask for nothing: they are what happens anyhow."""


def cannot_carry(request: Request) -> tuple[str, ...]:
    """The request's fields, by their names on the wire, that this wire format cannot express."""
    if request.dialect == "openai-chat":
        return ()
    request = plain(request, reads_none)
    found = asks_for(request.extra, LEFT_OUT, _DEFAULTS)
    if request.top_k is not None:
        found.append("top_k")
    if len(request.stop) > _MOST_STOPS:
        found.append("stop_sequences")
    if request.max_output_tokens == 0:
        found.append("max_tokens")
    reasoning = request.reasoning
    if reasoning is not None and (reasoning.budget_tokens is not None or _is_special(reasoning.extra)):
        found.append("thinking")
    for tool in request.tools:
        found += _of_tool(tool)
    for message in request.messages:
        found += _of_message(message)
    if request.dialect == "anthropic-messages" and request.messages[-1].role == "assistant":
        found.append("messages[-1].role")  # this vendor answers it, where the other continues it
    return tuple(dict.fromkeys(found))


def _is_special(thinking: dict[str, Any] | None) -> bool:
    """Whether thinking is asked for in a way that this vendor's models do not think by themselves.

    `display` says what is shown of it, and this vendor shows none.
    """
    return thinking is not None and (
        thinking.get("type", "adaptive") != "adaptive" or not thinking.keys() <= {"type", "display"}
    )


def _of_tool(tool: Tool) -> list[str]:
    if tool.vendor is not None:
        return ["mcp_servers" if "mcp_server" in tool.vendor else "tools[].type"]
    if tool.strict and tool.parameters and not is_strict({"type": "object", **tool.parameters}):
        return ["tools[].strict"]
    return [f"tools[].{name}" for name in asks_for(tool.extra, LEFT_OUT, _DEFAULTS)]


def _of_message(message: Message) -> list[str]:
    if words_of(message) is not None:
        return []
    found = [f"messages[].{name}" for name in asks_for(message.extra, LEFT_OUT, _DEFAULTS)]
    for part in message.parts:
        found += [f"messages[].content[].{name}" for name in _of_part(part, message.role)]
    return found


def _of_part(part: AnyPart, role: str) -> Iterable[str]:
    if isinstance(part, Opaque):
        return [part.kind]
    if isinstance(part, Thinking):
        return []  # words are sent where the vendor takes them, and nothing else of it
    # What an assistant cited belongs to the answer that it is quoted from.
    left_out = {**LEFT_OUT, "citations": ""} if role == "assistant" else LEFT_OUT
    found = asks_for(part.extra, left_out, _DEFAULTS)
    if isinstance(part, ToolResult):
        found += [f"content[].{name}" for inner in part.content for name in _of_result(inner)]
    elif isinstance(part, File) and (part.url is not None or part.file_id is not None):
        found.append("source")
    return found


def _of_result(part: Text | Image | File | Opaque) -> Iterable[str]:
    """A tool's result is text here; a document that is text can be written out."""
    if isinstance(part, Opaque):
        return [part.kind]
    if isinstance(part, Image) or (isinstance(part, File) and part.text is None):
        return ["source"]
    return asks_for(part.extra, LEFT_OUT, _DEFAULTS)
