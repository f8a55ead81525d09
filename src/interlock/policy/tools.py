"""Which of the tools a request offers may stay, and which need a human. Pure.

Effects decide, not names: `critical` always needs a human, whatever policy says.
"""

from collections.abc import Mapping

from msgspec import Struct

from interlock.config.written import ToolSpec
from interlock.policy.rules import CompiledRule, Ruling, in_scope
from interlock.types.decision import ToolDenied
from interlock.types.labels import SafetyMode, Trust


class ToolVerdict(Struct, frozen=True, kw_only=True):
    allowed: tuple[str, ...] = ()
    denied: tuple[ToolDenied, ...] = ()
    approval: tuple[str, ...] = ()
    step_up: tuple[str, ...] = ()


NO_TOOLS = ToolVerdict()


def judge_tools(
    offered: tuple[str, ...],
    specs: Mapping[str, ToolSpec],
    default: ToolSpec,
    ruling: Ruling,
    *,
    lane_tools: tuple[tuple[str, tuple[str, ...]], ...],
    safety_mode: SafetyMode,
    trust: Trust,
) -> ToolVerdict:
    """Judge each offered tool by rules, by lanes (name, allow-list) and by safety mode."""
    if not offered:
        return NO_TOOLS
    rules = [rule for rule in ruling.matched if rule.tools]
    allowed: list[str] = []
    denied: list[ToolDenied] = []
    approval: list[str] = []
    step_up: list[str] = []
    for name in dict.fromkeys(offered):
        spec = specs.get(name, default)
        objection = _objection(name, spec, rules, lane_tools, safety_mode)
        if objection is not None:
            denied.append(ToolDenied(tool=name, rule=objection[0], why=objection[1]))
            continue
        allowed.append(name)
        acting = [rule for rule in rules if in_scope(rule, spec.effects)]
        if _needs_human(name, spec, acting, safety_mode, trust):
            approval.append(name)
        if any(_names(rule.then.step_up, name, spec) for rule in acting):
            step_up.append(name)
    return ToolVerdict(
        allowed=tuple(allowed), denied=tuple(denied), approval=tuple(approval), step_up=tuple(step_up)
    )


def _objection(
    name: str,
    spec: ToolSpec,
    rules: list[CompiledRule],
    lane_tools: tuple[tuple[str, tuple[str, ...]], ...],
    safety_mode: SafetyMode,
) -> tuple[str, str] | None:
    """The first (rule, why) against a tool, in the order of rule names; None lets it stay."""
    for rule in rules:
        if not in_scope(rule, spec.effects):
            continue
        then = rule.then
        if then.tools is not None and name not in then.tools:
            return rule.name, "not on the rule's list of tools"
        if name in then.deny_tools:
            return rule.name, "denied by name"
        for effect in then.deny_tool_effects:
            if effect in spec.effects:
                return rule.name, f"has the effect `{effect}`"
    for lane, tools in lane_tools:
        if name not in tools:
            return f"lane {lane}", "not among the lane's tools"
    if safety_mode == "sandbox" and not spec.sandboxed and spec.effects != ("read",):
        return "safety_mode sandbox", "neither sandboxed nor read-only"
    return None


def _needs_human(
    name: str, spec: ToolSpec, rules: list[CompiledRule], safety_mode: SafetyMode, trust: Trust
) -> bool:
    if "critical" in spec.effects or spec.approval == "required":
        return True
    if safety_mode != "standard" and trust == "untrusted" and spec.effects != ("read",):
        return True
    return any(_names(rule.then.require_approval, name, spec) for rule in rules)


def _names(entries: tuple[str, ...], name: str, spec: ToolSpec) -> bool:
    """Whether a list of tools or effects means this tool."""
    return any(entry == name or entry in spec.effects for entry in entries)
