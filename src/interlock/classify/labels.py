"""Labels and how they join: always upwards.

A request is as sensitive as its most sensitive part, and as trustworthy as its least. What a caller
says about its own request can raise a label, never lower it: a part that says `trusted` gains
nothing by it, only the config can vouch for a tool or a source.
"""

from collections.abc import Iterable
from typing import Final, TypeVar

from interlock.config.checked import Config
from interlock.errors import ApiError
from interlock.types.labels import DATA_CLASSES, RANK, RISK_TIERS, DataClass, RiskTier, Trust
from interlock.types.request import AnyPart, File, Opaque, Request, Text, ToolResult

_CALLS: Final = ("tool_use", "_call")
_WITH_RESULTS: Final = ("code_interpreter_call", "file_search_call", "image_generation_call", "mcp_call")
"""Calls of vendors' tools that hold what the tool gave back."""
Label = TypeVar("Label", DataClass, RiskTier, Trust)


def strictest(labels: Iterable[Label]) -> Label:
    """The highest of some labels of one scale."""
    return max(labels, key=RANK.__getitem__)


def stated_class(value: str | None) -> tuple[DataClass, ...]:
    """What the caller says its data is, or nothing. Raises ApiError for a class that does not exist."""
    if value is None:
        return ()
    if value not in DATA_CLASSES:
        raise bad_hint("data_class", value, DATA_CLASSES)
    return (value,)


def stated_risk(value: str | None) -> tuple[RiskTier, ...]:
    """What the caller says its risk is, or nothing. Raises ApiError for a tier that does not exist."""
    if value is None:
        return ()
    if value not in RISK_TIERS:
        raise bad_hint("risk_tier", value, RISK_TIERS)
    return (value,)


def bad_hint(name: str, value: object, known: Iterable[str]) -> ApiError:
    shown = str(value)[:60]
    return ApiError(
        "invalid_request",
        f"`{shown}` is not a value of `{name}`",
        param=name,
        hint=f"use one of {', '.join(f'`{label}`' for label in known)}",
    )


def risk_of(data_class: DataClass, trust: Trust) -> RiskTier:
    """Confidential data or untrusted content is medium; both, or regulated data, high; else low."""
    untrusted = trust == "untrusted"
    if data_class == "regulated" or (data_class == "confidential" and untrusted):
        return "high"
    return "medium" if data_class == "confidential" or untrusted else "low"


def trust_of(request: Request, config: Config) -> Trust:
    """Untrusted as soon as one part is."""
    for message in request.messages:
        for part in message.parts:
            bare = type(part) is Text and part.trust is None and part.source is None
            if not bare and is_untrusted(part, config):
                return "untrusted"
    return "trusted"


def is_untrusted(part: AnyPart, config: Config) -> bool:
    """Whether one part of a message is untrusted. A document is, unless its source vouches for it."""
    return _is_untrusted(part, config, vouched=not isinstance(part, File | Opaque))


def _is_untrusted(part: AnyPart, config: Config, *, vouched: bool) -> bool:
    """Whether one part is untrusted. `vouched`: what holds it is trusted, where nothing else is said."""
    if part.trust == "untrusted":
        return True
    if part.source is not None:
        if config.sources.get(part.source, "untrusted") == "untrusted":
            return True
        vouched = True
    elif isinstance(part, ToolResult):
        tool = config.tools.get(part.name or "", config.default_tool)
        vouched = tool.output_trust == "trusted"
    elif isinstance(part, Opaque) and part.kind.endswith(_CALLS) and part.kind not in _WITH_RESULTS:
        vouched = True  # the model's own call of a vendor's tool; the tool's result is another part
    if isinstance(part, ToolResult) and part.content:
        return any(_is_untrusted(inner, config, vouched=vouched) for inner in part.content)
    return not vouched
