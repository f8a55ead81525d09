"""Tools of an Anthropic request -> canonical ones.

Tools that run at the vendor, and MCP servers that the vendor would call, are offered under their
names like any other tool, so that policy can deny them.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

from interlock.dialects.labels import left_over
from interlock.types.request import Tool, ToolChoice
from interlock.wire.fields import (
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

_MODES: Final[dict[str, Literal["auto", "none", "required", "tool"]]] = {
    "auto": "auto",
    "none": "none",
    "any": "required",
    "tool": "tool",
}
_check_choice: Final = one_of(*_MODES)


def read_tools(value: Any) -> tuple[Tool, ...]:
    """The `tools` of a request. Raises Misfit."""
    return tuple(each(a_list(value), _tool))


def read_mcp_servers(value: Any) -> tuple[Tool, ...]:
    """Each MCP server as the tool `mcp:NAME`: what it does happens at the vendor. Raises Misfit."""
    return tuple(each(a_list(value), _mcp_server))


def _mcp_server(raw: Any) -> Tool:
    fields = an_object(raw)
    called = name(fields.get("name"))
    return Tool(name=f"mcp:{called}", vendor={"mcp_server": fields})


def _tool(raw: Any) -> Tool:
    fields = an_object(raw)
    kind = take(fields, "type", name)
    if kind not in (None, "custom"):
        called = fields.get("name")
        vendor = {"type": kind, **fields}
        return Tool(name=called if type(called) is str and called else str(kind), vendor=vendor)
    return Tool(
        name=need(fields, "name", name),
        description=take(fields, "description", text),
        parameters=need(fields, "input_schema", an_object),
        strict=take(fields, "strict", flag),
        extra=left_over(fields),
    )


def read_tool_choice(value: Any, tools: Sequence[Tool]) -> tuple[ToolChoice, bool | None]:
    """The choice, and what it says on parallel calls. Raises Misfit."""
    fields = an_object(value)
    kind = need(fields, "type", _check_choice)
    alone = take(fields, "disable_parallel_tool_use", flag)
    called = need(fields, "name", name) if kind == "tool" else None
    nothing_else(fields)
    if kind == "any" and not tools:
        raise Misfit("asks for a tool call, but the request offers no tool")
    if called is not None and all(tool.name != called for tool in tools):
        raise Misfit("names a tool that the request does not offer", path="name")
    return ToolChoice(mode=_MODES[kind], name=called), None if alone is None else not alone
