"""`load` and `check`: what comes out for good files, bad files and no file."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock import config
from interlock.demo.folder import Ports, write
from interlock.errors import ConfigError
from tests.config.base import CANARY, COMPLETE, ENV, SMALL, errors, loaded, many, problems, written
from tests.data import ROOT

EXAMPLE = ROOT.parent / "shared" / "design" / "interlock.example.yaml"
EXAMPLE_ENV = {"OPENAI_API_KEY": "a", "ANTHROPIC_API_KEY": "b", "INTERLOCK_DEV_KEY": "c"}
LANES = ["code-patch", "policy-answer", "support-triage", "creative"]


def test_a_small_config_loads_without_a_word(tmp_path):
    assert loaded(tmp_path).warnings == ()


def test_the_complete_config_has_no_error_and_only_tells_what_is_not_active_yet_or_not_gated():
    found = config.check(COMPLETE, ENV)
    assert all(problem.severity == "warning" for problem in found)
    said = [problem.problem for problem in found]
    assert all("not enforced yet" in one or "past every gate" in one for one in said)
    assert config.load(COMPLETE, ENV).path == COMPLETE


def example() -> Path:
    if not EXAMPLE.exists():
        pytest.skip(f"no {EXAMPLE.name} at {EXAMPLE.parent}")
    return EXAMPLE


def test_the_example_of_the_contract_loads_as_it_stands():
    file = example()
    assert [str(p) for p in config.check(file, EXAMPLE_ENV) if p.severity == "error"] == []
    assert [lane.name for lane in config.load(file, EXAMPLE_ENV).config.lanes] == LANES


@pytest.mark.parametrize("name", EXAMPLE_ENV)
def test_o4_each_variable_of_the_example_is_missed_by_name(name):
    env = {key: value for key, value in EXAMPLE_ENV.items() if key != name}
    with pytest.raises(ConfigError) as raised:
        config.load(example(), env)
    (problem,) = [problem for problem in raised.value.problems if problem.severity == "error"]
    assert f"`{name}` is not set" in problem.problem


@pytest.mark.parametrize("env", [{}, {"OPENAI_API_KEY": "a", "ANTHROPIC_API_KEY": "b"}])
def test_the_config_of_the_demo_has_no_error(tmp_path, env):
    ports = Ports(onprem=18091, abroad=18092, gone=18093, server=18080)
    file = write(tmp_path, ports, env, {})
    keys = {"INTERLOCK_DEMO_APP_KEY": "ilk_1", "INTERLOCK_DEMO_FREE_KEY": "ilk_2"}
    assert [str(p) for p in config.check(file, env | keys) if p.severity == "error"] == []


def test_a_missing_file_a_folder_and_an_empty_file_are_problems_and_not_crashes(tmp_path):
    (missing,) = config.check(tmp_path / "none.yaml", {})
    assert missing.problem == "no such file or directory"
    assert missing.hint == "`interlock init` writes a first config"
    (folder,) = config.check(tmp_path, {})
    assert folder.problem == "is a directory"
    for text in ("", "# only words\n", "---\n", "null\n"):
        (empty,) = config.check(written(tmp_path, text=text), {})
        assert empty.problem == "the file is empty"


def test_o1_problems_of_shape_and_of_the_whole_are_told_together(tmp_path):
    found = errors(tmp_path, "server: {prot: 1}\ndefault: {model: nobody}\nstore: {url: x}\n")
    assert found == [
        "server.prot: unknown key `prot`",
        "default.model: unknown model or alias `nobody`",
        "store.url: is not the url of a store",
    ]


def test_o1_a_file_of_the_wrong_shape_is_not_judged_as_a_whole(tmp_path):
    assert errors(tmp_path, "server: {port: x}\ndefault: {model: nobody}\n") == [
        "server.port: needs a whole number, not `x`"
    ]


def test_errors_come_before_warnings_and_in_the_order_of_the_file(tmp_path):
    extra = "cache: {exact: {ttl: 1m}}\nserver: {host: 0.0.0.0}\ndefault: {model: nobody}\n"
    first = SMALL.count("\n") + 1
    assert [(problem.severity, problem.line) for problem in problems(tmp_path, extra)] == [
        ("error", first + 1),
        ("error", first + 2),
        ("warning", first),
    ]


def test_the_message_of_the_exception_has_every_problem(tmp_path):
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, "default: {model: nobody}\nserver: {host: 0.0.0.0}\n")
    assert str(raised.value).count("interlock.yaml:") == 2


LINES = COMPLETE.read_text("utf-8").split("\n")
ODD = ["", " ", ":", "x", "{", "]", '"', "- ", "${NOT_SET}", "&a", "*a", "5", "é"]


@many
@given(st.data())
def test_o1_whatever_happens_to_a_file_it_loads_or_is_refused_with_path_and_line(tmp_path_factory, data):
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(lines) - 1))
        line = lines[place]
        cut = data.draw(st.integers(0, len(line)))
        lines[place] = (
            line[:cut] + data.draw(st.sampled_from(ODD)) + line[cut + data.draw(st.integers(0, 3)) :]
        )
        if data.draw(st.booleans()):
            del lines[data.draw(st.integers(0, len(lines) - 1))]
    file = written(tmp_path_factory.mktemp("o1"), text="\n".join(lines))
    found = config.check(file, ENV)
    assert not any(CANARY in str(problem) for problem in found)
    refused = [problem for problem in found if problem.severity == "error"]
    assert all(problem.file == str(file) and problem.problem for problem in refused)
    assert all(problem.line is not None and 1 <= problem.line <= len(lines) for problem in refused)
    if refused:
        with pytest.raises(ConfigError):
            config.load(file, ENV)
    else:
        config.load(file, ENV)


@pytest.mark.parametrize("first", ["policy.rules", "route.decide", "config.written"])
def test_packages_that_use_each_other_can_be_imported_in_any_order(first):
    code = f"import interlock.{first}, interlock.config"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
