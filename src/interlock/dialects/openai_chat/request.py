"""An OpenAI chat request -> the canonical one."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from interlock.dialects.control import CHAT_CONTROL_FIELDS, refuse_control_fields
from interlock.dialects.hints import check_rest, read_hints, read_metadata
from interlock.dialects.openai_chat.messages import read_messages
from interlock.dialects.openai_chat.plain import read_plain, request_of
from interlock.dialects.openai_chat.tools import read_tool_choice, read_tools, read_web_search
from interlock.types.request import Reasoning, Request, ResponseFormat
from interlock.wire.fields import (
    Fields,
    Misfit,
    an_object,
    flag,
    integer,
    name,
    need,
    nothing_else,
    number,
    read_fields,
    take,
    text,
    texts,
    whole,
)
from interlock.wire.json import read_object

_REPLACED: Final = {
    "functions": "use `tools`",
    "function_call": "use `tool_choice`",
}


def decode_request(body: bytes, headers: Mapping[str, str]) -> Request:
    """The request in a body, checked as by `check_body`. Header names are lower-case.

    Raises ApiError (invalid_request) whose `param` is the path of the field at fault.
    """
    try:
        plain = read_plain(body)
        if plain is not None:
            return request_of(plain, read_hints(headers, {}))
        return _read(read_object(body), headers)
    except Misfit as misfit:
        raise misfit.to_error() from None


def _read(fields: Fields, headers: Mapping[str, str]) -> Request:
    refuse_control_fields(fields, CHAT_CONTROL_FIELDS)
    found, extra = read_fields(fields, _FIELDS)
    found.pop("n", None)
    for key in ("model", "messages"):
        if key not in found:
            raise Misfit("is missing", path=key)
    _settle_limit(found)
    _settle_tools(found)
    _settle_stream(found, extra)
    metadata = found.get("metadata") or {}
    found["hints"] = read_hints(headers, metadata)
    if metadata:
        check_rest(metadata)
    return Request(dialect="openai-chat", extra=extra, **found)


def _settle_limit(found: dict[str, Any]) -> None:
    newer = found.pop("max_completion_tokens", None)
    if newer is None:
        return
    if "max_output_tokens" in found:
        raise Misfit("is set beside `max_completion_tokens`", path="max_tokens", hint="send one of the two")
    found["max_output_tokens"] = newer


def _settle_tools(found: dict[str, Any]) -> None:
    search, choice = found.pop("web_search", None), found.get("tool_choice")
    if choice is not None:  # of `tools` alone: the search is none that could be demanded
        try:
            found["tool_choice"], found["tools"] = read_tool_choice(choice, found.get("tools", ()))
        except Misfit as misfit:
            raise misfit.under("tool_choice") from None
    if search is not None:
        found["tools"] = (*found.get("tools", ()), search)


def _settle_stream(found: dict[str, Any], extra: Fields) -> None:
    options = found.pop("stream_options", None)
    if options is None:
        return
    try:
        found["include_usage"] = take(options, "include_usage", flag) or False
    except Misfit as misfit:
        raise misfit.under("stream_options") from None
    if options:
        extra["stream_options"] = options


def _stop(value: Any) -> tuple[str, ...]:
    return (value,) if type(value) is str else texts(value)


def _one(value: Any) -> None:
    if type(value) is not int or value != 1:
        raise Misfit("must be 1", hint="send the request once for each answer")


def _reasoning(value: Any) -> Reasoning:
    return Reasoning(effort=name(value))


def _response_format(value: Any) -> ResponseFormat | None:
    fields = an_object(value)
    kind = need(fields, "type", name)
    if kind == "text":
        return None
    if kind == "json_object":
        return ResponseFormat()
    if kind != "json_schema":
        raise Misfit("must be `text`, `json_object` or `json_schema`", path="type")
    asked = need(fields, "json_schema", _json_schema)
    nothing_else(fields)
    return asked


def _json_schema(value: Any) -> ResponseFormat:
    fields = an_object(value)
    asked = ResponseFormat(
        name=need(fields, "name", name),
        description=take(fields, "description", text),
        strict=take(fields, "strict", flag),
        json_schema=need(fields, "schema", an_object),
    )
    nothing_else(fields)
    return asked


def _as_it_is(value: Any) -> Any:
    return value


def _replaced(key: str) -> Callable[[Any], Any]:
    def refuse(_: Any) -> None:
        raise Misfit("is no longer served", hint=_REPLACED[key])

    return refuse


_FIELDS: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "model": ("model", name),
    "messages": ("messages", read_messages),
    "tools": ("tools", read_tools),
    "tool_choice": ("tool_choice", _as_it_is),
    "parallel_tool_calls": ("parallel_tool_calls", flag),
    "web_search_options": ("web_search", read_web_search),
    "response_format": ("response_format", _response_format),
    "max_tokens": ("max_output_tokens", whole(1)),
    "max_completion_tokens": ("max_completion_tokens", whole(1)),
    "temperature": ("temperature", number(0, 2)),
    "top_p": ("top_p", number(0, 1)),
    "top_k": ("top_k", integer),
    "stop": ("stop", _stop),
    "seed": ("seed", integer),
    "user": ("user", text),
    "reasoning_effort": ("reasoning", _reasoning),
    "stream": ("stream", flag),
    "stream_options": ("stream_options", an_object),
    "metadata": ("metadata", read_metadata),
    "n": ("n", _one),
    **{key: (key, _replaced(key)) for key in _REPLACED},
}
