"""Data sets of JSON Lines as Inspect and OpenAI's evals read them: an input, and what the answer should be.

Inspect: `input`, `target` (a text or several), `id`, `choices`, `metadata`; scored as its `match` does, by
the end of the answer, or by the letter of the choice. OpenAI evals: `input`, `ideal`, scored as its `Match`
does, by the beginning of the answer. Such a file does not say how its task scores: a warning says how
we do.
"""

from typing import Any, Final, NamedTuple

import msgspec
import re2

from interlock.config.problems import error, warning
from interlock.errors import Problem
from interlock.evals.importers.common import Imported, Read, messages_of, name_of

INSPECT: Final = frozenset(("input", "target", "id", "choices", "metadata", "sandbox", "files", "setup"))
OPENAI: Final = frozenset(("input", "ideal", "id", "metadata"))
_UNCARRIED: Final = ("sandbox", "files", "setup")
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_OTHERWISE: Final = "if its task scores otherwise, write a suite with its cases and a grader that does"


class Row(NamedTuple):
    """A case without its grader, and the texts of which one is right."""

    case: dict[str, Any]
    wanted: list[str]


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
    rows, problems = read_rows(data, "target", INSPECT)
    problems.append(warning("", "scored as `match` of Inspect does: by the end of an answer", _OTHERWISE))
    graders = [ends_with(row) for row in rows]
    return _imported(name, rows, graders, problems)


def import_openai_evals(name: str, data: Any, read: Read) -> Imported:
    """A samples file of OpenAI's evals."""
    del read
    rows, problems = read_rows(data, "ideal", OPENAI)
    hint = "name the eval's file of the registry: it says how its samples are scored"
    problems.append(warning("", "scored as `Match` does: by the beginning of an answer", hint))
    return _imported(name, rows, [begins_with(row) for row in rows], problems)


def begins_with(row: Row) -> dict[str, Any]:
    """OpenAI's `Match`: the answer begins with one of the texts, in their very letters."""
    wanted = "|".join(re2.escape(text) for text in row.wanted)
    return {"kind": "regex", "cases": [row.case["id"]], "pattern": rf"^\s*(?:{wanted})"}


def ends_with(row: Row) -> dict[str, Any]:
    """Inspect's `match`: the answer ends with one of the texts, whatever the case and the full stop.

    Stricter in one point: a text that begins with a letter or digit begins a word, so 14 is no 4.
    """
    wanted = "|".join((r"\b" if text[:1].isalnum() else "") + re2.escape(text) for text in row.wanted)
    return {"kind": "regex", "cases": [row.case["id"]], "pattern": rf"(?is)(?:{wanted})\W*\s*$"}


def read_rows(data: bytes, wanted: str, known: frozenset[str]) -> tuple[list[Row], list[Problem]]:
    """The rows of JSON Lines as cases, and what cannot be carried over. `wanted` names the answer."""
    rows: list[Row] = []
    problems: list[Problem] = []
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        fault, row = _row(line, number, wanted, known)
        if row is not None:
            rows.append(row)
        problems += [msgspec.structs.replace(problem, line=number) for problem in fault]
    return rows, problems


def _imported(name: str, rows: list[Row], graders: list[dict[str, Any]], problems: list[Problem]) -> Imported:
    tree = {"suite": name_of(name), "cases": [row.case for row in rows], "graders": graders}
    return Imported(tree=tree if rows else None, problems=tuple(problems))


def _row(line: bytes, number: int, wanted: str, known: frozenset[str]) -> tuple[list[Problem], Row | None]:
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
    case = {"id": str(row.get("id", f"{number}")), "messages": messages}
    return said, Row(case, [str(target) for target in targets])


def _with_choices(message: dict[str, Any], choices: list[str]) -> dict[str, Any]:
    listed = "\n".join(f"{letter}) {choice}" for letter, choice in zip(_LETTERS, choices, strict=False))
    return {
        **message,
        "content": f"{message['content']}\n\n{listed}\n\nAnswer with the letter of the right choice.",
    }
