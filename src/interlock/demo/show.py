"""What the demo prints: progress while it works, then each request with its route and reasons."""

import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from interlock.cli.explain import ATTEMPT, because, duration, limits, money
from interlock.cli.output import printable, write_json
from interlock.demo.scenarios import Scenario
from interlock.types.record import Record

if TYPE_CHECKING:
    from interlock.demo.run import Result, Verified

WIDTH: Final = 100
LABEL: Final = 10
LONGEST_ANSWER: Final = 180


class Screen:
    """Prints the demo. On a terminal progress is one live line, elsewhere plain lines on stderr.

    With `as_json` all words for people go to stderr, and `summarise` writes one JSON value to stdout.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.live = sys.stderr.isatty()
        self.as_json = as_json

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
        self._say("Interlock sends real requests through a gateway of its own, on this machine only.")
        self._row("config", str(file))
        self._row(
            "models", "small-eu (onprem) and roomy-us (abroad): two servers of SmolLM2 135M, real and weak."
        )
        self._row("", "gone-us is a port where nothing listens. Prices are made up.")

    def show(self, number: int, result: "Result", aliases: Mapping[str, str]) -> None:
        """One request: what was asked, where it went and why, what it took, and the answer."""
        scenario, reply, record = result.scenario, result.reply, result.record
        self._say("")
        self._say(click.style(f"{number:2}  {scenario.name}", bold=True) + f"  {scenario.asks}")
        self._row("asked", _asked(scenario))
        if record is not None:
            self._row("route", _route(record))
            self._rows("why", _why(record, aliases))
            self._rows("limits", _limits(record))
            self._rows("attempts", _attempts(record))
            self._row("used", _used(result))
        self._row("answer" if reply.status == 200 else f"error {reply.status}", _answer(result))
        if result.problems:
            self._rows(click.style("NOT OK", fg="red"), result.problems)
        else:
            self._row(click.style("ok", fg="green"), "it ended as expected")

    def summarise(self, results: "Sequence[Result]", verified: "Verified", folder: Path) -> None:
        """How it went over all, and where to look next."""
        good = sum(not result.problems for result in results)
        spent = sum(result.record.cost_usd or 0 for result in results if result.record is not None)
        equal = verified.decisions - len(verified.differing)
        self._say("")
        self._say(
            f"{good} of {len(results)} requests ended as expected, "
            f"for {money(round(spent, 6))} at made-up prices."
        )
        self._say(f"{equal} of {verified.decisions} decisions, computed again, are byte for byte equal.")
        self._rows("DIFFER", verified.differing)
        first = next((r.reply.decision_id for r in results if r.reply.decision_id is not None), "dec_…")
        self._say("\nLook around:")
        self._say(f"  . {folder}/env.sh")
        for command in ("decisions", f"explain {first}", "replay --verify", "alias list", "doctor", "serve"):
            self._say(f"  interlock {command}")
        if self.as_json:
            write_json(
                {
                    "ok": good == len(results) and not verified.differing,
                    "requests": [_as_value(result) for result in results],
                    "verified": verified,
                    "folder": str(folder),
                }
            )

    def keeping(self, port: int, folder: Path) -> None:
        self._say(f"\nThe gateway stays at http://127.0.0.1:{port}/v1 until Ctrl-C.")
        self._say(f"Its keys are in {folder}/env.sh.")

    def _rows(self, label: str, lines: Iterator[str] | Sequence[str]) -> None:
        for place, line in enumerate(lines):
            self._row(label if place == 0 else "", line)

    def _row(self, label: str, text: str) -> None:
        """A labelled line, wrapped so that its text stays in its own column."""
        margin = " " * (LABEL + 5)
        pad = " " * max(0, LABEL - len(click.unstyle(label)))
        first, *more = textwrap.wrap(printable(text), WIDTH, break_on_hyphens=False) or [""]
        self._say(f"    {click.style(label, dim=True)}{pad} {first}")
        for line in more:
            self._say(margin + line)

    def _say(self, text: str) -> None:
        click.echo(text, err=self.as_json)


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
    if decision.route is None:
        for drop in decision.why.dropped[1:]:
            yield f"`{drop.model}`: {drop.why} ({drop.rule})"
    for finding in decision.signals.findings:
        yield f"A detector found {finding.kind} in {finding.where}."
    for denied in decision.policy.tools_denied:
        yield f"The tool {denied.tool} is taken out: {denied.why} ({denied.rule})."


def _limits(record: Record) -> Iterator[str]:
    """The limits that this request in particular got; those of its latency class all requests have."""
    if record.decision.route is not None:
        yield from (
            line for line in limits(record.decision) if "set by rule" in line or "set by lane" in line
        )


def _attempts(record: Record) -> Iterator[str]:
    for number, attempt in enumerate(record.attempts, 1):
        after = duration(attempt.latency_ms)
        yield f"{number}. {attempt.provider}/{attempt.model} {ATTEMPT[attempt.outcome]} after {after}"


def _used(result: "Result") -> str:
    record, reply = result.record, result.reply
    assert record is not None
    said = [f"{last.input_tokens} tokens in, {last.output_tokens} out" for last in record.attempts[-1:]]
    said += [money(record.cost_usd if record.attempts else 0.0), duration(reply.latency_ms)]
    said += [f"first token after {duration(reply.first_ms)}"] if reply.first_ms is not None else []
    if record.validation is not None and record.validation.verdict != "unchecked":
        said += [f"checks {record.validation.verdict}"]
    return ", ".join(said)


def _answer(result: "Result") -> str:
    text = " ".join(result.reply.text.split())
    short = text if len(text) <= LONGEST_ANSWER else text[: LONGEST_ANSWER - 1] + "…"
    return f"{result.reply.code}: {short}" if result.reply.code is not None else short


def _as_value(result: "Result") -> dict[str, object]:
    reply = result.reply
    return {
        "name": result.scenario.name,
        "ok": not result.problems,
        "problems": result.problems,
        "status": reply.status,
        "code": reply.code,
        "decision_id": reply.decision_id,
        "route": result.record.decision.route if result.record is not None else None,
        "attempts": [attempt.outcome for attempt in result.record.attempts]
        if result.record is not None
        else [],
        "cost_usd": result.record.cost_usd if result.record is not None else None,
        "latency_ms": round(reply.latency_ms, 1),
        "answer": reply.text,
    }
