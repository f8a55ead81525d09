"""The canonical request -> the call of a server of OpenAI responses."""

from typing import Any, Final

import msgspec

from interlock.adapters.call import HttpCall, Target
from interlock.adapters.carrying import refuse_loss
from interlock.adapters.leaving import EVERYTHING_SENT, left_out
from interlock.adapters.openai.request import headers_of, place_of
from interlock.adapters.openai.schema import is_strict
from interlock.adapters.openai_responses.carry import CARRIED, UNSENT, UNSENT_OF_CHAT, cannot_carry, reads
from interlock.adapters.openai_responses.input import is_whole, write_input
from interlock.types.labels import Dialect
from interlock.types.request import IN_INPUT, Reasoning, Request, ResponseFormat, Tool, ToolChoice

_encode: Final = msgspec.json.Encoder().encode
_FORMAT_NAME: Final = "answer"
_NO_PARAMETERS: Final = {"type": "object", "properties": {}}
_ENCRYPTED: Final = "reasoning.encrypted_content"


def encode_request(request: Request, target: Target) -> HttpCall:
    """The call for one attempt. Raises ApiError for a request that `cannot_carry` names a field of."""
    own = request.dialect == "openai-responses"
    left: tuple[str, ...] = ()
    if not own:
        refuse_loss("openai-responses", cannot_carry(request))
        left = left_out(request, UNSENT_OF_CHAT if request.dialect == "openai-chat" else UNSENT, reads)
    body, lost = _body(request, own=own)
    if lost and own:
        left = left_out(request, EVERYTHING_SENT, is_whole)
    body["model"] = target.upstream_model
    if request.stream:
        body["stream"] = True
    headers = headers_of(target, "bearer", stream=request.stream)
    return HttpCall(_url(target.base_url), headers, _encode(body), None, left)


def _body(request: Request, *, own: bool) -> tuple[dict[str, Any], bool]:
    """The body, all but model and streaming, and whether a thought of it had to be left out."""
    instructions, items, lost = write_input(request)
    body: dict[str, Any] = {"input": items}
    if instructions is not None:
        body["instructions"] = instructions
    if own:
        body |= request.extra
        if request.metadata:
            body["metadata"] = request.metadata
    elif request.dialect == "openai-chat":
        body |= {name: request.extra[name] for name in CARRIED if name in request.extra}
    body["store"] = False
    if request.tools:
        body |= _tools(request, own=own)
    _add_settings(body, request)
    text = _text(request, own=own)
    if text:
        body["text"] = text
    if request.reasoning is not None:
        _add_reasoning(body, request.reasoning, own=own)
    return body, lost


def _url(base_url: str) -> str:
    """Where responses are; an address may lead there by itself."""
    return base_url if base_url.endswith("/responses") else place_of(base_url, "responses")


def _add_settings(body: dict[str, Any], request: Request) -> None:
    if request.max_output_tokens is not None:
        body["max_output_tokens"] = request.max_output_tokens
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.top_p is not None:
        body["top_p"] = request.top_p
    if request.user is not None:
        body["user"] = request.user


def _tools(request: Request, *, own: bool) -> dict[str, Any]:
    listed = [tool for tool in request.tools if tool.extra != IN_INPUT]
    found: dict[str, Any] = {}
    if listed:
        found["tools"] = [tool.vendor or _function(tool, own=own) for tool in listed]
    if request.tool_choice is not None:
        found["tool_choice"] = _choice(request.tool_choice, request.tools)
    if request.parallel_tool_calls is not None:
        found["parallel_tool_calls"] = request.parallel_tool_calls
    return found


def _function(tool: Tool, *, own: bool) -> dict[str, Any]:
    """A function. Where nothing is said, arguments are held to the schema here, and nowhere else."""
    function: dict[str, Any] = {"type": "function", "name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters is not None or not own:
        function["parameters"] = _NO_PARAMETERS if tool.parameters is None else tool.parameters
    if tool.strict is not None or not own:
        function["strict"] = bool(tool.strict)
    return {**function, **tool.extra} if own and tool.extra is not None else function


def _choice(choice: ToolChoice, tools: tuple[Tool, ...]) -> Any:
    if choice.mode != "tool":
        return choice.mode
    vendor = next((tool.vendor for tool in tools if tool.name == choice.name), None)
    if vendor is None:
        return {"type": "function", "name": choice.name}
    return {name: vendor[name] for name in ("type", "server_label") if name in vendor}


def _text(request: Request, *, own: bool) -> dict[str, Any]:
    text: dict[str, Any] = dict(request.extra.get("text", {})) if own else {}
    if request.dialect == "openai-chat" and "verbosity" in request.extra:
        text["verbosity"] = request.extra["verbosity"]
    if request.response_format is not None:
        text["format"] = _format(request.response_format, request.dialect)
    return text


def _format(asked: ResponseFormat, dialect: Dialect) -> dict[str, Any]:
    """The output asked for. Anthropic enforces every schema that it takes; here strict mode does."""
    if asked.json_schema is None:
        return {"type": "json_object"}
    found: dict[str, Any] = {
        "type": "json_schema",
        "name": asked.name or _FORMAT_NAME,
        "schema": asked.json_schema,
    }
    if asked.description is not None:
        found["description"] = asked.description
    if asked.strict is not None:
        found["strict"] = asked.strict
    elif dialect == "anthropic-messages" and is_strict(asked.json_schema):
        found["strict"] = True
    return found


def _add_reasoning(body: dict[str, Any], asked: Reasoning, *, own: bool) -> None:
    """Efforts have the same names in all dialects; a model that may think as it likes is not told so.

    The vendor keeps no thoughts for us, so it is asked for what the next turn must bring along.
    """
    effort = asked.effort or ("none" if asked.disabled else None)
    fields = {"effort": effort} if effort is not None else {}
    if own:
        fields |= asked.extra or {}
    include = body.get("include", [])
    if (own or fields) and effort != "none" and _ENCRYPTED not in include:
        body["include"] = [*include, _ENCRYPTED]
    if fields:
        body["reasoning"] = fields
