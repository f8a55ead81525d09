"""Tool calls: each against what was offered, allowed and asked for, and its arguments against its schema."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from interlock.config.written import ToolSpec
from interlock.execute.validation.findings import Violation
from interlock.execute.validation.schemas import validator_of
from interlock.types.decision import Decision
from interlock.types.labels import Effect
from interlock.types.request import Request, ToolCall


class Offer(Struct, frozen=True, kw_only=True):
    """What an answer may call: tools that were offered and stayed, and how many calls.

    `vendor` are those that the provider runs; `alone`: one call at most of the others; `none`: no call at
    all; `forced`: the one tool to call. `parameters` are the JSON Schemas of arguments; a call of one of
    `strict` that breaks its schema is withheld.
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
    strict: frozenset[str] = frozenset()


NOTHING_OFFERED = Offer()


def nobody() -> bool:
    """Whether another model would be asked in place of the one that answers: none would."""
    return False


def offer_of(
    request: Request,
    decision: Decision,
    specs: Mapping[str, ToolSpec],
    default: ToolSpec,
    *,
    strict: bool = False,
) -> Offer:
    """What the decision leaves of the tools that the caller's request offers. `strict`: all of them are."""
    if not request.tools:
        return NOTHING_OFFERED
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
        strict=frozenset(tool.name for tool in request.tools if strict or tool.strict),
    )


class Calls:
    """Mutable: the calls of one answer so far, each judged as it comes, together with those before it.

    `violation` is why one of them may not reach the caller; nothing is judged after it. `noted` are
    calls that pass although their arguments break the tool's own schema.
    """

    def __init__(self, offer: Offer) -> None:
        self.seen: list[ToolCall] = []
        self.violation: Violation | None = None
        self.noted: list[Violation] = []
        self._offer = offer
        self._plain = 0
        self._by_effect: dict[Effect, int] = {}

    def take(self, call: ToolCall, stands_by: Callable[[], bool] = nobody) -> Violation | None:
        """Judge the next call; the violation, if it or one before it may not pass.

        `stands_by`: whether another model would be asked instead. Where none would, a tool that is not strict
        may be called against its schema.
        """
        self.seen.append(call)
        if self.violation is None:
            self.violation = self._judge(call, stands_by)
        return self.violation

    def _judge(self, call: ToolCall, stands_by: Callable[[], bool]) -> Violation | None:
        offer = self._offer
        found = _judge_name(call.name, offer) or self._judge_count(call.name)
        if found is not None:
            return found
        self._plain += call.name not in offer.vendor
        return self._judge_choice(call.name) or self._judge_arguments(call, stands_by)

    def _judge_count(self, name: str) -> Violation | None:
        offer, by_effect = self._offer, self._by_effect
        if offer.most is not None and len(self.seen) > offer.most:
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

    def _judge_choice(self, name: str) -> Violation | None:
        """Whether a call keeps to `tool_choice` and `parallel_tool_calls`."""
        offer = self._offer
        if offer.none or (offer.forced is not None and name != offer.forced):
            asked = "none" if offer.none else f"`{_shown(offer.forced or '')}`"
            return Violation(
                rule="tool_choice",
                message=f"the model called the tool `{_shown(name)}` where the request asks for {asked}",
            )
        if offer.alone and self._plain > 1:
            return Violation(
                rule="parallel_tool_calls",
                message="the model made several tool calls in one answer where only one may be made",
            )
        return None

    def _judge_arguments(self, call: ToolCall, stands_by: Callable[[], bool]) -> Violation | None:
        value = read_arguments(call.arguments)
        if value is None:
            return Violation(
                rule="tool_arguments",
                message=f"the model called `{_shown(call.name)}` with arguments that are no JSON object",
            )
        schema = self._offer.parameters.get(call.name)
        validator = validator_of(schema) if schema is not None else None
        if validator is None or validator.is_valid(value):
            return None
        strict = call.name in self._offer.strict or stands_by()
        found = Violation(
            rule="tool_arguments",
            message=f"`{_shown(call.name)}` was called against its JSON Schema",
            hint="the tool is `strict`, the lane asks for valid `tool_arguments`, or another model stood by",
            noted=not strict,
        )
        if strict:
            return found
        self.noted.append(found)
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
            held=True,
        )
    return None


def read_arguments(arguments: str) -> dict[str, Any] | None:
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


def _shown(name: str) -> str:
    """A tool's name as a model wrote it, short enough to be shown."""
    return name if len(name) <= 64 else name[:64] + "…"
