"""Whether an answer may pass: its tool calls against what was offered, its text against a JSON Schema.

Pure. A finding is a value; whether another model is tried, or the caller told, is decided elsewhere.
Findings name rules, tools and schema paths, never the answer's text.
"""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import jsonschema_rs
import msgspec
from msgspec import Struct

from interlock.config.written import ToolSpec
from interlock.errors import ApiError, ErrorCode
from interlock.types.answer import FinishReason
from interlock.types.decision import Decision
from interlock.types.labels import Effect
from interlock.types.record import Validation
from interlock.types.request import AnyPart, Opaque, Refusal, Request, ResponseFormat, Text, ToolCall

MOST_VIOLATIONS: Final = 8
_CODE_EXECUTION: Final = ("bash_code_execution", "text_editor_code_execution")
"""What the provider's tool `code_execution` is called by in answers."""
_COMPLETE: Final = ("stop", "stop_sequence")
_encode = msgspec.json.Encoder(order="sorted").encode


class Violation(Struct, frozen=True, kw_only=True):
    """Why an answer is withheld. `final`: another model's answer would be withheld just the same."""

    rule: str
    code: ErrorCode
    message: str
    hint: str = ""
    final: bool = False


class Offer(Struct, frozen=True, kw_only=True):
    """What an answer may call: tools that were offered and stayed, and how many calls.

    `vendor` are those that the provider runs; `alone`: one call at most of the others; `none`: no call at
    all; `forced`: the one tool to call. `parameters` are the JSON Schemas of arguments.
    """

    tools: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    approval: frozenset[str] = frozenset()
    step_up: frozenset[str] = frozenset()
    most: int | None = None
    most_by_effect: Mapping[Effect, int] = {}
    effects: Mapping[str, tuple[Effect, ...]] = {}
    vendor: frozenset[str] = frozenset()
    alone: bool = False
    none: bool = False
    forced: str | None = None
    parameters: Mapping[str, dict[str, Any]] = {}


def offer_of(request: Request, decision: Decision, specs: Mapping[str, ToolSpec], default: ToolSpec) -> Offer:
    """What the decision leaves of the tools that the caller's request offers."""
    if not request.tools:
        return Offer()
    policy = decision.policy
    denied = frozenset(tool.tool for tool in policy.tools_denied)
    tools = frozenset(tool.name for tool in request.tools) - denied
    choice = request.tool_choice
    return Offer(
        tools=tools,
        denied=denied,
        approval=frozenset(policy.requires_approval_for),
        step_up=frozenset(policy.step_up_for),
        most=decision.budgets.max_tool_calls,
        most_by_effect=decision.budgets.max_tool_calls_by_effect,
        effects={name: specs.get(name, default).effects for name in tools},
        vendor=frozenset(tool.name for tool in request.tools if tool.vendor is not None),
        alone=request.parallel_tool_calls is False or policy.safety_mode == "strict",
        none=choice is not None and choice.mode == "none",
        forced=choice.name if choice is not None and choice.name in tools else None,
        parameters={tool.name: tool.parameters for tool in request.tools if tool.parameters},
    )


def calls_of(parts: Iterable[Any]) -> list[ToolCall]:
    """The calls among the parts of an answer, those that the provider has carried out itself included.

    Of the latter only the name is judged, and they come without arguments.
    """
    found: list[ToolCall] = []
    for part in parts:
        if isinstance(part, ToolCall):
            found.append(part)
        elif isinstance(part, Opaque) and part.kind.endswith("_use"):
            found.append(ToolCall(id="", name=_name_of(part), arguments=""))
    return found


def _name_of(part: Opaque) -> str:
    """The name under which the request offers what the provider has called; empty for none."""
    if part.kind == "mcp_tool_use":
        return f"mcp:{part.value.get('server_name', '')}"
    name = part.value.get("name")
    if name in _CODE_EXECUTION:
        return "code_execution"
    return name if type(name) is str else ""


def judge_calls(calls: Iterable[ToolCall], offer: Offer) -> Violation | None:
    """The first call of one answer that may not reach the caller, and why."""
    by_effect: dict[Effect, int] = {}
    plain = 0
    for count, call in enumerate(calls, start=1):
        found = _judge_name(call.name, offer) or _judge_count(call.name, count, by_effect, offer)
        if found is not None:
            return found
        plain += call.name not in offer.vendor
        found = _judge_choice(call.name, plain, offer) or _judge_arguments(call)
        if found is not None:
            return found
    return None


def _judge_choice(name: str, plain: int, offer: Offer) -> Violation | None:
    """Whether a call keeps to `tool_choice` and `parallel_tool_calls`; `plain` counts own tools."""
    if offer.none or (offer.forced is not None and name != offer.forced):
        asked = "none" if offer.none else f"`{_shown(offer.forced or '')}`"
        return Violation(
            rule="tool_choice",
            code="upstream_failed",
            message=f"the model called the tool `{_shown(name)}` where the request asks for {asked}",
        )
    if offer.alone and plain > 1:
        return Violation(
            rule="parallel_tool_calls",
            code="upstream_failed",
            message="the model made several tool calls in one answer where only one may be made",
        )
    return None


def _judge_arguments(call: ToolCall) -> Violation | None:
    if _read_arguments(call.arguments) is not None:
        return None
    return Violation(
        rule="tool_arguments",
        code="upstream_failed",
        message=f"the model called `{_shown(call.name)}` with arguments that are no JSON object",
    )


def misused(calls: Iterable[ToolCall], offer: Offer) -> tuple[str, ...]:
    """The calls whose arguments break the tool's own JSON Schema, in words, for the record.

    They are passed on: models do this to tools whose schema they could not see, and the caller's
    loop answers them with an error that the model can mend.
    """
    found: list[str] = []
    for call in calls:
        schema = offer.parameters.get(call.name)
        value = _read_arguments(call.arguments) if schema is not None else None
        validator = _validator(_encode(schema)) if value is not None else None
        if validator is not None and not validator.is_valid(value):
            found.append(f"tool_arguments: `{_shown(call.name)}` was called against its JSON Schema")
    return tuple(found)


def _judge_name(name: str, offer: Offer) -> Violation | None:
    shown = _shown(name)
    if name in offer.denied:
        return Violation(
            rule="tools_denied",
            code="tool_denied",
            message=f"the model called the tool `{shown}`, which policy denies",
            hint="the decision lists it in `policy.tools_denied` with the rule",
        )
    if name not in offer.tools:
        return Violation(
            rule="tools_offered",
            code="tool_denied",
            message=f"the model called the tool `{shown}`, which the request does not offer",
        )
    if name in offer.approval or name in offer.step_up:
        return Violation(
            rule="approval" if name in offer.approval else "step_up",
            code="approval_required",
            message=f"a call of the tool `{shown}` needs a human's approval",
            hint="this version cannot hold a call for approval yet, so the call was withheld",
            final=True,
        )
    return None


def _judge_count(name: str, count: int, by_effect: dict[Effect, int], offer: Offer) -> Violation | None:
    if offer.most is not None and count > offer.most:
        return Violation(
            rule="max_tool_calls",
            code="tool_denied",
            message=f"the model made more than {offer.most} tool calls in one answer",
            hint="the limit is `budgets.max_tool_calls` of the decision",
        )
    for effect in offer.effects.get(name, ()) if offer.most_by_effect else ():
        by_effect[effect] = by_effect.get(effect, 0) + 1
        most = offer.most_by_effect.get(effect)
        if most is not None and by_effect[effect] > most:
            return Violation(
                rule="max_tool_calls_by_effect",
                code="tool_denied",
                message=f"the model made more than {most} calls with the effect `{effect}` in one answer",
                hint="the limit is `budgets.max_tool_calls_by_effect` of the decision",
            )
    return None


def _read_arguments(arguments: str) -> dict[str, Any] | None:
    """A call's arguments; vendors write "" for none. None: no JSON object, or one with a key twice."""
    if not arguments:
        return {}
    try:
        value = msgspec.json.decode(arguments)
        json.loads(arguments, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key stands twice")


def is_empty(parts: Iterable[AnyPart], finish: FinishReason) -> bool:
    """Whether a finished answer says nothing at all; one that was cut, refused or paused may."""
    if finish not in ("stop", "tool_calls"):
        return False
    return not any(_says_something(part) for part in parts)


def _says_something(part: AnyPart) -> bool:
    return bool(part.text) if isinstance(part, Text | Refusal) else isinstance(part, ToolCall | Opaque)


def text_of(parts: Iterable[AnyPart]) -> str:
    """The answer's own words: all its text parts, in order."""
    return "".join(part.text for part in parts if isinstance(part, Text))


class Schema(Struct, frozen=True):
    """A JSON Schema that answers must meet, and whose it is: `request` or `lane NAME`."""

    owner: str
    schema: dict[str, Any]


def check_schemas(text: str, finish: FinishReason, schemas: tuple[Schema, ...]) -> Validation:
    """An answer's text against every schema. Only a complete answer can be judged; others are `unchecked`."""
    checks = tuple(f"json_schema of the {schema.owner}" for schema in schemas)
    if not schemas or finish not in _COMPLETE:
        return Validation(verdict="unchecked", checks=checks)
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        violations = tuple(f"the answer is not JSON, as the schema of the {s.owner} asks" for s in schemas)
        return Validation(verdict="failed", checks=checks, violations=violations)
    compiled = [(schema.owner, _validator(_encode(schema.schema))) for schema in schemas]
    found = [text for owner, validator in compiled if validator for text in _broken(value, owner, validator)]
    if found:
        return Validation(verdict="failed", checks=checks, violations=tuple(found))
    unusable = tuple(f"the schema of the {owner} cannot be used" for owner, v in compiled if v is None)
    return Validation(verdict="unchecked" if unusable else "passed", checks=checks, violations=unusable)


def check_usable(asked: ResponseFormat | None) -> ApiError | None:
    """The error for a caller's own schema that nothing can be checked against."""
    if asked is None or asked.json_schema is None or _validator(_encode(asked.json_schema)) is not None:
        return None
    return ApiError(
        "invalid_request",
        "the JSON Schema of the answer cannot be used",
        hint="it must be a valid JSON Schema without references to other documents",
        param="response_format",
    )


def _broken(value: Any, owner: str, validator: jsonschema_rs.Validator) -> Iterable[str]:
    if validator.is_valid(value):
        return
    for error in islice(validator.iter_errors(value), MOST_VIOLATIONS):
        where = "/".join(str(step) for step in error.schema_path)
        yield f"the answer breaks `{where}` in the schema of the {owner}"


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> jsonschema_rs.Validator | None:
    """A compiled validator; None for a schema that cannot be used, which then judges nothing.

    A caller's schema must cost linear time and fetch nothing: patterns run on the engine without
    backtracking, and a reference to another document is an unusable schema.
    """
    try:
        return jsonschema_rs.validator_for(
            msgspec.json.decode(schema), pattern_options=jsonschema_rs.RegexOptions(), offline=True
        )
    except (ValueError, jsonschema_rs.ReferencingError):
        return None


def _shown(name: str) -> str:
    """A tool's name as a model wrote it, short enough to be shown."""
    return name if len(name) <= 64 else name[:64] + "…"
