"""Small suites, cases and samples for tests, built by hand."""

from typing import Any

from interlock.evals.sample import Call, Sample, State, Turn
from interlock.evals.seen import Seen
from interlock.evals.suite import Case

QUESTION = [{"role": "user", "content": "How much is it?"}]


def case(expect: dict[str, Any] | None = None, **fields: Any) -> Case:
    given: dict[str, Any] = {"id": "one", "family": "triage", "body": {"messages": QUESTION}, **fields}
    return Case(expect=expect or {}, **given)


def turn(text: str = "", *calls: Call, **fields: Any) -> Turn:
    given: dict[str, Any] = {
        "decision_id": "dec_1",
        "finish": "stop",
        "model": "small",
        "outcome": "ok",
        "input_tokens": 10,
        "output_tokens": 5,
        "cost_usd": 0.001,
        "latency_ms": 100.0,
        **fields,
    }
    return Turn(text=text, calls=calls, **given)


def sample(text: str = "", *calls: Call, state: State = "answered", **fields: Any) -> Sample:
    given: dict[str, Any] = {
        "key": "k",
        "case": "one",
        "family": "triage",
        "model": "small",
        "repeat": 0,
        "turns": (turn(text, *calls),),
        **fields,
    }
    return Sample(state=state, **given)


def seen(text: str = "", *calls: Call, expect: dict[str, Any] | None = None, **fields: Any) -> Seen:
    """What a grader looks at: an answer, and what its case expects."""
    about = {name: fields.pop(name) for name in ("sources", "body") if name in fields}
    return Seen(case=case(expect, **about), sample=sample(text, *calls), **fields)


def call(name: str, **arguments: Any) -> Call:
    return Call(name=name, arguments=arguments)
