"""What of a caller's request Gemini has no words for. No caller speaks its dialect, so all are looked at.

What changes an answer is named, and the model is then not asked; what does not is left out, and
stands in `carrying.FROM_ELSEWHERE` with the reason. One call at most (`parallel_tool_calls`) is a wish that
Gemini has no word for either, and is kept all the same: whoever judges an answer lets no second call pass.
"""

from typing import Any, Final
from urllib.parse import urlsplit

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
from interlock.adapters.leaving import unsent
from interlock.types.request import (
    AnyPart,
    Audio,
    File,
    Image,
    Reasoning,
    Request,
    Thinking,
    Tool,
    ToolCall,
    ToolResult,
)
from interlock.wire.seals import unseal

MOST_STOPS: Final = 5
MOST_TOP_LOGPROBS: Final = 20
_SEEDS: Final = range(-(2**31), 2**31)
UNSENT: Final = unsent(FROM_ELSEWHERE, carried=("extra_content",))
_PENALTIES: Final = ("frequency_penalty", "presence_penalty")
_LEFT_OUT: Final = FROM_ELSEWHERE.keys() | {"logprobs", "top_logprobs", *_PENALTIES}
_EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_SEARCH_DEFAULTS: Final = {"search_context_size": ("medium",)}
AUDIO: Final = {"wav": "audio/wav", "mp3": "audio/mp3"}
_BY_ENDING: Final = {
    "gif": "image/gif",
    "heic": "image/heic",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "pdf": "application/pdf",
    "png": "image/png",
    "txt": "text/plain",
    "webp": "image/webp",
}


def cannot_carry(request: Request) -> tuple[str, ...]:
    """The request's fields, by their names on the caller's wire, that this wire format cannot express."""
    request = plain(request, reads)
    found = asks_for(request.extra, _LEFT_OUT, DEFAULTS) if request.extra else []
    found += _of_sampling(request)
    if request.reasoning is not None:
        found += _of_reasoning(request, request.reasoning)
    if request.tools:
        found += _of_tools(request.tools)
    found += losses_of_messages(request, _loss, DEFAULTS)
    if all(message.role in ("system", "developer") for message in request.messages):
        found.append("messages")  # instructions alone are no turn that could be answered
    elif request.messages[-1].role == "assistant":
        found.append("messages[-1].role")  # whether it is answered or continued depends on the model
    return tuple(dict.fromkeys(found)) if found else ()


def reads(part: Thinking) -> bool:
    """Whether models here can make anything of an earlier thought: only of their own opaque form."""
    return unseal("gemini", part.redacted) is not None


def _of_sampling(request: Request) -> list[str]:
    found: list[str] = []
    if request.seed is not None and request.seed not in _SEEDS:
        found.append("seed")
    if len(request.stop) > MOST_STOPS:
        found.append(name_in(request, "stop"))
    if request.max_output_tokens == 0:
        found.append(name_in(request, "limit"))
    extra = request.extra
    if extra:
        top = extra.get("top_logprobs")
        if not (top is None or (type(top) is int and 0 <= top <= MOST_TOP_LOGPROBS)):
            found.append("top_logprobs")
        if type(extra.get("logprobs", False)) is not bool:
            found.append("logprobs")
        found += [name for name in _PENALTIES if type(extra.get(name, 0)) not in (int, float)]
    return found


def _of_reasoning(request: Request, reasoning: Reasoning) -> list[str]:
    found: list[str] = []
    if reasoning.effort is not None:
        both = reasoning.budget_tokens is not None or reasoning.disabled
        if both or reasoning.effort not in _EFFORTS:
            found.append(name_in(request, "effort"))
    if (
        not (reasoning.extra or {}).keys() <= {"type", "display"}
        or (reasoning.extra or {}).get("type", "adaptive") != "adaptive"
    ):
        found.append("thinking")
    return found


def _of_tools(tools: tuple[Tool, ...]) -> list[str]:
    """Gemini searches the web itself where it is asked to, but not beside functions of the caller's."""
    searches = [tool for tool in tools if is_search(tool)]
    found = losses_of_tools(tuple(tool for tool in tools if not is_search(tool)))
    for tool in searches:
        options: dict[str, Any] = (tool.vendor or {})["web_search_options"]
        found += [f"web_search_options.{name}" for name in asks_for(options, (), _SEARCH_DEFAULTS)]
    if searches and len(searches) < len(tools):
        found.append("web_search_options")
    return found


def is_search(tool: Tool) -> bool:
    """Whether a tool is the search that OpenAI's dialect switches on beside `tools`."""
    return tool.vendor is not None and tool.vendor.keys() == {"web_search_options"}


def _loss(part: AnyPart) -> str | None:
    match part:
        case ToolCall() if not is_object(part.arguments):
            return "arguments"
        case ToolResult() if not part.name:
            return "result"  # results are told apart by the names of their functions
        case Audio() if part.format not in AUDIO:
            return "audio"
        case Image() if (
            part.detail not in (None, "auto")
            or (part.media_type if part.url is None else media_type(part.url)) is None
        ):
            return "image"
        case File() if not _is_document(part):
            return "file"
    return None


def _is_document(part: File) -> bool:
    if part.file_id is not None:
        return False
    if part.text is not None:
        return True
    return (part.media_type if part.url is None else media_type(part.url)) is not None


def media_type(url: str) -> str | None:
    """What the ending of an address says of the kind of its content, which Gemini has to be told."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "gs"):
        return None
    return _BY_ENDING.get(parts.path.rpartition(".")[2].lower())
