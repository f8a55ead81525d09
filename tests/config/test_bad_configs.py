"""One file per fault: what an operator is told, word by word. `goldens.py` writes the words down."""

import pytest

from interlock import config
from interlock.errors import ConfigError
from tests.config.goldens import BAD, ENV, said_of

FILES = sorted(BAD.glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_o1_a_bad_config_is_answered_with_where_what_and_what_to_do(file):
    assert said_of(file) == file.with_suffix(".txt").read_text("utf-8")


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_o1_load_refuses_exactly_the_configs_in_which_check_finds_an_error(file):
    problems = config.check(file, ENV)
    if any(problem.severity == "error" for problem in problems):
        with pytest.raises(ConfigError) as raised:
            config.load(file, ENV)
        assert raised.value.problems == problems
    else:
        assert config.load(file, ENV).warnings == problems


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_o4_no_message_shows_a_value_of_the_environment_or_a_literal_key(file):
    assert "canary-" not in said_of(file)
    assert "CANARY" not in said_of(file)
    assert "second-line" not in said_of(file)


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_every_error_says_what_to_do(file):
    assert all(problem.hint for problem in config.check(file, ENV) if problem.severity == "error")


def test_every_fault_has_its_words_and_every_word_its_fault():
    assert {file.stem for file in FILES} == {file.stem for file in BAD.glob("*.txt")}
    assert all(file.with_suffix(".txt").read_text("utf-8").strip() for file in FILES)
