"""What the demo prints: progress while it works, then each request with its route and reasons."""

import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from interlock.cli.explain import ATTEMPT, because, duration, money
from interlock.cli.output import printable
from interlock.demo.scenarios import Scenario
from interlock.types.record import Record

if TYPE_CHECKING:
    from interlock.demo.run import Result, Verified

WIDTH: Final = 100
LABEL: Final = 10
LONGEST_ANSWER: Final = 180


class Screen:
    """Prints the demo. On a terminal progress is one live line, elsewhere plain lines on stderr."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty()

    @contextmanager
    def working(self, what: str) -> Iterator[Callable[[str], None]]:
        """Shows that something is under way; the function it gives says more about it."""
        if not self.live:
            click.echo(f"… {what}", err=True)
            yield lambda more: click.echo(f"  {printable(more)}", err=True)
            return
        from rich.console import Console  # noqa: PLC0415 - only a terminal pays for it
        from rich.markup import escape  # noqa: PLC0415

        with Console(stderr=True).status(escape(what)) as status:
            yield lambda more: status.update(escape(f"{what}: {printable(more)}"))

    def introduce(self, file: Path) -> None:
        _say("Interlock sends real requests through a gateway of its own, on this machine only.")
        _row("config", str(file))
        _row(
            "models",
            "small-eu (onprem) and roomy-us (abroad) are two servers of SmolLM2 135M: real, and weak.",
        )
        _row("", "gone-us is a port where nothing listens. Prices are made up.")

    def show(self, number: int, result: "Result", aliases: Mapping[str, str]) -> None:
        """One request: what was asked, where it went and why, what it took, and the answer."""
        scenario, reply, record = result.scenario, result.reply, result.record
        _say("")
        click.echo(click.style(f"{number:2}  {scenario.name}", bold=True) + f"  {scenario.asks}")
        _row("asked", _asked(scenario))
        if record is not None:
            _row("route", _route(record))
            for place, line in enumerate(_why(record, aliases)):
                _row("why" if place == 0 else "", line)
            for place, line in enumerate(_attempts(record)):
                _row("attempts" if place == 0 else "", line)
            _row("used", _used(result))
        _row("answer" if reply.status == 200 else f"error {reply.status}", _answer(result))
        if result.problems:
            for problem in result.problems:
                _row(click.style("NOT AS EXPECTED", fg="red"), problem)
        else:
            _row("", click.style("as expected", fg="green"))

    def summarise(self, results: "Sequence[Result]", verified: "Verified", folder: Path) -> None:
        good = sum(not result.problems for result in results)
        spent = sum(result.record.cost_usd or 0 for result in results if result.record is not None)
        _say("")
        _say(
            f"{good} of {len(results)} requests ended as expected. "
            f"They cost {money(spent)}, at made-up prices."
        )
        equal = verified.decisions - len(verified.differing)
        _say(
            f"{equal} of {verified.decisions} decisions, computed again from their records, "
            "are byte for byte equal."
        )
        for decision in verified.differing:
            _row("DIFFERS", decision)
        first = next((r.reply.decision_id for r in results if r.reply.decision_id is not None), "dec_…")
        _say("")
        _say("Look around:")
        _say(f"  . {folder}/env.sh")
        for command in ("decisions", f"explain {first}", "replay --verify", "alias list", "doctor", "serve"):
            _say(f"  interlock {command}")

    def keeping(self, port: int, folder: Path) -> None:
        _say("")
        _say(
            f"The gateway stays at http://127.0.0.1:{port}/v1 until Ctrl-C; its keys are in {folder}/env.sh."
        )


def _asked(scenario: Scenario) -> str:
    said = [f"POST {scenario.path}", f"model {scenario.body['model']}"]
    said += [f"{name}: {value}" for name, value in scenario.headers.items()]
    said += ["streamed"] if scenario.body.get("stream") else []
    said += [f"{len(scenario.body['tools'])} tools"] if "tools" in scenario.body else []
    said += ["key of the free tier"] if scenario.key == "visitor" else []
    return ", ".join(said)


def _route(record: Record) -> str:
    route = record.decision.route
    if route is None:
        return "none: nobody may serve it"
    alias = f" for {route.alias}@{route.alias_version}" if route.alias is not None else ""
    lane = f", lane {route.lane}" if route.lane is not None else ""
    return f"{route.provider}/{route.model} in {route.region}{alias}{lane}"


def _why(record: Record, aliases: Mapping[str, str]) -> Iterator[str]:
    decision = record.decision
    yield from because(decision, stands_for=aliases.get(decision.signals.model))
    for finding in decision.signals.findings:
        yield f"A detector found {finding.kind} in {finding.where}."
    for denied in decision.policy.tools_denied:
        yield f"The tool {denied.tool} is taken out: {denied.why} ({denied.rule})."


def _attempts(record: Record) -> Iterator[str]:
    for number, attempt in enumerate(record.attempts, 1):
        after = duration(attempt.latency_ms)
        yield f"{number}. {attempt.provider}/{attempt.model} {ATTEMPT[attempt.outcome]} after {after}"


def _used(result: "Result") -> str:
    record, reply = result.record, result.reply
    assert record is not None
    said = []
    for attempt in record.attempts[-1:]:
        said += [f"{attempt.input_tokens} tokens in, {attempt.output_tokens} out"]
    said += [money(record.cost_usd if record.attempts else 0.0), duration(reply.latency_ms)]
    said += [f"first token after {duration(reply.first_ms)}"] if reply.first_ms is not None else []
    if record.validation is not None and record.validation.verdict != "unchecked":
        said += [f"schema check {record.validation.verdict}"]
    return ", ".join(said)


def _answer(result: "Result") -> str:
    text = " ".join(result.reply.text.split())
    short = text if len(text) <= LONGEST_ANSWER else text[: LONGEST_ANSWER - 1] + "…"
    return f"{result.reply.code}: {short}" if result.reply.code is not None else short


def _row(label: str, text: str) -> None:
    """A labelled line, wrapped so that its text stays in its own column."""
    margin = " " * (LABEL + 5)
    lines = textwrap.wrap(text, WIDTH - len(margin), break_on_hyphens=False) or [""]
    click.echo(f"    {click.style(label.ljust(LABEL), dim=True)} {lines[0]}")
    for line in lines[1:]:
        click.echo(margin + line)


def _say(text: str) -> None:
    click.echo(printable(text))
