"""Answers of live traffic under the graders of suites, in passing: nobody wrote down what to expect of them.

A grader that needs an expectation can only grade a copy: the live answer to the same request is what it is
compared with. Nothing here keeps a text.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from interlock.evals.answers import as_json, at
from interlock.evals.graders import apply, judge
from interlock.evals.graders.field_equals import FieldEquals
from interlock.evals.sample import Grade, Sample, State, Turn
from interlock.evals.seen import Judgement, Seen
from interlock.evals.suite import Case, GraderSpec
from interlock.types.request import File, Message, Request, Text, ToolResult

OUTSIDE: Final = {
    "function": "runs code of a suite, which a server does not",
}
"""The graders that are for suites only, and why."""
_MARK: Final = "traffic"


def sample_of(turn: Turn, state: State) -> Sample:
    """A live answer, or a copy's, as graders see it."""
    return Sample(
        key="",
        case=turn.decision_id,
        family=_MARK,
        model=turn.model or "",
        repeat=0,
        state=state,
        turns=(turn,),
        error=turn.error,
    )


def case_of(request: Request) -> Case:
    """A live request as a case that nobody has an expectation of."""
    expect: dict[str, Any] = {}
    asked = request.response_format
    if asked is not None and asked.json_schema is not None:
        expect["schema"] = asked.json_schema
    return Case(
        id=_MARK,
        family=_MARK,
        body={"messages": [_plain(message) for message in request.messages]},
        sources={str(number): text for number, text in enumerate(_sources(request), 1)},
        expect=expect,
    )


class Judged(Struct, frozen=True, kw_only=True):
    """What judges have said, by the hash of their prompt; `related` are of an answering model's family."""

    judgements: Mapping[str, Judgement] = {}
    related: frozenset[str] = frozenset()


_UNJUDGED: Final = Judged()


def grade_live(
    graders: Mapping[str, GraderSpec], case: Case, live: Sample, judged: Judged = _UNJUDGED
) -> dict[str, Grade]:
    """What each grader says of a live answer, by its name."""
    return {name: apply(spec, _seen(spec, case, live, None, judged)) for name, spec in graders.items()}


def grade_copy(
    graders: Mapping[str, GraderSpec], case: Case, copied: Sample, live: Sample, judged: Judged = _UNJUDGED
) -> dict[str, Grade]:
    """What each grader says of a copy's answer, held against the live answer to the same request."""
    return {name: apply(spec, _seen(spec, case, copied, live, judged)) for name, spec in graders.items()}


def prompts_of(
    graders: Mapping[str, GraderSpec],
    case: Case,
    answered: Sample,
    live: Sample | None,
    related: frozenset[str],
) -> list[tuple[str, list[dict[str, Any]]]]:
    """What judges have to be asked of an answer (beside `live`, where it is a copy's): whom, and what."""
    judged = Judged(related=related)
    return [
        (spec.model, messages)
        for spec in graders.values()
        if isinstance(spec, judge.Judge)
        for messages in judge.prompts(spec, _seen(spec, case, answered, live, judged))
    ]


def _seen(spec: GraderSpec, case: Case, answered: Sample, live: Sample | None, judged: Judged) -> Seen:
    expect = case.expect if live is None else {**case.expect, **_expected(spec, live)}
    return Seen(
        case=msgspec.structs.replace(case, expect=expect),
        sample=answered,
        others=() if live is None else (live,),
        judgements=judged.judgements,
        related=judged.related,
    )


def _expected(spec: GraderSpec, live: Sample) -> dict[str, Any]:
    """The live answer as what a grader compares with. A model wrote it, so it chooses no field's name."""
    if isinstance(spec, FieldEquals):
        found, value = as_json(live.text, fenced=True)
        return {spec.expect or spec.field: at(value, spec.field)} if found else {}
    calls = [{"name": call.name, "arguments": call.arguments} for call in live.calls]
    return {"answer": live.text, "reference": live.text, "calls": calls}


def needs_reference(spec: GraderSpec) -> bool:
    """Whether a grader has nothing to say of an answer by itself: it skips one that it could grade."""
    turn = Turn(decision_id="", text="a [1]", output_tokens=1, input_tokens=1, cost_usd=0.0, latency_ms=1.0)
    case = Case(
        id="",
        family="",
        body={"messages": [{"role": "user", "content": "a"}]},
        sources={"1": "a"},
        expect={"schema": {}},
    )
    found = apply(spec, Seen(case=case, sample=sample_of(turn, "answered")))
    return found.score is None and not found.missing


def _plain(message: Message) -> dict[str, Any]:
    text = "".join(part.text for part in message.parts if isinstance(part, Text))
    return {"role": message.role, "content": text}


def _sources(request: Request) -> Iterator[str]:
    """The texts that an answer may cite, in their order: documents, texts with a source, tools' results."""
    for message in request.messages:
        if message.role == "assistant":
            continue
        for part in message.parts:
            if isinstance(part, File) or (isinstance(part, Text) and part.source is not None):
                yield part.text or ""
            elif isinstance(part, ToolResult):
                yield from _passages("".join(one.text for one in part.content if isinstance(one, Text)))


def _passages(text: str) -> Iterator[str]:
    """A tool's result: once, or once for each of the objects in its JSON list."""
    found, value = as_json(text)
    if found and isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        yield from (msgspec.json.encode(item).decode() for item in value)
    else:
        yield text
