"""The canonical request -> the call of a Gemini server."""

from functools import lru_cache
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

import msgspec
import re2

from interlock.adapters.call import USER_AGENT, HttpCall, Target
from interlock.adapters.carrying import plain, refuse_loss
from interlock.adapters.gemini.carry import UNSENT, cannot_carry, is_search, reads
from interlock.adapters.gemini.messages import write_messages
from interlock.adapters.leaving import left_out
from interlock.types.request import Reasoning, Request, ResponseFormat, Tool, ToolChoice

_encode: Final = msgspec.json.Encoder().encode
_VERSION: Final = "/v1beta"
_RESOURCES: Final = ("models/", "tunedModels/", "endpoints/")
"""How names begin that say themselves where a model stands; any other is one of `models/`."""
_GENERATION: Final = re2.compile(r"gemini-([0-9]+)")
_FIRST_WITH_LEVELS: Final = 3
"""The generation from which on thinking goes by levels, and calls are taken with signatures only."""
_BUDGETS: Final = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192}
_LARGEST_BUDGET: Final = 24576
"""What efforts come to in tokens where there are no levels: as Google's own compatible server has it."""
_LEVELS: Final = {"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH"}
_HIGHEST_LEVEL: Final = "XHIGH"
_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY", "tool": "ANY"}
_JSON: Final = ("content-type", "application/json")
_AGENT: Final = ("user-agent", USER_AGENT)


class _Place(NamedTuple):
    whole: str
    stream: str
    has_levels: bool


def encode_request(request: Request, target: Target) -> HttpCall:
    """The call for one attempt. Raises ApiError for a request that `cannot_carry` names a field of."""
    refuse_loss("gemini", cannot_carry(request))
    left = left_out(request, UNSENT, reads, words=True)
    request = plain(request, reads)
    place = _place(target.base_url, target.upstream_model)
    system, contents = write_messages(request, signed=place.has_levels)
    body: dict[str, Any] = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": system}
    if request.tools:
        body |= _tools(request)
    config = _sampling(request)
    if request.response_format is not None:
        config |= _format(request.response_format)
    if request.reasoning is not None:
        thinking = _thinking(request.reasoning, request.max_output_tokens, has_levels=place.has_levels)
        if thinking:
            config["thinkingConfig"] = thinking
    if config:
        body["generationConfig"] = config
    headers = headers_of(target, stream=request.stream)
    return HttpCall(place.stream if request.stream else place.whole, headers, _encode(body), None, left)


def headers_of(target: Target, *, stream: bool) -> tuple[tuple[str, str], ...]:
    """The headers of a call, the key among them."""
    headers = [_JSON, ("accept", "text/event-stream" if stream else "application/json"), _AGENT]
    if target.api_key is not None:
        headers.append(("x-goog-api-key", target.api_key))
    return tuple(headers)


def resource_of(model: str) -> str:
    """The name of a model as one of the vendor's resources."""
    return model if model.startswith(_RESOURCES) else "models/" + quote(model, safe="")


@lru_cache(maxsize=256)
def model_at(base_url: str, model: str) -> str:
    """Where a model is. `base_url` has the version in it, unless it is a bare host; on Vertex AI it ends
    with the publisher (`…/publishers/google`).
    """
    base = base_url.rstrip("/")
    if not urlsplit(base_url).path.strip("/"):
        base += _VERSION
    return f"{base}/{quote(resource_of(model), safe='/%')}"


@lru_cache(maxsize=256)
def _place(base_url: str, model: str) -> _Place:
    at = model_at(base_url, model)
    generation = _GENERATION.search(model)
    return _Place(
        whole=f"{at}:generateContent",
        stream=f"{at}:streamGenerateContent?alt=sse",
        has_levels=generation is None or int(generation.group(1)) >= _FIRST_WITH_LEVELS,
    )


def _sampling(request: Request) -> dict[str, Any]:
    asked = {
        "maxOutputTokens": request.max_output_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "topK": request.top_k,
        "stopSequences": request.stop or None,
        "seed": request.seed,
        "frequencyPenalty": request.extra.get("frequency_penalty"),
        "presencePenalty": request.extra.get("presence_penalty"),
    }
    if request.extra.get("logprobs"):
        asked["responseLogprobs"] = True
        asked["logprobs"] = request.extra.get("top_logprobs") or None
    return {name: value for name, value in asked.items() if value is not None}


def _tools(request: Request) -> dict[str, Any]:
    """Functions and how they may be called, or the vendor's search: `cannot_carry` keeps them apart."""
    if is_search(request.tools[0]):
        return {"tools": [{"googleSearch": {}}]}
    found: dict[str, Any] = {"tools": [{"functionDeclarations": [_function(tool) for tool in request.tools]}]}
    choice = _choice(request.tool_choice, strict=any(tool.strict for tool in request.tools))
    if choice is not None:
        found["toolConfig"] = {"functionCallingConfig": choice}
    return found


def _function(tool: Tool) -> dict[str, Any]:
    """A function under its own JSON Schema: the older `parameters` know only a part of that language."""
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters:
        function["parametersJsonSchema"] = tool.parameters
    return function


def _choice(choice: ToolChoice | None, *, strict: bool) -> dict[str, Any] | None:
    """`VALIDATED` is `AUTO` with calls held to their schemas, as `strict` asks."""
    mode = "AUTO" if choice is None else _MODES[choice.mode]
    if mode == "AUTO" and strict:
        return {"mode": "VALIDATED"}
    if choice is None:
        return None
    if choice.mode == "tool":
        return {"mode": mode, "allowedFunctionNames": [choice.name]}
    return {"mode": mode}


def _format(asked: ResponseFormat) -> dict[str, Any]:
    found: dict[str, Any] = {"responseMimeType": "application/json"}
    if asked.json_schema is not None:
        described = {"description": asked.description} if asked.description is not None else {}
        found["responseJsonSchema"] = {**described, **asked.json_schema}
    return found


def _thinking(reasoning: Reasoning, limit: int | None, *, has_levels: bool) -> dict[str, Any]:
    """How much to think, and whether to show it: callers that ask for thinking are shown it, those of an
    effort are not, as their vendor shows none. A limit that was lowered lowers the budget, which must fit in.
    """
    if reasoning.disabled:
        return {"thinkingBudget": 0}
    shown = {"includeThoughts": True} if _is_shown(reasoning) else {}
    if reasoning.budget_tokens is not None:
        budget = reasoning.budget_tokens if limit is None else min(reasoning.budget_tokens, limit - 1)
        return {"thinkingBudget": budget, **shown}
    if reasoning.effort is None:
        return shown
    if not has_levels or reasoning.effort == "none":
        return {"thinkingBudget": _BUDGETS.get(reasoning.effort, _LARGEST_BUDGET), **shown}
    return {"thinkingLevel": _LEVELS.get(reasoning.effort, _HIGHEST_LEVEL), **shown}


def _is_shown(reasoning: Reasoning) -> bool:
    asked = reasoning.budget_tokens is not None or reasoning.extra is not None
    return asked and (reasoning.extra or {}).get("display") != "omitted"
