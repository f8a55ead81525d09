"""promptfoo's YAML: prompts with variables, tests, assertions.

Each test with each prompt is a case, each assertion a grader for it. What has no counterpart here
(JavaScript, remote scorers, templates with logic) is a problem that names it: nothing is left out unsaid.
What says how promptfoo runs or shows a test, and not what is asked, is passed over with a warning.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any, Final, NamedTuple

import msgspec
import re2

from interlock.config.problems import error, warning
from interlock.errors import Problem
from interlock.evals.importers.common import Imported, Read, name_of

_KNOWN: Final = frozenset(("description", "prompts", "tests", "defaultTest"))
_PASSED: Final = {
    "providers": "a run names its model with --model",
    "evaluateOptions": "a run has --concurrency, a suite `repeats`",
    **dict.fromkeys(("outputPath", "commandLineOptions"), "a run has its own options"),
    **dict.fromkeys(("sharing", "tags", "metadata"), "reports lie under reports/, on this machine"),
}
_TEST: Final = frozenset(("description", "vars", "assert"))
_ASSERT: Final = frozenset(("type", "value", "threshold", "metric"))
_VARIABLE: Final = re2.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_.]*)\s*\}\}")
_FILE: Final = "file://"
_PATH: Final = re2.compile(r"\S+\.(?:txt|md|j2|json|jsonl|ya?ml|csv|[cm]?js|ts|py|sh|exe)(?::\w+)?")
"""A prompt that is the name of a file, as promptfoo takes it."""
_TEXTS: Final = ("txt", "md", "j2", "json")
_BETWEEN: Final = re2.compile(r"(?m)^---\s*$")
"""Parts the prompts that one file of text holds."""
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
        error(key, f"`{key}` of promptfoo has no counterpart here")
        for key in tree
        if key not in _KNOWN and key not in _PASSED
    ]
    problems += (warning(key, f"passed over: {why}") for key, why in _PASSED.items() if key in tree)
    prompts = [*_prompts(tree.get("prompts"), read, problems)]
    default = _test(tree.get("defaultTest") or {}, "defaultTest", problems)
    cases: list[_Row] = []
    graders: list[_Row] = []
    tests = tree.get("tests")
    if not isinstance(tests, list):
        problems.append(error("tests", "needs a list of tests, in the file itself"))
        tests = []
    for place, written in enumerate(tests):
        path = f"tests[{place}]"
        test = _test(written, path, problems)
        made = [*_cases(f"test-{place + 1}", prompts, {**default.vars, **test.vars}, path, problems)]
        cases += made
        ids = [case["id"] for case in made]
        rows = _rows([*default.asserts, *test.asserts], f"{path}.assert", problems)
        graders += [{**row, "cases": ids} for row in rows]
    suite = {"suite": name_of(name), "cases": cases, "graders": graders}
    return Imported(tree=suite if cases else None, problems=tuple(problems))


class _Test(NamedTuple):
    """What a test says: its variables, and what is asserted of its answers."""

    vars: Mapping[str, Any]
    asserts: list[Any]


def _test(written: Any, path: str, problems: list[Problem]) -> _Test:
    if not isinstance(written, Mapping):
        problems.append(error(path, "needs a mapping with `vars` and `assert`"))
        return _Test({}, [])
    problems += (
        error(f"{path}.{key}", f"`{key}` has no counterpart here") for key in written if key not in _TEST
    )
    values, asserts = written.get("vars") or {}, written.get("assert") or []
    if not isinstance(values, Mapping):
        problems.append(error(f"{path}.vars", "needs a mapping, in the file itself"))
    if not isinstance(asserts, list):
        problems.append(error(f"{path}.assert", "needs a list"))
    return _Test(values if isinstance(values, Mapping) else {}, asserts if isinstance(asserts, list) else [])


def _cases(
    title: str, prompts: list[str], values: Mapping[str, Any], path: str, problems: list[Problem]
) -> Iterator[_Row]:
    """A test's cases: one for each prompt, and for each combination of its variables."""
    chosen = [*_combined(values)]
    for number, prompt in enumerate(prompts, 1):
        for count, one in enumerate(chosen, 1):
            by_prompt = f".prompt-{number}" if len(prompts) > 1 else ""
            by_values = f".vars-{count}" if len(chosen) > 1 else ""
            yield {
                "id": f"{title}{by_prompt}{by_values}",
                "messages": _filled(prompt, one, path, problems),
            }


def _combined(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The variables of each case: a list under a name is one case for each of its values."""
    listed = [value if isinstance(value, list) else [value] for value in values.values()]
    for chosen in product(*listed):
        yield dict(zip(values, chosen, strict=True))


def _prompts(value: Any, read: Read, problems: list[Problem]) -> Iterator[str]:
    """Each prompt: a text, or a conversation where it is JSON; written here, or in a file that is named."""
    for place, written in enumerate(value if isinstance(value, list) else [value]):
        path = f"prompts[{place}]"
        prompt = written.get("raw", written.get("id")) if isinstance(written, Mapping) else written
        if not isinstance(prompt, str):
            problems.append(error(path, "needs a text"))
            continue
        if not prompt.startswith(_FILE) and _PATH.fullmatch(prompt) is None:
            yield prompt
            continue
        name = prompt.removeprefix(_FILE)
        ending = name.rpartition(".")[2]
        if ending not in _TEXTS:
            problems.append(error(path, f"a prompt of `.{ending}` has no counterpart here"))
            continue
        data = read(name)
        if isinstance(data, str):
            problems.append(error(path, f"`{prompt}`: {data}"))
            continue
        text = data.decode("utf-8", "replace")
        yield from [text] if ending == "json" else filter(None, map(str.strip, _BETWEEN.split(text)))


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
