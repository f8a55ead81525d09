"""A caller's request -> the request that one attempt sends: what the decision took out, capped or set.

It does not choose a model and does not know any wire format.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.config.checked import Lane, Model
from interlock.errors import ApiError
from interlock.execute.layout import Fresh, Untrusted, mark_untrusted
from interlock.types.decision import Decision
from interlock.types.request import (
    AnyPart,
    Hints,
    Message,
    Reasoning,
    Request,
    ResponseFormat,
    Text,
    ToolChoice,
    ToolResult,
)

_NO_HINTS: Final = Hints()


class Prepared(Struct, frozen=True, kw_only=True):
    """`mark` is the character that `datamarked` put into the request and that answers are freed of."""

    request: Request
    mark: str | None = None


def prepare(
    request: Request,
    decision: Decision,
    model: Model,
    lane: Lane | None,
    *,
    affordable: int | None,
    is_untrusted: Untrusted,
    fresh: Fresh,
) -> Prepared:
    """The request for one attempt at `model`. `affordable` is what money still allows, in output tokens."""
    request = _as_entered(request, model)
    changes: dict[str, Any] = {}
    if request.hints != _NO_HINTS:
        changes["hints"] = _NO_HINTS
    denied = {tool.tool for tool in decision.policy.tools_denied}
    if denied:
        changes |= _without_tools(request, denied)
    tools = changes.get("tools", request.tools)
    if tools and decision.policy.safety_mode == "strict":
        changes["parallel_tool_calls"] = False
    cap = output_cap(request, decision, model, affordable)
    if cap != request.max_output_tokens:
        changes["max_output_tokens"] = cap
    if lane is not None:
        changes |= _of_lane(request, lane, model)
    messages = _stripped(request.messages)
    prepared = (
        request
        if messages is request.messages and not changes
        else msgspec.structs.replace(request, messages=messages, **changes)
    )
    if decision.policy.layout == "plain":
        return Prepared(request=prepared)
    # Trust is read off the caller's own parts, before their labels are taken out.
    labelled = msgspec.structs.replace(prepared, messages=request.messages)
    marked, mark = mark_untrusted(labelled, decision.policy.layout, is_untrusted, fresh)
    return Prepared(request=msgspec.structs.replace(marked, messages=_stripped(marked.messages)), mark=mark)


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
    asked = [
        limit
        for limit in (request.max_output_tokens, decision.budgets.max_output_tokens, affordable)
        if limit is not None
    ]
    if not asked:
        return None
    most = model.max_output_tokens
    if most is None:
        return min(asked)
    if request.max_output_tokens is None and min(asked) >= most:
        return None
    return min(*asked, most)


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


def _stripped(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages without our own labels; the very same tuple where none carries any."""
    if not _any_labelled(messages):
        return messages
    return tuple(
        msgspec.structs.replace(message, parts=tuple(_strip(part) for part in message.parts))
        for message in messages
    )


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
