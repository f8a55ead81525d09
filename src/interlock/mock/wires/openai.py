"""OpenAI's wire: chat completions whole and streamed, embeddings, models, errors."""

import base64
import struct
from collections.abc import Mapping
from typing import Any, Final

from interlock.mock.asked import Asked, Trouble, dimensions_of
from interlock.mock.draft import Draft, failed
from interlock.mock.said import Call, Said, Usage
from interlock.mock.wires import text
from interlock.mock.wires.fields import answer_or_stream, inner, lacks_list, objects, tools
from interlock.mock.wires.pieces import in_turns, parts, vector, words

NAME: Final = "openai"
FRAMING: Final = text
WITHOUT: Final = text.WITHOUT
CREATED: Final = 1_700_000_000
MODELS: Final = ("mock",)
FAILED: Final = "the mock was told to fail"
_DONE: Final = b"data: [DONE]"


def read(path: str, headers: Mapping[str, str], fields: dict[str, Any]) -> Asked | None:  # noqa: ARG001 - as all wires
    """What is asked for at this path, if it is one of this wire."""
    if path.endswith("/models"):
        return Asked(kind="models")
    if path.endswith("/embeddings"):
        return asked_vectors(fields, str(fields.get("model", "")))
    if path.endswith("/chat/completions"):
        return asked_chat(fields, str(fields.get("model", "")))
    return None


def asked_chat(fields: dict[str, Any], model: str) -> Asked:
    wanted, choice = fields.get("response_format"), fields.get("tool_choice")
    schema = inner(wanted, "json_schema", "schema")
    functions = [inner(tool, "function") for tool in objects(fields.get("tools"))]
    return Asked(
        kind=answer_or_stream(fields),
        model=model,
        tools=tools(functions, "parameters"),
        must_call="" if choice == "required" else inner(choice, "function", "name"),
        schema={"type": "object"} if inner(wanted, "type") == "json_object" else schema,
        with_usage=inner(fields.get("stream_options"), "include_usage") is True,
        trouble=lacks_list(fields, "messages"),
    )


def asked_vectors(fields: dict[str, Any], model: str) -> Asked:
    given = fields.get("input")
    texts = given if isinstance(given, list) and not all(isinstance(item, int) for item in given) else [given]
    return Asked(
        kind="embed",
        model=model,
        texts=tuple(map(str, texts)),
        dimensions=dimensions_of(fields.get("dimensions")),
        as_base64=fields.get("encoding_format") == "base64",
        trouble=None if "input" in fields else Trouble(400, "the body needs `input`"),
    )


def whole(said: Said, asked: Asked) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    if asked.kind == "models":
        data: list[Any] = [
            {"id": name, "object": "model", "created": CREATED, "owned_by": "mock"} for name in MODELS
        ]
        return {"object": "list", "data": data}
    if asked.kind == "embed":
        return _embeddings(said, asked)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": said.text or None,
        "refusal": said.refusal or None,
    }
    if said.calls:
        message["tool_calls"] = [_call(index, call) for index, call in enumerate(said.calls)]
    choice = {"index": 0, "message": message, "logprobs": None, **_finish(said)}
    body = {**_frame(asked.model, "chat.completion"), "choices": [] if said.empty else [choice]}
    return body if said.usage is None else {**body, "usage": _usage(said.usage)}


def events(said: Said, asked: Asked) -> list[bytes]:
    """The events of a streamed answer. Usage comes where `stream_options` asks for it."""
    frame = _frame(asked.model, "chat.completion.chunk")
    done = _DONE + b"\n\n"
    if said.empty:
        return [text.event({**frame, "choices": []}), done]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in words(said.text)]
    deltas += [{"refusal": word} for word in words(said.refusal)]
    deltas += _call_deltas(said)
    choices: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    if said.finish is not None:
        choices.append({"index": 0, "delta": {}, "finish_reason": said.finish})
    found = [text.event({**frame, "choices": [choice]}) for choice in choices]
    if asked.with_usage and said.usage is not None:
        found.append(text.event({**frame, "choices": [], "usage": _usage(said.usage)}))
    return [*found, done]


def is_start(piece: bytes) -> bool:
    return b'"role"' in piece


def is_end(piece: bytes) -> bool:
    return piece.strip() == _DONE


def error(status: int, message: str, retry_after: str | None = None) -> Draft:
    kind: str = {429: "rate_limit_error", 401: "authentication_error"}.get(
        status, "server_error" if status >= 500 else "invalid_request_error"
    )
    body = {"error": {"message": message, "type": kind, "param": None, "code": None}}
    return failed(status, body, retry_after)


def error_inside(asked: Asked) -> dict[str, Any]:  # noqa: ARG001 - as all wires
    """The body of an answer with status 200 that is an error."""
    return {"error": {"type": "overloaded_error", "message": FAILED}}


def error_event(asked: Asked) -> bytes:
    """An event of a stream that says that it failed."""
    return text.event(error_inside(asked))


def _embeddings(said: Said, asked: Asked) -> dict[str, Any]:
    data = []
    for index, one in enumerate(() if said.empty else asked.texts):
        values = vector(one, asked.dimensions)
        packed = base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
        data.append(
            {"object": "embedding", "index": index, "embedding": packed if asked.as_base64 else values}
        )
    body = {"object": "list", "data": data, "model": asked.model}
    if said.usage is None:
        return body
    return {**body, "usage": {"prompt_tokens": said.usage.input, "total_tokens": said.usage.input}}


def _frame(model: str, kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-mock", "object": kind, "created": CREATED, "model": model}


def _finish(said: Said) -> dict[str, Any]:
    return {} if said.finish is None else {"finish_reason": said.finish}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.total,
    }


def _call(index: int, call: Call) -> dict[str, Any]:
    return {
        "id": f"call_{index}",
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def _call_deltas(said: Said) -> list[dict[str, Any]]:
    """The pieces of every call, one call after the other or in turns."""
    rows = []
    for index, call in enumerate(said.calls):
        row = [{"index": index, **_call(index, Call(call.name, ""))}]
        row += [{"index": index, "function": {"arguments": part}} for part in parts(call.arguments)]
        rows.append(row)
    return [{"tool_calls": [piece]} for piece in in_turns(rows, interleaved=said.interleaved)]
