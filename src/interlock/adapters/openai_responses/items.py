"""Items of an answer's `output` -> canonical parts.

A message and a reasoning item hold several texts: each becomes a part of its own, and what belongs to
the item as a whole stands on each of them, so that a caller of the same dialect gets its items back:
`{"openai-responses": {"item": {...}, "part": {...}}}`.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from interlock.adapters.failures import Broken, code_of, malformed
from interlock.types.request import AnyPart, Extra, Opaque, Refusal, Text, Thinking, ToolCall
from interlock.wire.seals import seal

OWN: Final = "openai-responses"

_TOOLS: Final = {
    "apply_patch_call": "apply_patch",
    "code_interpreter_call": "code_interpreter",
    "computer_call": "computer",
    "file_search_call": "file_search",
    "image_generation_call": "image_generation",
    "local_shell_call": "local_shell",
    "shell_call": "shell",
    "tool_search_call": "tool_search",
    "web_search_call": "web_search",
}
"""Calls of tools that the vendor has made, and the names under which a request offers these."""
_OF_SERVERS: Final = ("mcp_call", "mcp_approval_request")
_PASSED_ON: Final = frozenset(
    {
        "apply_patch_call_output",
        "compaction",
        "computer_call_output",
        "local_shell_call_output",
        "mcp_list_tools",
        "shell_call_output",
        "tool_search_output",
    }
)
"""Items that only callers of the own dialect are shown and that call nothing. Others may be calls."""
_MESSAGE: Final = frozenset({"type", "role", "content"})
_REASONING: Final = frozenset({"type", "summary", "content"})
_CALL: Final = frozenset({"type", "call_id", "name", "arguments"})


class _Item(Struct):
    type: str


class _Content(Struct):
    type: str


class _Message(Struct):
    content: list[_Content]


class _OutputText(Struct):
    text: str
    annotations: list[Any] | None = None
    logprobs: list[Any] | None = None


class _Refusal(Struct):
    refusal: str


class _Call(Struct):
    name: str
    arguments: str
    call_id: str


def read_item(raw: Any) -> tuple[AnyPart, ...]:
    """The parts that an item is.

    Raises msgspec.ValidationError for a known kind in a wrong shape, Broken for an unknown kind.
    """
    kind = msgspec.convert(raw, _Item).type
    if kind == "message":
        msgspec.convert(raw, _Message)
        item = item_fields(raw)
        return tuple(read_content(part, item) for part in raw["content"])
    if kind == "reasoning":
        return read_reasoning(raw)
    if kind == "function_call":
        return (read_call(raw),)
    return (read_opaque(raw),)


def item_fields(raw: dict[str, Any]) -> dict[str, Any]:
    """What belongs to a message, or to a reasoning item, as a whole."""
    return others(raw, _REASONING if raw.get("type") == "reasoning" else _MESSAGE)


def read_content(raw: dict[str, Any], item: dict[str, Any]) -> Text | Refusal:
    """One content part of a message. Raises msgspec.ValidationError, and Broken for an unknown kind."""
    kind = raw["type"]
    if kind == "output_text":
        text = msgspec.convert(raw, _OutputText).text
        return Text(text=text, extra=extra(item, others(raw, frozenset({"type", "text"}))))
    if kind == "refusal":
        text = msgspec.convert(raw, _Refusal).refusal
        return Refusal(text=text, extra=extra(item, others(raw, frozenset({"type", "refusal"}))))
    raise Broken(malformed(f"content of the kind `{code_of(kind)}`"))


def read_reasoning(raw: dict[str, Any]) -> tuple[Thinking | Opaque, ...]:
    """Thoughts, one by one, the last of them sealed by their encrypted form; or an item that shows none.

    Raises msgspec.ValidationError.
    """
    item = item_fields(raw)
    sealed = sealed_in(item)
    parts = [
        Thinking(text=msgspec.convert(part, _OutputText).text, extra=extra(item, others(part, _TEXT)))
        for place in ("summary", "content")
        for part in msgspec.convert(raw.get(place) or [], list[dict[str, Any]])
    ]
    if not parts:
        return (Opaque(dialect="openai-responses", kind="reasoning", value=raw, seal=sealed),)
    parts[-1] = replace(parts[-1], signature=sealed)
    return tuple(parts)


def sealed_in(item: dict[str, Any]) -> str | None:
    """What callers of other dialects keep of a reasoning item, for its vendor to know it by."""
    encrypted = item.get("encrypted_content")
    return seal("openai-responses", encrypted) if encrypted and type(encrypted) is str else None


_TEXT: Final = frozenset({"text"})  # the type stays: a summary's part and a thought itself differ by it


def read_call(raw: dict[str, Any]) -> ToolCall:
    """A call of a function. Raises msgspec.ValidationError."""
    call = msgspec.convert(raw, _Call)
    left = others(raw, _CALL)
    return ToolCall(
        id=call.call_id, name=call.name, arguments=call.arguments, extra={OWN: left} if left else None
    )


def read_opaque(raw: dict[str, Any]) -> Opaque:
    """An item of the vendor's own.

    Raises msgspec.ValidationError, and Broken for a kind that is not known: it may be a call.
    """
    kind = msgspec.convert(raw, _Item).type
    tool = _tool_of(kind, raw)
    if tool is None and kind not in _PASSED_ON:
        raise Broken(malformed(f"an item of the kind `{code_of(kind)}`"))
    return Opaque(dialect="openai-responses", kind=kind, value=raw, tool=tool)


def _tool_of(kind: str, raw: dict[str, Any]) -> str | None:
    if kind in _OF_SERVERS:
        return f"mcp:{raw.get('server_label', '')}"
    if kind == "custom_tool_call":
        return str(raw.get("name", ""))
    return _TOOLS.get(kind)


def extra(item: dict[str, Any], part: dict[str, Any]) -> Extra | None:
    """What only a caller of the same dialect is shown of a text, and of the item that it stands in."""
    return {OWN: {"item": item, "part": part}} if item or part else None


def others(fields: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """The fields that are not among the known ones; null is as good as absent."""
    return {name: value for name, value in fields.items() if name not in known and value is not None}
