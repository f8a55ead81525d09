"""What of another dialect's request OpenAI responses have no words for.

Its own dialect goes through whole. Of the others, what changes an answer is named, and the model is
then not asked; what does not is left out, and stands here with the reason.
"""

from collections.abc import Iterable
from typing import Any, Final

from interlock.adapters.carrying import OF_THOUGHTS, asks_for, is_nameable, words_of
from interlock.adapters.leaving import unsent
from interlock.adapters.openai.schema import is_strict
from interlock.types.request import AnyPart, Audio, File, Message, Opaque, Request, Thinking, Tool, ToolResult
from interlock.wire.seals import unseal

CARRIED: Final = (
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
)
"""Fields of chat completions that have the same name and meaning here."""

LEFT_OUT: Final[dict[str, str]] = {
    "annotations": "what an earlier answer cited belongs to that answer",
    **OF_THOUGHTS,
    "anthropic_beta": "switches on fields of the body, which are looked at for themselves",
    "cache_control": "where a prompt may be cached: the answer is the same",
    "eager_input_streaming": "in which pieces a call's arguments come",
    "extra_content": "what a vendor wants to remember an answer by, which no other can read",
    "prompt_cache_breakpoint": "where a prompt may be cached: the answer is the same",
    "service_tier": "how soon a request is served; chat's own word for it is sent",
    "store": "nothing is kept at this vendor: `store` is always false",
    "stream_options": "in which pieces a stream comes",
}
"""Fields, at any place, that no upstream of this kind is sent: leaving them out changes no answer."""

UNSENT: Final = unsent(LEFT_OUT)
UNSENT_OF_CHAT: Final = unsent(LEFT_OUT, on_top=CARRIED)

_DEFAULTS: Final[dict[str, tuple[Any, ...]]] = {
    "allowed_callers": (["direct"],),
    "caller": ({"type": "direct"},),
    "citations": ({"enabled": False}, []),
    "defer_loading": (False,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "presence_penalty": (0,),
    "speed": ("standard",),
    "top_logprobs": (0,),
}
"""Values that ask for nothing: they are what happens anyhow."""
_NOT_HERE: Final = ("top_k", "seed", "stop")


def cannot_carry(request: Request) -> tuple[str, ...]:
    """The request's fields, by their names on the wire, that this wire format cannot express."""
    if request.dialect == "openai-responses":
        return ()
    chat = request.dialect == "openai-chat"
    carried = dict.fromkeys((*CARRIED, "verbosity"), "") if chat else {}
    found = asks_for(request.extra, {**LEFT_OUT, **carried}, _DEFAULTS)
    found += [name for name in _NOT_HERE if getattr(request, name) not in (None, ())]
    if request.max_output_tokens == 0:
        found.append("max_tokens")
    reasoning = request.reasoning
    if reasoning is not None and (reasoning.budget_tokens is not None or _is_special(reasoning.extra)):
        found.append("thinking")
    for tool in request.tools:
        found += _of_tool(tool)
    for message in request.messages:
        found += _of_message(message)
    if not chat and request.messages[-1].role == "assistant":
        found.append("messages[-1].role")  # this vendor answers it, where the other continues it
    return tuple(dict.fromkeys(found))


def _is_special(thinking: dict[str, Any] | None) -> bool:
    """Whether thinking is asked for in a way that this vendor's models do not think by themselves.

    `display` says what is shown of it, and without being asked this vendor shows none.
    """
    return thinking is not None and (
        thinking.get("type", "adaptive") != "adaptive" or not thinking.keys() <= {"type", "display"}
    )


def _of_tool(tool: Tool) -> list[str]:
    if tool.vendor is not None:
        names = ("mcp_server", "mcp_servers"), ("web_search_options", "web_search_options")
        return [next((shown for key, shown in names if key in tool.vendor), "tools[].type")]
    if tool.strict and tool.parameters and not is_strict({"type": "object", **tool.parameters}):
        return ["tools[].strict"]
    return [f"tools[].{name}" for name in asks_for(tool.extra, LEFT_OUT, _DEFAULTS)]


def state_of(part: Thinking) -> str | None:
    """What this vendor takes a thought back by, as a caller of another dialect keeps it; None for others'."""
    return unseal("openai-responses", part.signature or part.redacted)


def reads(part: Thinking) -> bool:
    """Whether models here can make anything of an earlier thought: only of their own encrypted form."""
    return bool(state_of(part))


def _of_message(message: Message) -> list[str]:
    if words_of(message) is not None:
        return []
    found = [f"messages[].{name}" for name in asks_for(message.extra, LEFT_OUT, _DEFAULTS)]
    if not is_nameable(message):
        found.append("messages[].name")
    for part in message.parts:
        found += [f"messages[].content[].{name}" for name in _of_part(part, message.role)]
    return found


def _of_part(part: AnyPart, role: str) -> Iterable[str]:
    if isinstance(part, Opaque):
        return [part.kind]
    if isinstance(part, Thinking):
        return []  # another vendor's is left out
    if isinstance(part, Audio):
        return ["input_audio"]
    # What an assistant cited belongs to the answer that it is quoted from.
    left_out = {**LEFT_OUT, "citations": ""} if role == "assistant" else LEFT_OUT
    found = asks_for(part.extra, left_out, _DEFAULTS)
    if isinstance(part, ToolResult):
        found += [f"content[].{name}" for inner in part.content for name in _of_part(inner, role)]
    elif isinstance(part, File) and part.file_id is not None:
        found.append("file_id")  # the other API's files are not this one's
    return found
