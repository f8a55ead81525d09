"""A stream of several calls reads as one, however its events are cut."""

import json
from typing import Any

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from interlock.adapters import ADAPTERS
from interlock.config.written import ToolSpec
from interlock.dialects import DIALECTS
from interlock.execute.continuing import after_seam, joined, may_continue, total
from interlock.execute.flow import Flow
from interlock.execute.joint import Joint
from interlock.execute.validation.verdict import Expected
from interlock.types.answer import (
    Answer,
    BlockDelta,
    BlockStarted,
    BlockStopped,
    Event,
    Failure,
    Finished,
    Started,
    Usage,
)
from interlock.types.request import Refusal, Text, Thinking, ToolCall
from tests.adapters.recorded import KINDS, ask
from tests.execute.given import decision, request

EXPECTED = Expected(request(tools=("search",)), decision(), None, {}, ToolSpec())
ONE = Usage(input_tokens=10, output_tokens=5)


def part(*texts: str, finish: str = "length") -> list[Event]:
    deltas = [BlockDelta(0, text) for text in texts]
    end = Finished(finish, usage=ONE)  # type: ignore[arg-type]
    return [Started("id", "m"), BlockStarted(0, "text"), *deltas, BlockStopped(0), end]


def play(*parts: list[Event], most: int = 3) -> list[Event]:
    """What leaves, when each part comes in one piece."""
    joint = Joint(Flow(EXPECTED), most)
    out = joint.take(parts[0])
    cut = joint.cut
    for further in parts[1:]:
        assert joint.cut is not None
        cut = joint.cut
        out += joint.resume().take(further)
        if joint.failed:
            break
    if joint.cut is not None or joint.failed:
        assert cut is not None
        out += joint.finish(joint.cut or cut)
    assert joint.flow.finished is not None
    return [*out, joint.flow.finished]


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, BlockDelta))


def kinds(events: list[Event]) -> list[str]:
    found = [type(event).__name__ for event in events]
    return [kind for place, kind in enumerate(found) if place == 0 or kind != found[place - 1]]


ONE_BLOCK = ["Started", "BlockStarted", "BlockDelta", "BlockStopped", "Finished"]


@for_all(
    st.lists(st.lists(st.text(alphabet="abc ", min_size=1), min_size=1, max_size=5), min_size=1, max_size=4)
)
def test_parts_make_one_block_with_one_end_and_all_tokens(parts):
    ends = ["length"] * (len(parts) - 1) + ["stop"]
    out = play(*(part(*texts, finish=end) for texts, end in zip(parts, ends, strict=True)))
    assert kinds(out) == ONE_BLOCK
    wanted = ""
    for texts in parts:
        wanted += after_seam(wanted, "".join(texts))
    assert text_of(out) == wanted
    end = out[-1]
    assert isinstance(end, Finished)
    assert end.finish == "stop"
    assert end.usage.output_tokens == 5 * len(parts)


def test_a_stream_that_nobody_takes_up_again_ends_as_cut():
    out = play(part("one"), most=1)
    assert kinds(out) == ONE_BLOCK
    assert isinstance(out[-1], Finished)
    assert out[-1].finish == "length"


def test_a_call_after_the_seam_comes_after_the_end_of_the_words():
    further: list[Event] = [
        Started("id2", "m"),
        BlockStarted(0, "text"),
        BlockDelta(0, " two"),
        BlockStopped(0),
        BlockStarted(1, "tool_call", "c1", "search"),
        BlockDelta(1, "{}"),
        BlockStopped(1),
        Finished("tool_calls", usage=ONE),
    ]
    out = play(part("one"), further)
    assert kinds(out) == [
        "Started", "BlockStarted", "BlockDelta", "BlockStopped",
        "BlockStarted", "BlockDelta", "BlockStopped", "Finished",
    ]  # fmt: skip
    assert [event.text for event in out if isinstance(event, BlockDelta)] == ["one", " two", "{}"]
    assert [event.index for event in out if isinstance(event, BlockStopped)] == [0, 1]


def test_thoughts_about_how_to_go_on_are_not_part_of_the_answer():
    further: list[Event] = [
        BlockStarted(0, "thinking"),
        BlockDelta(0, "where was I"),
        BlockStopped(0),
        BlockStarted(1, "text"),
        BlockDelta(1, " two"),
        BlockStopped(1),
        Finished("stop", usage=ONE),
    ]
    assert text_of(play(part("one"), further)) == "one two"


def test_a_part_that_breaks_off_leaves_what_came_and_the_cut():
    broken: list[Event] = [
        BlockStarted(0, "text"),
        BlockDelta(0, " tw"),
        Failure(outcome="malformed", message=""),
    ]
    out = play(part("one"), broken)
    assert text_of(out) == "one tw"
    assert isinstance(out[-1], Finished)
    assert out[-1].finish == "length"


@for_all(st.text(max_size=300), st.text(max_size=300))
def test_a_seam_never_loses_words_that_were_not_said_before(before, more):
    rest = after_seam(before, more)
    assert more.endswith(rest)
    assert before.endswith(more[: len(more) - len(rest)])


def test_only_words_are_taken_up_again():
    assert may_continue([Thinking(text="hm"), Text(text="so")])
    assert not may_continue([Text(text="")])
    assert not may_continue([Thinking(text="hm")])
    assert not may_continue([Text(text="so"), ToolCall(id="c", name="x", arguments="{}")])
    assert not may_continue([Refusal(text="no")])


def test_a_sum_with_an_unknown_part_is_unknown():
    assert total(ONE, ONE) == Usage(input_tokens=20, output_tokens=10)
    assert total(ONE, Usage(input_tokens=3)).output_tokens is None
    assert total(Usage(cached_tokens=2), ONE).cached_tokens == 2
    assert total(ONE, Usage(estimated=True)).estimated


# --- what is cited ------------------------------------------------------------------------------

FIRST = "It rains in the far North of it"
SECOND = " the far North of it, and snows"
"""The model says the end of FIRST again."""
SAID = "It rains in the far North of it, and snows"


def note(page: str, start: int, end: int, **nested: Any) -> dict[str, Any]:
    fields = {"url": f"https://x.test/{page}", "title": page, "start_index": start, "end_index": end}
    flat = {"type": "url_citation", **fields}
    return {"type": "url_citation", "url_citation": fields} if nested else flat


def answered(dialect: str, text: str, cited: dict[str, Any], *, cut: bool) -> dict[str, Any]:
    if dialect == "openai-chat":
        message = {"role": "assistant", "content": text, "annotations": [cited]}
        choice = {"index": 0, "message": message, "finish_reason": "length" if cut else "stop"}
        return {"id": "a", "model": "m", "choices": [choice]}
    part = {"type": "output_text", "text": text, "annotations": [cited]}
    item = {"type": "message", "id": "i", "role": "assistant", "status": "completed", "content": [part]}
    why = {"incomplete_details": {"reason": "max_output_tokens"}} if cut else {}
    return {"id": "a", "model": "m", "status": "incomplete" if cut else "completed", "output": [item], **why}


def told(body: dict[str, Any]) -> list[tuple[str, int, int]]:
    """The annotations of an answer of either of OpenAI's dialects."""
    found = (
        body["choices"][0]["message"]["annotations"]
        if "choices" in body
        else body["output"][0]["content"][0]["annotations"]
    )
    listed = [one.get("url_citation", one) for one in found]
    return [(one["title"], one["start_index"], one["end_index"]) for one in listed]


@pytest.mark.parametrize("dialect", ["openai-chat", "openai-responses", "anthropic-messages"])
@pytest.mark.parametrize("vendor", ["openai-chat", "openai-responses"])
def test_what_each_part_of_an_answer_cites_is_told_with_places_in_the_whole(vendor, dialect):
    nested = {"nested": True} if vendor == "openai-chat" else {}
    decode = ADAPTERS[KINDS[vendor]].decode_answer
    one, two = (
        decode(json.dumps(answered(vendor, text, cited, cut=cut)).encode())
        for text, cited, cut in (
            (FIRST, note("rain", 0, 8, **nested), True),
            (SECOND, note("snow", 22, 31, **nested), False),
        )
    )
    assert isinstance(one, Answer)
    assert isinstance(two, Answer)
    whole = joined(one, two)
    body = json.loads(DIALECTS[dialect].encode_answer(whole, ask(dialect), "m"))
    if dialect == "anthropic-messages":
        cited = body["content"][0]["citations"]
        found = [(one["title"], one["start_index"], one["end_index"]) for one in cited]
    else:
        found = told(body)
    assert [(title, SAID[start:end]) for title, start, end in found] == [
        ("rain", "It rains"),
        ("snow", "and snows"),
    ]


@pytest.mark.parametrize("dialect", ["openai-chat", "openai-responses"])
def test_what_each_part_of_a_stream_cites_is_told_with_places_in_the_whole(dialect):
    def streamed(text: str, cited: dict[str, Any], *, finish: str) -> bytes:
        deltas = [{"content": text}, {"annotations": [cited]}]
        made = [{"id": "a", "model": "m", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
        made.append(
            {"id": "a", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}
        )
        return b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in made) + b"data: [DONE]\n\n"

    one, two = (
        ADAPTERS["openai"].StreamDecoder().feed(data)
        for data in (
            streamed(FIRST, note("rain", 0, 8, nested=True), finish="length"),
            streamed(SECOND, note("snow", 22, 31, nested=True), finish="stop"),
        )
    )
    written = DIALECTS[dialect].StreamEncoder(ask(dialect), "m").encode(play(one, two))
    events = [json.loads(line[6:]) for line in written.split(b"\n") if line.startswith(b"data: {")]
    if dialect == "openai-responses":
        found = told(events[-1]["response"])
    else:
        deltas = [choice["delta"] for event in events for choice in event["choices"]]
        notes = [one for delta in deltas for one in delta.get("annotations", ())]
        found = told({"choices": [{"message": {"annotations": notes}}]})
    assert [(title, SAID[start:end]) for title, start, end in found] == [
        ("rain", "It rains"),
        ("snow", "and snows"),
    ]


def test_sources_that_each_part_of_a_stream_lists_beside_it_are_listed_together():
    def listed(*pages: str, finish: Any) -> list[Event]:
        end = Finished(finish, usage=ONE, extra={"openai-chat": {"top": {"citations": list(pages), "x": 1}}})
        return [*part("words", finish=finish)[:-1], end]

    end = play(listed("a", "b", finish="length"), listed("b", "c", finish="stop"))[-1]
    assert isinstance(end, Finished)
    assert end.extra == {"openai-chat": {"top": {"citations": ["a", "b", "c"], "x": 1}}}
