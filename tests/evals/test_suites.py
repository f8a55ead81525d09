"""Suites are decoded strictly, with every problem at its file, line and path; what scores is part of the
hash.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from interlock.errors import ConfigError
from interlock.evals.graders import apply
from interlock.evals.loading import examine_suite, load_suite
from interlock.evals.seen import Seen
from tests.evals.build import sample

SUITE = """\
suite: basics
lane: support-triage
cases: ./basics.jsonl
graders:
  - {kind: json_schema, schema: ../schemas/triage.json, measure: valid}
  - {kind: field_equals, field: category, measure: task_success}
  - {kind: refusal}
"""
CASES: list[dict[str, Any]] = [
    {
        "id": "a",
        "family": "one",
        "messages": [{"role": "user", "content": "Pay?"}],
        "expect": {"category": "billing"},
    },
    {"id": "b", "messages": [{"role": "user", "content": "Bug!"}], "expect": "billing"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "triage.json").write_text('{"type": "object"}')
    (tmp_path / "evals").mkdir()
    write(tmp_path / "evals", SUITE)
    (tmp_path / "evals" / "basics.jsonl").write_text("".join(json.dumps(case) + "\n" for case in CASES))
    return tmp_path / "evals"


def write(folder: Path, text: str, name: str = "basics.yaml") -> Path:
    (folder / name).write_text(text)
    return folder / name


def said(file: Path) -> list[tuple[str, int | None, str, str]]:
    """Each problem's file, line, path and words."""
    return [(Path(p.file).name, p.line, p.path, p.problem) for p in examine_suite(file).problems]


def test_a_suite_has_its_cases_with_what_it_says_for_all_of_them(folder):
    suite = load_suite(folder / "basics.yaml")
    assert suite.name == "basics"
    assert [case.family for case in suite.cases] == ["one", "basics"]
    assert suite.cases[0].hints == {"lane": "support-triage"}
    assert suite.cases[1].expect == {"answer": "billing"}
    assert suite.families == ("one", "basics")


def test_the_hash_covers_cases_and_graders_with_the_files_they_name(folder):
    before = load_suite(folder / "basics.yaml")
    assert load_suite(folder / "basics.yaml").hash == before.hash
    (folder.parent / "schemas" / "triage.json").write_text('{"type": "array"}')
    other = load_suite(folder / "basics.yaml")
    assert other.hash != before.hash
    assert [case.hash for case in other.cases] == [case.hash for case in before.cases]
    write(folder, SUITE + "repeats: 2\n")
    assert load_suite(folder / "basics.yaml").hash != other.hash


def test_what_is_expected_is_no_part_of_a_cases_own_hash_because_it_changes_no_answer(folder):
    before = load_suite(folder / "basics.yaml").cases[0].hash
    cases = [{**CASES[0], "expect": {"category": "bug"}}, {**CASES[1], "tool_choice": "none"}]
    (folder / "basics.jsonl").write_text("".join(json.dumps(case) + "\n" for case in cases))
    after = load_suite(folder / "basics.yaml").cases
    assert after[0].hash == before


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (SUITE.replace("lane:", "lan:"), ("basics.yaml", 2, "lan", "unknown key `lan`")),
        (
            SUITE.replace("kind: refusal", "kind: refusel"),
            ("basics.yaml", 7, "graders[2].kind", "unknown grader `refusel`"),
        ),
        (
            SUITE.replace("field: category", "feld: category"),
            ("basics.yaml", 6, "graders[1].feld", "unknown key `feld`"),
        ),
        (
            SUITE.replace("triage.json", "none.json"),
            ("basics.yaml", 5, "graders[0]", "`../schemas/none.json`: no such file or directory"),
        ),
        (
            SUITE.replace("./basics.jsonl", "./none.jsonl"),
            ("basics.yaml", 3, "cases", "`./none.jsonl`: no such file or directory"),
        ),
        (
            SUITE.replace("./basics.jsonl", "/etc/hostname"),
            ("basics.yaml", 3, "cases", "`/etc/hostname`: lies outside the folder of the suite's own folder"),
        ),
        (SUITE + "repeats: 0\n", ("basics.yaml", 8, "repeats", "needs a whole number above 0, not `0`")),
        (
            SUITE + "parameters: {stream: true}\n",
            ("./basics.jsonl", 1, "", "`parameters` may not hold `stream`"),
        ),
        (
            SUITE.replace("kind: refusal", 'kind: regex, pattern: "("'),
            ("basics.yaml", 7, "graders[2]", "`(` is no pattern of RE2: missing ): ("),
        ),
    ],
    ids=["key", "grader", "grader's key", "schema", "cases", "outside", "number", "parameters", "pattern"],
)
def test_a_mistake_in_a_suite_is_named_with_its_place(folder, text, problem):
    name, *rest = problem
    found = said(write(folder, text))
    assert (Path(name).name, *rest) in found


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"id": "c"}', ("basics.jsonl", 3, "", "`messages` is missing")),
        (
            '{"id": "a", "messages": [{"role": "user", "content": "x"}]}',
            ("basics.jsonl", 3, "id", "`a` is given twice"),
        ),
        (
            '{"id": "c", "messages": [{"role": "wizard", "content": "x"}]}',
            ("basics.jsonl", 3, "messages[0].role", None),
        ),
        ('{"id": ', ("basics.jsonl", 3, "", None)),
        (
            '{"id": "c", "messages": [{"role": "user", "content": ""}], "expect": {"calls": [{"nam": "f"}]}}',
            ("basics.jsonl", 3, "expect.calls[0]", None),
        ),
        (
            '{"id": "c", "messages": [{"role": "user", "content": "x"}], "expect": {"refusal": "yes"}}',
            ("basics.jsonl", 3, "expect.refusal", "needs `true` or `false`"),
        ),
    ],
    ids=["missing", "twice", "role", "not JSON", "calls", "refusal"],
)
def test_a_mistake_in_a_case_is_named_with_its_line(folder, line, problem):
    with (folder / "basics.jsonl").open("a") as file:
        file.write(line + "\n")
    found = said(folder / "basics.yaml")
    assert problem in [(*row[:3], row[3] if problem[3] else None) for row in found]


def test_a_suite_with_problems_is_not_loaded(folder):
    with pytest.raises(ConfigError) as caught:
        load_suite(write(folder, "suite: x\n"))
    assert [problem.problem for problem in caught.value.problems] == [
        "`cases` is missing",
        "`graders` is missing",
    ]
    with pytest.raises(ConfigError):
        load_suite(folder / "absent.yaml")


PROMPTFOO = """\
prompts: ["Translate to French: {{text}}", 'file://chat.json']
providers: ["openai:chat:some-model"]
defaultTest: {assert: [{type: not-icontains, value: sorry}]}
tests:
  - vars: {text: cat}
    assert: [{type: equals, value: chat}, {type: latency, threshold: 900}]
  - vars: {text: dog}
    assert: [{type: regex, value: "chien"}, {type: is-json, metric: valid}]
"""


def test_a_promptfoo_file_is_read_as_a_suite(folder):
    (folder / "chat.json").write_text(
        '[{"role": "system", "content": "Be {{text}}."}, {"role": "user", "content": "Hi"}]'
    )
    suite = load_suite(write(folder, PROMPTFOO, "foo.yaml"))
    assert [case.id for case in suite.cases] == [
        "test-1.prompt-1", "test-1.prompt-2", "test-2.prompt-1", "test-2.prompt-2"
    ]  # fmt: skip
    assert suite.cases[0].body["messages"] == [{"role": "user", "content": "Translate to French: cat"}]
    assert suite.cases[3].body["messages"][0]["content"] == "Be dog."
    assert [(spec.kind, spec.negate, len(spec.cases)) for spec in suite.graders] == [
        ("contains", True, 2), ("exact", False, 2), ("latency", False, 2),
        ("contains", True, 2), ("regex", False, 2), ("json_schema", False, 2),
    ]  # fmt: skip
    assert suite.graders[5].measure == "valid"


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("{type: equals, value: chat}", "{type: javascript, value: 'output == 1'}", "tests[0].assert[1]"),
        ("{type: equals, value: chat}", "{type: equals, value: chat, transform: x}", "tests[0].assert[1]"),
        ('{{text}}"', '{% if a %}{{text}}{% endif %}"', "tests[0]"),
        ("vars: {text: cat}", "vars: {texts: cat}", "tests[0]"),
        ("providers:", "scenarios: []\nproviders:", "scenarios"),
        ("file://chat.json", "file://chat.py:ask", "prompts[1]"),
        ("file://chat.json", "absent.txt", "prompts[1]"),
        ("{assert: [{type: not-icontains, value: sorry}]}", "{threshold: 0.5}", "defaultTest.threshold"),
        ("{assert: [{type: not-icontains, value: sorry}]}", "file://all.yaml", "defaultTest"),
        ("vars: {text: cat}", "vars: file://cat.yaml", "tests[0].vars"),
    ],
    ids=[
        *("code", "option", "logic", "variable", "section"),
        *("code as prompt", "no such file", "default", "default elsewhere", "variables elsewhere"),
    ],
)
def test_what_of_a_promptfoo_file_has_no_counterpart_is_refused_by_name(folder, old, new, path):
    (folder / "chat.json").write_text("[]")
    found = examine_suite(write(folder, PROMPTFOO.replace(old, new), "foo.yaml"))
    assert found.suite is None
    assert path in [problem.path for problem in found.problems if problem.severity == "error"]


REVIEWS = """\
# yaml-language-server: $schema=config-schema.json
description: Reviews of products, by mood
prompts: [prompts/mood.txt, {id: file://prompts/chat.json, label: as a chat}]
providers:
  - id: openai:chat:a-model
    config: {temperature: 0}
defaultTest:
  vars: {language: English}
  assert:
    - {type: latency, threshold: 20000}
tests:
  - description: the plain ones
    vars:
      review: [Works as it should., "It broke, twice."]
    assert:
      - {type: contains-any, value: [good, bad]}
      - {type: not-regex, value: "(?i)as an ai"}
  - vars: {review: "", language: French}
    assert: [{type: is-refusal, metric: declines}]
evaluateOptions: {maxConcurrency: 4}
outputPath: out.html
sharing: false
"""


def test_a_promptfoo_folder_as_people_have_them_is_read_whole(folder):
    """Prompts in files, several to a file, variables with several values; what is about running is said."""
    (folder / "prompts").mkdir()
    (folder / "prompts" / "mood.txt").write_text(
        "Mood of: {{review}}\n---\nIn {{ language }}, rate {{review}}\n"
    )
    chat = [{"role": "system", "content": "Use {{language}}."}, {"role": "user", "content": "{{review}}"}]
    (folder / "prompts" / "chat.json").write_text(json.dumps(chat))
    found = examine_suite(write(folder, REVIEWS, "promptfooconfig.yaml"))
    assert found.suite is not None
    assert [case.id for case in found.suite.cases][:3] == [
        "test-1.prompt-1.vars-1", "test-1.prompt-1.vars-2", "test-1.prompt-2.vars-1"
    ]  # fmt: skip
    texts = [case.body["messages"][-1]["content"] for case in found.suite.cases]
    assert texts[1:4] == [
        "Mood of: It broke, twice.",
        "In English, rate Works as it should.",
        "In English, rate It broke, twice.",
    ]
    assert found.suite.cases[-1].body["messages"][0]["content"] == "Use French."
    assert len(found.suite.cases) == 9
    assert [(spec.kind, len(spec.cases)) for spec in found.suite.graders] == [
        ("latency", 6), ("contains", 6), ("regex", 6), ("latency", 3), ("refusal", 3)
    ]  # fmt: skip
    warned = {problem.path for problem in found.problems if problem.severity == "warning"}
    assert warned == {"providers", "evaluateOptions", "outputPath", "sharing"}


REGISTRY = """\
moves:
  id: moves.dev.v0
  description: Where does one end up?
  metrics: [accuracy]
moves.dev.v0:
  class: evals.elsuite.basic.includes:Includes
  args: {samples_jsonl: moves/samples.jsonl, ignore_case: true}
capitals.test.v1:
  class: evals.elsuite.basic.match:Match
  args: {samples_jsonl: capitals/samples.jsonl}
"""


def registry(folder, text):
    """A registry as OpenAI's evals have it: `evals/` with the files, `data/` with their samples."""
    samples = {
        "moves": {
            "input": [{"role": "system", "content": "x"}, {"role": "user", "content": "?"}],
            "ideal": "(1, 2)",
        },
        "capitals": {"input": "Of France?", "ideal": ["Paris", "paris"]},
    }
    for name, row in samples.items():
        (folder / "data" / name).mkdir(parents=True, exist_ok=True)
        (folder / "data" / name / "samples.jsonl").write_text(json.dumps(row) + "\n")
    (folder / "evals").mkdir(exist_ok=True)
    return write(folder / "evals", text, "moves.yaml")


def test_a_file_of_openais_registry_is_read_with_its_samples_and_its_way_to_score(folder):
    suite = load_suite(registry(folder, REGISTRY))
    assert [(case.id, case.family) for case in suite.cases] == [
        ("moves.dev.v0/1", "moves.dev.v0"),
        ("capitals.test.v1/1", "capitals.test.v1"),
    ]
    includes, match = suite.graders
    assert scores(includes, suite, {"You are at (1, 2) now.": 1.0, "(2, 1)": 0.0}, case=0)
    assert scores(match, suite, {"Paris.": 1.0, "paris": 1.0, "PARIS": 0.0, "It is Paris": 0.0}, case=1)


def scores(spec, suite, answers, *, case):
    """Whether a grader gives these answers of a case these scores."""
    seen = [Seen(case=suite.cases[case], sample=sample(text)) for text in answers]
    return [apply(spec, one).score for one in seen] == list(answers.values())


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("basic.match:Match", "modelgraded.classify:ModelBasedClassify", "capitals.test.v1.class"),
        ("capitals/samples.jsonl", "absent.jsonl", "capitals.test.v1.args.samples_jsonl"),
        (
            "{samples_jsonl: capitals",
            "{num_few_shot: 3, samples_jsonl: capitals",
            "capitals.test.v1.args.num_few_shot",
        ),
    ],
    ids=["class", "file", "option"],
)
def test_what_of_a_registry_has_no_counterpart_is_refused_by_name(folder, old, new, path):
    found = examine_suite(registry(folder, REGISTRY.replace(old, new)))
    assert found.suite is None
    assert path in [problem.path for problem in found.problems if problem.severity == "error"]


def test_samples_alone_do_not_say_how_they_are_scored_so_a_warning_does(folder):
    for name, row in (("a.jsonl", {"input": "a", "ideal": "b"}), ("b.jsonl", {"input": "a", "target": "b"})):
        found = examine_suite(write(folder, json.dumps(row), name))
        assert found.suite is not None
        assert [problem.severity for problem in found.problems] == ["warning"]
        assert "scored as" in found.problems[0].problem


def test_an_inspect_data_set_is_read_as_a_suite(folder):
    rows = [
        {"input": "2+2?", "target": "4"},
        {
            "input": [{"role": "user", "content": "Which is red?"}],
            "choices": ["sky", "blood"],
            "target": "B",
            "id": "red",
        },
    ]
    suite = load_suite(write(folder, "\n".join(map(json.dumps, rows)), "set.jsonl"))
    assert [case.id for case in suite.cases] == ["1", "red"]
    assert scores(suite.graders[0], suite, {"It is 4.": 1.0, "4 or 5": 0.0, "14": 0.0}, case=0)
    assert scores(suite.graders[1], suite, {"b": 1.0, "Answer: B.": 1.0, "B or A": 0.0}, case=1)
    assert "B) blood" in suite.cases[1].body["messages"][0]["content"]
    assert [spec.kind for spec in suite.graders] == ["regex", "regex"]


def test_a_samples_file_of_openai_evals_is_read_as_a_suite(folder):
    row = {
        "input": [{"role": "system", "content": "x"}, {"role": "user", "content": "Capital?"}],
        "ideal": ["Paris", "paris"],
    }
    suite = load_suite(write(folder, json.dumps(row), "samples.jsonl"))
    assert len(suite.cases[0].body["messages"]) == 2


def test_rows_with_what_cannot_be_carried_over_are_refused_by_line(folder):
    rows = [{"input": "a", "target": "b"}, {"input": "a", "target": "b", "sandbox": "docker"}, {"input": "a"}]
    found = said(write(folder, "\n".join(map(json.dumps, rows)), "set.jsonl"))
    assert ("set.jsonl", 2, "sandbox", "`sandbox` cannot be carried over") in found
    assert ("set.jsonl", 3, "", "a row needs `input` and `target`") in found
