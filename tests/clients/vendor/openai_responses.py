"""OpenAI's Responses as the vendor reads, refuses and answers them."""

from collections.abc import Iterator
from itertools import count
from typing import Any, Final

from tests.clients.vendor.mind import PAGE, THOUGHT, Asked, Refused, Said
from tests.clients.vendor.openai_chat import NAME, check_strict, parameters, refuse, words
from tests.server.upstream import Reply, Seen, answer, sse
from tests.server.vendors import event

KNOWN: Final = frozenset(
    {
        *("background", "conversation", "context_management", "include", "input", "instructions"),
        *("max_output_tokens", "max_tool_calls", "metadata", "model", "parallel_tool_calls"),
        *("previous_response_id", "prompt", "prompt_cache_key", "prompt_cache_retention", "reasoning"),
        *("safety_identifier", "service_tier", "store", "stream", "stream_options", "temperature", "text"),
        *("tool_choice", "tools", "top_logprobs", "top_p", "truncation", "user"),
    }
)
ENCRYPTED: Final = "gAAAAABthought"
_COUNT: Final = count()
TEXTS: Final = ("input_text", "output_text", "text")


def read(seen: Seen) -> Asked:
    """The question. Raises Refused for what the vendor would not take."""
    if not seen.headers.get("authorization", "").startswith("Bearer sk-"):
        raise Refused(401, "You didn't provide an API key.")
    body = seen.json
    for name in body:
        if name not in KNOWN:
            raise Refused(400, f"Unknown parameter: '{name}'.", param=name)
    if body.get("model") != "up-3":
        raise Refused(404, f"The model `{body.get('model')}` does not exist", param="model")
    items = body["input"]
    items = [{"role": "user", "content": items}] if isinstance(items, str) else items
    _check_items(items)
    thoughts = tuple(_thoughts(items))
    tools = {tool["name"]: parameters(tool) for tool in body.get("tools", ())}
    choice = body.get("tool_choice", "auto")
    asked = (body.get("text") or {}).get("format") or {"type": "text"}
    told = [_text(one.get("content")) for one in items if one.get("role") in ("system", "developer")]
    return Asked(
        heard=tuple(_heard(items)),
        results=tuple(_last_results(items)),
        thoughts=thoughts,
        instructions=" ".join([*([body["instructions"]] if body.get("instructions") else []), *told]),
        seen=tuple(
            part["type"].removeprefix("input_")
            for one in items
            for part in _parts(one)
            if part["type"] not in TEXTS
        ),
        tools={} if choice == "none" else tools,
        must_call=choice == "required",
        only=choice["name"] if isinstance(choice, dict) else None,
        parallel=body.get("parallel_tool_calls", True),
        schema=_schema(asked),
        any_json=asked["type"] == "json_object",
        most=body.get("max_output_tokens"),
    )


def _parts(item: dict[str, Any]) -> list[dict[str, Any]]:
    content = item.get("content")
    return content if isinstance(content, list) and item.get("type", "message") == "message" else []


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content or () if part["type"] in TEXTS)


def _heard(items: list[dict[str, Any]]) -> Iterator[str]:
    for item in items:
        if item.get("type") == "function_call_output":
            yield _text(item["output"])
        elif item.get("role") == "user":
            yield _text(item["content"])


def _last_results(items: list[dict[str, Any]]) -> Iterator[str]:
    last = [at for at, item in enumerate(items) if item.get("type") != "function_call_output"]
    yield from (_text(item["output"]) for item in items[(last[-1] if last else -1) + 1 :])


def _thoughts(items: list[dict[str, Any]]) -> Iterator[str]:
    """The thoughts that come back, each in the encrypted form: nothing is kept here."""
    for at, item in enumerate(items):
        if item.get("type") == "reasoning":
            if item.get("encrypted_content") != ENCRYPTED:
                raise Refused(400, f"Item 'input[{at}]' of type 'reasoning' could not be verified.")
            yield THOUGHT


def _check_items(items: list[dict[str, Any]]) -> None:
    """Each call has an output, by its id, somewhere after it."""
    waiting: set[str] = set()
    for item in items:
        if item.get("type") == "function_call":
            waiting.add(item["call_id"])
        elif item.get("type") == "function_call_output":
            if item["call_id"] not in waiting:
                raise Refused(400, f"No tool call found for function call output {item['call_id']}.")
            waiting.discard(item["call_id"])
    if waiting:
        raise Refused(400, f"No tool output found for function call {', '.join(sorted(waiting))}.")


def _schema(asked: dict[str, Any]) -> Any:
    if asked["type"] != "json_schema":
        return None
    if NAME.fullmatch(asked.get("name", "")) is None:
        raise Refused(400, "Missing required parameter: 'text.format.name'.", param="text.format.name")
    if asked.get("strict"):
        check_strict(asked["schema"], f"response_format '{asked['name']}'")
    return asked["schema"]


def _usage(said: Said) -> dict[str, Any]:
    return {
        "input_tokens": said.read,
        "input_tokens_details": {"cached_tokens": said.cached},
        "output_tokens": said.written,
        "output_tokens_details": {"reasoning_tokens": said.reasoned},
        "total_tokens": said.read + said.written,
    }


def _items(said: Said, body: dict[str, Any]) -> list[dict[str, Any]]:
    """What is said, each item with a name that no other one has."""
    found: list[dict[str, Any]] = []
    name = f"v{next(_COUNT):06}"
    if said.thought:
        summary = [{"type": "summary_text", "text": said.thought}]
        wanted = "reasoning.encrypted_content" in (body.get("include") or ())
        encrypted = {"encrypted_content": ENCRYPTED} if wanted else {}
        found.append({"id": f"rs_{name}", "type": "reasoning", "summary": summary, **encrypted})
    if said.pieces:
        text = "".join(said.pieces)
        cited = {"type": "url_citation", **PAGE, "start_index": 0, "end_index": len(text)}
        notes = [cited] if said.cites else []
        part = {"type": "output_text", "annotations": notes, "logprobs": [], "text": text}
        status = "incomplete" if said.why == "length" else "completed"
        found.append(
            {"id": f"msg_{name}", "type": "message", "status": status, "role": "assistant", "content": [part]}
        )
    for at, call in enumerate(said.calls):
        found.append(
            {
                "id": f"fc_{name}{at}",
                "type": "function_call",
                "status": "completed",
                "call_id": f"call_{at}aB3xYz{len(call.name)}",
                "name": call.name,
                "arguments": words(call.arguments),
            }
        )
    return found


def _response(said: Said, body: dict[str, Any], status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": "resp_0a1b2c",
        "object": "response",
        "created_at": 1780000000,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": "up-3-2026-04-24",
        "output": output,
        "parallel_tool_calls": body.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": body.get("store", True),
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools", []),
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None if status == "in_progress" else _usage(said),
        "user": None,
        "metadata": body.get("metadata") or {},
    }


def whole(said: Said, body: dict[str, Any]) -> Reply:
    return answer(_response(said, body, _ends(said), _items(said, body)), x_request_id="req_1")


def _ends(said: Said) -> str:
    return "incomplete" if said.why == "length" else "completed"


def stream(said: Said, body: dict[str, Any]) -> Reply:
    begun = _response(said, body, "in_progress", [])
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    items = _items(said, body)
    for at, item in enumerate(items):
        events += _of_item(at, item, said)
    done = _ends(said)
    events.append({"type": f"response.{done}", "response": _response(said, body, done, items)})
    numbered = [event({**one, "sequence_number": at}, one["type"]) for at, one in enumerate(events)]
    return sse(*numbered[: len(numbered) // 2], end="reset") if said.cut else sse(*numbered)


def _of_item(at: int, item: dict[str, Any], said: Said) -> Iterator[dict[str, Any]]:
    """The events of one item of the output: begun, piece by piece, whole."""
    where = {"output_index": at, "item_id": item["id"]}
    if item["type"] == "message":
        yield _item("added", at, {**item, "status": "in_progress", "content": []})
        (part,) = item["content"]
        place = {**where, "content_index": 0}
        yield {
            "type": "response.content_part.added",
            **place,
            "part": {**part, "text": "", "annotations": []},
        }
        for piece in said.pieces:
            yield {"type": "response.output_text.delta", **place, "delta": piece, "logprobs": []}
        for number, note in enumerate(part["annotations"]):
            kind = "response.output_text.annotation.added"
            yield {"type": kind, **place, "annotation_index": number, "annotation": note}
        yield {"type": "response.output_text.done", **place, "text": part["text"], "logprobs": []}
        yield {"type": "response.content_part.done", **place, "part": part}
    elif item["type"] == "function_call":
        yield _item("added", at, {**item, "status": "in_progress", "arguments": ""})
        for start in range(0, len(item["arguments"]), 5):
            delta = item["arguments"][start : start + 5]
            yield {"type": "response.function_call_arguments.delta", **where, "delta": delta}
        end = {"arguments": item["arguments"], "name": item["name"]}
        yield {"type": "response.function_call_arguments.done", **where, **end}
    else:
        yield _item("added", at, {**item, "summary": []})
        place = {**where, "summary_index": 0}
        (part,) = item["summary"]
        yield {"type": "response.reasoning_summary_part.added", **place, "part": {**part, "text": ""}}
        yield {"type": "response.reasoning_summary_text.delta", **place, "delta": part["text"]}
        yield {"type": "response.reasoning_summary_text.done", **place, "text": part["text"]}
        yield {"type": "response.reasoning_summary_part.done", **place, "part": part}
    yield _item("done", at, item)


def _item(what: str, at: int, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": f"response.output_item.{what}", "output_index": at, "item": item}


__all__ = ["read", "refuse", "stream", "whole"]
