"""A request to the plan of its answer: by its own wish, by the script, by a recording, or as usual."""

from collections import Counter
from typing import Final

import msgspec

from interlock.mock.asked import Kind
from interlock.mock.draft import Draft, in_runs, moves, plain, whole
from interlock.mock.faults import SAID, SENT, impossible
from interlock.mock.moves import Plan
from interlock.mock.recording import Recordings, replayed
from interlock.mock.request import Received
from interlock.mock.said import Call, Said, Usage, finished, say
from interlock.mock.script import Behaviour, CallWritten, Rule, Script, When, asked_by, parse_behaviour

_ERROR: Final = 400
_REASONS: Final = {
    401: "the key is not valid",
    403: "the key may not do that",
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
            message = f"`{wish}` asks for nothing that the mock can do: {error}"
            return moves(request.wire.error(_ERROR, message))

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
        kind, draft = self._answer(request, behaviour)
        why = impossible(behaviour.faults, request.wire, kind)
        if why is not None:
            return request.wire.error(_ERROR, f"the mock cannot do that: {why}")
        for name, value in behaviour.headers.items():
            draft = draft.with_header(name, value)
        if behaviour.retry_after is not None and not _is_error(behaviour):
            draft = draft.with_header("retry-after", behaviour.retry_after)
        if behaviour.after is not None or behaviour.pause_s:
            draft = in_runs(draft)
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

    def _answer(self, request: Received, behaviour: Behaviour) -> tuple[Kind, Draft]:
        """The answer before anything goes wrong with its bytes, and what kind of one it is."""
        if behaviour.body is not None:
            return "told", plain(behaviour.status or 200, behaviour.body.encode())
        if behaviour.status is not None and _is_error(behaviour):
            message = _REASONS.get(behaviour.status, "told to fail")
            return "error", request.wire.error(behaviour.status, message, behaviour.retry_after)
        recording = self.recordings.like(request)
        if behaviour.replay is not None:
            recording = self.recordings.named(behaviour.replay)
            if recording is None:
                return "error", request.wire.error(_ERROR, f"there is no recording `{behaviour.replay}`")
        if recording is not None:
            return "recorded" if recording.stream else "told", replayed(recording)
        kind, draft = _usual(request, behaviour)
        if behaviour.status is not None:
            draft = msgspec.structs.replace(draft, status=behaviour.status)
        return kind, draft


def _matches(when: When, request: Received) -> bool:
    return (
        when.path in (None, request.path)
        and when.model in (None, request.model)
        and when.stream in (None, request.stream)
        and all(request.headers.get(name.lower()) == value for name, value in when.headers.items())
    )


def _usual(request: Received, behaviour: Behaviour) -> tuple[Kind, Draft]:
    """What the vendor would answer at this path."""
    wire, asked = request.wire, request.asked
    if asked.kind == "error" or request.method != ("GET" if asked.kind == "models" else "POST"):
        return "error", wire.error(404, f"nothing answers {request.method} {request.path}")
    if asked.trouble is not None:
        return "error", wire.error(asked.trouble.status, asked.trouble.message)
    said = _said(request, behaviour)
    if asked.kind == "stream":
        pieces = tuple(wire.events(said, asked))
        return "stream", Draft(headers=(("content-type", wire.FRAMING.STREAM),), pieces=pieces, chunked=True)
    return asked.kind, whole(200, wire.whole(said, asked))


def _said(request: Received, behaviour: Behaviour) -> Said:
    """What the answer says: scripted, else as usual; then the faults of what is said."""
    size = len(request.body)
    said = say(request.asked, size)
    if behaviour.text is not None or behaviour.calls:
        scripted = Said(text=behaviour.text or "", calls=tuple(map(_call, behaviour.calls)))
        said = finished(scripted, size)
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


def _is_error(behaviour: Behaviour) -> bool:
    return behaviour.status is not None and behaviour.status >= _ERROR and behaviour.body is None
