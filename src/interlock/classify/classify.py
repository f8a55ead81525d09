"""Request to signals: everything that policy and routing may know of a request.

It reads the request, the caller and the config, and nothing else; what is found is names, labels
and counts. It refuses only what the caller said about its own request and what does not exist.
"""

from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from interlock.classify.depth import asks_for_depth
from interlock.classify.findings import class_of, find
from interlock.classify.inputs import count_inputs, holds_ids, spelled_out
from interlock.classify.labels import (
    bad_hint,
    risk_of,
    stated_class,
    stated_risk,
    strictest,
    trust_of,
)
from interlock.classify.positions import read
from interlock.classify.standing import LANE, Standing, standing_of
from interlock.classify.tokens import count_request, tokenizer_of
from interlock.config.checked import Config
from interlock.config.written import ToolSpec
from interlock.errors import ApiError
from interlock.types.labels import (
    EFFECTS,
    LATENCY_CLASSES,
    Capability,
    DataClass,
    Effect,
    LatencyClass,
    Modality,
    RiskTier,
    Trust,
    Wire,
)
from interlock.types.request import (
    NO_HINTS,
    Audio,
    File,
    Hints,
    Image,
    Message,
    Request,
    Text,
    ToolResult,
)
from interlock.types.signals import ANY_TOOL, EMBEDS, Caller, Finding, Signals

_TEXT: Final[tuple[Modality, ...]] = ("text",)
_NOTHING_MISSING: Final[dict[Wire, tuple[str, ...]]] = {}


def classify(
    request: Request,
    caller: Caller,
    config: Config,
    *,
    endpoint: str,
    hour_utc: int,
    session_class: DataClass | None = None,
    cannot_carry: dict[Wire, tuple[str, ...]] = _NOTHING_MISSING,
    standing: Standing | None = None,
) -> Signals:
    """The signals of one request.

    `session_class` is the class that the session has reached; `cannot_carry` names, per wire format,
    fields of the request that it has no place for. `standing` is what `standing_of` gives, where that is
    known. Raises ApiError("invalid_request") for a hint whose value does not exist.
    """
    if standing is None:
        standing = standing_of(caller, config, request.model, endpoint)
    says_nothing = request.hints is NO_HINTS and not standing.names_lane
    stated = _NOTHING_STATED if says_nothing else _stated(request, config)
    inputs = None
    if request.operation == "embed":
        inputs = _inputs(request, standing)
        request = spelled_out(request, standing.family, standing.exact)
    reading = read(request, standing.owner)
    if inputs is None:
        tokens, estimated = count_request(request, standing.family, standing.exact, reading)
    else:
        tokens, estimated = inputs.tokens, inputs.estimated
    findings = find(request, reading)
    signals = replace(
        standing.signals,
        stream=request.stream,
        input_tokens=tokens,
        input_tokens_estimated=estimated,
        asks_for_depth=asks_for_depth(request, reading),
        hour_utc=hour_utc,
        cannot_carry=cannot_carry,
        max_output_tokens=request.max_output_tokens,
    )
    is_bare = reading.bare is not None
    # Tools, what is to be made of them, a format of the answer, reasoning and metadata are texts beside them.
    is_plain = is_bare and not reading.beside and request.operation == "answer"
    if is_plain and says_nothing and not findings and session_class is None:
        return signals
    data_class = _raised(stated, findings, signals.data_class, config, session_class)
    trust: Trust = "trusted" if is_bare else trust_of(request, config)
    return replace(
        signals,
        longest_input=None if inputs is None else inputs.longest,
        tokenizer=None if inputs is None else inputs.tokenizer,
        data_class=data_class,
        trust=trust,
        risk_tier=strictest((risk_of(data_class, trust), *stated.risk_tier)),
        latency_class=stated.latency_class,
        lane=stated.lane,
        findings=findings,
        **_beside(request, caller, config, is_bare=is_bare),
    )


def _beside(request: Request, caller: Caller, config: Config, *, is_bare: bool) -> dict[str, Any]:
    """The signals of what most requests do not hold. `is_bare`: each of its messages is one text, no more."""
    found: dict[str, Any] = {} if is_bare else {"modalities": _modalities(request)}
    if request.tools or request.tool_choice is not None:
        found |= _of_tools(request, config)
    if request.hints is not NO_HINTS:
        found |= _of_hints(request.hints, caller)
    if request.metadata and config.metadata:
        found["metadata"] = {key: request.metadata[key] for key in config.metadata if key in request.metadata}
    if request.response_format is not None:
        found["has_schema"] = _has_schema(request)
    found["needs"] = _needs(request, found.get("modalities", _TEXT))
    return found


def _of_hints(hints: Hints, caller: Caller) -> dict[str, Any]:
    """The signals that are hints as they are."""
    return {
        "residency": _residency(caller, hints),
        "task": hints.task or "unknown",
        "difficulty": hints.difficulty or "unknown",
        "session": hints.session,
        "deadline_ms": hints.deadline_ms,
        "max_cost_usd": hints.max_cost_usd,
    }


def _of_tools(request: Request, config: Config) -> dict[str, Any]:
    """What the tools on offer are, together."""
    tools = tuple(dict.fromkeys([tool.name for tool in request.tools]))
    specs = [config.tools.get(name, config.default_tool) for name in tools]
    return {
        "tools": tools,
        "tool_effect": _effects(specs),
        "tool_family": tuple(dict.fromkeys([spec.family for spec in specs if spec.family is not None])),
        "tool_choice": _forced_tool(request),
    }


# --- what the caller said ---------------------------------------------------------------------


class Stated(Struct, frozen=True, kw_only=True):
    """What the caller said about its request, checked. Labels are none or one: they only join others."""

    data_class: tuple[DataClass, ...]
    risk_tier: tuple[RiskTier, ...]
    latency_class: LatencyClass
    lane: str | None


_NOTHING_STATED: Final = Stated(data_class=(), risk_tier=(), latency_class="interactive", lane=None)


def _stated(request: Request, config: Config) -> Stated:
    """Raises ApiError for the first hint whose value does not exist."""
    hints = request.hints
    _check_limits(hints)
    return Stated(
        data_class=stated_class(hints.data_class),
        risk_tier=stated_risk(hints.risk_tier),
        latency_class=_latency_class(hints),
        lane=_lane(request, config),
    )


def _latency_class(hints: Hints) -> LatencyClass:
    if hints.latency_class is None:
        return "interactive"
    if hints.latency_class not in LATENCY_CLASSES:
        raise bad_hint("latency_class", hints.latency_class, LATENCY_CLASSES)
    return hints.latency_class


def _lane(request: Request, config: Config) -> str | None:
    """The lane the caller chose. A hint has to name one that exists; `lane:NAME` is the router's to judge."""
    hinted = request.hints.lane
    if hinted is not None and not any(lane.name == hinted for lane in config.lanes):
        raise bad_hint("lane", hinted, (lane.name for lane in config.lanes))
    if not request.model.startswith(LANE):
        return hinted
    named = request.model.removeprefix(LANE)
    if hinted is not None and hinted != named:
        raise ApiError(
            "invalid_request",
            f"the model names the lane `{named}`, the hint the lane `{hinted}`",
            param="lane",
            hint="name one lane",
        )
    return named


def _check_limits(hints: Hints) -> None:
    if hints.deadline_ms is not None and hints.deadline_ms <= 0:
        problem = "`deadline_ms` is a number of milliseconds above 0"
        raise ApiError("invalid_request", problem, param="deadline_ms")
    if hints.max_cost_usd is not None and not 0 <= hints.max_cost_usd < float("inf"):
        problem = "`max_cost_usd` is a number of dollars, 0 or more"
        raise ApiError("invalid_request", problem, param="max_cost_usd")


def _residency(caller: Caller, hints: Hints) -> tuple[str, ...]:
    """Every place the data must stay within: the key's and the caller's, each once."""
    key = (caller.residency,) if caller.residency else ()
    return tuple(dict.fromkeys((*key, *hints.residencies)))


def _raised(
    stated: Stated,
    findings: tuple[Finding, ...],
    floor: DataClass,
    config: Config,
    session_class: DataClass | None,
) -> DataClass:
    """The highest of default and key's floor, the session's class, the hint and what was found."""
    found = [class_of(finding.kind, config.classification.detectors) or floor for finding in findings]
    return strictest((floor, session_class or floor, *stated.data_class, *found))


# --- what the request holds -------------------------------------------------------------------


class Inputs(Struct, frozen=True):
    """How large texts are that are read one by one, all together and the longest.

    `tokenizer` is the one whose ids a request holds; None where it holds text.
    """

    tokens: int
    longest: int
    estimated: bool
    tokenizer: str | None


def _inputs(request: Request, standing: Standing) -> Inputs:
    tokenizer = tokenizer_of(standing.upstream) if holds_ids(request) else None
    return Inputs(*count_inputs(request, standing.family, standing.exact), tokenizer)


def _effects(specs: list[ToolSpec]) -> tuple[Effect, ...]:
    effects = {effect for spec in specs for effect in spec.effects}
    return tuple([effect for effect in EFFECTS if effect in effects])


def _forced_tool(request: Request) -> str | None:
    """The tool that must be called; ANY_TOOL where it must be one of those offered."""
    choice = request.tool_choice
    if choice is None or choice.mode not in ("tool", "required"):
        return None
    return ANY_TOOL if choice.mode == "required" else choice.name


_MODALITIES: Final[dict[type, Modality]] = {Image: "image", File: "file", Audio: "audio"}
_NEEDED_FOR: Final[dict[Modality, Capability]] = {"image": "vision", "file": "files", "audio": "audio"}


def _modalities(request: Request) -> tuple[Modality, ...]:
    """Text, and whatever else stands in messages or in results of tools, in a fixed order."""
    kinds = {kind for message in request.messages for kind in _kinds(message)}
    return ("text", *(name for kind, name in _MODALITIES.items() if kind in kinds))


def _kinds(message: Message) -> set[type]:
    kinds: set[type] = set()
    for part in message.parts:
        if type(part) is not Text:
            kinds.add(type(part))
            if type(part) is ToolResult:
                kinds.update(map(type, part.content))
    return kinds


def _has_pages(request: Request) -> bool:
    """Whether one of the documents is more than text, which any model reads."""
    parts = [part for message in request.messages for part in message.parts]
    parts += [inner for part in parts if type(part) is ToolResult for inner in part.content]
    return any(type(part) is File and part.text is None for part in parts)


def _has_schema(request: Request) -> bool:
    """The caller's own schema. A lane's output contract asks nothing of a model: Interlock checks it."""
    return request.response_format is not None and request.response_format.json_schema is not None


def _needs(request: Request, modalities: tuple[Modality, ...]) -> tuple[Capability, ...]:
    """The capabilities that a model must have to serve the request as it was asked."""
    if request.operation == "embed":
        return (EMBEDS,)
    needs: list[Capability] = []
    if request.tools:
        needs.append("tools")
    if _has_schema(request):
        needs.append("json_schema")
    needs += [_NEEDED_FOR[modality] for modality in modalities if modality != "text"]
    if "files" in needs and not _has_pages(request):
        needs.remove("files")
    if _asks_to_reason(request):
        needs.append("reasoning")
    return tuple(needs)


def _asks_to_reason(request: Request) -> bool:
    reasoning = request.reasoning
    if reasoning is None or reasoning.disabled:
        return False
    return reasoning.budget_tokens is not None or reasoning.effort not in (None, "none")
