"""What adapters share in looking for what they cannot carry."""

from collections.abc import Callable, Container, Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from interlock.errors import ApiError
from interlock.types.request import (
    IN_INPUT,
    AnyPart,
    Extra,
    Message,
    Opaque,
    Request,
    Text,
    Thinking,
    Tool,
    ToolResult,
)
from interlock.wire.seals import is_seal

_decode: Final = msgspec.json.Decoder().decode

OF_THOUGHTS: Final[dict[str, str]] = {
    "provider_specific_fields": "what a client keeps of an earlier answer and has no name for",
    "reasoning": "an earlier answer's thoughts, in a field of vendors of other models",
    "reasoning_details": "an earlier answer's thoughts, in a field of vendors of other models",
    "thinking_blocks": "an earlier answer's thoughts, in a client's own form",
}
"""Fields of earlier answers, in chat, that hold thoughts beside those that are read."""

FROM_ELSEWHERE: Final[dict[str, str]] = {
    "annotations": "what an earlier answer cited belongs to that answer",
    **OF_THOUGHTS,
    "anthropic_beta": "switches on fields of the body, which are looked at for themselves",
    "cache_control": "where a prompt may be cached: the answer is the same",
    "eager_input_streaming": "in which pieces a call's arguments come",
    "extra_content": "what a vendor wants to remember an answer by, which no other can read",
    "prompt_cache_breakpoint": "where a prompt may be cached: the answer is the same",
    "prompt_cache_key": "where a prompt may be cached: the answer is the same",
    "prompt_cache_options": "where a prompt may be cached: the answer is the same",
    "prompt_cache_retention": "where a prompt may be cached: the answer is the same",
    "safety_identifier": "names an end user to a vendor that watches for abuse, as `user` does",
    "service_tier": "how soon a request is served, under names of one vendor",
    "stream_options": "in which pieces a stream comes",
}
"""Fields of callers' dialects, at any place, that a wire format which is nobody's dialect may leave out.

Leaving them out changes no answer. Neither are `user` and `metadata` sent: the first names an end user
to a vendor that watches for abuse, and of the second, what rules look at is a signal.
"""
DEFAULTS: Final[dict[str, tuple[Any, ...]]] = {
    "allowed_callers": (["direct"],),
    "annotations": ([],),
    "caller": ({"type": "direct"},),
    "citations": ({"enabled": False}, []),
    "defer_loading": (False,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "presence_penalty": (0,),
    "speed": ("standard",),
    "store": (False,),
    "top_logprobs": (0,),
    "verbosity": ("medium",),
}
"""Values that ask for nothing: they are what happens anyhow."""

_OF_ITEMS: Final[dict[str, str]] = {
    "annotations": "what an earlier answer cited belongs to that answer",
    "id": "the name of an item: nothing refers to it",
    "logprobs": "how likely the words of an earlier answer were",
    "phase": "which part of an earlier answer was said before its tools were called",
    "status": "that an earlier item is complete",
}
"""Fields of items of a request for a response that tell no other model anything."""
_OF_RESPONSES: Final[dict[str, tuple[Any, ...]]] = {
    "include": (["reasoning.encrypted_content"], []),
    "text": ({"verbosity": "medium"},),
    "truncation": ("disabled",),
}
"""Values of its own fields that ask for nothing: they are what happens anyhow."""
_SHOWN: Final = ("summary", "generate_summary")
"""What is shown of a model's thoughts. Without being asked, others show what they show."""

Reads = Callable[[Thinking], bool]
"""Whether a model can make anything of an earlier thought."""


def reads_none(part: Thinking) -> bool:  # noqa: ARG001 - it is a `Reads`
    return False


def plain(request: Request, reads: Reads) -> Request:
    """A request for a response as other wire formats have it; any other request as it is.

    Names and states of items go, and thoughts behind earlier answers that the model cannot read: what
    came of them is sent. Tools that an item brings are named by that item.
    """
    if request.dialect != "openai-responses":
        return request
    messages = (_plain_message(message, reads) for message in request.messages)
    extra = {
        name: value
        for name, value in request.extra.items()
        if value not in _OF_RESPONSES.get(name, ()) and name not in FROM_ELSEWHERE
    }
    asked = request.reasoning
    if asked is not None:
        asked = replace(asked, extra=_without(asked.extra, _SHOWN))
    return replace(
        request,
        messages=tuple(message for message in messages if message.parts),
        tools=tuple(tool for tool in request.tools if tool.extra != IN_INPUT),
        extra=extra,
        reasoning=asked,
    )


def _plain_message(message: Message, reads: Reads) -> Message:
    parts = tuple(
        part if part.extra is None else replace(part, extra=_without(part.extra, _OF_ITEMS))
        for part in message.parts
        if not isinstance(part, Thinking) or reads(part)
    )
    return replace(message, parts=parts, extra=_without(message.extra, _OF_ITEMS))


def _without(extra: Extra | None, names: Container[str]) -> Extra | None:
    return {name: value for name, value in (extra or {}).items() if name not in names} or None


def asks_for(
    extra: Mapping[str, Any] | None, left_out: Container[str], defaults: Mapping[str, tuple[Any, ...]]
) -> list[str]:
    """The names of fields that are neither in `left_out` nor at one of their `defaults`."""
    if not extra:
        return []
    return [
        name for name, value in extra.items() if name not in left_out and value not in defaults.get(name, ())
    ]


_NAMES: Final[dict[str, tuple[str, str]]] = {
    "arguments": ("messages[].tool_calls[].function.arguments", "messages[].content[].input"),
    "audio": ("messages[].content[].input_audio", "messages[].content[].source"),
    "effort": ("reasoning_effort", "output_config.effort"),
    "file": ("messages[].content[].file", "messages[].content[].source"),
    "format": ("response_format", "output_config.format"),
    "image": ("messages[].content[].image_url", "messages[].content[].source"),
    "limit": ("max_completion_tokens", "max_tokens"),
    "redacted": ("messages[].reasoning_content", "messages[].content[].redacted_thinking"),
    "result": ("messages[].tool_call_id", "messages[].content[].tool_use_id"),
    "stop": ("stop", "stop_sequences"),
    "strict": ("tools[].function.strict", "tools[].strict"),
    "thinking": ("messages[].reasoning_content", "messages[].content[].thinking"),
}


def name_in(request: Request, what: str) -> str:
    """What a request's own dialect calls a thing that cannot be carried."""
    names = _NAMES.get(what, (what, what))
    return names[1] if request.dialect == "anthropic-messages" else names[0]


def losses_of_tools(tools: tuple[Tool, ...], left_out: Container[str] = FROM_ELSEWHERE) -> list[str]:
    """The names of fields of tools that a wire format which is nobody's dialect cannot express."""
    found: list[str] = []
    for tool in tools:
        if tool.vendor is None:
            found += [f"tools[].{name}" for name in asks_for(tool.extra, left_out, DEFAULTS)]
        elif "web_search_options" in tool.vendor:
            found.append("web_search_options")
        else:
            found.append("mcp_servers" if "mcp_server" in tool.vendor else "tools[].type")
    return found


PartLoss = Callable[[AnyPart], str | None]
"""Names, as in `name_in`, what of a part a wire format cannot express."""


def losses_of_messages(
    request: Request, loss: PartLoss, defaults: Mapping[str, tuple[Any, ...]]
) -> list[str]:
    """The same for messages. `loss` says of a part whether its kind of content can be sent."""
    found: list[str] = []
    for message in request.messages:
        if message.extra is not None:
            found += [f"messages[].{name}" for name in asks_for(message.extra, FROM_ELSEWHERE, defaults)]
        if not is_nameable(message):
            found.append("messages[].name")
        for part in message.parts:
            if type(part) is not Text or part.extra is not None:
                found += _of_part(request, message, part, loss, defaults)
    return found


def _of_part(
    request: Request,
    message: Message,
    part: AnyPart,
    loss: PartLoss,
    defaults: Mapping[str, tuple[Any, ...]],
) -> list[str]:
    if isinstance(part, Opaque):
        return [f"messages[].content[].{part.kind}"]
    what = loss(part)
    found = [name_in(request, what)] if what is not None else []
    # What an assistant cited belongs to the answer that it is quoted from.
    cited = {**defaults, "citations": (part.extra.get("citations"),)} if part.extra else defaults
    among = cited if message.role == "assistant" else defaults
    found += [f"messages[].content[].{name}" for name in asks_for(part.extra, FROM_ELSEWHERE, among)]
    if isinstance(part, ToolResult):
        for inner in part.content:
            found += _of_part(request, message, inner, loss, defaults)
    return found


def is_nameable(message: Message) -> bool:
    """Whether a name can be said in words: an assistant that reads its own goes on writing it."""
    return message.name is None or message.role in ("user", "system", "developer", "tool")


def with_name(message: Message) -> tuple[AnyPart, ...]:
    """The parts of a message for a wire format without a place for its speaker's name: said before its words.

    A name tells the model apart who speaks in the same role, and that is what the words do.
    """
    if message.name is None or message.role == "tool":
        return message.parts
    first = message.parts[0] if message.parts else None
    if isinstance(first, Text):
        return (replace(first, text=f"{message.name}: {first.text}"), *message.parts[1:])
    return (Text(text=f"{message.name}:"), *message.parts)


def words_of(message: Message) -> str | None:
    """The words of a message that is one text and no more, as most are; None for any other, and for none."""
    parts = message.parts
    if len(parts) == 1 and message.extra is None and message.name is None:
        only = parts[0]
        if type(only) is Text and only.extra is None:
            return only.text or None
    return None


def is_object(arguments: str) -> bool:
    """Whether a call's arguments, as the model wrote them, are a JSON object; nothing stands for none."""
    try:
        return not arguments or isinstance(_decode(arguments), dict)
    except (msgspec.DecodeError, RecursionError):
        return False


def refuse_loss(kind: str, fields: tuple[str, ...]) -> None:
    """Never send less than was asked. The route keeps such models out; this is the last guard.

    Raises ApiError: invalid_request.
    """
    if fields:
        listed = ", ".join(f"`{name}`" for name in fields)
        raise ApiError(
            "invalid_request", f"a provider of the kind `{kind}` cannot be sent {listed}", param=fields[0]
        )


def is_sealed(part: AnyPart) -> bool:
    """Whether a part is a thought that only a vendor can read whose wire format is not its caller's."""
    return type(part) is Thinking and (is_seal(part.redacted) or is_seal(part.signature))


def cache_mark(part: AnyPart) -> Extra | None:
    """A caller's mark that a prompt may be cached up to a part. One in a tool's result is the result's."""
    mark = part.extra.get("cache_control") if part.extra is not None else None
    if type(mark) is dict:
        return mark
    if isinstance(part, ToolResult):
        return next((mark for inner in reversed(part.content) if (mark := cache_mark(inner))), None)
    return None
