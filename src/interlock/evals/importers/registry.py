"""OpenAI's evals by their registry: a YAML file says which samples an eval has, and how they are scored.

`Match` and `Includes` are carried over, with their samples from the registry's `data/` folder. Other classes
run code of their own and are problems that name them.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from interlock.config.problems import error
from interlock.errors import Problem
from interlock.evals.importers.common import Imported, Read, name_of
from interlock.evals.importers.rows import OPENAI, Row, begins_with, read_rows

_DATA: Final = "../data/"
"""From `registry/evals/`, where such files lie."""
_CLASSES: Final = {
    "evals.elsuite.basic.match:Match": "match",
    "evals.elsuite.basic.includes:Includes": "includes",
}
_ARGS: Final = {"match": ("samples_jsonl",), "includes": ("samples_jsonl", "ignore_case")}


def is_registry(tree: Any) -> bool:
    """Whether a tree is a file of the registry: names with a `class` of the package `evals`."""
    return isinstance(tree, dict) and any(_class(row).startswith("evals.") for row in tree.values())


def import_registry(name: str, tree: Any, read: Read) -> Imported:
    """Every eval of the file in one suite; each is a family, and its cases are named by it."""
    problems: list[Problem] = []
    cases: list[dict[str, Any]] = []
    graders: list[dict[str, Any]] = []
    for title, spec in tree.items():
        kind = _CLASSES.get(_class(spec))
        if kind is None:
            # What has no class points to one that has (`id`), with words about it.
            if _class(spec):
                problems.append(error(f"{title}.class", f"`{_class(spec)}` has no counterpart here"))
            continue
        args = spec.get("args") or {}
        problems += (
            error(f"{title}.args.{key}", f"`{key}` has no counterpart here")
            for key in args
            if key not in _ARGS[kind]
        )
        for row in _rows(title, str(args.get("samples_jsonl", "")), read, problems):
            cases.append(row.case)
            graders.append(begins_with(row) if kind == "match" else _includes(row, args))
    suite = {"suite": name_of(name), "cases": cases, "graders": graders}
    return Imported(tree=suite if cases else None, problems=tuple(problems))


def _class(row: Any) -> str:
    return str(row.get("class", "")) if isinstance(row, Mapping) else ""


def _rows(title: str, samples: str, read: Read, problems: list[Problem]) -> Iterator[Row]:
    data = read(_DATA + samples)
    if isinstance(data, str):
        problems.append(error(f"{title}.args.samples_jsonl", f"`{_DATA}{samples}`: {data}"))
        return
    rows, said = read_rows(data, "ideal", OPENAI)
    problems += said
    for row in rows:
        yield Row({**row.case, "id": f"{title}/{row.case['id']}", "family": title}, row.wanted)


def _includes(row: Row, args: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAI's `Includes`: one of the texts stands in the answer."""
    exactly = not args.get("ignore_case", False)
    return {"kind": "contains", "cases": [row.case["id"]], "any": row.wanted, "case_sensitive": exactly}
