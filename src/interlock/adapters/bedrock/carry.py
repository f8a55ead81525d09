"""What of a caller's request the Converse API has no words for. No caller speaks it, so all are looked at.

What changes an answer is named, and the model is then not asked; what does not is left out, and stands
in `carrying.FROM_ELSEWHERE` with the reason. One call at most (`parallel_tool_calls`) is a wish that Converse
has no word for either, and is kept all the same: whoever judges an answer lets no second call pass.
"""

from typing import Final

from interlock.adapters.anthropic.schema import narrowed
from interlock.adapters.carrying import (
    DEFAULTS,
    FROM_ELSEWHERE,
    asks_for,
    is_object,
    losses_of_messages,
    losses_of_tools,
    name_in,
    plain,
)
from interlock.adapters.leaving import Unsent
from interlock.types.request import (
    AnyPart,
    Audio,
    File,
    Image,
    Request,
    ResponseFormat,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from interlock.wire.seals import is_seal, unseal

IMAGES: Final = {"image/png": "png", "image/jpeg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
AUDIO: Final = ("aac", "flac", "m4a", "mp3", "mp4", "ogg", "opus", "wav", "webm")
DOCUMENTS: Final = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_DEFAULTS: Final = {**DEFAULTS, "citations": ({"enabled": False}, {"enabled": True}, [])}


UNSENT: Final = {
    # By whether a model knows cache points behind messages, and behind tools.
    (messages, tools): Unsent(
        top=frozenset(FROM_ELSEWHERE),
        tools=frozenset(FROM_ELSEWHERE).difference(("cache_control",) if tools else ()),
        messages=frozenset(FROM_ELSEWHERE).difference(("cache_control",) if messages else ()),
    )
    for messages in (False, True)
    for tools in (False, True)
}


def cannot_carry(request: Request) -> tuple[str, ...]:
    """The request's fields, by their names on the caller's wire, that this wire format cannot express."""
    request = plain(request, reads)
    found = asks_for(request.extra, FROM_ELSEWHERE, DEFAULTS) if request.extra else []
    if request.seed is not None:
        found.append("seed")
    if request.temperature is not None and request.temperature > 1:
        found.append("temperature")
    if request.max_output_tokens == 0:
        found.append(name_in(request, "limit"))
    if request.response_format is not None and not _can_ask_for(request.response_format):
        found.append(name_in(request, "format"))
    if request.reasoning is not None and request.reasoning.effort not in (None, *_EFFORTS):
        found.append(name_in(request, "effort"))
    if request.tools:
        found += losses_of_tools(request.tools)
        found += [name_in(request, "strict") for tool in request.tools if not _can_be_held_to(tool)]
        choice = request.tool_choice
        if choice is not None and choice.mode == "none" and has_calls(request):
            found.append("tool_choice")  # with calls in the conversation the tools cannot be left out
    found += losses_of_messages(request, _loss, _DEFAULTS)
    if all(message.role in ("system", "developer") for message in request.messages):
        found.append("messages")  # instructions alone are no turn that could be answered
    return tuple(dict.fromkeys(found)) if found else ()


def _can_ask_for(asked: ResponseFormat) -> bool:
    """Whether Converse knows this output: by a schema, of the same part of JSON Schema as Anthropic's."""
    return asked.json_schema is not None and narrowed(asked.json_schema) is not None


def _can_be_held_to(tool: Tool) -> bool:
    if not tool.strict or not tool.parameters:
        return True
    return narrowed({"type": "object", **tool.parameters}) is not None


def reads(part: Thinking) -> bool:
    """Whether models here can make anything of an earlier thought: signed, or in their own opaque form."""
    if part.signature:
        return not is_seal(part.signature)
    return unseal("bedrock", part.redacted) is not None


def reads_opaque(part: Thinking) -> bool:
    """The same of models that sign no thoughts: a signature is Claude's."""
    return unseal("bedrock", part.redacted) is not None


def has_calls(request: Request) -> bool:
    """Whether the conversation holds calls of tools, or their results."""
    return any(
        isinstance(part, ToolCall | ToolResult) for message in request.messages for part in message.parts
    )


def _loss(part: AnyPart) -> str | None:
    match part:
        case ToolCall() if not is_object(part.arguments):
            return "arguments"
        case Audio() if part.format not in AUDIO:
            return "audio"
        case Image() if part.url is not None or part.media_type not in IMAGES:
            return "image"
        case Image() if part.detail not in (None, "auto"):
            return "image"
        case File() if part.text is None and (part.data is None or part.media_type not in DOCUMENTS):
            return "file"
    return None
