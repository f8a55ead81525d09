"""What stands in for a model: a pure function from what was asked to what is said. No wire format here."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Schema = Mapping[str, Any]

DIRECTIONS: Final = {
    "[[429]]": "any status from 400 up: the vendor answers with it, once per call",
    "[[cut]]": "a stream ends in the middle, without its end",
    "[[each]]": "every tool that is offered is called, in one answer",
    "[[think]]": "some reasoning comes before the answer, and is shown where the vendor shows any",
    "[[recall]]": "the answer ends with what the model is told that it had thought before",
    "[[cached]]": "of 100 more tokens read, 60 come from the prompt cache and 40 go into it",
    "[[cite]]": "the answer cites PAGE for all of its words",
    "[[insist]]": "where a tool's answer quotes something, the tool is called once more, with that",
}
"""What a user's message may ask for. Without any: call the first tool, else fill in the schema, else echo."""

PAGE: Final = {"url": "https://news.example/rain", "title": "Rain"}
THOUGHT: Final = "let me see"
"""What it thinks, whenever it does."""
QUOTED: Final = re.compile(r"'([^']*)'")
NUMBER: Final = re.compile(r"-?\d+")
PIECE: Final = re.compile(r"\s*\S+|\s+$")
STATUS: Final = re.compile(r"\[\[(\d{3})\]\]")


class Refused(Exception):  # noqa: N818 - it is the vendor's answer, not a fault of ours
    """The vendor answers with an error: status, its own word for the kind, a message."""

    def __init__(self, status: int, message: str, kind: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.kind, self.param = status, message, kind, param


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request as a model sees it. `heard`: what user and tools said, oldest first; `results`: the tools',
    where they had the last word; `thoughts`: its own, as far as they are given back with their states."""

    heard: tuple[str, ...]
    results: tuple[str, ...] = ()
    instructions: str = ""
    thoughts: tuple[str, ...] = ()
    seen: tuple[str, ...] = ()
    tools: Mapping[str, Schema]
    must_call: bool = False
    only: str | None = None
    parallel: bool = True
    schema: Schema | None = None
    any_json: bool = False
    stop: tuple[str, ...] = ()
    most: int | None = None


@dataclass(frozen=True, kw_only=True)
class Call:
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Said:
    """An answer. `pieces` is the text as it would be streamed; `read` and `written` count tokens,
    all of them; the other counts are parts of these."""

    pieces: tuple[str, ...] = ()
    thought: str = ""
    calls: tuple[Call, ...] = ()
    why: Literal["stop", "length", "tools", "stop_sequence"] = "stop"
    stopped_by: str | None = None
    cut: bool = False
    cites: bool = False
    read: int = 1
    cached: int = 0
    cache_written: int = 0
    written: int = 1
    reasoned: int = 0


def think(asked: Asked) -> Said:
    """The answer. Raises Refused where the prompt directs so."""
    last = asked.heard[-1] if asked.heard else ""
    status = STATUS.search(last)
    if status is not None:
        raise Refused(int(status.group(1)), "as you wish")
    calls = tuple(_calls(asked, last))
    thinks = "[[think]]" in last
    thought = THOUGHT if thinks else ""
    if calls:
        written = sum(len(json.dumps(call.arguments)) for call in calls) + 3 * thinks
        cut = "[[cut]]" in last
        return Said(
            thought=thought,
            calls=calls,
            why="tools",
            cut=cut,
            read=_count(asked),
            written=written,
            reasoned=3 * thinks,
        )
    cached = "[[cached]]" in last
    text, why, stopped_by = _limited(_text(asked, last) + _recalled(asked), asked)
    pieces = tuple(PIECE.findall(text)) or ("",)
    return Said(
        pieces=pieces,
        thought=thought,
        why=why,
        stopped_by=stopped_by,
        cut="[[cut]]" in last,
        cites="[[cite]]" in last,
        read=_count(asked) + 100 * cached,
        cached=60 * cached,
        cache_written=40 * cached,
        written=len(pieces) + 3 * thinks,
        reasoned=3 * thinks,
    )


def _count(asked: Asked) -> int:
    return 1 + sum(len(text.split()) for text in (*asked.heard, asked.instructions))


def _calls(asked: Asked, last: str) -> Iterator[Call]:
    """Tools are called where one must be, or where they are offered and have not answered yet."""
    wanted = not asked.results or ("[[insist]]" in " ".join(asked.heard) and QUOTED.search(last))
    if not asked.tools or not (asked.must_call or asked.only or wanted):
        return
    names = list(asked.tools) if "[[each]]" in last and asked.parallel else [next(iter(asked.tools))]
    for name in [asked.only] if asked.only else names:
        yield Call(name=name, arguments=Filler(asked).fill(asked.tools[name]))


def _text(asked: Asked, last: str) -> str:
    if asked.schema is not None:
        return json.dumps(Filler(asked).fill(asked.schema), ensure_ascii=False)
    if asked.any_json:
        keys = QUOTED.findall(last) or ["answer"]
        return json.dumps({key: f"a {key}" for key in keys})
    if asked.results:
        return f"The tool said {' and '.join(asked.results)}."
    seen = f" I see {', '.join(asked.seen)}." if asked.seen else ""
    told = f" I was told: {asked.instructions}." if asked.instructions else ""
    return f"You said: {last}.{seen}{told}"


def _recalled(asked: Asked) -> str:
    if not any("[[recall]]" in text for text in asked.heard):
        return ""
    return f" I had thought: {', '.join(asked.thoughts) or 'nothing'}."


def _limited(text: str, asked: Asked) -> tuple[str, Literal["stop", "length", "stop_sequence"], str | None]:
    """The text up to a stop sequence, or to as many words as there may be tokens."""
    found = [(text.index(word), word) for word in asked.stop if word in text]
    if found:
        at, word = min(found)
        return text[:at], "stop_sequence", word
    words = PIECE.findall(text)
    if asked.most is not None and len(words) > asked.most:
        return "".join(words[: asked.most]), "length", None
    return text, "stop", None


class Filler:
    """Values for JSON Schemas, in order of need: what stands in quotes and as numbers in the last message
    that has any, then something that says its own name."""

    def __init__(self, asked: Asked) -> None:
        self._quotes = next((found for text in reversed(asked.heard) if (found := QUOTED.findall(text))), [])
        self._numbers = next((found for text in reversed(asked.heard) if (found := NUMBER.findall(text))), [])

    def fill(self, schema: Schema, name: str = "value", root: Schema | None = None) -> Any:
        """A value that the schema accepts, for the schemas that clients write."""
        root = schema if root is None else root
        if "$ref" in schema:
            found: Any = root
            for step in schema["$ref"].removeprefix("#/").split("/"):
                found = found[step]
            return self.fill(found, name, root)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return next((value for value in schema["enum"] if value in self._quotes), schema["enum"][0])
        for union in ("anyOf", "oneOf", "allOf"):
            if union in schema:
                return self.fill(schema[union][0], name, root)
        return self._by_type(schema, name, root)

    def _by_type(self, schema: Schema, name: str, root: Schema) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        kind = kind[0] if isinstance(kind, list) else kind
        if kind == "object":
            inner = schema.get("properties", {})
            return {key: self.fill(value, key, root) for key, value in inner.items()}
        if kind == "array":
            count = max(schema.get("minItems", 2), 1)
            return [self.fill(schema.get("items", {}), name, root) for _ in range(count)]
        if kind in ("integer", "number"):
            return int(self._numbers.pop(0)) if self._numbers else schema.get("minimum", 1)
        if kind == "boolean":
            return True
        return None if kind == "null" else self._quotes.pop(0) if self._quotes else f"a {name}"
