"""What reaches a terminal: values for machines, text for people, and nothing that drives the terminal."""

import json

import click
import pytest
from click.testing import CliRunner

from interlock.cli.app import COMMANDS, Commands, cli
from interlock.cli.output import Stop, printable, write_json
from interlock.errors import ApiError, ConfigError, Problem, StoreError

PROBLEM = Problem(
    file="interlock.yaml", path="models.x", problem="unknown provider `y`", hint="did you mean `z`?", line=7
)


def run(error, *arguments):
    """A command line with one command, which ends by `error`."""

    class One(Commands):
        def get_command(self, ctx, cmd_name):
            @click.command("fail")
            @click.option("--json", is_flag=True)
            def fail(json):
                if error is not None:
                    raise error
                write_json({"fine": True})

            return fail

    return CliRunner().invoke(One("interlock"), ["fail", *arguments])


@pytest.mark.parametrize(
    ("error", "status", "people", "machine"),
    [
        (
            Stop("no such decision", where="dec_x", hint="`interlock decisions` lists them"),
            2,
            "error: dec_x: no such decision\nhint: `interlock decisions` lists them\n",
            {"where": "dec_x", "problem": "no such decision", "hint": "`interlock decisions` lists them"},
        ),
        (
            Stop("refused", status=3),
            3,
            "error: refused\n",
            {"where": "", "problem": "refused", "hint": ""},
        ),
        (
            StoreError("the store is newer than this program", hint="upgrade"),
            2,
            "error: the store is newer than this program\nhint: upgrade\n",
            {"where": "", "problem": "the store is newer than this program", "hint": "upgrade"},
        ),
        (
            ApiError("invalid_request", "`model` is missing", param="model", hint="name one"),
            2,
            "error: model: `model` is missing\nhint: name one\n",
            {"where": "model", "problem": "`model` is missing", "hint": "name one"},
        ),
    ],
    ids=["stop", "unreached", "store", "api"],
)
def test_an_expected_error_says_where_problem_and_hint(error, status, people, machine):
    shown = run(error)
    assert (shown.exit_code, shown.stdout, shown.stderr) == (status, "", people)
    told = run(error, "--json")
    assert (told.exit_code, told.stderr) == (status, "")
    assert json.loads(told.stdout) == {"error": machine}


def test_a_bad_config_is_told_with_every_problem():
    second = Problem(file="interlock.yaml", path="", problem="empty")
    shown = run(ConfigError((PROBLEM, second)))
    assert shown.exit_code == 2
    assert shown.stderr == (
        "error: interlock.yaml:7: `models.x`: unknown provider `y`\nhint: did you mean `z`?\n"
        "error: interlock.yaml: empty\n"
    )
    told = run(ConfigError((PROBLEM,)), "--json")
    (problem,) = json.loads(told.stdout)["error"]["problems"]
    assert problem["path"] == "models.x"
    assert problem["line"] == 7


def test_a_wrong_option_is_an_error_in_json_too():
    told = run(None, "--json", "--nope")
    assert told.exit_code == 2
    assert "--nope" in json.loads(told.stdout)["error"]["problem"]
    shown = run(None, "--nope")
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert "Usage:" in shown.stderr


def test_an_unknown_command_is_a_usage_error():
    told = CliRunner().invoke(cli, ["nope", "--json"])
    assert told.exit_code == 2
    assert json.loads(told.stdout)["error"]["problem"] == "No such command 'nope'."


def test_help_lists_every_command_and_imports_none(monkeypatch):
    def refuse(_):
        raise AssertionError("help imported a command")

    monkeypatch.setattr("interlock.cli.app.importlib.import_module", refuse)
    for flag in ("-h", "--help"):
        shown = CliRunner().invoke(cli, [flag])
        assert shown.exit_code == 0
        assert all(f"  {name} " in shown.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_loads_and_takes_the_common_options(name):
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    commands = command.commands.values() if isinstance(command, click.Group) else [command]
    for each in commands:
        options = {option for parameter in each.params for option in parameter.opts}
        assert {"--config", "--json"} <= options
        assert each.get_short_help_str()


def test_control_characters_are_shown_and_not_sent_to_the_terminal():
    assert printable("a\x1b[2Jb\x07c\x9bd\x7f\r") == "a\\x1b[2Jb\\x07c\\x9bd\\x7f\\x0d"
    assert printable("line\nnext\tcell é 日本") == "line\nnext\tcell é 日本"
