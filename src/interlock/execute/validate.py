"""Whether an answer may pass: its tool calls against what was offered, its text against a JSON Schema.

Pure. A finding is a value; whether another model is tried, or the caller told, is decided elsewhere.
Findings name rules, tools and schema paths, never the answer's text.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import jsonschema_rs
import msgspec
from msgspec import Struct

from interlock.config.written import ToolSpec
from interlock.errors import ErrorCode
from interlock.types.answer import FinishReason
from interlock.types.decision import Decision
from interlock.types.labels import Effect
from interlock.types.record import Validation
from interlock.types.request import AnyPart, Opaque, Refusal, Request, Text, ToolCall

MOST_VIOLATIONS: Final = 8
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
    """What an answer may call: tools that were offered and stayed, and how many calls."""

    tools: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    approval: frozenset[str] = frozenset()
    step_up: frozenset[str] = frozenset()
    most: int | None = None
    most_by_effect: Mapping[Effect, int] = {}
    effects: Mapping[str, tuple[Effect, ...]] = {}


def offer_of(request: Request, decision: Decision, specs: Mapping[str, ToolSpec], default: ToolSpec) -> Offer:
    """What the decision leaves of the tools that the caller's request offers."""
    if not request.tools:
        return Offer()
    policy = decision.policy
    denied = frozenset(tool.tool for tool in policy.tools_denied)
    tools = frozenset(tool.name for tool in request.tools) - denied
    return Offer(
        tools=tools,
        denied=denied,
        approval=frozenset(policy.requires_approval_for),
        step_up=frozenset(policy.step_up_for),
        most=decision.budgets.max_tool_calls,
        most_by_effect=decision.budgets.max_tool_calls_by_effect,
        effects={name: specs.get(name, default).effects for name in tools},
    )


def judge_calls(calls: Iterable[ToolCall], offer: Offer) -> Violation | None:
    """The first call of one answer that may not reach the caller, and why."""
    by_effect: dict[Effect, int] = {}
    for count, call in enumerate(calls, start=1):
        found = _judge_name(call.name, offer) or _judge_count(call.name, count, by_effect, offer)
        if found is not None:
            return found
        if not _is_object(call.arguments):
            return Violation(
                rule="tool_arguments",
                code="upstream_failed",
                message=f"the model called `{_shown(call.name)}` with arguments that are no JSON object",
            )
    return None


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


def _is_object(arguments: str) -> bool:
    """Whether a call's arguments can be carried out at all; vendors write "" for none."""
    if not arguments:
        return True
    try:
        return isinstance(msgspec.json.decode(arguments), dict)
    except msgspec.DecodeError:
        return False


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
