"""The canonical request -> the call of AWS Bedrock's Converse API."""

from collections.abc import Iterable
from functools import lru_cache, partial
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec

from interlock.adapters.anthropic.schema import narrowed
from interlock.adapters.bedrock.carry import UNSENT, cannot_carry, has_calls, reads, reads_opaque
from interlock.adapters.bedrock.messages import cache_point, write_messages
from interlock.adapters.call import USER_AGENT, HttpCall, Target
from interlock.adapters.carrying import plain, refuse_loss
from interlock.adapters.leaving import left_out
from interlock.errors import ApiError
from interlock.types.request import Reasoning, Request, ResponseFormat, Tool, ToolCall, ToolChoice
from interlock.wire.sigv4 import Credentials, parse_credentials, region_of, sign

_encode: Final = msgspec.json.Encoder().encode
_SERVICE: Final = "bedrock"
_CHOICES: Final = {"auto": "auto", "required": "any"}
_LEAST_BUDGET: Final = 1024
"""Claude takes no smaller budget for thinking."""
_OWN_PROFILE: Final = "application-inference-profile"
_STOP_SEQUENCE: Final = ["/stop_sequence"]
_JSON: Final = ("content-type", "application/json")
_AGENT: Final = ("user-agent", USER_AGENT)
_FRAMES: Final = ("accept", "application/vnd.amazon.eventstream")
_WHOLE: Final = ("accept", "application/json")


class _Place(NamedTuple):
    """Where a model is, and which of the families it is of that have words of their own."""

    whole: str
    stream: str
    is_claude: bool
    is_nova: bool
    may_sign: bool


def encode_request(request: Request, target: Target) -> HttpCall:
    """The call for one attempt, still to be signed where the key is an access key.

    Raises ApiError for a request that `cannot_carry` names a field of, and for a signature without a region.
    """
    refuse_loss("bedrock", cannot_carry(request))
    place = _place(target.base_url, target.upstream_model)
    cached, signs = place.is_claude or place.is_nova, reads if place.may_sign else reads_opaque
    left = left_out(request, UNSENT[cached, place.is_claude], signs)
    request = plain(request, signs)
    system, turns = write_messages(request, signs, cached=cached)
    body: dict[str, Any] = {"messages": turns}
    if system:
        body["system"] = system
    inference = _sampling(request)
    if inference:
        body["inferenceConfig"] = inference
    tools = _tools(request, place)
    if tools is not None:
        body["toolConfig"] = tools
    own = _model_fields(request, place)
    if own:
        body["additionalModelRequestFields"] = own
    output = _output(request.response_format, request.reasoning)
    if output:
        body["outputConfig"] = output
    if request.stop:
        body["additionalModelResponseFieldPaths"] = _STOP_SEQUENCE
    authorization, signer = _access(target.api_key, target.base_url, target.regions)
    headers = (_JSON, _FRAMES if request.stream else _WHOLE, _AGENT, *authorization)
    return HttpCall(place.stream if request.stream else place.whole, headers, _encode(body), signer, left)


@lru_cache(maxsize=256)
def _place(base_url: str, model: str) -> _Place:
    """`model` is the id or ARN of a model or an inference profile: all of it one step of the path."""
    at = f"{base_url.rstrip('/')}/model/{quote(model, safe='')}"
    name = model.lower()
    return _Place(
        whole=f"{at}/converse",
        stream=f"{at}/converse-stream",
        is_claude="anthropic" in name or "claude" in name,
        is_nova="nova" in name,
        # Only Claude signs what it thinks; of a profile of one's own, the name does not say whose it is.
        may_sign="anthropic" in name or "claude" in name or _OWN_PROFILE in name,
    )


_Access = tuple[tuple[tuple[str, str], ...], Any]


@lru_cache(maxsize=256)
def _access(key: str | None, base_url: str, regions: tuple[str, ...]) -> _Access:
    """The headers that a key is sent in, or what signs with it: an access key's secret is never sent."""
    credentials = parse_credentials(key) if key is not None else None
    if credentials is None:
        return ((("authorization", f"Bearer {key}"),) if key is not None else ()), None
    region = region_of(base_url, regions)
    if region is None:
        raise ApiError("internal", "a request to AWS is to be signed, and for which region is not known")
    return (), partial(_signed, credentials, region)


def _signed(credentials: Credentials, region: str, call: HttpCall, at: str) -> HttpCall:
    headers = sign(
        call.url, call.headers, call.body, credentials=credentials, region=region, service=_SERVICE, at=at
    )
    return HttpCall(call.url, headers, call.body)


def _sampling(request: Request) -> dict[str, Any]:
    asked = {
        "maxTokens": request.max_output_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "stopSequences": request.stop or None,
    }
    return {name: value for name, value in asked.items() if value is not None}


def _tools(request: Request, place: _Place) -> dict[str, Any] | None:
    """The tools and how they may be called. There is no word for "none": the tools then stay at home.

    A conversation that holds calls is refused without tools. Where policy has taken the last one out, those
    that it was about are declared by name alone; a call of one is judged like any other, and denied.
    """
    choice = request.tool_choice
    if request.tools and (choice is None or choice.mode != "none"):
        specs = list(_specs(request.tools, cached=place.is_claude))
    elif has_calls(request):
        specs = [_gone(name) for name in _called(request)]
    else:
        specs = []
    if not specs:
        return None
    config: dict[str, Any] = {"tools": specs}
    if request.tools and choice is not None and choice.mode != "none":
        config["toolChoice"] = _choice(choice)
    return config


def _specs(tools: Iterable[Tool], *, cached: bool) -> Iterable[dict[str, Any]]:
    for tool in tools:
        schema = tool.parameters or {}
        # The schema of arguments must be there, and must say that it is one of an object.
        schema = schema if "type" in schema else {"type": "object", **schema}
        if tool.strict:
            schema = narrowed(schema) or schema
        spec: dict[str, Any] = {"name": tool.name, "inputSchema": {"json": schema}}
        if tool.description:
            spec["description"] = tool.description
        if tool.strict:
            spec["strict"] = True
        yield {"toolSpec": spec}
        point = cache_point(tool.extra) if cached else None
        if point is not None:
            yield point


def _gone(name: str) -> dict[str, Any]:
    schema = {"json": {"type": "object"}}
    return {"toolSpec": {"name": name, "description": "Not available any more.", "inputSchema": schema}}


def _called(request: Request) -> list[str]:
    parts = [part for message in request.messages for part in message.parts]
    return list(dict.fromkeys(part.name for part in parts if isinstance(part, ToolCall)))


def _choice(choice: ToolChoice) -> dict[str, Any]:
    if choice.mode == "tool":
        return {"tool": {"name": choice.name}}
    return {_CHOICES[choice.mode]: {}}


def _model_fields(request: Request, place: _Place) -> dict[str, Any]:
    """What Converse passes on to the model as it is: each family has its own words. One that does not know
    a field refuses it by name.
    """
    found: dict[str, Any] = {}
    if request.top_k is not None:
        found |= {"inferenceConfig": {"topK": request.top_k}} if place.is_nova else {"top_k": request.top_k}
    reasoning = request.reasoning
    thinking = _thinking(reasoning, request.max_output_tokens) if reasoning is not None else None
    if thinking is None and reasoning is not None and place.is_claude:
        # In OpenAI's dialect an effort is all there is to ask for thinking with.
        asked = reasoning.effort is not None and request.dialect != "anthropic-messages"
        thinking = {"type": "adaptive"} if asked else None
    if thinking is not None:
        found["thinking"] = thinking
    return found


def _thinking(reasoning: Reasoning, limit: int | None) -> dict[str, Any] | None:
    """Thinking as Claude is asked for it. A limit that was lowered lowers the budget, which must fit in."""
    if reasoning.disabled or reasoning.effort == "none":
        return {"type": "disabled"}
    if reasoning.budget_tokens is not None:
        budget = reasoning.budget_tokens if limit is None else min(reasoning.budget_tokens, limit - 1)
        if budget < reasoning.budget_tokens and budget < _LEAST_BUDGET:
            return {"type": "disabled"}
        return {"type": "enabled", "budget_tokens": budget, **(reasoning.extra or {})}
    return reasoning.extra


def _output(asked: ResponseFormat | None, reasoning: Reasoning | None) -> dict[str, Any]:
    """How hard to think, and the JSON Schema of the answer, which is sent as text."""
    found: dict[str, Any] = {}
    if reasoning is not None and reasoning.effort not in (None, "none"):
        found["effort"] = "low" if reasoning.effort == "minimal" else reasoning.effort
    if asked is not None and asked.json_schema is not None:
        narrow = narrowed(asked.json_schema) or asked.json_schema
        schema: dict[str, Any] = {"schema": _encode(narrow).decode("utf-8")}
        if asked.name is not None:
            schema["name"] = asked.name
        if asked.description is not None:
            schema["description"] = asked.description
        found["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": schema}}
    return found
