"""Tools of an Anthropic request -> canonical ones.

Tools that run at the vendor, and MCP servers that the vendor would call, are offered under their
names like any other tool, so that policy can deny them.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal

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

_MODES: Final[dict[str, Literal["auto", "none", "required", "tool"]]] = {
    "auto": "auto",
    "none": "none",
    "any": "required",
    "tool": "tool",
}
_EDITORS: Final = ("str_replace_based_edit_tool", "str_replace_editor")
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
    if "mcp_server" in fields:  # the adapter would take it for one of `mcp_servers`
        raise Misfit("is not known here", path="mcp_server", hint="name the server in `mcp_servers`")
    kind = take(fields, "type", name)
    if kind is not None and kind != "custom":
        return _vendor_tool(kind, fields)
    return Tool(
        name=need(fields, "name", name),
        description=take(fields, "description", text),
        parameters=need(fields, "input_schema", an_object),
        strict=take(fields, "strict", flag),
        extra=left_over(fields),
    )


def _vendor_tool(kind: str, fields: Fields) -> Tool:
    """A tool of the vendor's own, under the name that its type has: callers choose none. Raises Misfit.

    Under another name it would get the permissions of another tool. Toolsets have no name.
    """
    stem, _, date = kind.rpartition("_")
    if len(date) != len("YYYYMMDD") or not date.isdecimal():
        stem = kind
    names = _EDITORS if stem == "text_editor" else (stem,)
    called = fields.get("name")
    if called is not None and called not in names:
        allowed = " or ".join(f"`{known}`" for known in names)
        raise Misfit(f"must be {allowed} for a tool of this type", path="name")
    return Tool(name=called or names[0], vendor={"type": kind, **fields})


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
