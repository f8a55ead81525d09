"""OpenAI's chat completions as the vendor reads, refuses and answers them."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tests.clients.vendor.mind import PAGE, Asked, Refused, Said
from tests.server.upstream import Reply, Seen, answer, sse
from tests.server.vendors import DONE, event

KNOWN: Final = frozenset(
    {
        *("audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs"),
        *("max_completion_tokens", "max_tokens", "messages", "metadata", "modalities", "model"),
        *("moderation", "n", "parallel_tool_calls", "prediction", "presence_penalty"),
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "reasoning_effort"),
        *("response_format", "safety_identifier", "seed", "service_tier", "stop", "store", "stream"),
        *("stream_options", "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user"),
        *("verbosity", "web_search_options"),
    }
)
OF_MESSAGES: Final = frozenset(
    {
        "role",
        "content",
        "name",
        "refusal",
        "audio",
        "tool_calls",
        "tool_call_id",
        "function_call",
        "annotations",
    }
)
NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
KINDS: Final = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
FINISH: Final = {"stop": "stop", "stop_sequence": "stop", "length": "length", "tools": "tool_calls"}


def read(seen: Seen) -> Asked:
    """The question. Raises Refused for what the vendor would not take."""
    if not seen.headers.get("authorization", "").startswith("Bearer sk-"):
        raise Refused(401, "You didn't provide an API key.")
    body = seen.json
    for name in body:
        if name not in KNOWN:
            raise Refused(400, f"Unrecognized request argument supplied: {name}")
    if body.get("model") != "up-1":
        raise Refused(404, f"The model `{body.get('model')}` does not exist", param="model")
    if "stream_options" in body and not body.get("stream"):
        raise Refused(400, "`stream_options` is only allowed when `stream` is true", param="stream_options")
    messages = body["messages"]
    _check_turns(messages)
    tools = {tool["function"]["name"]: parameters(tool["function"]) for tool in body.get("tools", ())}
    choice = body.get("tool_choice", "auto")
    if "tool_choice" in body and not tools:
        raise Refused(400, "`tool_choice` is only allowed when `tools` are specified", param="tool_choice")
    stop = body.get("stop") or ()
    return Asked(
        heard=tuple(_text(one["content"]) for one in messages if one["role"] in ("user", "tool")),
        results=tuple(_last_results(messages)),
        instructions=" ".join(_text(one["content"]) for one in messages if one["role"] in INSTRUCT),
        seen=tuple(part["type"] for one in messages for part in _parts(one) if part["type"] != "text"),
        tools={} if choice == "none" else tools,
        must_call=choice == "required",
        only=choice["function"]["name"] if isinstance(choice, dict) else None,
        parallel=body.get("parallel_tool_calls", True),
        schema=_schema(body.get("response_format") or {}),
        any_json=(body.get("response_format") or {}).get("type") == "json_object",
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        most=body.get("max_completion_tokens", body.get("max_tokens")),
    )


INSTRUCT: Final = ("system", "developer")


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    return content if isinstance(content, list) else []


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content or () if part["type"] == "text")


def _last_results(messages: list[dict[str, Any]]) -> Iterator[str]:
    """What the tools said, where nobody has spoken after them."""
    last = next((at for at in reversed(range(len(messages))) if messages[at]["role"] != "tool"), -1)
    yield from (_text(message["content"]) for message in messages[last + 1 :])


def _check_turns(messages: list[dict[str, Any]]) -> None:
    """Each call is answered, at once and by its id."""
    waiting: set[str] = set()
    for at, message in enumerate(messages):
        for name in message:
            if name not in OF_MESSAGES:
                raise Refused(400, f"Unknown parameter: 'messages[{at}].{name}'.")
        if message["role"] == "tool":
            if message.get("tool_call_id") not in waiting:
                raise Refused(400, "a `tool` message must answer a preceding message with 'tool_calls'")
            waiting.discard(message["tool_call_id"])
            continue
        if waiting:
            raise Refused(400, f"these tool_call_ids have no response messages: {', '.join(sorted(waiting))}")
        waiting = {call["id"] for call in message.get("tool_calls") or ()}
        if message["role"] == "assistant" and message.get("content") is None and not waiting:
            raise Refused(400, "an assistant message needs content or tool_calls")
    if waiting:
        raise Refused(400, f"these tool_call_ids have no response messages: {', '.join(sorted(waiting))}")


def parameters(function: dict[str, Any]) -> Mapping[str, Any]:
    if NAME.fullmatch(function["name"]) is None:
        raise Refused(400, f"a tool's name must match {NAME.pattern}", param="tools")
    schema: dict[str, Any] = function.get("parameters") or {"type": "object", "properties": {}}
    if schema.get("type") != "object":
        raise Refused(400, f"Invalid schema for function '{function['name']}': type must be 'object'")
    if function.get("strict"):
        check_strict(schema, f"function '{function['name']}'")
    return schema


def _schema(asked: dict[str, Any]) -> Mapping[str, Any] | None:
    if asked.get("type") != "json_schema":
        return None
    inner = asked["json_schema"]
    if NAME.fullmatch(inner.get("name", "")) is None:
        raise Refused(400, "Missing or invalid 'response_format.json_schema.name'", param="response_format")
    if inner.get("strict"):
        check_strict(inner["schema"], f"response_format '{inner['name']}'")
    schema: dict[str, Any] = inner["schema"]
    return schema


def check_strict(schema: Any, whose: str) -> None:
    """A strict schema closes every object and requires every property."""
    if isinstance(schema, list):
        for one in schema:
            check_strict(one, whose)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            raise Refused(400, f"Invalid schema for {whose}: 'additionalProperties' is required to be false")
        if set(schema.get("required", ())) != set(schema.get("properties", ())):
            raise Refused(400, f"Invalid schema for {whose}: 'required' must include every property")
    for name, inner in schema.items():
        if name not in ("enum", "const", "default", "required", "examples"):
            check_strict(inner if name != "properties" else list(inner.values()), whose)


def refuse(refused: Refused) -> Reply:
    kind = "invalid_request_error" if refused.status < 500 else "server_error"
    error = {
        "message": refused.message,
        "type": refused.kind or kind,
        "param": refused.param,
        "code": KINDS.get(refused.status),
    }
    return answer({"error": error}, refused.status, x_request_id="req_1")


def words(arguments: dict[str, Any]) -> str:
    """A call's arguments as this vendor writes them: JSON text, letters as they are."""
    return json.dumps(arguments, ensure_ascii=False)


def _calls(said: Said) -> list[dict[str, Any]]:
    return [
        {
            "id": f"call_{at}aB3xYz{len(call.name)}",
            "type": "function",
            "function": {"name": call.name, "arguments": words(call.arguments)},
        }
        for at, call in enumerate(said.calls)
    ]


def _usage(said: Said) -> dict[str, Any]:
    return {
        "prompt_tokens": said.read,
        "completion_tokens": said.written,
        "total_tokens": said.read + said.written,
        "prompt_tokens_details": {"cached_tokens": said.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": said.reasoned,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _annotations(said: Said) -> list[dict[str, Any]]:
    span = {"start_index": 0, "end_index": len("".join(said.pieces))}
    return [{"type": "url_citation", "url_citation": {**PAGE, **span}}] if said.cites else []


def whole(said: Said, body: dict[str, Any]) -> Reply:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(said.pieces) if said.pieces else None,
        "refusal": None,
        "annotations": _annotations(said),
    }
    if said.calls:
        message["tool_calls"] = _calls(said)
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": FINISH[said.why]}
    return answer(
        {
            "id": "chatcmpl-D1aB2cD3",
            "object": "chat.completion",
            "created": 1780000000,
            "model": "up-1-2026-04-24",
            "choices": [choice],
            "usage": _usage(said),
            "service_tier": "default",
            "system_fingerprint": "fp_0a1b2c",
        },
        x_request_id="req_1",
    )


def stream(said: Said, body: dict[str, Any]) -> Reply:
    counted = (body.get("stream_options") or {}).get("include_usage", False)
    head = {
        "id": "chatcmpl-D1aB2cD3",
        "object": "chat.completion.chunk",
        "created": 1780000000,
        "model": "up-1-2026-04-24",
        "service_tier": "default",
        "system_fingerprint": "fp_0a1b2c",
    }
    more = {"usage": None} if counted else {}

    def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event({**head, "choices": [choice], **more, "obfuscation": "x9"})

    pieces = [chunk({"role": "assistant", "content": None if said.calls else "", "refusal": None})]
    pieces += [chunk({"content": piece}) for piece in said.pieces]
    if said.cites:
        pieces.append(chunk({"annotations": _annotations(said)}))
    for at, call in enumerate(_calls(said)):
        arguments = call["function"]["arguments"]
        first = {**call, "function": {**call["function"], "arguments": ""}}
        pieces.append(chunk({"tool_calls": [{"index": at, **first}]}))
        for start in range(0, len(arguments), 5):
            delta = {"index": at, "function": {"arguments": arguments[start : start + 5]}}
            pieces.append(chunk({"tool_calls": [delta]}))
    if said.cut:
        return sse(*pieces[: len(pieces) // 2 + 1], end="reset")
    pieces.append(chunk({}, FINISH[said.why]))
    if counted:
        pieces.append(event({**head, "choices": [], "usage": _usage(said)}))
    return sse(*pieces, DONE)
