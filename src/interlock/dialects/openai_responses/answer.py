"""Canonical answers -> the bodies that callers of OpenAI responses expect.

A response repeats its request. What the vendor says of settings counts, as it knows their defaults; what
Interlock has judged or keeps itself is the caller's own.
"""

from typing import Any, Final

import msgspec

from interlock.dialects.citing import beside, homeless
from interlock.dialects.openai_responses.items import OWN, write_output
from interlock.dialects.vendor import vendor_fields
from interlock.types.answer import Answer, FinishReason, Usage
from interlock.types.request import IN_INPUT, Message, Request, Text, Tool, ToolChoice

_encode: Final = msgspec.json.Encoder().encode

INCOMPLETE: Final[dict[FinishReason, str]] = {
    "length": "max_output_tokens",
    "pause": "max_output_tokens",  # the model has more to say: never shown as finished
    "content_filter": "content_filter",
    "refusal": "content_filter",  # a classifier of the vendor stopped the model
}
_SECRET: Final = ("authorization", "headers")
"""What a definition of a server may hold that no answer repeats."""
_UNSAID: Final[dict[str, Any]] = {
    "completed_at": None,
    "frequency_penalty": 0.0,
    "max_tool_calls": None,
    "presence_penalty": 0.0,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "service_tier": "default",
    "temperature": 1.0,
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
}
"""What a response has to say (Open Responses requires these) where neither its caller nor its vendor has said
anything: the defaults that the API documents."""
_REPEATED: Final = _UNSAID.keys() - {"completed_at", "temperature", "top_p"}
"""Of those, what the request says in fields that we do not interpret."""


def encode_answer(answer: Answer, request: Request, model: str) -> bytes:
    """A whole answer; `model` is the name that the caller is shown."""
    status = status_of(answer.finish)
    response_id = id_of_answer(request, answer.id)
    fields = vendor_fields(answer.extra, OWN)
    body = response_of(request, response_id, model, answer.created, fields.get("top", {}))
    output = write_output(answer.parts, response_id, status)
    response = ended(body, answer.finish, output, answer.usage, fields.get("usage", {}))
    return _encode(response | beside(homeless(answer, OWN)))


def status_of(finish: FinishReason) -> str:
    return "incomplete" if finish in INCOMPLETE else "completed"


def id_of_answer(request: Request, upstream_id: str) -> str:
    """The name that the server has given the answer; without one, the vendor's."""
    return (request.keeping.id if request.keeping is not None else "") or upstream_id


def ended(
    body: dict[str, Any],
    finish: FinishReason,
    output: list[dict[str, Any]],
    usage: Usage,
    more_usage: dict[str, Any],
) -> dict[str, Any]:
    """A response that has been begun, with its end."""
    reason = INCOMPLETE.get(finish)
    return {
        **body,
        "status": status_of(finish),
        "incomplete_details": None if reason is None else {"reason": reason},
        "output": output,
        "usage": usage_of(usage, more_usage),
    }


def response_of(
    request: Request, response_id: str, model: str, created: int | None, told: dict[str, Any]
) -> dict[str, Any]:
    """A response in progress. `told` is what its vendor says of it, in this dialect."""
    keeping = request.keeping
    asked: dict[str, Any] = {name: value for name, value in request.extra.items() if name in _REPEATED}
    for name in ("temperature", "top_p", "user"):
        if (value := getattr(request, name)) is not None:
            asked[name] = value
    return {
        **_UNSAID,
        **asked,
        "max_output_tokens": request.max_output_tokens,
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "reasoning": _reasoning(request),
        "text": _text(request),
        **told,
        "id": response_id,
        "object": "response",
        # An upstream that does not say when leaves it to the driver to set it: here is no clock.
        "created_at": created or 0,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": _instructions(request.messages),
        "metadata": request.metadata,
        "model": model,
        "output": [],
        "previous_response_id": keeping.previous if keeping is not None else None,
        "store": bool(keeping is not None and keeping.store),
        "tool_choice": _choice(request.tool_choice, request.tools),
        "tools": [_tool(tool) for tool in request.tools if tool.extra != IN_INPUT],
        "usage": None,
    }


def usage_of(usage: Usage, more: dict[str, Any]) -> dict[str, Any] | None:
    """The `usage` of a response: our counts, and what else the vendor counted (`more`).

    The details are numbers here, always: a count that nobody gave is written as 0.
    """
    if usage.input_tokens is None and usage.output_tokens is None:
        return None
    read, written = usage.input_tokens or 0, usage.output_tokens or 0
    of_read = {
        **more.get("input_tokens_details", {}),
        "cached_tokens": usage.cached_tokens or 0,
        "cache_write_tokens": usage.cache_write_tokens or 0,
    }
    return {
        **more,
        "input_tokens": read,
        "input_tokens_details": of_read,
        "output_tokens": written,
        "output_tokens_details": {
            **more.get("output_tokens_details", {}),
            "reasoning_tokens": usage.reasoning_tokens or 0,
        },
        "total_tokens": read + written,
    }


def _instructions(messages: tuple[Message, ...]) -> str | None:
    first = messages[0]
    if first.role != "system" or len(first.parts) != 1 or first.extra is not None:
        return None
    (part,) = first.parts
    return part.text if isinstance(part, Text) and part.extra is None else None


def _reasoning(request: Request) -> dict[str, Any]:
    asked = request.reasoning
    if asked is None:
        return {"effort": None, "summary": None}
    return {"effort": asked.effort, "summary": None, **(asked.extra or {})}


def _text(request: Request) -> dict[str, Any]:
    asked = request.response_format
    form: dict[str, Any] = {"type": "text"}
    if asked is not None:
        form = {"type": "json_object"}
        if asked.json_schema is not None:
            named = {"name": asked.name, "description": asked.description, "strict": asked.strict is True}
            form = {"type": "json_schema", **named, "schema": asked.json_schema}
    return {"format": form, **request.extra.get("text", {})}


def _choice(choice: ToolChoice | None, tools: tuple[Tool, ...]) -> Any:
    if choice is None or choice.mode != "tool":
        return "auto" if choice is None else choice.mode
    vendor = next((tool.vendor for tool in tools if tool.name == choice.name), None)
    if vendor is None:
        return {"type": "function", "name": choice.name}
    return {name: vendor[name] for name in ("type", "server_label") if name in vendor}


def _tool(tool: Tool) -> dict[str, Any]:
    if tool.vendor is not None:
        return {name: value for name, value in tool.vendor.items() if name not in _SECRET}
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
        "strict": tool.strict,
        **(tool.extra or {}),
    }
