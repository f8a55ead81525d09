"""YAML text to a plain tree, with the line of every path. It knows YAML, not what a config may hold.

Plain scalars follow YAML 1.2's core rules: only `true` and `false` are booleans (so `off` and the
country `no` are text), and a date is text. Duplicate keys are errors. Anchors, aliases and merge
keys work within bounds: what they expand to is counted, so a bomb is refused, not built.
"""

from collections.abc import Iterator
from typing import Any, Final

import re2
import yaml
from msgspec import Struct

from interlock.config.problems import below, error
from interlock.errors import Problem

MAX_BYTES: Final = 4 * 1024 * 1024
MAX_DEPTH: Final = 40
MAX_NODES: Final = 100_000

_INT: Final = re2.compile(r"[-+]?[0-9]{1,18}|0x[0-9a-fA-F]{1,15}|0o[0-7]{1,20}")
_FLOAT: Final = re2.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|(?i:[-+]?\.inf|\.nan)")
_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_TAGS: Final = "tag:yaml.org,2002:"
_KNOWN_TAGS: Final = ("str", "int", "float", "bool", "null", "map", "seq")
_MERGE: Final = "<<"


class Source(Struct, frozen=True, kw_only=True):
    """`tree` is dicts, lists, text, numbers, booleans and None; `lines` counts from 1."""

    tree: Any
    lines: dict[str, int]
    problems: tuple[Problem, ...] = ()


def read_source(data: bytes) -> Source:
    """Parse the bytes of a file. Never raises: what is wrong stands in `problems`."""
    try:
        return _read(data)
    except _StopError as stop:
        return Source(tree=None, lines={}, problems=(stop.problem,))


def plain_scalar(text: str) -> Any:
    """What an unquoted scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
    if _FLOAT.fullmatch(text):
        low = text.lower()
        return float(low.replace(".inf", "inf").replace(".nan", "nan"))
    return text


class _StopError(Exception):
    """Parsing cannot go on; carries the one problem to report."""

    def __init__(self, problem: str, hint: str = "", *, line: int | None = None) -> None:
        self.problem = error("", problem, hint, line=line)
        super().__init__(problem)


class _Scalar(Struct, frozen=True):
    value: Any
    line: int


class _List(Struct, frozen=True):
    items: list["_Node"]
    line: int


class _Map(Struct, frozen=True):
    """`merged` is what stands under `<<`; a quoted "<<" is a key like others."""

    pairs: list[tuple[str, int, "_Node"]]
    merged: list["_Node"]
    line: int


_Node = _Scalar | _List | _Map


def _read(data: bytes) -> Source:
    text = _decode(data)
    try:
        root = _Composer(yaml.parse(text, Loader=yaml.CSafeLoader)).document()
    except yaml.MarkedYAMLError as failure:
        mark = failure.problem_mark or failure.context_mark
        # At the end of a text the parser's mark may stand one past its last line.
        line = min(mark.line, text.count("\n")) + 1 if mark is not None else None
        raise _StopError(
            f"not valid YAML: {failure.problem or failure.context}", _syntax_hint(text, line), line=line
        ) from failure
    except yaml.YAMLError as failure:
        raise _StopError(f"not valid YAML: {failure}".splitlines()[0]) from failure
    expanded = _Expander()
    tree = expanded.value(root, "")
    return Source(tree=tree, lines=expanded.lines, problems=tuple(expanded.problems))


def _syntax_hint(text: str, line: int | None) -> str:
    near = text.split("\n")[line - 1] if line is not None and line <= text.count("\n") + 1 else ""
    if "${" in near and "{" in near.replace("${", ""):
        return 'inside `{…}` a reference needs quotes: `"${NAME}"`'
    if "\t" in near:
        return "indent with spaces, not with tabs"
    return "look at the indentation, quotes and brackets here and just above"


def _decode(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _StopError(f"larger than {MAX_BYTES // 1024 // 1024} MiB", "a config is a small text file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        line = data.count(b"\n", 0, failure.start) + 1
        raise _StopError("not UTF-8 text", "save the file as UTF-8", line=line) from failure
    for number, line_text in enumerate(text.split("\n"), 1):
        odd = next((char for char in line_text if char < " " and char not in "\t\r"), None)
        if odd is not None:
            raise _StopError(f"a control character (U+{ord(odd):04X})", "remove it", line=number)
    return text


class _Composer:
    """Builds nodes from the parser's events. Mutable on purpose: it lives for one parse."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._anchors: dict[str, _Node] = {}

    def document(self) -> _Node:
        """The single document of the stream."""
        event = self._next()
        while isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
            event = self._next()
        if isinstance(event, yaml.StreamEndEvent):
            raise _StopError("the file is empty", "`interlock init` writes a first config")
        root = self._node(event, 0)
        self._next()
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            raise _StopError(
                "a second document begins here", "keep one config in the file", line=_line(after)
            )
        return root

    def _next(self) -> Any:
        return next(self._events)

    def _node(self, event: Any, depth: int) -> _Node:
        line = _line(event)
        if depth > MAX_DEPTH:
            raise _StopError(f"nested deeper than {MAX_DEPTH} levels", "a config needs far fewer", line=line)
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise _StopError(
                    f"`*{event.anchor}` refers to nothing above it",
                    f"write `&{event.anchor}` before what it should repeat",
                    line=line,
                )
            return self._anchors[event.anchor]
        _check_tag(event, line)
        node: _Node
        if isinstance(event, yaml.ScalarEvent):
            node = _Scalar(_scalar(event), line)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._list(line, depth)
        else:
            node = self._map(line, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _list(self, line: int, depth: int) -> _List:
        items: list[_Node] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, depth + 1))
        return _List(items, line)

    def _map(self, line: int, depth: int) -> _Map:
        pairs: list[tuple[str, int, _Node]] = []
        merged: list[_Node] = []
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise _StopError("a key must be a plain word", line=_line(event))
            value = self._node(self._next(), depth + 1)
            if event.value == _MERGE and event.implicit[0]:
                merged += value.items if isinstance(value, _List) else [value]
            else:
                pairs.append((event.value, _line(event), value))
        return _Map(pairs, merged, line)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _check_tag(event: Any, line: int) -> None:
    tag = event.tag
    if tag is not None and tag.removeprefix(_TAGS) not in _KNOWN_TAGS:
        raise _StopError(f"the YAML tag `{tag}` is not used here", "remove the tag", line=line)


def _scalar(event: Any) -> Any:
    is_plain = event.implicit[0] or (event.tag is not None and event.tag != f"{_TAGS}str")
    return plain_scalar(event.value) if is_plain else event.value


class _Expander:
    """Nodes to a plain tree and its lines, with merges and aliases expanded and counted."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}
        self.problems: list[Problem] = []
        self._count = 0

    def value(self, node: _Node, path: str) -> Any:
        self._count += 1
        if self._count > MAX_NODES:
            raise _StopError(
                f"more than {MAX_NODES} values once aliases are expanded",
                "use fewer `*aliases` of large parts",
                line=node.line,
            )
        self.lines.setdefault(path, node.line)
        if isinstance(node, _Scalar):
            return node.value
        if isinstance(node, _List):
            return [self.value(item, below(path, place)) for place, item in enumerate(node.items)]
        return self._map(node, path)

    def _map(self, node: _Map, path: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, (line, value) in self._entries(node, path).items():
            here = below(path, key)
            self.lines[here] = line
            found[key] = self.value(value, here)
        return found

    def _entries(self, node: _Map, path: str) -> dict[str, tuple[int, _Node]]:
        """Keys given here, then keys of the mappings merged in (`<<: *base`) that are not given here."""
        entries: dict[str, tuple[int, _Node]] = {}
        for key, line, value in node.pairs:
            if key in entries:
                first = entries[key][0]
                self._refuse(
                    below(path, key), f"`{key}` is given twice, first on line {first}", "keep one", line
                )
            else:
                entries[key] = (line, value)
        for base in node.merged:
            if isinstance(base, _Map):
                entries = {**self._entries(base, path), **entries}
            else:
                self._refuse(below(path, _MERGE), "`<<` merges mappings only", "write `<<: *name`", base.line)
        return entries

    def _refuse(self, path: str, problem: str, hint: str, line: int) -> None:
        """Note a problem once per place in the text, however often aliases repeat it."""
        if all(line != other.line or problem != other.problem for other in self.problems):
            self.problems.append(error(path, problem, hint, line=line))
