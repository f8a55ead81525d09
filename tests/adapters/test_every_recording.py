"""Every recording, for callers of every dialect: the same words, calls and counts; cut anywhere (U8, U10).

`server/test_every_recording` does the same over sockets, behind a mock upstream.
"""

import re
from copy import deepcopy
from itertools import pairwise
from typing import Any, Final

import pytest

from interlock.adapters import ADAPTERS
from interlock.config.written import ToolSpec
from interlock.dialects import DIALECTS
from interlock.errors import ApiError
from interlock.execute.flow import Flow
from interlock.execute.validation.verdict import Expected
from interlock.types.answer import Answer, Failure, Finished
from interlock.types.labels import Dialect, Wire
from tests.adapters import every
from tests.adapters.every import DIALECTS_IN, FOREIGN, Recording, is_refusal, read, said_by, said_in
from tests.adapters.recorded import KINDS, ask
from tests.data import rows
from tests.execute.given import decision, request

WIRES: Final[tuple[Wire, ...]] = ("openai", "openai-responses", "anthropic", "gemini", "bedrock")
NO_ANSWERS: Final = {
    "spliced-message-start.chunks.txt": "two messages spliced into one stream: it must fail (U9)",
    "test_background_mode_streaming_without_starting_after_vcr.yaml#0": "queued: an answer of later",
    "test_background_mode_with_tool_vcr.yaml#0": "queued: an answer of later",
    "test_background_mode_with_tool_vcr.yaml#2": "queued: an answer of later",
}
"""Recordings that hold no answer to pass on, and why."""
ENDS: Final[dict[Dialect, bytes]] = {
    "openai-chat": b"[DONE]",
    "openai-responses": b'"type":"response.completed"',
    "anthropic-messages": b'"type":"message_stop"',
}
LONGEST_END: Final = 100
EDGE: Final = 120
"""Bytes at either end of an event that are cut one by one."""
_WORDS: Final = re.compile(rb'([:\[,])\s*"(?:[^"\\]|\\.)*"(?!\s*:)')
_NUMBER: Final = re.compile(rb"[0-9][0-9.]*")
LONG: Final = 30_000
"""Bytes from which on a recording is cut in two at some places only: it is read a byte at a time anyway."""


def is_answer(one: Recording) -> bool:
    return one.name.rpartition("/")[2] not in NO_ANSWERS


def streams(wire: Wire) -> list[Recording]:
    return [one for one in every.streams(wire) if is_answer(one)]


class Caller:
    """What a caller of a dialect is sent of a stream that comes in pieces."""

    def __init__(self, one: Recording, dialect: Dialect) -> None:
        offered = Expected(request(tools=every.tools_of(one)), decision(), None, {}, ToolSpec())
        self.flow = Flow(offered, created=1, name="dec_1")
        self.dialect = dialect
        self.encoder = DIALECTS[dialect].StreamEncoder(ask(dialect, include_usage=True), "pool-model")
        self.decoder = ADAPTERS[one.wire].StreamDecoder()

    def more(self, piece: bytes) -> bytes:
        return self.encoder.encode(self.flow.take(self.decoder.feed(piece)))

    def sent(self, *pieces: bytes) -> bytes:
        """All of it, its end included: the vendor's, or the error in its place."""
        out = [self.more(piece) for piece in pieces]
        out.append(self.encoder.encode(self.flow.take(self.decoder.end())))
        if self.flow.finished is not None and self.flow.passed:
            out.append(self.encoder.encode([self.flow.finished]))
        else:
            out.append(self.encoder.fail(ApiError("upstream_failed", "the provider failed to answer")))
        return b"".join(out)


def test_every_row_of_the_recordings_is_read_or_named():
    fixtures = rows("provider-recordings", "provider_fixtures_sample.jsonl")
    calls = rows("provider-recordings", "recorded_calls_sample.jsonl")
    left_out = [row for row in fixtures if (row["provider"], row["api"]) in FOREIGN]
    refusals = [row for row in fixtures if row["kind"] == "json" and is_refusal(row)]
    refused = [row for row in calls if row["status"] != 200]
    assert (len(left_out), len(refusals), len(refused)) == (10, 3, 5)
    names = {one.name for one in every.recordings()}
    again = sum(row["name"] not in names for row in fixtures) - len(left_out) - len(refusals)
    again += sum(f"{row['source']}#{row['index']}" not in names for row in calls) - len(refused)
    assert len(every.recordings()) + again == len(fixtures) + len(calls) - 18
    assert {one.wire for one in every.recordings()} == set(WIRES)


def test_the_recordings_that_hold_no_answer_are_failures_and_those_alone():
    failed = set()
    for one in every.recordings():
        found = read(one.wire, one.data)[-1] if one.stream else ADAPTERS[one.wire].decode_answer(one.data)
        if isinstance(found, Failure):
            assert found.outcome == "malformed"
            failed.add(one.name.rpartition("/")[2])
    assert failed == NO_ANSWERS.keys()


@pytest.mark.parametrize("dialect", DIALECTS_IN)
@pytest.mark.parametrize("wire", WIRES)
def test_a_recorded_answer_says_the_same_to_a_caller_of_any_dialect(wire, dialect):
    for one in filter(is_answer, every.wholes(wire)):
        answer = ADAPTERS[wire].decode_answer(one.data)
        assert isinstance(answer, Answer)
        shown = DIALECTS[dialect].encode_answer(answer, ask(dialect), "pool-model")
        again = ADAPTERS[KINDS[dialect]].decode_answer(shown)
        if isinstance(again, Failure):  # nothing but what only the vendor's own dialect has a place for
            assert said_by(answer).text == "", one.name
            assert not said_by(answer).calls, one.name
            assert b"pool-model" in shown
        else:
            assert said_by(again) == said_by(answer), one.name


@pytest.mark.parametrize("dialect", DIALECTS_IN)
@pytest.mark.parametrize("wire", WIRES)
def test_u10_a_recorded_stream_says_the_same_to_a_caller_of_any_dialect_also_byte_by_byte(wire, dialect):
    assert streams(wire)
    for one in streams(wire):
        data = one.data
        sent = Caller(one, dialect).sent(data)
        assert Caller(one, dialect).sent(*(data[at : at + 1] for at in range(len(data)))) == sent, one.name
        assert ENDS[dialect] in sent or b"response.incomplete" in sent, one.name
        again = read(KINDS[dialect], sent)
        said = said_in(read(wire, data))
        if isinstance(again[-1], Finished):
            heard = said_in(again)
            assert (heard.text, heard.calls) == (said.text, said.calls), one.name
            # What a vendor did not count is estimated by whoever drives this.
            assert None in said.usage or heard.usage == said.usage, one.name
        else:
            assert (said.text, said.calls) == ("", ()), one.name


@pytest.mark.parametrize("dialect", DIALECTS_IN)
@pytest.mark.parametrize("wire", WIRES)
def test_u8_a_recorded_stream_cut_after_any_event_never_looks_finished_to_a_caller_of_any_dialect(
    wire, dialect
):
    """Each stream is read once; after each event a copy of everything is told that this was all."""
    cuts = 0
    for one in streams(wire):
        caller, reader = Caller(one, dialect), ADAPTERS[KINDS[dialect]].StreamDecoder()
        sent = b""
        for count, event in enumerate((b"", *one.events[:-1])):
            said = caller.more(event)
            sent += said
            reader.feed(said)
            cut = copy(caller)
            end = cut.sent()
            if cut.flow.finished is not None:  # all that is missing says nothing of the answer
                assert count >= len(one.events) - (3 if wire == "gemini" else 1), (one.name, count)
                continue
            cuts += 1
            assert cut.flow.failure is not None
            assert cut.flow.failure.outcome == "malformed", (one.name, count)
            assert not looks_finished(sent[-LONGEST_END:] + end, dialect), (one.name, count)
            assert b"upstream_failed" in end
            heard = copy(reader)
            assert isinstance([*heard.feed(end), *heard.end()][-1], Failure)
        assert not looks_finished(sent, dialect) or caller.flow.finished is not None, one.name
    assert cuts > 5


def copy(of: Any) -> Any:
    """A copy that goes its own way. What nobody changes is shared: that is most of it."""
    shared = (of.flow.expected,) if isinstance(of, Caller) else ()
    return deepcopy(of, {id(one): one for one in shared})


def looks_finished(sent: bytes, dialect: Dialect) -> bool:
    return ENDS[dialect] in sent.replace(b'": "', b'":"') or b"response.incomplete" in sent


@pytest.mark.parametrize("wire", WIRES)
def test_u10_a_recorded_stream_has_the_same_events_wherever_an_event_is_cut_in_two(wire):
    """Each kind of event at each of its bytes, or of its many: two events that differ in nothing but their
    words and numbers are one kind."""
    cut: set[tuple[bytes, bool, bool]] = set()
    for one in streams(wire):
        decoder = ADAPTERS[wire].StreamDecoder()
        for event, following in pairwise((*one.events, b"")):
            whole = copy(decoder)
            expected = [*whole.feed(event)], [*whole.feed(following)]
            kind = kind_of(event)
            for at in places_in(event) if kind not in cut else ():
                parted = copy(decoder)
                found = [*parted.feed(event[:at]), *parted.feed(event[at:])], [*parted.feed(following)]
                assert found == expected, (one.name, at)
            cut.add(kind)
            decoder.feed(event)
    assert len(cut) > 2


def kind_of(event: bytes) -> tuple[bytes, bool, bool]:
    """What an event has in common with others: all but its words and numbers, and how those are written."""
    data = event[max(0, event.find(b"{")) :]
    bare = _NUMBER.sub(b"0", _WORDS.sub(rb'\1"', data))
    return bare, not data.isascii(), b"\\" in data


def places_in(event: bytes) -> list[int]:
    """Where an event is cut: everywhere, but for the middle of a long one, which is all one word."""
    last = len(event)
    return [*range(min(last, EDGE)), *range(EDGE, last - EDGE, 61), *range(max(EDGE, last - EDGE), last)]


@pytest.mark.long
@pytest.mark.parametrize("wire", WIRES)
def test_u10_a_recorded_stream_has_the_same_events_cut_in_two_at_every_byte(wire):
    for one in streams(wire):
        data, whole = one.data, read(wire, one.data)
        for at in range(0, len(data), 1 if len(data) < LONG else 97):
            assert read(wire, data[:at], data[at:]) == whole, (one.name, at)
