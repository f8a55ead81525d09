"""A stream of several calls reads as one, however its events are cut."""

from hypothesis import given as for_all
from hypothesis import strategies as st

from interlock.config.written import ToolSpec
from interlock.execute.continuing import after_seam, may_continue, total
from interlock.execute.flow import Flow
from interlock.execute.joint import Joint
from interlock.execute.validation.verdict import Expected
from interlock.types.answer import (
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
