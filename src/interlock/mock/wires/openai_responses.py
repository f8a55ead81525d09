"""OpenAI's wire of responses: whole, and as events in their order. Its errors are those of chat."""

from collections.abc import Mapping
from typing import Any, Final

from interlock.mock.asked import Asked, Trouble
from interlock.mock.said import Call, Said
from interlock.mock.wires import openai, text
from interlock.mock.wires.fields import answer_or_stream, inner, objects, tools
from interlock.mock.wires.openai import CREATED, FAILED
from interlock.mock.wires.pieces import in_turns, parts, words

NAME: Final = "openai-responses"
FRAMING: Final = text
WITHOUT: Final = text.WITHOUT
error = openai.error
_INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
_COMPLETED: Final = ("stop", "tool_calls")
_FAILURE: Final = {"code": "server_error", "message": FAILED}


def read(path: str, headers: Mapping[str, str], fields: dict[str, Any]) -> Asked | None:  # noqa: ARG001 - as all wires
    """What is asked for at this path, if it is one of this wire."""
    if not path.endswith("/responses"):
        return None
    wanted, choice = inner(fields, "text", "format"), fields.get("tool_choice")
    functions = [tool for tool in objects(fields.get("tools")) if tool.get("type") == "function"]
    return Asked(
        kind=answer_or_stream(fields),
        model=str(fields.get("model", "")),
        tools=tools(functions, "parameters"),
        must_call="" if choice == "required" else inner(choice, "name"),
        schema={"type": "object"} if inner(wanted, "type") == "json_object" else inner(wanted, "schema"),
        trouble=None if fields.get("input") else Trouble(400, "the body needs `input`, a text or a list"),
    )


def whole(said: Said, asked: Asked) -> dict[str, Any]:
    """A response that is over."""
    items = [] if said.empty else _items(said)
    reason = _INCOMPLETE.get(said.finish or "")
    body = {**_frame(asked.model), "output": items}
    if said.finish is not None:
        body["status"] = _status(said)
    if reason is not None:
        body["incomplete_details"] = {"reason": reason}
    if said.usage is not None:
        body["usage"] = {
            "input_tokens": said.usage.input,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": said.usage.output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": said.usage.total,
        }
    return body


def events(said: Said, asked: Asked) -> list[bytes]:
    """The events of a streamed response, numbered."""
    begun = {**_frame(asked.model), "status": "in_progress", "output": []}
    found: list[dict[str, Any]] = [
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
    ]
    rows = [] if said.empty else [_grow(index, item) for index, item in enumerate(_items(said))]
    found += in_turns(rows, interleaved=said.interleaved)
    last = "response.incomplete" if said.finish in _INCOMPLETE else "response.completed"
    found.append({"type": last, "response": whole(said, asked)})
    return [text.event({**one, "sequence_number": number}, one["type"]) for number, one in enumerate(found)]


def is_start(piece: bytes) -> bool:
    return b'"response.created"' in piece


def is_end(piece: bytes) -> bool:
    return b'"response.completed"' in piece or b'"response.incomplete"' in piece


def error_inside(asked: Asked) -> dict[str, Any]:
    """The body of an answer with status 200 that is an error."""
    return {**_frame(asked.model), "status": "failed", "output": [], "error": _FAILURE}


def error_event(asked: Asked) -> bytes:  # noqa: ARG001 - as all wires
    """An event of a stream that says that it failed."""
    return text.event({"type": "error", **_FAILURE, "param": None}, "error")


def _status(said: Said) -> str | None:
    if said.finish in _INCOMPLETE:
        return "incomplete"
    return "completed" if said.finish in _COMPLETED else said.finish


def _frame(model: str) -> dict[str, Any]:
    return {
        "id": "resp_mock",
        "object": "response",
        "created_at": CREATED,
        "model": model,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": None,
    }


def _items(said: Said) -> list[dict[str, Any]]:
    """The items of an answer: a message, unless there are only calls, and the calls."""
    status = "incomplete" if said.finish in _INCOMPLETE else "completed"
    content: list[dict[str, Any]] = []
    if said.text or not (said.calls or said.refusal):
        content.append({"type": "output_text", "text": said.text, "annotations": [], "logprobs": []})
    if said.refusal:
        content.append({"type": "refusal", "refusal": said.refusal})
    message = {
        "id": "msg_mock", "type": "message", "status": status, "role": "assistant", "content": content,
    }  # fmt: skip
    calls = [_call(index, call, status) for index, call in enumerate(said.calls)]
    return [message, *calls] if content else calls


def _call(index: int, call: Call, status: str) -> dict[str, Any]:
    return {
        "id": f"fc_{index}",
        "type": "function_call",
        "status": status,
        "call_id": f"call_{index}",
        "name": call.name,
        "arguments": call.arguments,
    }


def _grow(index: int, item: dict[str, Any]) -> list[dict[str, Any]]:
    """The events in which an item grows, from its announcement to its end."""
    place = {"output_index": index, "item_id": item["id"]}
    rest: dict[str, Any] = {"arguments": ""} if item["type"] == "function_call" else {"content": []}
    begun = {**item, "status": "in_progress", **rest}
    found: list[dict[str, Any]] = [
        {"type": "response.output_item.added", "output_index": index, "item": begun}
    ]
    if item["type"] == "function_call":
        told = "response.function_call_arguments"
        found += [{"type": f"{told}.delta", **place, "delta": part} for part in parts(item["arguments"])]
        done = {"name": item["name"], "arguments": item["arguments"]}
        found.append({"type": f"{told}.done", **place, **done})
    else:
        for number, part in enumerate(item["content"]):
            found += _grow_part({**place, "content_index": number}, part)
    return [*found, {"type": "response.output_item.done", "output_index": index, "item": item}]


def _grow_part(place: dict[str, Any], part: dict[str, Any]) -> list[dict[str, Any]]:
    field = "refusal" if part["type"] == "refusal" else "text"
    told = "response.refusal" if field == "refusal" else "response.output_text"
    more: dict[str, Any] = {} if field == "refusal" else {"logprobs": []}
    return [
        {"type": "response.content_part.added", **place, "part": {**part, field: ""}},
        *({"type": f"{told}.delta", **place, "delta": word, **more} for word in words(part[field])),
        {"type": f"{told}.done", **place, field: part[field], **more},
        {"type": "response.content_part.done", **place, "part": part},
    ]
