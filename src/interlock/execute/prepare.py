"""A caller's request -> the request that one attempt sends: what the decision took out, capped or set.

It does not choose a model and does not know any wire format.
"""

from typing import Any

import msgspec

from interlock.config.checked import Lane, Model
from interlock.errors import ApiError
from interlock.execute.layout import Fresh, Untrusted, mark_untrusted
from interlock.types.decision import Decision
from interlock.types.request import (
    NO_HINTS,
    AnyPart,
    Message,
    Reasoning,
    Request,
    ResponseFormat,
    Text,
    ToolChoice,
    ToolResult,
)


def prepare(
    request: Request,
    decision: Decision,
    model: Model,
    lane: Lane | None,
    *,
    affordable: int | None,
    is_untrusted: Untrusted,
    fresh: Fresh,
) -> tuple[Request, str | None]:
    """The request for one attempt at `model`, and the character that `datamarked` put into it, of which
    answers are to be freed. `affordable` is what money still allows, in output tokens.
    """
    request, policy = _as_entered(request, model), decision.policy
    changes: dict[str, Any] = {}
    if request.hints is not NO_HINTS:
        changes["hints"] = NO_HINTS
    if policy.tools_denied:
        changes |= _without_tools(request, {tool.tool for tool in policy.tools_denied})
    if policy.safety_mode == "strict" and changes.get("tools", request.tools):
        changes["parallel_tool_calls"] = False
    cap = output_cap(request, decision, model, affordable)
    if cap != request.max_output_tokens:
        changes["max_output_tokens"] = cap
    if lane is not None:
        changes |= _of_lane(request, lane, model)
    # Trust is read off the caller's own parts, before their labels are taken out.
    prepared = msgspec.structs.replace(request, **changes) if changes else request
    mark = None
    if policy.layout != "plain":
        prepared, mark = mark_untrusted(prepared, policy.layout, is_untrusted, fresh)
    if _any_labelled(prepared.messages):
        prepared = msgspec.structs.replace(prepared, messages=tuple(map(_stripped, prepared.messages)))
    return prepared, mark


def cannot_wait(request: Request, decision: Decision) -> ApiError | None:
    """The error for a tool that needs a human but runs at the provider: there, nothing could hold it back."""
    policy = decision.policy
    held = {*policy.requires_approval_for, *policy.step_up_for}
    for tool in request.tools if held else ():
        if tool.vendor is not None and tool.name in held:
            shown = tool.name if len(tool.name) <= 64 else tool.name[:64] + "…"
            return ApiError(
                "approval_required",
                f"the tool `{shown}` needs a human's approval,"
                " and a tool that the provider runs cannot wait for one",
                hint="remove the tool from the request, or allow it by policy",
                param="tools",
            )
    return None


def output_cap(request: Request, decision: Decision, model: Model, affordable: int | None) -> int | None:
    """The most output tokens this attempt may ask for; None where nobody but the model itself sets one."""
    asked, cap, most = request.max_output_tokens, decision.budgets.max_output_tokens, model.max_output_tokens
    if asked is not None and (cap is None or asked < cap):
        cap = asked
    if affordable is not None and (cap is None or affordable < cap):
        cap = affordable
    if cap is None or most is None or cap < most:
        return cap
    return None if asked is None else most


def _without_tools(request: Request, denied: set[str]) -> dict[str, Any]:
    """A request whose last tool is taken out asks for none: a bare `tool_choice` is an error upstream."""
    tools = tuple(tool for tool in request.tools if tool.name not in denied)
    choice = request.tool_choice
    if not tools:
        return {"tools": (), "tool_choice": None, "parallel_tool_calls": None}
    if choice is not None and choice.name in denied:
        choice = ToolChoice(mode="auto")
    return {"tools": tools, "tool_choice": choice}


def _as_entered(request: Request, model: Model) -> Request:
    """The request with what the pool's entry says that the model is asked with. Most entries say nothing."""
    if request.operation == "embed":
        return request
    changes: dict[str, Any] = {}
    if model.temperature is not None:
        changes["temperature"] = model.temperature
    if model.top_p is not None:
        changes["top_p"] = model.top_p
    if model.effort is not None:
        changes["reasoning"] = Reasoning(effort=model.effort)
    if model.system is not None:
        overlay = Message(role="system", parts=(Text(text=model.system),))
        changes["messages"] = (overlay, *request.messages)
    return msgspec.structs.replace(request, **changes) if changes else request


def _of_lane(request: Request, lane: Lane, model: Model) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if lane.temperature is not None:
        changes["temperature"] = lane.temperature
    if lane.top_p is not None:
        changes["top_p"] = lane.top_p
    can = model.capabilities is not None and "json_schema" in model.capabilities
    if lane.json_schema is not None and request.response_format is None and can:
        changes["response_format"] = ResponseFormat(json_schema=lane.json_schema, name="answer")
    return changes


def _stripped(message: Message) -> Message:
    """A message without our own labels."""
    return msgspec.structs.replace(message, parts=tuple(map(_strip, message.parts)))


def _any_labelled(messages: tuple[Message, ...]) -> bool:
    for message in messages:
        for part in message.parts:
            if part.trust is not None or part.source is not None:
                return True
            if type(part) is ToolResult and _labelled(part):
                return True
    return False


def _labelled(part: AnyPart) -> bool:
    if part.trust is not None or part.source is not None:
        return True
    return isinstance(part, ToolResult) and any(_labelled(inner) for inner in part.content)


def _strip(part: AnyPart) -> AnyPart:
    if not _labelled(part):
        return part
    if isinstance(part, ToolResult):
        content = tuple(_strip(inner) for inner in part.content)
        return msgspec.structs.replace(part, content=content, trust=None, source=None)
    return msgspec.structs.replace(part, trust=None, source=None)
