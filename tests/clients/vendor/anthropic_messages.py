"""Anthropic's messages as the vendor reads, refuses and answers them."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tests.clients.vendor.mind import PAGE, THOUGHT, Asked, Refused, Said
from tests.server.upstream import Reply, Seen, answer, sse
from tests.server.vendors import event

KNOWN: Final = frozenset(
    {
        *("cache_control", "container", "context_management", "inference_geo", "max_tokens"),
        *("mcp_servers", "messages", "metadata", "model", "output_config", "service_tier", "speed"),
        *("stop_sequences", "stream", "system", "temperature", "thinking", "tool_choice", "tools"),
        *("top_k", "top_p"),
    }
)
BLOCKS: Final = {
    "text": {"text", "cache_control", "citations"},
    "image": {"source", "cache_control"},
    "document": {"source", "cache_control", "citations", "context", "title"},
    "thinking": {"thinking", "signature"},
    "redacted_thinking": {"data"},
    "tool_use": {"id", "name", "input", "cache_control", "caller"},
    "tool_result": {"tool_use_id", "content", "is_error", "cache_control"},
}
"""The blocks that may be in a turn, with the fields that each may have besides `type`."""
TOOL: Final = frozenset(
    {
        *("name", "description", "input_schema", "cache_control", "strict", "type", "allowed_callers"),
        *("defer_loading", "eager_input_streaming", "input_examples"),
    }
)
INDEX: Final = "Eo8BCioIAhgBIiQ"
"""What the vendor knows a page by that it has cited."""
NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,128}")
SIGNED: Final = re.compile(r"[a-zA-Z0-9+/=_-]+")
ID: Final = re.compile(r"[a-zA-Z0-9_-]+")
KINDS: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
SIGNATURE: Final = "c2lnbmVk"
STOP: Final = {
    "stop": "end_turn",
    "stop_sequence": "stop_sequence",
    "length": "max_tokens",
    "tools": "tool_use",
}


def read(seen: Seen) -> Asked:
    """The question. Raises Refused for what the vendor would not take."""
    if not seen.headers.get("x-api-key", "").startswith("sk-"):
        raise Refused(401, "x-api-key header is required")
    if "anthropic-version" not in seen.headers:
        raise Refused(400, "anthropic-version: header is required")
    body = seen.json
    _only(body, KNOWN, "")
    if body.get("model") != "up-2":
        raise Refused(404, f"model: {body.get('model')}")
    if not isinstance(body.get("max_tokens"), int):
        raise Refused(400, "max_tokens: Field required")
    messages = [{**one, "content": _blocks(one["content"])} for one in body["messages"]]
    _check_turns(messages)
    thoughts = tuple(_thoughts(messages))
    tools = {tool["name"]: _parameters(tool) for tool in body.get("tools", ())}
    choice = body.get("tool_choice") or {"type": "auto"}
    if "tool_choice" in body and not tools:
        raise Refused(400, "tool_choice may only be specified while providing tools")
    thinking = body.get("thinking") or {"type": "disabled"}
    if thinking["type"] == "enabled" and not 1024 <= thinking["budget_tokens"] < body["max_tokens"]:
        raise Refused(
            400, "`max_tokens` must be greater than `thinking.budget_tokens`, which is at least 1024"
        )
    _check_loop(messages, thinking)
    said = [block for one in messages if one["role"] == "user" for block in one["content"]]
    return Asked(
        heard=tuple(text for block in said if (text := _heard(block)) is not None),
        results=tuple(_last_results(messages)),
        thoughts=thoughts,
        instructions=" ".join(block["text"] for block in _blocks(body.get("system", []))),
        seen=tuple(block["type"] for block in said if block["type"] in ("image", "document")),
        tools={} if choice["type"] == "none" else tools,
        must_call=choice["type"] == "any",
        only=choice.get("name"),
        parallel=not choice.get("disable_parallel_tool_use", False),
        schema=_schema(body.get("output_config") or {}),
        stop=tuple(body.get("stop_sequences") or ()),
        most=body["max_tokens"],
    )


def _only(found: Mapping[str, Any], known: frozenset[str] | set[str], where: str) -> None:
    for name in found:
        if name not in known:
            raise Refused(400, f"{where}{name}: Extra inputs are not permitted")


def _blocks(content: Any) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = (
        [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    )
    for block in blocks:
        if block["type"] not in BLOCKS:
            raise Refused(400, f"messages.content: Input tag '{block['type']}' does not match any known")
        _only(block, BLOCKS[block["type"]] | {"type"}, f"messages.content.{block['type']}.")
        if block["type"] == "text" and not block["text"]:
            raise Refused(400, "messages: text content blocks must be non-empty")
        for cited in block.get("citations") or () if block["type"] == "text" else ():
            if cited["encrypted_index"] != INDEX:
                raise Refused(400, "messages.content.text.citations: Invalid `encrypted_index`")
        if block["type"] == "tool_result":
            _blocks(block.get("content") or [])
    return blocks


def _heard(block: dict[str, Any]) -> str | None:
    if block["type"] == "text":
        text: str = block["text"]
        return text
    if block["type"] == "tool_result":
        return " ".join(one["text"] for one in _blocks(block.get("content") or []) if one["type"] == "text")
    return None


def _last_results(messages: list[dict[str, Any]]) -> Iterator[str]:
    """What the tools said, where the user added nothing of its own."""
    last = messages[-1]["content"]
    if all(block["type"] == "tool_result" for block in last):
        yield from (_heard(block) or "" for block in last)


def _thoughts(messages: list[dict[str, Any]]) -> Iterator[str]:
    """The thoughts that come back. Each must look signed, and be as it was where the signature is known."""
    for at, message in enumerate(messages):
        for block in message["content"]:
            if block["type"] == "thinking":
                signature = block.get("signature") or ""
                changed = signature == SIGNATURE and block["thinking"] != THOUGHT
                if changed or SIGNED.fullmatch(signature) is None:
                    raise Refused(400, f"messages.{at}.content.0: Invalid `signature` in `thinking` block")
                yield block["thinking"]
            elif block["type"] == "redacted_thinking":
                raise Refused(400, f"messages.{at}.content.0: Invalid `data` in `redacted_thinking` block")


def _check_loop(messages: list[dict[str, Any]], thinking: dict[str, Any]) -> None:
    """With a fixed budget for thinking, the turn whose calls are answered must begin with a thought."""
    last = messages[-1]["content"]
    if thinking["type"] != "enabled" or not any(block["type"] == "tool_result" for block in last):
        return
    if messages[-2]["content"][0]["type"] not in ("thinking", "redacted_thinking"):
        raise Refused(400, "messages: a final `assistant` message must start with a thinking block")


def _check_turns(messages: list[dict[str, Any]]) -> None:
    """Turns are a user's or an assistant's; each call is answered in the next one, first thing, by its id."""
    waiting: set[str] = set()
    for at, message in enumerate(messages):
        if message["role"] not in ("user", "assistant"):
            raise Refused(400, f"messages.{at}.role: Input should be 'user' or 'assistant'")
        if not message["content"] and at < len(messages) - 1:
            raise Refused(400, f"messages.{at}: all messages must have non-empty content")
        results = [block["tool_use_id"] for block in message["content"] if block["type"] == "tool_result"]
        if set(results) != waiting or len(results) != len(set(results)):
            raise Refused(400, f"messages.{at}: `tool_use` and `tool_result` blocks do not match")
        waiting = {block["id"] for block in message["content"] if block["type"] == "tool_use"}
        if any(ID.fullmatch(one) is None for one in waiting):
            raise Refused(400, f"messages.{at}: tool_use.id: String should match pattern '{ID.pattern}'")
    if waiting:
        raise Refused(400, "messages: `tool_use` ids were found without `tool_result` blocks")


def _parameters(tool: dict[str, Any]) -> Mapping[str, Any]:
    _only(tool, TOOL, "tools.")
    if NAME.fullmatch(tool["name"]) is None:
        raise Refused(400, f"tools.name: String should match pattern '{NAME.pattern}'")
    schema: dict[str, Any] = tool["input_schema"]
    if schema.get("type") != "object":
        raise Refused(400, "tools.input_schema.type: Input should be 'object'")
    if tool.get("strict"):
        _check_closed(schema, "tools.input_schema")
    return schema


def _schema(output: dict[str, Any]) -> Mapping[str, Any] | None:
    _only(output, {"format", "effort", "task_budget"}, "output_config.")
    asked = output.get("format")
    if asked is None:
        return None
    _only(asked, {"type", "schema"}, "output_config.format.")
    _check_closed(asked["schema"], "output_config.format.schema")
    schema: dict[str, Any] = asked["schema"]
    return schema


def _check_closed(schema: Any, where: str) -> None:
    """The vendor compiles schemas of closed objects only."""
    if isinstance(schema, list):
        for one in schema:
            _check_closed(one, where)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        raise Refused(
            400, f"{where}: For 'object' type, 'additionalProperties' must be explicitly set to false"
        )
    for name, inner in schema.items():
        if name not in ("enum", "const", "default", "required", "examples"):
            _check_closed(inner if name != "properties" else list(inner.values()), where)


def refuse(refused: Refused) -> Reply:
    kind = "invalid_request_error" if refused.status < 500 else "api_error"
    error = {"type": refused.kind or KINDS.get(refused.status, kind), "message": refused.message}
    body = {"type": "error", "error": error, "request_id": "req_1"}
    return answer(body, refused.status, request_id="req_1")


def _content(said: Said) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if said.thought:
        found.append({"type": "thinking", "thinking": said.thought, "signature": SIGNATURE})
    if said.pieces:
        cited = {**PAGE, "cited_text": "It rains.", "encrypted_index": INDEX}
        more = {"citations": [{"type": "web_search_result_location", **cited}]} if said.cites else {}
        found.append({"type": "text", "text": "".join(said.pieces), **more})
    for at, call in enumerate(said.calls):
        found.append(
            {"type": "tool_use", "id": f"toolu_0{at}Ab3Xy", "name": call.name, "input": call.arguments}
        )
    return found


def _usage(said: Said) -> dict[str, Any]:
    return {
        "input_tokens": said.read - said.cached - said.cache_written,
        "cache_creation_input_tokens": said.cache_written,
        "cache_read_input_tokens": said.cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": said.cache_written,
            "ephemeral_1h_input_tokens": 0,
        },
        "output_tokens": said.written,
        "service_tier": "standard",
    }


def whole(said: Said, body: dict[str, Any]) -> Reply:
    return answer(
        {
            "model": "up-2",
            "id": "msg_01AbCdEf",
            "type": "message",
            "role": "assistant",
            "content": _content(said),
            "stop_reason": STOP[said.why],
            "stop_sequence": said.stopped_by,
            "usage": _usage(said),
        },
        request_id="req_1",
    )


def stream(said: Said, body: dict[str, Any]) -> Reply:
    start: dict[str, Any] = {
        "model": "up-2",
        "id": "msg_01AbCdEf",
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**_usage(said), "output_tokens": 1},
    }
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
    for at, block in enumerate(_content(said)):
        events.append({"type": "content_block_start", "index": at, "content_block": _opened(block)})
        events.append({"type": "ping"})
        events += [{"type": "content_block_delta", "index": at, "delta": one} for one in _deltas(block, said)]
        events.append({"type": "content_block_stop", "index": at})
    if said.cut:
        return sse(*(event(one, one["type"]) for one in events[: len(events) // 2 + 1]), end="reset")
    events.append(
        {
            "type": "message_delta",
            "delta": {"stop_reason": STOP[said.why], "stop_sequence": said.stopped_by},
            "usage": {"output_tokens": said.written},
        }
    )
    events.append({"type": "message_stop"})
    return sse(*(event(one, one["type"]) for one in events))


def _opened(block: dict[str, Any]) -> dict[str, Any]:
    """A block as it begins: of its kind, and empty."""
    empty: dict[str, dict[str, Any]] = {
        "text": {"text": "", **({"citations": []} if "citations" in block else {})},
        "thinking": {"thinking": "", "signature": ""},
        "tool_use": {"input": {}},
    }
    return {**block, **empty[block["type"]]}


def _deltas(block: dict[str, Any], said: Said) -> Iterator[dict[str, Any]]:
    if block["type"] == "text":
        for cited in block.get("citations", ()):
            yield {"type": "citations_delta", "citation": cited}
        yield from ({"type": "text_delta", "text": piece} for piece in said.pieces)
    elif block["type"] == "thinking":
        yield {"type": "thinking_delta", "thinking": block["thinking"]}
        yield {"type": "signature_delta", "signature": block["signature"]}
    else:
        arguments = json.dumps(block["input"], ensure_ascii=False)
        yield {"type": "input_json_delta", "partial_json": ""}
        yield from (
            {"type": "input_json_delta", "partial_json": arguments[at : at + 5]}
            for at in range(0, len(arguments), 5)
        )
