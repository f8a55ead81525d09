"""Tools of a request for a response -> canonical ones.

Tools that run at the vendor, or that only its models know, go by the name of their type, so that policy
can judge them: callers choose none. Tools that an item of the input brings are offered like any others.
"""

from collections.abc import Sequence
from typing import Any, Final

from interlock.dialects.labels import left_over
from interlock.types.request import IN_INPUT, Tool, ToolChoice
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

_KNOWN: Final = (
    "apply_patch",
    "code_interpreter",
    "file_search",
    "image_generation",
    "local_shell",
    "shell",
    "tool_search",
)
_FAMILIES: Final = ("web_search", "computer")
"""Types with versions in their names, all of one tool."""
_check_mode: Final = one_of("auto", "required")


def read_tools(value: Any) -> tuple[Tool, ...]:
    """The `tools` of a request. Raises Misfit."""
    return tuple(tool for found in each(a_list(value), _tool) for tool in found)


def read_input_tools(value: Any) -> list[Tool]:
    """The tools that an item of the input brings; they are not sent a second time. Raises Misfit."""
    return [_in_input(tool) for found in each(a_list(value), _tool) for tool in found]


def _in_input(tool: Tool) -> Tool:
    return Tool(
        name=tool.name,
        description=tool.description,
        parameters=tool.parameters,
        strict=tool.strict,
        vendor=tool.vendor,
        extra=IN_INPUT,
    )


def _tool(raw: Any) -> list[Tool]:
    fields = an_object(raw)
    kind = need(fields, "type", name)
    if kind == "function":
        return [_function(fields)]
    if kind == "custom":
        raise Misfit("custom tools are not served", path="type", hint="offer the tool as a `function`")
    vendor = {"type": kind, **fields}
    if kind == "mcp":
        label = need(fields, "server_label", name)
        return [Tool(name=f"mcp:{label}", vendor=vendor)]
    if kind == "namespace":
        inner = need(dict(fields), "tools", lambda value: read_input_tools(_copies(value)))
        return [Tool(name=f"namespace:{need(fields, 'name', name)}", vendor=vendor), *inner]
    return [Tool(name=vendor_name(kind), vendor=vendor)]


def _copies(value: Any) -> list[Any]:
    return [dict(item) if type(item) is dict else item for item in a_list(value)]


def vendor_name(kind: str) -> str:
    """The name of a tool of the vendor's own. A type that is made up names no tool of the config."""
    family = next((family for family in _FAMILIES if kind.startswith(family)), None)
    return family or (kind if kind in _KNOWN else f"vendor:{kind}")


def _function(fields: Fields) -> Tool:
    return Tool(
        name=need(fields, "name", name),
        description=take(fields, "description", text),
        parameters=take(fields, "parameters", an_object),
        strict=take(fields, "strict", flag),
        extra=left_over(fields),
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
    if value.get("type") == "allowed_tools":
        mode = need(value, "mode", _check_mode)
        names = {_named(an_object(item)) for item in need(value, "tools", a_list)}
        if not names <= {tool.name for tool in offered}:
            raise Misfit("names a tool that the request does not offer", path="tools")
        left = tuple(tool for tool in offered if tool.name in names)
        if mode == "required":
            _check_offer(left)
        return ToolChoice(mode=mode), left
    called = _named(value)
    if all(tool.name != called for tool in offered):
        raise Misfit("names a tool that the request does not offer", path="name")
    return ToolChoice(mode="tool", name=called), offered


def _check_offer(offered: Sequence[Tool]) -> None:
    if not offered:
        raise Misfit("asks for a tool call, but the request offers no tool")


def _named(fields: Fields) -> str:
    """The tool that a choice names. Raises Misfit."""
    kind = need(fields, "type", name)
    if kind == "function":
        found = need(fields, "name", name)
    elif kind == "mcp":
        found = f"mcp:{need(fields, 'server_label', name)}"
    else:
        found = vendor_name(kind)
    nothing_else(fields)
    return found
