"""The canonical request -> the call of an Anthropic messages server."""

from functools import lru_cache
from typing import Any, Final

import msgspec

from interlock.adapters.anthropic.carry import UNSENT, cannot_carry
from interlock.adapters.anthropic.messages import is_signed, may_be_signed, write_messages
from interlock.adapters.anthropic.schema import narrowed
from interlock.adapters.call import USER_AGENT, HttpCall, Target
from interlock.adapters.carrying import plain, refuse_loss
from interlock.adapters.leaving import EVERYTHING_SENT, left_out
from interlock.types.request import Reasoning, Request, ResponseFormat, Tool, ToolChoice

_encode: Final = msgspec.json.Encoder().encode
VERSION: Final = "2023-06-01"
MOST_OUTPUT: Final = 4096
"""The vendor wants a limit in every request; this is it where neither caller nor model has one."""
LEAST_BUDGET: Final = 1024
"""The vendor takes no smaller budget for thinking."""
_BETAS: Final = "anthropic_beta"
_CHOICES: Final = {"auto": "auto", "none": "none", "required": "any", "tool": "tool"}
_JSON: Final = ("content-type", "application/json")
_AGENT: Final = ("user-agent", USER_AGENT)
_VERSION: Final = ("anthropic-version", VERSION)


def encode_request(request: Request, target: Target) -> HttpCall:
    """The call for one attempt. Raises ApiError for a request that `cannot_carry` names a field of."""
    body, betas, left = body_of(request, target)
    if request.stream:
        body["stream"] = True
    headers = headers_of(target, betas, stream=request.stream)
    return HttpCall(place_of(target.base_url), headers, _encode(body), None, left)


def body_of(request: Request, target: Target) -> tuple[dict[str, Any], list[str], tuple[str, ...]]:
    """The body of a call, all but whether it streams, the names of the betas that it needs, and of the
    request's fields that are left out.
    """
    own = request.dialect == "anthropic-messages"
    if not own:
        refuse_loss("anthropic", cannot_carry(request))
    reads = may_be_signed if own and target.quirks.unsigned else is_signed
    left = left_out(request, EVERYTHING_SENT if own else UNSENT, reads)
    user = request.user or (None if own else request.extra.get("safety_identifier"))
    request = plain(request, is_signed)
    system, turns = write_messages(request, reads)
    body: dict[str, Any] = {
        "model": target.upstream_model,
        "max_tokens": _limit(request, target),
        "messages": [_short(turn) for turn in turns],
    }
    if system:
        body["system"] = _short_content(system)
    if own:
        body |= request.extra
    elif "cache_control" in request.extra:
        body["cache_control"] = request.extra["cache_control"]
    betas: list[str] = body.pop(_BETAS, [])
    if user is not None:
        body["metadata"] = {"user_id": user}
    if request.tools:
        body |= _tools(request)
    _add_sampling(body, request)
    if request.response_format is not None or request.reasoning is not None:
        _add_output(body, request.response_format, request.reasoning, own=own)
    return body, betas, left


def headers_of(target: Target, betas: list[str], *, stream: bool) -> tuple[tuple[str, str], ...]:
    """The headers of a call, the key among them."""
    headers = [_JSON, ("accept", "text/event-stream" if stream else "application/json"), _AGENT, _VERSION]
    if betas:
        headers.append(("anthropic-beta", ",".join(betas)))
    if target.api_key is not None:
        headers.append(("x-api-key", target.api_key))
    return tuple(headers)


@lru_cache(maxsize=256)
def place_of(base_url: str) -> str:
    """Where messages are: `base_url` is without the version, as a rule."""
    base = base_url.rstrip("/")
    if base.endswith("/v1/messages"):
        return base
    return f"{base}/messages" if base.endswith("/v1") else f"{base}/v1/messages"


def _limit(request: Request, target: Target) -> int:
    if request.max_output_tokens is not None:
        return request.max_output_tokens
    return MOST_OUTPUT if target.max_output_tokens is None else target.max_output_tokens


def _short(turn: dict[str, Any]) -> dict[str, Any]:
    return {**turn, "content": _short_content(turn["content"])}


def _short_content(blocks: list[dict[str, Any]]) -> Any:
    """A string where there is nothing but one text: it says the same."""
    if len(blocks) == 1 and len(blocks[0]) == 2 and blocks[0]["type"] == "text":
        return blocks[0]["text"]
    return blocks


def _add_sampling(body: dict[str, Any], request: Request) -> None:
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.top_p is not None:
        body["top_p"] = request.top_p
    if request.top_k is not None:
        body["top_k"] = request.top_k
    if request.stop:
        body["stop_sequences"] = request.stop


def _tools(request: Request) -> dict[str, Any]:
    own = request.dialect == "anthropic-messages"
    tools: list[dict[str, Any]] = []
    servers: list[dict[str, Any]] = []
    for tool in request.tools:
        if tool.vendor is None:
            tools.append(_tool(tool, own=own))
        elif tool.vendor.keys() == {"mcp_server"}:  # the dialect's; a caller's has a type
            servers.append(tool.vendor["mcp_server"])
        else:
            tools.append(tool.vendor)
    found: dict[str, Any] = {}
    if servers:
        found["mcp_servers"] = servers
    if tools:
        found["tools"] = tools
        choice = _choice(request.tool_choice, request.parallel_tool_calls)
        if choice is not None:
            found["tool_choice"] = choice
    return found


def _tool(tool: Tool, *, own: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        found["description"] = tool.description
    schema = tool.parameters or {}
    # The schema of arguments must be there, and must say that it is one of an object.
    schema = schema if own or "type" in schema else {"type": "object", **schema}
    found["input_schema"] = (narrowed(schema) or schema) if tool.strict and not own else schema
    if tool.strict is not None:
        found["strict"] = tool.strict
    if tool.extra is None:
        return found
    mark = tool.extra.get("cache_control")
    return {**found, **tool.extra} if own else {**found, "cache_control": mark} if mark else found


def _choice(choice: ToolChoice | None, parallel: bool | None) -> dict[str, Any] | None:
    """The choice, which says on parallel calls too; where no tool may be called there are none."""
    if choice is None and parallel is None:
        return None
    found: dict[str, Any] = {"type": _CHOICES[choice.mode] if choice is not None else "auto"}
    if choice is not None and choice.mode == "tool":
        found["name"] = choice.name
    if parallel is not None and found["type"] != "none":
        found["disable_parallel_tool_use"] = not parallel
    return found


def _add_output(
    body: dict[str, Any], asked: ResponseFormat | None, reasoning: Reasoning | None, *, own: bool
) -> None:
    output: dict[str, Any] = dict(body.get("output_config", {}))
    if asked is not None and asked.json_schema is not None:
        schema = asked.json_schema if own else narrowed(asked.json_schema) or asked.json_schema
        if asked.description is not None:
            schema = {"description": asked.description, **schema}
        output["format"] = {"type": "json_schema", "schema": schema}
    if reasoning is not None:
        thinking = _thinking(reasoning, body["max_tokens"]) if own else _effort(reasoning, output)
        if own and reasoning.effort is not None:
            output["effort"] = reasoning.effort
        if thinking is not None:
            body["thinking"] = thinking
    if output:
        body["output_config"] = output


def _thinking(reasoning: Reasoning, limit: int) -> dict[str, Any] | None:
    """Thinking as the caller asked for it. A limit that was lowered lowers the budget, which must fit in."""
    if reasoning.disabled:
        return {"type": "disabled"}
    if reasoning.budget_tokens is None:
        return reasoning.extra
    budget = min(reasoning.budget_tokens, limit - 1)
    if budget < reasoning.budget_tokens and budget < LEAST_BUDGET:
        return {"type": "disabled"}
    return {"type": "enabled", "budget_tokens": budget, **(reasoning.extra or {})}


def _effort(reasoning: Reasoning, output: dict[str, Any]) -> dict[str, Any] | None:
    """Another dialect's effort: how hard to think here, too, and that thinking is asked for at all.

    `minimal` has no name here; `low` is the least that there is.
    """
    if reasoning.effort is None:
        return None
    if reasoning.effort == "none":
        return {"type": "disabled"}
    output["effort"] = "low" if reasoning.effort == "minimal" else reasoning.effort
    return {"type": "adaptive"}
