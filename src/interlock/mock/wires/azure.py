"""Azure OpenAI's wire: OpenAI's at Azure's addresses, with what its filter finds and errors of its own."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import re2

from interlock.mock.asked import Asked
from interlock.mock.draft import Draft, failed
from interlock.mock.said import Said
from interlock.mock.wires import openai, text

NAME: Final = "azure"
FRAMING: Final = text
WITHOUT: Final = text.WITHOUT
is_start, is_end = openai.is_start, openai.is_end
error_inside, error_event = openai.error_inside, openai.error_event
_PLACE: Final = re2.compile(r"/openai/(?:v1|deployments/([^/]+))/(chat/completions|embeddings)")
_CODES: Final = {401: "PermissionDenied", 404: "DeploymentNotFound", 429: "RateLimitReached"}
_CATEGORIES: Final = ("hate", "self_harm", "sexual", "violence")


def read(path: str, headers: Mapping[str, str], fields: dict[str, Any]) -> Asked | None:  # noqa: ARG001 - as all wires
    """What is asked for: of the deployment that the path names, else of the one in the body."""
    place = _PLACE.search(path)
    if place is None:
        return None
    model = unquote(place.group(1)) if place.group(1) else str(fields.get("model", ""))
    is_chat = place.group(2).startswith("chat")
    return openai.asked_chat(fields, model) if is_chat else openai.asked_vectors(fields, model)


def whole(said: Said, asked: Asked) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    body = openai.whole(said, asked)
    if asked.kind == "embed":
        return body
    for choice in body["choices"]:
        choice["content_filter_results"] = _found(is_filtered=said.finish == "content_filter")
    return {**body, **_of_prompt()}


def events(said: Said, asked: Asked) -> list[bytes]:
    """The events of a streamed answer; before it begins, what the filter makes of the prompt."""
    first = {"id": "", "object": "", "created": 0, "model": "", "choices": [], **_of_prompt()}
    return [text.event(first), *openai.events(said, asked)]


def error(status: int, message: str, retry_after: str | None = None) -> Draft:
    code = _CODES.get(status, "InternalServerError" if status >= 500 else "BadRequest")
    return failed(status, {"error": {"code": code, "message": message}}, retry_after)


def _of_prompt() -> dict[str, Any]:
    found = _found(is_filtered=False)
    return {"prompt_filter_results": [{"prompt_index": 0, "content_filter_results": found}]}


def _found(*, is_filtered: bool) -> dict[str, Any]:
    found = {name: {"filtered": False, "severity": "safe"} for name in _CATEGORIES}
    return {**found, "violence": {"filtered": True, "severity": "high"}} if is_filtered else found
