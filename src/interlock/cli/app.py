"""The command `interlock`: its table of commands, and how any of them ends.

Commands load when they are used, so that `interlock --help` stays quick. Exit status: 0 done,
1 the answer is no, 2 the command or its input is wrong, 3 a server or provider could not be reached.
An operator's mistake ends in where, problem and hint, never in a traceback.
"""

import importlib
import os
import sys
from typing import Any, Final

import click

from interlock import __version__
from interlock.cli.output import Stop, print_error
from interlock.errors import ApiError, ConfigError, InterlockError

# name: (module under interlock.cli, one line of help)
COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "init": ("init", "Write a first interlock.yaml."),
    "check": ("check", "Validate the config."),
    "config": ("config", "The config: its schema, what it resolves to, the revisions that ran."),
    "serve": ("serve", "Run the gateway."),
    "demo": ("demo", "Send real requests through a gateway of its own, and explain each."),
    "mock": ("mock", "A provider on this machine that answers, and fails on request."),
    "doctor": ("doctor", "Look at versions, store, config, ports and keys."),
    "route": ("route", "Decide where a request would go, without sending it."),
    "explain": ("explain_command", "A recorded decision in plain words."),
    "decisions": ("decisions", "List recorded decisions."),
    "replay": ("replay", "Compute recorded decisions again, or under another config."),
    "outcome": ("outcome", "Record feedback on a decision."),
    "alias": ("alias", "Show, promote and roll back aliases."),
    "rollout": ("rollout", "Release a model in steps, under guardrails."),
    "eval": ("eval", "Run suites, and make cases of recorded traffic."),
    "gate": ("gate", "May this model be released under this alias?"),
    "audit": ("audit", "Check the chain of the control log."),
}


class Commands(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"interlock.cli.{COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["interlock.json"] = "--json" in args  # known even where a command's own options are wrong
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, InterlockError) as error:
            stop = _stop(error)
            if not ctx.meta["interlock.json"] and isinstance(error, click.UsageError):
                raise  # click shows how the command is used
            stop.as_json = ctx.meta["interlock.json"]
            raise stop from None
        except BrokenPipeError:
            # The reader of our stdout has gone (`| head`). Nobody is left to tell, at exit neither.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            ctx.exit(0)


def _stop(error: click.ClickException | InterlockError) -> Stop:
    """Any expected error as where, problem and hint."""
    match error:
        case Stop():
            return error
        case click.UsageError():
            where = error.ctx.command_path if error.ctx is not None else "interlock"
            return Stop(error.format_message(), hint=f"see `{where} --help`", where=where)
        case click.ClickException():
            return Stop(error.format_message())
        case ConfigError():
            return Stop.of_problems(error.problems)
        case ApiError():
            return Stop(error.message, hint=error.hint, where=error.param or "")
        case _:
            problem, hint = getattr(error, "problem", str(error)), getattr(error, "hint", "")
            return Stop(problem, hint=hint)


@click.command(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="interlock")
def cli() -> None:
    """Interlock decides which model may serve a request, under which budget, and says why.

    Every command takes --config FILE (default: ./interlock.yaml, then $INTERLOCK_CONFIG) and --json.

    Exit status: 0 done, 1 the answer is no, 2 the command or its input is wrong, 3 a server or
    provider could not be reached.
    """


def main() -> None:
    """Run the command line and end the process with its status."""
    try:
        cli.main(prog_name="interlock")
    except Exception as error:  # noqa: BLE001 - the last resort: a fault of ours, said as one
        print_error(
            f"a fault in Interlock itself: {type(error).__name__}: {error}",
            hint="run it again with INTERLOCK_TRACEBACK=1 to see where, and report that",
            cause=error,
        )
        sys.exit(2)
