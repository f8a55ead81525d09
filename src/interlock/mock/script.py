"""A script as written: which requests get which behaviour; strict, with every line of a mistake.

    rules:
      - when: {model: gpt-5.5, stream: true}
        times: 2
        then: {status: 503, retry_after: "1"}
      - when: {every: 10}
        then: {faults: [reset]}
    outages: [{from_s: 5, for_s: 10}]

The first rule that matches and is not used up decides. A request can also bring its behaviour along:
as its model, `fault:reset` or `fault:status=429,retry_after=2`, or in the header `x-mock`.
"""

from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from interlock.config.problems import error, listed, locate, suggest
from interlock.config.source import read_source
from interlock.errors import ConfigError, Problem
from interlock.mock.draft import End
from interlock.mock.faults import ABOUT

Seconds = Annotated[float, Meta(ge=0, le=86_400)]
Count = Annotated[int, Meta(ge=0)]
Ordinal = Annotated[int, Meta(ge=1)]
_MODEL: Final = "fault:"
_HEADER: Final = "x-mock"


class When(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request must be like; what is left out, matches. `every: 3`: each third that matches."""

    path: str | None = None
    model: str | None = None
    stream: bool | None = None
    headers: dict[str, str] = {}
    every: Ordinal = 1


class CallWritten(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call of a tool in a scripted answer. `arguments` may be text, to be wrong."""

    name: str
    arguments: dict[str, Any] | str = {}


class Behaviour(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens to a request: what is said, and what goes wrong.

    `body` stands in place of a vendor's answer. `after` counts the pieces before `end`: events of a
    stream, or runs of 16 bytes of a whole body. `pause_s` lies between pieces, `delay_s` before all.
    """

    text: str | None = None
    calls: tuple[CallWritten, ...] = ()
    finish: str | None = None
    usage: dict[str, Any] | None = None
    status: Annotated[int, Meta(ge=100, le=599)] | None = None
    headers: dict[str, str] = {}
    retry_after: str | None = None
    body: str | None = None
    replay: str | None = None
    faults: tuple[str, ...] = ()
    delay_s: Seconds = 0.0
    pause_s: Seconds = 0.0
    after: Count | None = None
    end: End = "whole"


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`times`: how often it applies before it is used up; None: always."""

    when: When = When()
    times: Ordinal | None = None
    then: Behaviour


class Outage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """New connections are refused from `from_s` seconds after the start, `for_s` seconds long."""

    from_s: Seconds
    for_s: Seconds


class Script(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`default` is for requests that no rule is for."""

    rules: tuple[Rule, ...] = ()
    default: Behaviour = Behaviour()
    outages: tuple[Outage, ...] = ()


def read_script(path: Path) -> Script:
    """The script in a YAML or JSON file. Raises ConfigError."""
    try:
        source = read_source(path.read_bytes())
    except OSError as failure:
        found = [error("", (failure.strerror or "cannot be read").lower())]
        raise ConfigError(locate(found, str(path), {})) from None
    problems: list[Problem] = list(source.problems)
    script = Script()
    if source.tree is not None:
        try:
            script = msgspec.convert(source.tree, Script)
        except msgspec.ValidationError as failure:
            problems.append(_problem(failure))
    problems += _unknown_faults(script)
    if problems:
        raise ConfigError(locate(problems, str(path), source.lines))
    return script


def asked_by(model: str, headers: dict[str, str]) -> str | None:
    """The behaviour that a request asks for itself, as written."""
    if _HEADER in headers:
        return headers[_HEADER]
    return model.removeprefix(_MODEL) if model.startswith(_MODEL) else None


def parse_behaviour(text: str) -> Behaviour:
    """`reset,after=3,delay_s=0.1`: names of faults, and fields with a value. Raises ValueError."""
    fields: dict[str, Any] = {"faults": []}
    for item in text.split(","):
        name, equals, value = item.strip().partition("=")
        if equals:
            fields[name] = value
        elif name:
            fields["faults"].append(name)
    for name in fields["faults"]:
        _check_fault(name)
    return msgspec.convert(fields, Behaviour, strict=False)  # a ValidationError is a ValueError


def _check_fault(name: str) -> None:
    if name not in ABOUT:
        raise ValueError(f"there is no fault `{name}`: {suggest(name, list(ABOUT))}")


def _unknown_faults(script: Script) -> list[Problem]:
    named = [(f"rules[{place}].then.faults", rule.then) for place, rule in enumerate(script.rules)]
    named.append(("default.faults", script.default))
    return [
        error(path, f"there is no fault `{name}`", suggest(name, list(ABOUT)))
        for path, behaviour in named
        for name in behaviour.faults
        if name not in ABOUT
    ]


def _problem(failure: msgspec.ValidationError) -> Problem:
    """What msgspec says, with the path in our form."""
    text, _, path = str(failure).partition(" - at `$")
    return error(path.rstrip("`").lstrip("."), text[:1].lower() + text[1:], _about(text))


def _about(text: str) -> str:
    return f"a rule has {listed(Rule.__struct_fields__)}" if "unknown field" in text else ""
