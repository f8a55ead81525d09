"""Data sets of JSON Lines as Inspect and OpenAI's evals read them: an input, and what the answer should be.

Inspect: `input`, `target` (a text or several), `id`, `choices`, `metadata`; scored as its `match` does, by
the end of the answer, or by the letter of the choice. OpenAI evals: `input`, `ideal`, scored as its `Match`
does, by the beginning of the answer.
"""

from typing import Any, Final

import msgspec
import re2

from interlock.config.problems import error
from interlock.errors import Problem
from interlock.evals.importers.common import Imported, Read, messages_of, name_of

_INSPECT: Final = frozenset(("input", "target", "id", "choices", "metadata", "sandbox", "files", "setup"))
_UNCARRIED: Final = ("sandbox", "files", "setup")
_OPENAI: Final = frozenset(("input", "ideal", "id", "metadata"))
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def first_row(data: bytes) -> dict[str, Any] | None:
    """The first row of JSON Lines; None where the text is none."""
    for line in data.splitlines():
        if line.strip():
            try:
                row = msgspec.json.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return None
            return row if isinstance(row, dict) else None
    return None


def import_inspect(name: str, data: Any, read: Read) -> Imported:
    """A data set of Inspect."""
    del read
    return _import(name, data, "target", _INSPECT)


def import_openai_evals(name: str, data: Any, read: Read) -> Imported:
    """A samples file of OpenAI's evals."""
    del read
    return _import(name, data, "ideal", _OPENAI)


def _import(name: str, data: bytes, wanted: str, known: frozenset[str]) -> Imported:
    cases: list[dict[str, Any]] = []
    problems: list[Problem] = []
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        fault, case = _row(line, number, wanted, known)
        if case is not None:
            cases.append(case)
        problems += [msgspec.structs.replace(problem, line=number) for problem in fault]
    # Inspect's `match` looks at the end of an answer, OpenAI's `Match` at its beginning.
    anchor = ("(?is)", r"\W*\s*$") if wanted == "target" else (r"(?is)^\s*", "")
    graders = [
        {"kind": "regex", "cases": [case["id"]], "pattern": _pattern(case.pop("_wanted"), anchor)}
        for case in cases
    ]
    tree = {"suite": name_of(name), "cases": cases, "graders": graders}
    return Imported(tree=tree if cases else None, problems=tuple(problems))


def _row(
    line: bytes, number: int, wanted: str, known: frozenset[str]
) -> tuple[list[Problem], dict[str, Any] | None]:
    try:
        row = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as failure:
        return [error("", f"not JSON: {failure}")], None
    if not isinstance(row, dict) or "input" not in row or wanted not in row:
        return [error("", f"a row needs `input` and `{wanted}`")], None
    said = [error(key, f"`{key}` has no counterpart here") for key in row if key not in known]
    said += [error(key, f"`{key}` cannot be carried over") for key in _UNCARRIED if row.get(key)]
    messages = messages_of(row["input"])
    targets = row[wanted] if isinstance(row[wanted], list) else [row[wanted]]
    if row.get("choices"):
        messages = [*messages[:-1], _with_choices(messages[-1], row["choices"])]
    case = {"id": str(row.get("id", f"{number}")), "messages": messages, "_wanted": [str(t) for t in targets]}
    return said, case


def _with_choices(message: dict[str, Any], choices: list[str]) -> dict[str, Any]:
    listed = "\n".join(f"{letter}) {choice}" for letter, choice in zip(_LETTERS, choices, strict=False))
    return {
        **message,
        "content": f"{message['content']}\n\n{listed}\n\nAnswer with the letter of the right choice.",
    }


def _pattern(wanted: list[str], anchor: tuple[str, str]) -> str:
    choices = "|".join(re2.escape(text) for text in wanted)
    return f"{anchor[0]}(?:{choices}){anchor[1]}"
