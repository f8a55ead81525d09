"""Gemini's wire: generateContent whole and streamed, vectors in batches, errors.

A stream is chunks of the form of a whole answer. None of them begins or ends it: the last one says why
the model stopped, and the connection ends.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import re2

from interlock.mock.asked import Asked, dimensions_of
from interlock.mock.draft import Draft, failed
from interlock.mock.said import Said, Usage
from interlock.mock.wires import text
from interlock.mock.wires.fields import inner, lacks_list, objects, tools
from interlock.mock.wires.openai import FAILED
from interlock.mock.wires.pieces import vector, words

NAME: Final = "gemini"
FRAMING: Final = text
WITHOUT: Final = {
    **text.WITHOUT,
    "crlf": "lines of its streams end in CR LF as it is",
    "duplicate_start": "no event begins its streams",
    "interleaved_tools": "a call comes whole in one chunk",
    "no_end": "no event ends its streams: `no_finish` and `cut` come nearest",
    "refused": "it has no place for a refusal in the model's own words",
}
_PLACE: Final = re2.compile(r"/(?:models|tunedModels|endpoints)/([^/]+):(\w+)$")
_FINISH: Final = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}
_STATUS: Final = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_RETRY: Final = "type.googleapis.com/google.rpc.RetryInfo"
_SECONDS: Final = re2.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_CRLF: Final = b"\r\n"


def read(path: str, headers: Mapping[str, str], fields: dict[str, Any]) -> Asked | None:  # noqa: ARG001 - as all wires
    """What is asked for: model and method stand in the path."""
    place = _PLACE.search(path)
    if place is None:
        return None
    model, method = unquote(place.group(1)), place.group(2)
    if method == "batchEmbedContents":
        return _asked_vectors(fields, model)
    if method not in ("generateContent", "streamGenerateContent"):
        return Asked(kind="error", model=model)
    declared = [
        {**function, "schema": function.get("parametersJsonSchema") or function.get("parameters")}
        for tool in objects(fields.get("tools"))
        for function in objects(tool.get("functionDeclarations"))
    ]
    calling, config = inner(fields, "toolConfig", "functionCallingConfig"), fields.get("generationConfig")
    allowed = inner(calling, "allowedFunctionNames")
    first = str(allowed[0]) if isinstance(allowed, list) and allowed else ""
    return Asked(
        kind="stream" if method == "streamGenerateContent" else "answer",
        model=model,
        tools=tools(declared, "schema"),
        must_call=first if inner(calling, "mode") == "ANY" else None,
        schema=_schema(config),
        trouble=lacks_list(fields, "contents"),
    )


def whole(said: Said, asked: Asked) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    if asked.kind == "embed":
        rows = () if said.empty else asked.texts
        vectors = [{"values": vector(one, asked.dimensions)} for one in rows]
        return {"embeddings": vectors, **_usage(said.usage)}
    parts = [{"text": said.text}] if said.text or not said.calls else []
    return _reply(said, asked, [*parts, *_calls(said)], ends=True)


def events(said: Said, asked: Asked) -> list[bytes]:
    """The chunks of a streamed answer."""
    parts = [{"text": word} for word in words(said.text)] + _calls(said)
    chunks = [] if said.empty else [_reply(said, asked, [part], ends=False) for part in parts]
    chunks.append(_reply(said, asked, [{"text": ""}], ends=True))
    return [text.event(chunk, ends=_CRLF) for chunk in chunks]


def is_start(piece: bytes) -> bool:  # noqa: ARG001 - as all wires
    return False


def is_end(piece: bytes) -> bool:  # noqa: ARG001 - as all wires
    return False


def error(status: int, message: str, retry_after: str | None = None) -> Draft:
    """An error; how many seconds to wait stands among its details, and anything else in the usual header."""
    word = _STATUS.get(status, "INTERNAL" if status >= 500 else "INVALID_ARGUMENT")
    told: dict[str, Any] = {"code": status, "message": message, "status": word}
    if retry_after is not None and _SECONDS.fullmatch(retry_after):
        told["details"] = [{"@type": _RETRY, "retryDelay": f"{retry_after}s"}]
        retry_after = None
    return failed(status, {"error": told}, retry_after)


def error_inside(asked: Asked) -> dict[str, Any]:  # noqa: ARG001 - as all wires
    """The body of an answer with status 200 that is an error."""
    return {"error": {"code": 503, "message": FAILED, "status": "UNAVAILABLE"}}


def error_event(asked: Asked) -> bytes:
    """A chunk of a stream that says that it failed."""
    return text.event(error_inside(asked), ends=_CRLF)


def _asked_vectors(fields: dict[str, Any], model: str) -> Asked:
    wanted = objects(fields.get("requests"))
    texts = [
        "".join(str(part.get("text", "")) for part in objects(inner(one, "content", "parts")))
        for one in wanted
    ]
    return Asked(
        kind="embed",
        model=model,
        texts=tuple(texts),
        dimensions=dimensions_of(wanted[0].get("outputDimensionality") if wanted else None),
        trouble=lacks_list(fields, "requests"),
    )


def _schema(config: Any) -> Any:
    schema = inner(config, "responseJsonSchema") or inner(config, "responseSchema")
    if schema is None and inner(config, "responseMimeType") == "application/json":
        return {"type": "object"}
    return schema


def _reply(said: Said, asked: Asked, parts: list[dict[str, Any]], *, ends: bool) -> dict[str, Any]:
    """An answer, or a chunk of one; the one that `ends` it says why the model stopped."""
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if ends and said.finish is not None:
        candidate["finishReason"] = _FINISH.get(said.finish, said.finish)
    body = {} if said.empty else {"candidates": [candidate]}
    return {**body, **_usage(said.usage), "modelVersion": asked.model, "responseId": "mock"}


def _usage(usage: Usage | None) -> dict[str, Any]:
    if usage is None:
        return {}
    counts = {
        "promptTokenCount": usage.input,
        "candidatesTokenCount": usage.output,
        "totalTokenCount": usage.total,
    }
    return {"usageMetadata": counts}


def _calls(said: Said) -> list[dict[str, Any]]:
    return [{"functionCall": {"name": call.name, "args": call.value}} for call in said.calls]
