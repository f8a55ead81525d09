"""What an answer says, whatever the wire: text, calls of tools, why it ended, usage.

Without a script the mock says the same for the same request: a sentence, the smallest value of the
schema that was asked for, or the call of a tool that was demanded.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.mock.request import Received
from interlock.mock.sample import smallest

SENTENCE: Final = "This is the mock: it answers the same every time."


class Call(Struct, frozen=True):
    """A call of a tool. `arguments` is JSON text, or what a model wrote instead of it."""

    name: str
    arguments: str


class Usage(Struct, frozen=True, kw_only=True):
    """Numbers of tokens as the vendor would report them; of any type, because faults lie."""

    input: Any
    output: Any


class Said(Struct, frozen=True, kw_only=True):
    """`finish` in OpenAI's words. None for `finish` or `usage`: the answer lacks it."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    finish: str | None = "stop"
    usage: Usage | None = None
    empty: bool = False
    """No choice and no content at all."""
    interleaved: bool = False
    """The pieces of several calls come in turns."""


def say(request: Received) -> Said:
    """The answer to a request that no script has words for."""
    forced = _forced_tool(request.fields)
    if forced is not None:
        return finished(Said(calls=(forced,)), request)
    schema = _schema(request.fields)
    if schema is not None:
        return finished(Said(text=msgspec.json.encode(smallest(schema)).decode()), request)
    return finished(Said(text=SENTENCE), request)


def finished(said: Said, request: Received) -> Said:
    """The same with usage, counted so that it is plausible and always the same, and a reason to end."""
    written = said.text + "".join(call.arguments for call in said.calls)
    return msgspec.structs.replace(
        said,
        finish="tool_calls" if said.calls and said.finish == "stop" else said.finish,
        usage=Usage(input=len(request.body) // 4 + 1, output=len(written) // 4 + 1),
    )


def _forced_tool(fields: dict[str, Any]) -> Call | None:
    """The tool that must be called, by either vendor's `tool_choice`: the named one, or the first."""
    choice, tools = fields.get("tool_choice"), fields.get("tools")
    if not isinstance(tools, list) or not tools:
        return None
    if isinstance(choice, dict):
        kind = choice.get("type")
        function = choice.get("function")
        name = function.get("name") if isinstance(function, dict) else choice.get("name")
    else:
        kind, name = choice, None
    if kind not in ("required", "any", "function", "tool"):
        return None
    described = [_described(tool) for tool in tools if isinstance(tool, dict)]
    found = next((tool for tool in described if name in (None, tool[0])), None)
    return Call(found[0], msgspec.json.encode(smallest(found[1])).decode()) if found else None


def _described(tool: dict[str, Any]) -> tuple[str, Any]:
    """A tool's name and the schema of its arguments."""
    inner = tool.get("function")
    if isinstance(inner, dict):
        return str(inner.get("name", "")), inner.get("parameters", {})
    return str(tool.get("name", "")), tool.get("input_schema", {})


def _schema(fields: dict[str, Any]) -> Any:
    """The JSON Schema that the answer must keep, by either vendor's field."""
    wanted = fields.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema":
        inner = wanted.get("json_schema")
        return inner.get("schema") if isinstance(inner, dict) else None
    if isinstance(wanted, dict) and wanted.get("type") == "json_object":
        return {"type": "object"}
    config = fields.get("output_config")
    wanted = config.get("format") if isinstance(config, dict) else fields.get("output_format")
    return wanted.get("schema") if isinstance(wanted, dict) else None
