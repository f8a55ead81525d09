"""A request to the plan of its answer: by its own wish, by the script, by a recording, or as usual."""

from collections import Counter
from typing import Any, Final

import msgspec

from interlock.mock import anthropic, openai
from interlock.mock.draft import JSON, SSE, Draft, moves
from interlock.mock.faults import SAID, SENT
from interlock.mock.moves import Plan
from interlock.mock.recording import Recordings, replayed
from interlock.mock.request import Received
from interlock.mock.said import Call, Said, Usage, finished, say
from interlock.mock.script import Behaviour, CallWritten, Rule, Script, When, asked_by, parse_behaviour

MODELS: Final = ("mock",)
_DIMENSIONS: Final = 64
_RUN: Final = 16
"""Bytes of a piece, where a whole body is sent in pieces."""
_REASONS: Final = {
    401: "the key is not valid",
    404: "there is no such model",
    429: "too many requests",
    529: "overloaded",
}


class Answering:
    """Mutable: it counts how often each rule has matched. One per mock."""

    def __init__(self, script: Script = Script(), recordings: Recordings = Recordings(())) -> None:  # noqa: B008 - both are values
        self.script = script
        self.recordings = recordings
        self._matched: Counter[int] = Counter()
        self._used: Counter[int] = Counter()

    def __call__(self, request: Received) -> Plan:
        wish = asked_by(request.model, request.headers)
        if wish is None:
            return moves(self._draft(request, self._ruled(request)))
        try:
            return moves(self._draft(request, parse_behaviour(wish)))
        except ValueError as error:
            return moves(_failure(request, 400, f"`{wish}` asks for nothing that the mock can do: {error}"))

    def _ruled(self, request: Received) -> Behaviour:
        """The behaviour by the first rule that matches and is not used up."""
        for place, rule in enumerate(self.script.rules):
            if not _matches(rule.when, request):
                continue
            self._matched[place] += 1
            if self._matched[place] % rule.when.every == 0 and self._is_left(place, rule):
                self._used[place] += 1
                return rule.then
        return self.script.default

    def _is_left(self, place: int, rule: Rule) -> bool:
        return rule.times is None or self._used[place] < rule.times

    def _draft(self, request: Received, behaviour: Behaviour) -> Draft:
        draft = self._answer(request, behaviour)
        for name, value in behaviour.headers.items():
            draft = draft.with_header(name, value)
        if behaviour.retry_after is not None:
            draft = draft.with_header("retry-after", behaviour.retry_after)
        if (behaviour.after is not None or behaviour.pause_s) and not draft.chunked:
            draft = msgspec.structs.replace(draft, pieces=_runs(draft))
        draft = msgspec.structs.replace(
            draft,
            delay_s=behaviour.delay_s,
            pause_s=behaviour.pause_s,
            after=behaviour.after,
            end=behaviour.end,
        )
        for name, fault in SENT.items():
            if name in behaviour.faults:
                draft = fault.change(draft, request)
        return draft

    def _answer(self, request: Received, behaviour: Behaviour) -> Draft:
        """The answer before anything goes wrong with its bytes."""
        if behaviour.body is not None:
            return _plain(behaviour.status or 200, behaviour.body.encode())
        if behaviour.status is not None and behaviour.status >= 400:
            return _failure(request, behaviour.status, _REASONS.get(behaviour.status, "told to fail"))
        if behaviour.replay is not None:
            recording = self.recordings.named(behaviour.replay)
            if recording is None:
                return _failure(request, 400, f"there is no recording `{behaviour.replay}`")
            return replayed(recording)
        if recording := self.recordings.like(request):
            return replayed(recording)
        draft = _usual(request, behaviour)
        return draft if behaviour.status is None else msgspec.structs.replace(draft, status=behaviour.status)


def _matches(when: When, request: Received) -> bool:
    return (
        when.path in (None, request.path)
        and when.model in (None, request.model)
        and when.stream in (None, request.stream)
        and all(request.headers.get(name.lower()) == value for name, value in when.headers.items())
    )


def _usual(request: Received, behaviour: Behaviour) -> Draft:
    """What the vendor would answer at this path."""
    path, method = request.path, request.method
    if path.endswith("/models") and method == "GET":
        return _json(openai.models(MODELS))
    if method != "POST":
        return _failure(request, 404, f"nothing answers {method} {path}")
    fields = request.fields
    if path.endswith("/embeddings") and "input" in fields:
        dimensions = fields.get("dimensions")
        size = dimensions if isinstance(dimensions, int) and 0 < dimensions <= 10_000 else _DIMENSIONS
        as_base64 = fields.get("encoding_format") == "base64"
        return _json(openai.embeddings(fields["input"], request.model, size, as_base64=as_base64))
    if not isinstance(fields.get("messages"), list):
        return _failure(request, 400, "the body needs `messages`, a list")
    if path.endswith("/messages/count_tokens"):
        return _json(anthropic.count(request.body))
    said = _said(request, behaviour)
    if path.endswith("/messages"):
        whole, events = anthropic.whole, anthropic.events(said, request.model)
    elif path.endswith("/chat/completions"):
        options = fields.get("stream_options")
        with_usage = isinstance(options, dict) and options.get("include_usage") is True
        whole, events = openai.whole, openai.events(said, request.model, with_usage=with_usage)
    else:
        return _failure(request, 404, f"nothing answers POST {path}")
    if request.stream:
        return Draft(headers=(("content-type", SSE),), pieces=tuple(events), chunked=True)
    return _json(whole(said, request.model))


def _said(request: Received, behaviour: Behaviour) -> Said:
    """What the answer says: scripted, else as usual; then the faults of what is said."""
    said = say(request)
    if behaviour.text is not None or behaviour.calls:
        scripted = Said(text=behaviour.text or "", calls=tuple(map(_call, behaviour.calls)))
        said = finished(scripted, request)
    if behaviour.finish is not None:
        said = msgspec.structs.replace(said, finish=behaviour.finish)
    if behaviour.usage is not None:
        usage = Usage(input=behaviour.usage.get("input", 0), output=behaviour.usage.get("output", 0))
        said = msgspec.structs.replace(said, usage=usage)
    for name, fault in SAID.items():
        if name in behaviour.faults:
            said = fault.change(said, request)
    return said


def _call(written: CallWritten) -> Call:
    arguments = written.arguments
    return Call(
        written.name, arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
    )


def _failure(request: Received, status: int, message: str) -> Draft:
    vendor = anthropic if request.speaks_messages else openai
    return msgspec.structs.replace(_json(vendor.error(status, message)), status=status)


def _json(value: Any) -> Draft:
    return _plain(200, msgspec.json.encode(value))


def _plain(status: int, body: bytes) -> Draft:
    return Draft(status=status, headers=(("content-type", JSON),), pieces=(body,))


def _runs(draft: Draft) -> tuple[bytes, ...]:
    whole = b"".join(piece for piece in draft.pieces if isinstance(piece, bytes))
    return tuple(whole[at : at + _RUN] for at in range(0, len(whole), _RUN))
