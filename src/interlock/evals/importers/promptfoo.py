"""promptfoo's YAML: prompts with variables, tests, assertions.

Each test with each prompt is a case, each assertion a grader for it. What has no counterpart here
(JavaScript, remote scorers, templates with logic) is a problem that names it: nothing is left out unsaid.
`providers` are passed over, since a run names its model.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
import re2

from interlock.config.problems import error, warning
from interlock.errors import Problem
from interlock.evals.importers.common import Imported, Read, name_of

_KNOWN: Final = frozenset(
    ("description", "prompts", "providers", "tests", "defaultTest", "evaluateOptions", "outputPath")
)
_TEST: Final = frozenset(("description", "vars", "assert"))
_ASSERT: Final = frozenset(("type", "value", "threshold", "metric"))
_VARIABLE: Final = re2.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_.]*)\s*\}\}")
_FILE: Final = "file://"
_Row = dict[str, Any]

_GRADERS: Final[dict[str, Callable[[Any, Any], _Row]]] = {
    "equals": lambda value, _: {"kind": "exact", "value": str(value), "case_sensitive": True},
    "contains": lambda value, _: {"kind": "contains", "all": [str(value)], "case_sensitive": True},
    "icontains": lambda value, _: {"kind": "contains", "all": [str(value)]},
    "contains-all": lambda value, _: {"kind": "contains", "all": _texts(value), "case_sensitive": True},
    "icontains-all": lambda value, _: {"kind": "contains", "all": _texts(value)},
    "contains-any": lambda value, _: {"kind": "contains", "any": _texts(value), "case_sensitive": True},
    "icontains-any": lambda value, _: {"kind": "contains", "any": _texts(value)},
    "starts-with": lambda value, _: {"kind": "regex", "pattern": f"^{re2.escape(str(value))}"},
    "regex": lambda value, _: {"kind": "regex", "pattern": str(value)},
    "is-json": lambda value, _: {"kind": "json_schema", "schema": value or {}},
    "contains-json": lambda value, _: {"kind": "json_schema", "schema": value or {}, "fenced": True},
    "is-refusal": lambda *_: {"kind": "refusal", "of": "all", "measure": "task_success"},
    "cost": lambda _, threshold: {"kind": "cost", "at_most_usd": threshold},
    "latency": lambda _, threshold: {"kind": "latency", "at_most_ms": threshold},
}


def import_promptfoo(name: str, tree: Any, read: Read) -> Imported:
    """A promptfoo config as a suite of ours."""
    problems: list[Problem] = [
        error(key, f"`{key}` of promptfoo has no counterpart here") for key in tree if key not in _KNOWN
    ]
    if "providers" in tree:
        problems.append(warning("providers", "passed over: a run names its model with --model"))
    prompts = [*_prompts(tree.get("prompts"), read, problems)]
    default = tree.get("defaultTest") or {}
    cases: list[_Row] = []
    graders: list[_Row] = []
    tests = tree.get("tests")
    for place, test in enumerate(tests if isinstance(tests, list) else []):
        path = f"tests[{place}]"
        if not isinstance(test, Mapping):
            problems.append(error(path, "needs a mapping with `vars` and `assert`"))
            continue
        problems += [
            error(f"{path}.{key}", f"`{key}` has no counterpart here") for key in test if key not in _TEST
        ]
        ids = []
        for number, prompt in enumerate(prompts, 1):
            ids.append(f"test-{place + 1}" if len(prompts) == 1 else f"test-{place + 1}.prompt-{number}")
            filled = _filled(prompt, {**default.get("vars", {}), **test.get("vars", {})}, path, problems)
            cases.append({"id": ids[-1], "messages": filled})
        asserts = [*(default.get("assert") or ()), *(test.get("assert") or ())]
        graders += [{**row, "cases": ids} for row in _rows(asserts, f"{path}.assert", problems)]
    if not isinstance(tests, list):
        problems.append(error("tests", "needs a list of tests, in the file itself"))
    suite = {"suite": name_of(name), "cases": cases, "graders": graders}
    return Imported(tree=suite if cases else None, problems=tuple(problems))


def _prompts(value: Any, read: Read, problems: list[Problem]) -> Iterator[Any]:
    """Each prompt: a text, or a conversation where it is JSON."""
    for place, written in enumerate(value if isinstance(value, list) else [value]):
        path = f"prompts[{place}]"
        prompt = written.get("raw") if isinstance(written, Mapping) else written
        if not isinstance(prompt, str):
            problems.append(error(path, "needs a text"))
            continue
        if prompt.startswith(_FILE):
            data = read(prompt.removeprefix(_FILE))
            if isinstance(data, str):
                problems.append(error(path, f"`{prompt}`: {data}"))
                continue
            yield data.decode("utf-8", "replace")
        else:
            yield prompt


def _filled(prompt: str, values: Mapping[str, Any], path: str, problems: list[Problem]) -> list[_Row]:
    """The conversation, with the test's variables in it."""

    def fill(text: str) -> str:
        def value(match: Any) -> str:
            found = values.get(match[1])
            if not isinstance(found, str | int | float):
                problems.append(error(path, f"`{{{{{match[1]}}}}}` needs one text or number under `vars`"))
                return ""
            return str(found)

        if "{%" in text or "{{" in _VARIABLE.sub("", text):
            problems.append(error(path, "the prompt is a template with logic, which is not carried over"))
        return str(_VARIABLE.sub(value, text))

    messages = _conversation(prompt)
    if messages is None:
        return [{"role": "user", "content": fill(prompt)}]
    return [
        {**message, "content": fill(message["content"])}
        if isinstance(message.get("content"), str)
        else message
        for message in messages
    ]


def _conversation(prompt: str) -> list[_Row] | None:
    if not prompt.lstrip().startswith("["):
        return None
    try:
        found = msgspec.json.decode(prompt)
    except msgspec.DecodeError:
        return None
    return found if isinstance(found, list) and all(isinstance(row, dict) for row in found) else None


def _rows(asserts: list[Any], path: str, problems: list[Problem]) -> Iterator[_Row]:
    for place, row in enumerate(asserts):
        here = f"{path}[{place}]"
        if not isinstance(row, Mapping) or not isinstance(row.get("type"), str):
            problems.append(error(here, "needs a mapping with `type`"))
            continue
        kind = row["type"].removeprefix("not-")
        maker = _GRADERS.get(kind)
        surplus = row.keys() - _ASSERT
        if maker is None or surplus:
            what = f"the assertion `{row['type']}`" if maker is None else f"`{min(surplus)}`"
            problems.append(error(here, f"{what} has no counterpart here", "write a grader of ours for it"))
            continue
        made = maker(row.get("value"), row.get("threshold"))
        if row["type"] != kind:
            made["negate"] = True
        if "metric" in row:
            made["measure"] = str(row["metric"])
        yield made


def _texts(value: Any) -> list[str]:
    return [str(item) for item in (value if isinstance(value, list) else str(value).split(","))]
