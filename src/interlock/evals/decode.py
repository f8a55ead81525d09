"""From the text of a suite's files to a checked `Suite`, or to everything that is wrong with it.

Pure: whoever reads the files hands them in by name. Problems look as those of the config do: file, line,
path, problem, hint.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from interlock.config.decode import decode_tree
from interlock.config.problems import below, error, locate, suggest
from interlock.config.source import Source, read_source
from interlock.dialects import DIALECTS
from interlock.errors import ApiError, Problem
from interlock.evals.expectations import expectation_problems
from interlock.evals.graders import GRADERS
from interlock.evals.graders.function import Function
from interlock.evals.graders.json_schema import JsonSchema
from interlock.evals.importers import importer_of
from interlock.evals.importers.common import Read
from interlock.evals.suite import FIELDS, Case, CaseFile, GraderSpec, Suite, SuiteFile

_ABOUT: Final = "a suite is a mapping: `suite:`, `cases:`, `graders:`"
_HINTS: Final = ("lane", "task", "data_class", "residency")
_OWN: Final = frozenset(
    ("model", "messages", "tools", "tool_choice", "response_format", "stream", "metadata")
)
_encode: Final = msgspec.json.Encoder(order="sorted").encode


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A suite, if it can be used, and every problem of its files."""

    suite: Suite | None
    problems: tuple[Problem, ...] = ()


def decode_suite(name: str, data: bytes, read: Read) -> Found:
    """The suite in a YAML file called `name`: ours, or one that an importer knows."""
    lines_of_json = name.endswith(".jsonl")
    source = Source(tree=None, lines={}) if lines_of_json else read_source(data)
    tree, said = source.tree, list(source.problems)
    importer = importer_of(name, tree, data)
    if importer is not None:
        imported = importer(name, tree if tree is not None else data, read)
        tree, said = imported.tree, [*imported.problems]
    elif lines_of_json:
        said.append(
            error("", "its rows are of no form that is known", "name the suite's YAML, which names its cases")
        )
    return decode_plain(name, tree, read, said, {} if importer is not None else source.lines)


def decode_plain(
    name: str, tree: Any, read: Read, problems: list[Problem], lines: Mapping[str, int]
) -> Found:
    """The suite in a plain tree. `problems` are those of the text that it comes from."""
    file = None
    if tree is not None:
        file, shape = decode_tree(tree, SuiteFile, FIELDS, _ABOUT)
        problems += shape
    if file is None:
        return Found(suite=None, problems=locate(problems, name, lines))
    graders = _graders(file, read, problems)
    written = [*_cases(file, read, problems)]
    suite = build_suite(file, [case for case, _ in written], graders)
    problems += check_cases(suite, written)
    located = locate(problems, name, lines)
    usable = not any(problem.severity == "error" for problem in located)
    return Found(suite=suite if usable else None, problems=located)


def build_suite(file: SuiteFile, cases: list[CaseFile], graders: tuple[GraderSpec, ...]) -> Suite:
    """A suite of decoded parts, with its hashes."""
    built = tuple(_case(file, case) for case in cases)
    suite = Suite(
        name=file.suite, cases=built, graders=graders, repeats=file.repeats, budget_usd=file.budget_usd
    )
    return msgspec.structs.replace(suite, hash=_digest(suite))


def _digest(value: Any) -> str:
    return hashlib.sha256(_encode(value)).hexdigest()


def _graders(file: SuiteFile, read: Read, problems: list[Problem]) -> tuple[GraderSpec, ...]:
    found = []
    if not file.graders:
        problems.append(error("graders", "is empty: nothing would be measured", "name one: `{kind: exact}`"))
    for place, row in enumerate(file.graders):
        spec = decode_grader(row, f"graders[{place}]", read, problems)
        if spec is not None:
            found.append(spec)
    return tuple(found)


def decode_grader(row: Any, path: str, read: Read, problems: list[Problem]) -> GraderSpec | None:
    """A grader's row at a path, with the files that it names inside; None: something is wrong with it."""
    if not isinstance(row, Mapping) or not isinstance(row.get("kind"), str):
        problems.append(
            error(path, "needs a mapping with `kind`", f"write `{{kind: {next(iter(GRADERS))}}}`")
        )
        return None
    kind = row["kind"]
    if kind not in GRADERS:
        problems.append(error(f"{path}.kind", f"unknown grader `{kind}`", suggest(kind, list(GRADERS))))
        return None
    about = " ".join((GRADERS[kind].spec.__doc__ or "").split())
    spec, shape = decode_tree(row, GRADERS[kind].spec, FIELDS, about, path)
    problems += shape
    if spec is None:
        return None
    spec, fault = _filled(spec, read)
    fault = fault or GRADERS[kind].problem(spec)
    if fault is not None:
        problems.append(error(path, fault))
        return None
    return spec


def _filled(spec: GraderSpec, read: Read) -> tuple[GraderSpec, str | None]:
    """The spec with the files that it names read in: what grades must be part of the hash."""
    if isinstance(spec, JsonSchema) and isinstance(spec.schema, str):
        data = read(spec.schema)
        if isinstance(data, str):
            return spec, f"`{spec.schema}`: {data}"
        try:
            return msgspec.structs.replace(spec, schema=msgspec.json.decode(data)), None
        except msgspec.DecodeError as failure:
            return spec, f"`{spec.schema}` is not JSON: {failure}"
    if isinstance(spec, Function):
        data = read(spec.file)
        if isinstance(data, str):
            return spec, f"`{spec.file}`: {data}"
        return msgspec.structs.replace(spec, source=data.decode("utf-8", "replace")), None
    return spec, None


def _cases(file: SuiteFile, read: Read, problems: list[Problem]) -> Iterator[tuple[CaseFile, Problem]]:
    """Each case with where it stands, as a problem without words."""
    paths = [file.cases] if isinstance(file.cases, str) else file.cases
    if not isinstance(paths, list) or not paths:
        problems.append(error("cases", "needs a file or a list of cases", "write `cases: ./cases.jsonl`"))
        return
    for place, entry in enumerate(paths):
        path = "cases" if isinstance(file.cases, str) else below("cases", place)
        if isinstance(entry, str):
            yield from _lines(entry, path, read, problems)
            continue
        case, shape = decode_tree(
            entry, CaseFile, FIELDS, "a case is a mapping with `id` and `messages`", path
        )
        problems += shape
        if case is not None:
            yield case, error(path, "")


def _lines(name: str, path: str, read: Read, problems: list[Problem]) -> Iterator[tuple[CaseFile, Problem]]:
    data = read(name)
    if isinstance(data, str):
        problems.append(error(path, f"`{name}`: {data}", "paths are relative to the suite's own folder"))
        return
    count = 0
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        count += 1
        try:
            tree = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as failure:
            problems.append(Problem(file=name, path="", problem=f"not JSON: {failure}", line=number))
            continue
        case, shape = decode_tree(tree, CaseFile, FIELDS, "a case is a mapping with `id` and `messages`")
        problems += [msgspec.structs.replace(problem, file=name, line=number) for problem in shape]
        if case is not None:
            yield case, Problem(file=name, path="", problem="", line=number)
    if count == 0:
        problems.append(error(path, f"`{name}` holds no case", "write one JSON object a line"))


def _case(file: SuiteFile, case: CaseFile) -> Case:
    """A case with what the suite says for all of them."""
    system = [{"role": "system", "content": file.system}] if file.system is not None else []
    body: dict[str, Any] = {**file.parameters, "messages": [*system, *case.messages]}
    tools = case.tools if case.tools is not None else file.tools
    if tools:
        body["tools"] = list(tools)
    for name in ("tool_choice", "response_format"):
        if getattr(case, name) is not None:
            body[name] = getattr(case, name)
    hints = {name: getattr(case, name, None) or getattr(file, name, None) for name in _HINTS}
    expect = case.expect
    built = Case(
        id=case.id,
        family=case.family or file.family or file.suite,
        body=body,
        hints={name: value for name, value in hints.items() if value is not None},
        mocks=dict(case.mocks if case.mocks is not None else file.mocks),
        sources=case.sources,
        expect=expect if isinstance(expect, dict) else {} if expect is None else {"answer": expect},
        max_turns=file.max_turns,
    )
    asked = (built.body, built.hints, built.mocks, built.max_turns)
    return msgspec.structs.replace(built, hash=_digest(asked))


def request_body(case: Case, model: str) -> bytes:
    """The body of the first request of a case."""
    return msgspec.json.encode({"model": model, **case.body})


def request_headers(case: Case) -> dict[str, str]:
    """The hints of a case, as a caller would send them."""
    return {f"x-interlock-{name.replace('_', '-')}": value for name, value in case.hints.items()}


def check_cases(suite: Suite, written: list[tuple[CaseFile, Problem]]) -> Iterator[Problem]:
    """Problems that need the whole case: ids that come twice, requests that no dialect understands."""
    if not suite.cases and not written:
        return
    first: dict[str, Problem] = {}
    for case, (_, place) in zip(suite.cases, written, strict=True):
        if case.id in first:
            yield _at(place, "id", f"`{case.id}` is given twice", "give each case its own id")
        first.setdefault(case.id, place)
        for path, problem, hint in expectation_problems(case.expect):
            yield _at(place, path, problem, hint)
        own = _OWN & case.body.keys() - {"messages", "tools", "tool_choice", "response_format"}
        if own:
            yield _at(place, "", f"`parameters` may not hold `{min(own)}`", "it is the run's to say")
            continue
        try:
            DIALECTS["openai-chat"].decode_request(request_body(case, "model"), request_headers(case))
        except ApiError as failure:
            yield _at(place, failure.param or "", failure.message, failure.hint)


def _at(place: Problem, path: str, problem: str, hint: str) -> Problem:
    where = ".".join(part for part in (place.path, path) if part)
    return msgspec.structs.replace(place, path=where, problem=problem, hint=hint)
