"""What an answer says, whatever the wire: text, calls of tools, why it ended, usage.

Without a script the mock says the same for the same request: a sentence, the smallest value of the
schema that was asked for, or the call of a tool that was demanded.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.mock.asked import Asked
from interlock.mock.sample import smallest

SENTENCE: Final = "This is the mock: it answers the same every time."


class Call(Struct, frozen=True):
    """A call of a tool. `arguments` is JSON text, or what a model wrote instead of it."""

    name: str
    arguments: str

    @property
    def value(self) -> Any:
        """What a vendor that sends values sends for arguments that are not JSON: the text."""
        try:
            return msgspec.json.decode(self.arguments)
        except msgspec.DecodeError:
            return self.arguments


class Usage(Struct, frozen=True, kw_only=True):
    """Numbers of tokens as the vendor would report them; of any type, because faults lie."""

    input: Any
    output: Any

    @property
    def total(self) -> Any:
        counts = (self.input, self.output)
        return sum(counts) if all(isinstance(count, int) for count in counts) else self.output


class Said(Struct, frozen=True, kw_only=True):
    """`finish` in OpenAI's words. None for `finish` or `usage`: the answer lacks it."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    refusal: str = ""
    """What the model says in place of an answer, where its wire has a place of its own for that."""
    finish: str | None = "stop"
    usage: Usage | None = None
    empty: bool = False
    """No choice and no content at all; no vectors."""
    interleaved: bool = False
    """The pieces of several calls come in turns."""


def say(asked: Asked, size: int) -> Said:
    """The answer to a request of `size` bytes that no script has words for."""
    if asked.kind == "embed":
        read = sum(len(text) // 4 + 1 for text in asked.texts)
        return Said(usage=Usage(input=read, output=0))
    forced = _forced_tool(asked)
    if forced is not None:
        return finished(Said(calls=(forced,)), size)
    if asked.schema is not None:
        return finished(Said(text=msgspec.json.encode(smallest(asked.schema)).decode()), size)
    return finished(Said(text=SENTENCE), size)


def finished(said: Said, size: int) -> Said:
    """The same with usage, counted so that it is plausible and always the same, and a reason to end."""
    written = said.text + "".join(call.arguments for call in said.calls)
    return msgspec.structs.replace(
        said,
        finish="tool_calls" if said.calls and said.finish == "stop" else said.finish,
        usage=Usage(input=size // 4 + 1, output=len(written) // 4 + 1),
    )


def _forced_tool(asked: Asked) -> Call | None:
    """A call of the tool that must be called: of the named one, or of the first."""
    if asked.must_call is None:
        return None
    found = next((tool for tool in asked.tools if asked.must_call in ("", tool.name)), None)
    return Call(found.name, msgspec.json.encode(smallest(found.schema)).decode()) if found else None
