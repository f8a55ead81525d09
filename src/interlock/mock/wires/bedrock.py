"""The wire of AWS Bedrock's Converse API: whole, and as a stream of frames, and AWS's errors.

A request has to be signed or to bring a key, and that is all that is asked of it: no signature is verified.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec
import re2

from interlock.mock.asked import Asked, Trouble
from interlock.mock.draft import Draft, failed
from interlock.mock.said import Call, Said, Usage
from interlock.mock.wires import frames
from interlock.mock.wires.fields import inner, lacks_list, objects, tools
from interlock.mock.wires.frames import frame
from interlock.mock.wires.openai import FAILED
from interlock.mock.wires.pieces import in_turns, parts, words

NAME: Final = "bedrock"
FRAMING: Final = frames
WITHOUT: Final = {**frames.WITHOUT, "refused": "it has no place for a refusal in the model's own words"}
_PLACE: Final = re2.compile(r"/model/([^/]+)/converse(-stream)?$")
_FINISH: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "content_filtered",
}
_EXCEPTIONS: Final = {
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
_UNSIGNED: Final = Trouble(403, "Missing Authentication Token")


def read(path: str, headers: Mapping[str, str], fields: dict[str, Any]) -> Asked | None:
    """What is asked for: the model stands in the path, and whether to stream."""
    place = _PLACE.search(path)
    if place is None:
        return None
    config = fields.get("toolConfig")
    specs = [inner(tool, "toolSpec") for tool in objects(inner(config, "tools"))]
    choice = inner(config, "toolChoice")
    return Asked(
        kind="stream" if place.group(2) else "answer",
        model=unquote(place.group(1)),
        tools=tools(specs, "inputSchema", "json"),
        must_call="" if inner(choice, "any") is not None else inner(choice, "tool", "name"),
        schema=_schema(fields),
        trouble=_UNSIGNED if "authorization" not in headers else lacks_list(fields, "messages"),
    )


def whole(said: Said, asked: Asked) -> dict[str, Any]:  # noqa: ARG001 - as all wires
    """The body of an answer that is not streamed."""
    content: list[dict[str, Any]] = [{"text": said.text}] if said.text or not said.calls else []
    content += [
        {"toolUse": {**_tool(index, call), "input": call.value}} for index, call in enumerate(said.calls)
    ]
    message = {"role": "assistant", "content": [] if said.empty else content}
    return {"output": {"message": message}, **_finish(said), **_measured(said.usage)}


def events(said: Said, asked: Asked) -> list[bytes]:  # noqa: ARG001 - as all wires
    """The frames of a streamed answer. What it cost comes behind its end."""
    rows = [] if said.empty else _rows(said)
    found = [_event("messageStart", {"role": "assistant"})]
    found += in_turns(rows, interleaved=said.interleaved)
    found.append(_event("messageStop", _finish(said)))
    return found if said.usage is None else [*found, _event("metadata", _measured(said.usage))]


def is_start(piece: bytes) -> bool:
    return b"messageStart" in piece


def is_end(piece: bytes) -> bool:
    return b"messageStop" in piece or b"metadata" in piece


def error(status: int, message: str, retry_after: str | None = None) -> Draft:
    """One of AWS's exceptions: its name stands in a header."""
    name = _EXCEPTIONS.get(status, "InternalServerException" if status >= 500 else "ValidationException")
    if (status, message) == (_UNSIGNED.status, _UNSIGNED.message):
        name = "MissingAuthenticationTokenException"
    return failed(status, {"message": message}, retry_after, ("x-amzn-errortype", name))


def error_inside(asked: Asked) -> dict[str, Any]:  # noqa: ARG001 - as all wires
    """The body of an answer with status 200 that is an error."""
    return {"__type": "com.amazon.coral.service#ServiceUnavailableException", "message": FAILED}


def error_event(asked: Asked) -> bytes:  # noqa: ARG001 - as all wires
    """A frame of a stream that says that it failed."""
    return frame("exception", "serviceUnavailableException", {"message": FAILED})


def _schema(fields: dict[str, Any]) -> Any:
    """The schema of the answer, which is sent as text."""
    text = inner(fields, "outputConfig", "textFormat", "structure", "jsonSchema", "schema")
    try:
        return msgspec.json.decode(text) if isinstance(text, str) else None
    except msgspec.DecodeError:
        return None


def _event(name: str, value: dict[str, Any]) -> bytes:
    return frame("event", name, value)


def _finish(said: Said) -> dict[str, Any]:
    return {} if said.finish is None else {"stopReason": _FINISH.get(said.finish, said.finish)}


def _measured(usage: Usage | None) -> dict[str, Any]:
    metrics = {"metrics": {"latencyMs": 1}}
    if usage is None:
        return metrics
    counts = {"inputTokens": usage.input, "outputTokens": usage.output, "totalTokens": usage.total}
    return {"usage": counts, **metrics}


def _tool(index: int, call: Call) -> dict[str, Any]:
    return {"toolUseId": f"tooluse_{index}", "name": call.name}


def _rows(said: Said) -> list[list[bytes]]:
    """The frames of each block. A text begins with its first words, a call is announced."""
    rows: list[list[bytes]] = []
    if said.text:
        rows.append([_delta(0, {"text": word}) for word in words(said.text)])
    first = len(rows)
    for index, call in enumerate(said.calls):
        place = {"contentBlockIndex": first + index}
        begin = _event("contentBlockStart", {**place, "start": {"toolUse": _tool(index, call)}})
        deltas = [_delta(first + index, {"toolUse": {"input": part}}) for part in parts(call.arguments)]
        rows.append([begin, *deltas])
    return [[*row, _event("contentBlockStop", {"contentBlockIndex": at})] for at, row in enumerate(rows)]


def _delta(at: int, delta: dict[str, Any]) -> bytes:
    return _event("contentBlockDelta", {"contentBlockIndex": at, "delta": delta})
