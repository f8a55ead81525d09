"""An Anthropic messages request -> the canonical one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from interlock.dialects.anthropic_messages.messages import read_messages, read_system
from interlock.dialects.anthropic_messages.tools import read_mcp_servers, read_tool_choice, read_tools
from interlock.dialects.control import CONTROL_FIELDS, refuse_control_fields
from interlock.dialects.hints import check_rest, read_hints, read_metadata
from interlock.dialects.labels import left_over
from interlock.errors import ApiError
from interlock.types.request import Reasoning, Request, ResponseFormat
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
    texts,
    whole,
)
from interlock.wire.json import read_object

_BETAS: Final = "anthropic_beta"
"""Where the words of the header `anthropic-beta` stand in `extra`: they switch fields of the body on."""
_BETA_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")
_MOST_BETAS: Final = 32
_NOT_COUNTED: Final = ("max_tokens", "temperature", "top_p", "top_k", "stop_sequences", "stream")


def decode_request(body: bytes, headers: Mapping[str, str]) -> Request:
    """The request in a body, checked as by `check_body`. Header names are lower-case.

    Raises ApiError (invalid_request) whose `param` is the path of the field at fault.
    """
    try:
        return _read(read_object(body), headers, ("model", "max_tokens", "messages"))
    except Misfit as misfit:
        raise misfit.to_error() from None


def decode_count(body: bytes, headers: Mapping[str, str]) -> Request:
    """The request of a call that only counts: a message without what is no input of it. Raises ApiError."""
    try:
        fields = read_object(body)
        _refuse_what_is_no_input(fields)
        request = _read(fields, headers, ("model", "messages"))
    except Misfit as misfit:
        raise misfit.to_error() from None
    return msgspec.structs.replace(request, operation="count")


def _refuse_what_is_no_input(fields: Fields) -> None:
    for key in _NOT_COUNTED:
        if fields.get(key) is not None:
            raise Misfit("is no input, so it is not counted", path=key, hint="leave it out")


def _read(fields: Fields, headers: Mapping[str, str], needed: Sequence[str]) -> Request:
    refuse_control_fields(fields, CONTROL_FIELDS)
    if fields.get("thread") is not None:
        raise _not_held()
    found, extra = read_fields(fields, _FIELDS)
    for key in needed:
        if fields.get(key) is None:
            raise Misfit("is missing", path=key)
    system = found.pop("system", None)
    if system is not None:
        found["messages"] = (system, *found["messages"])
    _settle_tools(found)
    _settle_output(found, extra)
    _settle_metadata(found, headers)
    betas = found.pop(_BETAS, ())
    if "anthropic-beta" in headers:
        betas = (*betas, *_header_betas(headers["anthropic-beta"]))
    if betas:
        extra[_BETAS] = list(dict.fromkeys(betas))
    return Request(dialect="anthropic-messages", extra=extra, include_usage=True, **found)


def _not_held() -> ApiError:
    """`thread` asks the vendor to hold a conversation, of which later requests bring the last turn alone.

    Anthropic's SDK reads `details`, and sends the same again without a thread.
    """
    return ApiError(
        "invalid_request",
        "`thread`: no conversation is held here",
        param="thread",
        hint="policy cannot judge what only the vendor holds; send all of it in `messages`",
        details={"error_code": "thread_unsupported_request", "unsupported": ["thread"]},
    )


def _settle_tools(found: dict[str, Any]) -> None:
    servers = found.pop("mcp_servers", ())
    if servers:
        found["tools"] = (*found.get("tools", ()), *servers)
    choice = found.get("tool_choice")
    if choice is None:
        return
    try:
        found["tool_choice"], parallel = read_tool_choice(choice, found.get("tools", ()))
    except Misfit as misfit:
        raise misfit.under("tool_choice") from None
    if parallel is not None:
        found["parallel_tool_calls"] = parallel


def _settle_output(found: dict[str, Any], extra: Fields) -> None:
    """`output_config` holds three things: a format, an effort, and what nobody interprets."""
    output = found.pop("output_config", None)
    thinking: Reasoning | None = found.pop("thinking", None)
    effort = None
    if output is not None:
        try:
            effort = take(output, "effort", name)
            found["response_format"] = take(output, "format", _format)
        except Misfit as misfit:
            raise misfit.under("output_config") from None
        left = left_over(output)
        if left is not None:
            extra["output_config"] = left
    if effort is None:
        found["reasoning"] = thinking
    elif thinking is None:
        found["reasoning"] = Reasoning(effort=effort)
    else:
        found["reasoning"] = Reasoning(
            effort=effort,
            budget_tokens=thinking.budget_tokens,
            disabled=thinking.disabled,
            extra=thinking.extra,
        )


def _settle_metadata(found: dict[str, Any], headers: Mapping[str, str]) -> None:
    metadata = found.get("metadata") or {}
    found["hints"] = read_hints(headers, metadata)
    if not metadata:
        return
    try:
        found["user"] = take(metadata, "user_id", text)
    except Misfit as misfit:
        raise misfit.under("metadata") from None
    check_rest(metadata)


def _thinking(value: Any) -> Reasoning:
    """`thinking`: a budget, off, or another way that only the vendor knows, which stays as it is."""
    fields = an_object(value)
    kind = need(fields, "type", name)
    if kind == "enabled":
        budget = need(fields, "budget_tokens", whole(1))
        return Reasoning(budget_tokens=budget, extra=left_over(fields))
    if kind == "disabled":
        nothing_else(fields)
        return Reasoning(disabled=True)
    return Reasoning(extra={"type": kind, **fields})


def _format(value: Any) -> ResponseFormat:
    fields = an_object(value)
    kind = need(fields, "type", name)
    if kind != "json_schema":
        raise Misfit("must be `json_schema`", path="type")
    asked = ResponseFormat(json_schema=need(fields, "schema", an_object))
    nothing_else(fields)
    return asked


def _betas(value: Any) -> tuple[str, ...]:
    """Words for the header. They become a header again, so nothing else may be in them."""
    words = texts(value)
    if len(words) > _MOST_BETAS or not all(word and _BETA_CHARACTERS.issuperset(word) for word in words):
        raise Misfit("may hold names of features only")
    return words


def _header_betas(value: str) -> tuple[str, ...]:
    try:
        return _betas([word.strip() for word in value.split(",")])
    except Misfit as misfit:
        raise misfit.under("anthropic-beta") from None


_FIELDS: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "model": ("model", name),
    "messages": ("messages", read_messages),
    "system": ("system", read_system),
    "tools": ("tools", read_tools),
    "tool_choice": ("tool_choice", an_object),
    "mcp_servers": ("mcp_servers", read_mcp_servers),
    "max_tokens": ("max_output_tokens", whole(0)),
    "temperature": ("temperature", number(0, 1)),
    "top_p": ("top_p", number(0, 1)),
    "top_k": ("top_k", whole(0)),
    "stop_sequences": ("stop", texts),
    "stream": ("stream", flag),
    "thinking": ("thinking", _thinking),
    "output_config": ("output_config", an_object),
    "metadata": ("metadata", read_metadata),
    _BETAS: (_BETAS, _betas),
}
