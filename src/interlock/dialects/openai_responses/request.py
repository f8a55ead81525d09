"""A request for a response -> the canonical one.

`previous_response_id` and references to items are only noted here: the server puts what they stand for into
`input`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from interlock.dialects.control import RESPONSES_CONTROL_FIELDS, refuse_control_fields
from interlock.dialects.hints import check_rest, read_hints, read_metadata
from interlock.dialects.labels import left_over
from interlock.dialects.openai_responses.input import read_input
from interlock.dialects.openai_responses.tools import read_tool_choice, read_tools
from interlock.types.request import Keeping, Message, Reasoning, Request, ResponseFormat, Text
from interlock.wire.fields import (
    Fields,
    Misfit,
    an_object,
    flag,
    name,
    need,
    nothing_else,
    number,
    read_fields,
    take,
    text,
    whole,
)
from interlock.wire.json import read_object


def decode_request(body: bytes, headers: Mapping[str, str]) -> Request:
    """The request in a body, checked as by `check_body`. Header names are lower-case.

    Raises ApiError (invalid_request) whose `param` is the path of the field at fault.
    """
    try:
        return _read(read_object(body), headers)
    except Misfit as misfit:
        raise misfit.to_error() from None


def _read(fields: Fields, headers: Mapping[str, str]) -> Request:
    refuse_control_fields(fields, RESPONSES_CONTROL_FIELDS)
    found, extra = read_fields(fields, _FIELDS)
    for key in ("model", "input"):
        if key not in found:
            raise Misfit("is missing", path=key)
    found.pop("background", None)
    refers = _settle_input(found)
    _settle_tools(found)
    _settle_text(found, extra)
    store, previous = found.pop("store", None), found.pop("previous", None)
    found["keeping"] = Keeping(store=store, previous=previous, refers=refers)
    metadata = found.get("metadata") or {}
    found["hints"] = read_hints(headers, metadata)
    if metadata:
        check_rest(metadata)
    return Request(dialect="openai-responses", extra=extra, include_usage=True, **found)


def _settle_input(found: dict[str, Any]) -> bool:
    """Whether it refers to items of earlier answers."""
    messages, tools, refers = found.pop("input")
    instructions = found.pop("instructions", None)
    if instructions is not None:
        messages = (Message(role="system", parts=(Text(text=instructions),)), *messages)
    found["messages"] = messages
    if tools:
        found["tools"] = (*found.get("tools", ()), *tools)
    return bool(refers)


def _settle_tools(found: dict[str, Any]) -> None:
    choice = found.get("tool_choice")
    if choice is None:
        return
    try:
        found["tool_choice"], found["tools"] = read_tool_choice(choice, found.get("tools", ()))
    except Misfit as misfit:
        raise misfit.under("tool_choice") from None


def _settle_text(found: dict[str, Any], extra: Fields) -> None:
    """`text` holds two things: a format, and how much is said, which nobody interprets."""
    fields = found.pop("text", None)
    if fields is None:
        return
    try:
        found["response_format"] = take(fields, "format", _format)
    except Misfit as misfit:
        raise misfit.under("text") from None
    left = left_over(fields)
    if left is not None:
        extra["text"] = left


def _format(value: Any) -> ResponseFormat | None:
    fields = an_object(value)
    kind = need(fields, "type", name)
    if kind == "text":
        return None
    if kind == "json_object":
        return ResponseFormat()
    if kind != "json_schema":
        raise Misfit("must be `text`, `json_object` or `json_schema`", path="type")
    asked = ResponseFormat(
        name=need(fields, "name", name),
        description=take(fields, "description", text),
        strict=take(fields, "strict", flag),
        json_schema=need(fields, "schema", an_object),
    )
    nothing_else(fields)
    return asked


def _reasoning(value: Any) -> Reasoning:
    fields = an_object(value)
    effort = take(fields, "effort", name)
    return Reasoning(effort=effort, extra=left_over(fields))


def _background(value: Any) -> None:
    if flag(value):
        raise Misfit(
            "answers in the background are not served", hint="leave it out and wait, or set `stream`"
        )


def _as_it_is(value: Any) -> Any:
    return value


_FIELDS: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "model": ("model", name),
    "input": ("input", read_input),
    "instructions": ("instructions", text),
    "tools": ("tools", read_tools),
    "tool_choice": ("tool_choice", _as_it_is),
    "parallel_tool_calls": ("parallel_tool_calls", flag),
    "text": ("text", an_object),
    "max_output_tokens": ("max_output_tokens", whole(1)),
    "temperature": ("temperature", number(0, 2)),
    "top_p": ("top_p", number(0, 1)),
    "user": ("user", text),
    "reasoning": ("reasoning", _reasoning),
    "stream": ("stream", flag),
    "metadata": ("metadata", read_metadata),
    "background": ("background", _background),
    "store": ("store", flag),
    "previous_response_id": ("previous", name),
}
