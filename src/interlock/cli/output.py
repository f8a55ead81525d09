"""What a command prints: people's text, or with --json machine's values, and how it stops.

With --json stdout carries exactly one JSON value, or JSON Lines where the result is a list, and
nothing else. Progress and errors for people go to stderr. Text that came from outside is shown
with its control characters made visible, so that a prompt cannot drive a terminal.
"""

import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from typing import IO, Any, Final

import click
import msgspec

from interlock.errors import Problem

NO: Final = 1
WRONG: Final = 2
UNREACHED: Final = 3

_CONTROL: Final = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"
}


class Stop(click.ClickException):
    """Ends a command with a status, having said where, what is wrong, and what to do.

    `as_json` is set on its way out, where the command line asks for JSON.
    """

    def __init__(
        self,
        problem: str,
        *,
        hint: str = "",
        where: str = "",
        status: int = WRONG,
        problems: tuple[Problem, ...] = (),
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint
        self.where = where
        self.exit_code = status  # type: ignore[misc]  # click declares it on the class, and reads it here
        self.problems = problems
        self.as_json = False

    @classmethod
    def of_problems(cls, problems: tuple[Problem, ...]) -> "Stop":
        """A config that cannot be used: all of its problems."""
        return cls("the config cannot be used", hint="see `interlock check`", problems=problems)

    def show(self, file: IO[Any] | None = None) -> None:
        del file  # errors go to stderr
        if self.as_json:
            write_json({"error": self.as_value()})
        elif self.problems:
            for problem in self.problems:
                click.echo(printable(f"{problem.severity}: {problem}"), err=True)
        else:
            print_error(self.problem, hint=self.hint, where=self.where)

    def as_value(self) -> dict[str, Any]:
        value: dict[str, Any] = {"where": self.where, "problem": self.problem, "hint": self.hint}
        if self.problems:
            value["problems"] = self.problems
        return value


def print_error(problem: str, *, hint: str = "", where: str = "", cause: BaseException | None = None) -> None:
    """Where, problem, hint, on stderr. The traceback of `cause` only where it was asked for."""
    if cause is not None and os.environ.get("INTERLOCK_TRACEBACK"):
        traceback.print_exception(cause)
    click.echo(printable(f"error: {where}: {problem}" if where else f"error: {problem}"), err=True)
    if hint:
        click.echo(printable(f"hint: {hint}"), err=True)


def write_json(value: object) -> None:
    """One JSON value on a line of stdout."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def write_raw(data: bytes) -> None:
    """Bytes that are one JSON value already, on a line of stdout."""
    sys.stdout.write(data.decode() + "\n")


def say(text: str) -> None:
    """A line for people, on stdout."""
    click.echo(printable(text))


def note(text: str) -> None:
    """Progress or a remark for people, on stderr: never part of the result."""
    click.echo(printable(text), err=True)


def say_sections(lines: Iterable[str]) -> None:
    """Lines of an explanation: headings bold, the rest as it is."""
    for line in lines:
        text = printable(line)
        click.echo(text if line.startswith(" ") else click.style(text, bold=True))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A plain table on stdout, as wide as its terminal. Empty cells are shown as a dash."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(soft_wrap=False, highlight=False, width=None if sys.stdout.isatty() else 200)
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for name in head:
        shown.add_column(name, overflow="fold")
    for row in rows:
        shown.add_row(*(Text("-" if cell is None or cell == "" else printable(str(cell))) for cell in row))
    console.print(shown)


def printable(text: str) -> str:
    """The text with control characters (but line ends and tabs) made visible."""
    return text.translate(_CONTROL)
