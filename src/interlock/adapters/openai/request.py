"""The canonical request -> the call of an OpenAI-compatible server."""

from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from interlock.adapters.call import USER_AGENT, HttpCall, Target
from interlock.adapters.carrying import plain, reads_none, refuse_loss
from interlock.adapters.leaving import EVERYTHING_SENT, left_out
from interlock.adapters.openai.carry import UNSENT, cannot_carry
from interlock.adapters.openai.messages import write_messages
from interlock.adapters.openai.schema import is_strict
from interlock.types.labels import Dialect, Kind
from interlock.types.quirks import KeyHeader, Quirks
from interlock.types.request import Reasoning, Request, ResponseFormat, Thinking, Tool, ToolChoice

_encode: Final = msgspec.json.Encoder().encode
CHAT: Final = "chat/completions"
_FORMAT_NAME: Final = "answer"
_JSON: Final = ("content-type", "application/json")
_AGENT: Final = ("user-agent", USER_AGENT)


def encode_request(request: Request, target: Target) -> HttpCall:
    """The call for one attempt. Raises ApiError for a request that `cannot_carry` names a field of."""
    url, headers = _begun(target.base_url, target.api_key, target.auth, request.stream)
    body, left = encode_body(request, target, "openai")
    return HttpCall(url, headers, body, None, left)


def encode_body(request: Request, target: Target, kind: Kind) -> tuple[bytes, tuple[str, ...]]:
    """The body of a call for a provider of a kind, and the names of the request's fields that are left out.

    Raises ApiError as `encode_request` does.
    """
    own, quirks = request.dialect == "openai-chat", target.quirks
    asked = request
    if not own:
        refuse_loss(kind, cannot_carry(request))
        request = plain(request, reads_none)
    lost: list[Thinking] = []
    body: dict[str, Any] = {"model": target.upstream_model, "messages": write_messages(request, quirks, lost)}
    if own and request.extra:
        body |= request.extra
        if request.metadata and request.extra.get("store") is True:
            body["metadata"] = request.metadata  # without `store` the vendor refuses it
    if request.tools:
        body |= _tools(request)
    if request.max_output_tokens is not None:
        body[quirks.limit] = request.max_output_tokens
    _add_sampling(body, request, quirks)
    if request.response_format is not None:
        body["response_format"] = _format(request.response_format, request.dialect)
    if request.reasoning is not None:
        body |= _reasoning(request.reasoning)
    if request.stream:
        _add_stream(body, quirks)
    if own and not lost:
        return _encode(body), ()
    words = quirks.reasoning is not None
    return _encode(body), left_out(asked, EVERYTHING_SENT if own else UNSENT, reads_none, words=words)


def headers_of(target: Target, auth: KeyHeader, *, stream: bool) -> tuple[tuple[str, str], ...]:
    """The headers of a call, with the key as the target wants it, else as `auth`."""
    return _headers(target.api_key, target.auth or auth, stream)


def _headers(key: str | None, auth: KeyHeader, stream: bool) -> tuple[tuple[str, str], ...]:
    headers = _JSON, ("accept", "text/event-stream" if stream else "application/json"), _AGENT
    if key is None:
        return headers
    return *headers, ("authorization", f"Bearer {key}") if auth == "bearer" else ("api-key", key)


@lru_cache(maxsize=256)
def _begun(
    base_url: str, key: str | None, auth: KeyHeader | None, stream: bool
) -> tuple[str, tuple[tuple[str, str], ...]]:
    """All of a chat's call but its body: it is the same for every request to a deployment."""
    return place_of(base_url, CHAT), _headers(key, auth or "bearer", stream)


@lru_cache(maxsize=256)
def place_of(base_url: str, what: str) -> str:
    """Where `what` is served: `base_url` has the version in it, unless it is a bare host.

    One that leads to chat completions, as some vendors write theirs, leads to the rest as well.
    """
    base = base_url.rstrip("/")
    if not urlsplit(base).path.strip("/"):
        return f"{base}/v1/{what}"
    return f"{base.removesuffix(f'/{CHAT}')}/{what}"


def _add_stream(body: dict[str, Any], quirks: Quirks) -> None:
    body["stream"] = True
    if quirks.stream_options:
        body["stream_options"] = {**body.get("stream_options", {}), "include_usage": True}


def _add_sampling(body: dict[str, Any], request: Request, quirks: Quirks) -> None:
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.top_p is not None:
        body["top_p"] = request.top_p
    if request.top_k is not None:
        body["top_k"] = request.top_k
    if request.stop:
        body["stop"] = request.stop
    if request.seed is not None:
        body[quirks.seed] = request.seed
    if request.user is not None:
        body["user"] = request.user


def _tools(request: Request) -> dict[str, Any]:
    own = request.dialect == "openai-chat"
    found: dict[str, Any] = {}
    functions: list[dict[str, Any]] = []
    for tool in request.tools:
        if tool.vendor is None:
            functions.append(_function(tool, own=own))
        elif tool.vendor.keys() == {"web_search_options"}:  # the dialect's; a caller's has a type
            found["web_search_options"] = tool.vendor["web_search_options"]
        else:
            functions.append(tool.vendor)
    if functions:
        found["tools"] = functions
        if request.tool_choice is not None:
            found["tool_choice"] = _choice(request.tool_choice)
        if request.parallel_tool_calls is not None:
            found["parallel_tool_calls"] = request.parallel_tool_calls
    return found


def _function(tool: Tool, *, own: bool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    if not own or tool.extra is None:
        return {"type": "function", "function": function}
    function |= tool.extra.get("function", {})
    outer = {name: value for name, value in tool.extra.items() if name != "function"}
    return {"type": "function", "function": function, **outer}


def _choice(choice: ToolChoice) -> Any:
    if choice.mode == "tool":
        return {"type": "function", "function": {"name": choice.name}}
    return choice.mode


def _format(asked: ResponseFormat, dialect: Dialect) -> dict[str, Any]:
    """The output asked for. Anthropic enforces every schema that it takes; here strict mode does."""
    if asked.json_schema is None:
        return {"type": "json_object"}
    inner: dict[str, Any] = {"name": asked.name or _FORMAT_NAME, "schema": asked.json_schema}
    if asked.description is not None:
        inner["description"] = asked.description
    if asked.strict is not None:
        inner["strict"] = asked.strict
    elif dialect == "anthropic-messages" and is_strict(asked.json_schema):
        inner["strict"] = True
    return {"type": "json_schema", "json_schema": inner}


def _reasoning(asked: Reasoning) -> dict[str, Any]:
    """Efforts have the same names in both dialects; a model that may think as it likes is not told so."""
    if asked.effort is not None:
        return {"reasoning_effort": asked.effort}
    return {"reasoning_effort": "none"} if asked.disabled else {}
