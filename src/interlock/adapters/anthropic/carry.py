"""What of another dialect's request Anthropic messages has no words for.

Its own dialect goes through whole. Of the others, what changes an answer is named, and the model is
then not asked; what does not is left out, and stands here with the reason.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from interlock.adapters.anthropic.messages import is_signed, plain_text
from interlock.adapters.anthropic.schema import narrowed
from interlock.adapters.carrying import FROM_ELSEWHERE, OF_THOUGHTS, asks_for, is_nameable, plain
from interlock.adapters.leaving import unsent
from interlock.types.request import (
    AnyPart,
    Audio,
    File,
    Image,
    Message,
    Opaque,
    Request,
    ResponseFormat,
    Text,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)

_decode: Final = msgspec.json.Decoder().decode
_IMAGES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")

LEFT_OUT: Final[dict[str, str]] = {
    "annotations": "what an earlier answer cited belongs to that answer",
    **OF_THOUGHTS,
    "extra_content": "what another vendor wants to remember an answer by",
    "cache_control": "is sent: it is this vendor's own mark, which others know by the same name",
    "prompt_cache_breakpoint": "where a prompt may be cached: the answer is the same",
    "prompt_cache_key": "where a prompt may be cached: the answer is the same",
    "prompt_cache_options": "where a prompt may be cached: the answer is the same",
    "prompt_cache_retention": "where a prompt may be cached: the answer is the same",
    "safety_identifier": "is sent as `metadata.user_id`, where no `user` is",
    "service_tier": "how soon a request is served, under names of one vendor",
    "stream_options": "in which pieces a stream comes",
}
"""Fields, at any place, that need not be sent as they are: leaving them out changes no answer.

`metadata` is not sent either: what of it rules look at is a signal, and the vendor keeps none of it.
"""

UNSENT: Final = unsent(LEFT_OUT | FROM_ELSEWHERE, carried=("cache_control", "safety_identifier"))

_DEFAULTS: Final[dict[str, tuple[Any, ...]]] = {
    "annotations": ([],),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "presence_penalty": (0,),
    "store": (False,),
    "top_logprobs": (0,),
    "verbosity": ("medium",),
}
"""Values that ask for nothing: they are what happens anyhow."""


def cannot_carry(request: Request) -> tuple[str, ...]:
    """The request's fields, by their names on the wire, that this wire format cannot express."""
    if request.dialect == "anthropic-messages":
        return ()
    request = plain(request, is_signed)
    found = asks_for(request.extra, LEFT_OUT, _DEFAULTS)
    if request.seed is not None:
        found.append("seed")
    if request.temperature is not None and request.temperature > 1:
        found.append("temperature")
    if request.response_format is not None and not _can_ask_for(request.response_format):
        found.append("response_format")
    if request.reasoning is not None and request.reasoning.effort not in (None, *_EFFORTS):
        found.append("reasoning_effort")
    for tool in request.tools:
        found += _of_tool(tool)
    for message in request.messages:
        found += _of_message(message)
    if all(message.role in ("system", "developer") for message in request.messages):
        found.append("messages")  # instructions alone are no turn that could be answered
    return tuple(dict.fromkeys(found)) if found else ()


def _can_ask_for(asked: ResponseFormat) -> bool:
    """Whether the vendor knows this output: by a schema, and one that it can compile."""
    return asked.json_schema is not None and narrowed(asked.json_schema) is not None


def _of_tool(tool: Tool) -> Iterable[str]:
    if tool.vendor is not None:
        yield "web_search_options" if "web_search_options" in tool.vendor else "tools[].type"
        return
    if tool.strict and tool.parameters and narrowed({"type": "object", **tool.parameters}) is None:
        yield "tools[].function.strict"
    yield from (f"tools[].{name}" for name in asks_for(tool.extra, LEFT_OUT, _DEFAULTS))


def _of_message(message: Message) -> list[str]:
    found: list[str] = []
    if message.extra is not None:
        found += [f"messages[].{name}" for name in asks_for(message.extra, LEFT_OUT, _DEFAULTS)]
    if not is_nameable(message):
        found.append("messages[].name")
    for part in message.parts:
        if type(part) is not Text or part.extra is not None:
            found += [f"messages[].{name}" for name in _of_part(part)]
    return found


def _of_part(part: AnyPart) -> Iterable[str]:
    if isinstance(part, ToolCall):
        if not _is_object(part.arguments):
            yield "tool_calls[].function.arguments"
        yield from (f"tool_calls[].{name}" for name in asks_for(part.extra, LEFT_OUT, _DEFAULTS))
    elif isinstance(part, Thinking):
        return  # one that this vendor has not signed is left out
    elif isinstance(part, Audio):
        yield "content[].input_audio"
    elif isinstance(part, Opaque):
        yield f"content[].{part.kind}"
    else:
        if isinstance(part, ToolResult):
            for inner in part.content:
                yield from _of_part(inner)
        elif isinstance(part, Image) and not _is_image(part):
            yield "content[].image_url"
        elif isinstance(part, File) and not _is_document(part):
            yield "content[].file"
        yield from (f"content[].{name}" for name in asks_for(part.extra, LEFT_OUT, _DEFAULTS))


def _is_object(arguments: str) -> bool:
    try:
        return not arguments or isinstance(_decode(arguments), dict)
    except (msgspec.DecodeError, RecursionError):
        return False


def _is_image(part: Image) -> bool:
    if part.detail not in (None, "auto"):
        return False
    if part.url is not None:
        return part.url.startswith(("https://", "http://"))
    return part.media_type in _IMAGES


def _is_document(part: File) -> bool:
    if part.file_id is not None or part.data is None:
        return part.url is not None
    return part.media_type == "application/pdf" or plain_text(part) is not None
