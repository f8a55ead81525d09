"""Tools of an OpenAI chat request -> canonical ones.

`web_search_options` switches a tool on that runs at the vendor, so it is offered as one, and policy
can deny it like any other.
"""

from collections.abc import Sequence
from typing import Any, Final

from interlock.dialects.labels import left_over
from interlock.types.request import Tool, ToolChoice
from interlock.wire.fields import (
    Fields,
    Misfit,
    a_list,
    an_object,
    each,
    flag,
    name,
    need,
    nothing_else,
    one_of,
    take,
    text,
)

WEB_SEARCH: Final = "web_search"
_check_mode: Final = one_of("auto", "required")


def read_tools(value: Any) -> tuple[Tool, ...]:
    """The `tools` of a request. Raises Misfit."""
    return tuple(each(a_list(value), _tool))


def read_web_search(value: Any) -> Tool:
    """The vendor's tool that `web_search_options` stands for."""
    return Tool(name=WEB_SEARCH, vendor={"web_search_options": an_object(value)})


def _tool(raw: Any) -> Tool:
    fields = an_object(raw)
    kind = need(fields, "type", name)
    if kind == "custom":
        raise Misfit("custom tools are not served", path="type", hint="offer the tool as a `function`")
    if kind != "function":
        # Judged by its type: under a name of the caller's it would get the permissions of another tool,
        # and so would a type that is made up to be one of the config's names, but for the prefix.
        known = kind.startswith((WEB_SEARCH, "code_interpreter", "file_search", "image_generation"))
        return Tool(name=kind if known else f"vendor:{kind}", vendor={"type": kind, **fields})
    inner = need(fields, "function", an_object)
    try:
        return _function(inner, fields)
    except Misfit as misfit:
        raise misfit.under("function") from None


def _function(inner: Fields, outer: Fields) -> Tool:
    called = need(inner, "name", name)
    description = take(inner, "description", text)
    parameters = take(inner, "parameters", an_object)
    strict = take(inner, "strict", flag)
    extra = left_over(outer) or {}
    left = left_over(inner)
    if left is not None:
        extra["function"] = left
    return Tool(
        name=called, description=description, parameters=parameters, strict=strict, extra=extra or None
    )


def read_tool_choice(value: Any, tools: Sequence[Tool]) -> tuple[ToolChoice, tuple[Tool, ...]]:
    """The choice, and the tools that it leaves: `allowed_tools` is a shorter list of tools. Raises Misfit."""
    offered = tuple(tools)
    if value in ("auto", "none"):
        return ToolChoice(mode=value), offered
    if value == "required":
        _check_offer(offered)
        return ToolChoice(mode="required"), offered
    if type(value) is not dict:
        raise Misfit("must be `auto`, `none`, `required`, or an object that names a tool")
    kind = need(value, "type", name)
    if kind == "allowed_tools":
        return _allowed(need(value, "allowed_tools", an_object), offered)
    if kind != "function":
        raise Misfit("must be `function` or `allowed_tools`", path="type")
    called = need(value, "function", _name_alone)
    nothing_else(value)
    if all(tool.name != called for tool in offered):
        raise Misfit("names a tool that the request does not offer", path="function.name")
    return ToolChoice(mode="tool", name=called), offered


def _allowed(fields: Fields, offered: tuple[Tool, ...]) -> tuple[ToolChoice, tuple[Tool, ...]]:
    mode = need(fields, "mode", _check_mode)
    names = {_allowed_name(item) for item in need(fields, "tools", a_list)}
    if not names <= {tool.name for tool in offered}:
        raise Misfit("names a tool that the request does not offer", path="allowed_tools.tools")
    left = tuple(tool for tool in offered if tool.name in names)
    if mode == "required":
        _check_offer(left)
    return ToolChoice(mode=mode), left


def _allowed_name(raw: Any) -> str:
    return need(an_object(raw), "function", _name_alone)


def _name_alone(raw: Any) -> str:
    fields = an_object(raw)
    called = need(fields, "name", name)
    nothing_else(fields)
    return called


def _check_offer(offered: tuple[Tool, ...]) -> None:
    if not offered:
        raise Misfit("asks for a tool call, but the request offers no tool")
