"""What of a stream leaves, and when: the state machine that every dialect shares."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example
from hypothesis import given as for_all
from hypothesis import strategies as st

from interlock.config.written import ToolSpec
from interlock.execute.flow import Flow
from interlock.execute.inert import inert_answer
from interlock.execute.redact import clean_answer
from interlock.execute.validation.said import text_of
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
from interlock.types.request import Text, Thinking
from tests.execute.given import decision, request

STARTED = Started("m", "a-1", Usage(input_tokens=3))
TEXT = BlockStarted(0, "text")
SAID = BlockDelta(0, "Hello")
STOPPED = BlockStopped(0)
STOP = Finished("stop")
BROKEN = Failure(outcome="upstream_error", message="gone")
CALL = (BlockStarted(1, "tool_call", "c", "search"), BlockDelta(1, '{"q":'), BlockDelta(1, "1}"))
PLAN = decision(policy={"requires_approval_for": ("pay",)})
EXPECTED = Expected(request(tools=("search", "pay")), PLAN, None, {}, ToolSpec())


def run(*events, expected=EXPECTED, mark=None):
    """A flow that has taken these events one by one, and what it gave out."""
    flow = Flow(expected, mark)
    out = [event for single in events for event in flow.take([single])]
    return flow, out


def test_text_leaves_at_once_with_its_preamble_and_the_end_stays():
    flow, out = run(STARTED, TEXT, SAID, STOPPED, STOP)
    assert out == [STARTED, TEXT, SAID, STOPPED]
    assert flow.finished == STOP
    assert flow.text == "Hello"


def test_u9_nothing_leaves_before_there_is_content():
    flow, out = run(STARTED, TEXT, BlockDelta(0, ""))
    assert out == []
    assert not flow.committed


def test_u9_what_a_vendor_tells_of_a_block_without_a_word_leaves_with_the_first_content():
    told = BlockDelta(0, "", {"openai-responses": {"item": {"status": "completed"}}})
    flow, out = run(STARTED, TEXT, told)
    assert (out, flow.committed) == ([], False)
    flow, out = run(STARTED, TEXT, told, SAID)
    assert (out, flow.committed) == ([STARTED, TEXT, told, SAID], True)
    flow, out = run(STARTED, TEXT, told, STOPPED, STOP)
    assert (out, flow.passed) == ([], False)  # nothing was said: another may answer


def test_u9_a_second_preamble_is_not_passed_on():
    _, out = run(STARTED, STARTED, TEXT, SAID, STARTED)
    assert out.count(STARTED) == 1


def test_u9_a_failure_before_content_leaves_no_trace():
    flow, out = run(STARTED, TEXT, BROKEN)
    assert out == []
    assert flow.failure is BROKEN
    assert not flow.committed


def test_nothing_follows_the_terminal_event():
    flow, out = run(STARTED, TEXT, SAID, STOPPED, STOP, SAID, BROKEN)
    assert out == [STARTED, TEXT, SAID, STOPPED]
    assert flow.failure is None


@pytest.mark.parametrize(
    "events",
    [
        [TEXT, *[BlockDelta(0, "x" * 100)] * 10],
        [CALL[0], *[BlockDelta(1, "x" * 100)] * 10],
        [CALL[0], BlockDelta(1, '{"q": "%s"}' % ("x" * 1000)), BlockStopped(1)],
        [BlockStarted(0, "opaque", value={"type": "of_a_vendor", "data": "x" * 1000})],
        [BlockStarted(n, "text") for n in range(10)],
    ],
    ids=["words", "a call that grows", "a call", "a block of a vendor's own", "blocks of nothing"],
)
def test_u14_the_size_of_a_stream_is_that_of_all_that_is_held(events):
    flow, _ = run(STARTED, *events)
    assert 1000 <= flow.size < 6000


def test_a_tool_call_is_held_until_it_is_whole():
    flow, out = run(STARTED, *CALL)
    assert out == []
    assert flow.take([BlockStopped(1)]) == [STARTED, *CALL, BlockStopped(1)]
    assert [call.arguments for call in flow.calls] == ['{"q":1}']


def test_u18_two_calls_that_grow_side_by_side_leave_one_after_the_other():
    a, b = BlockStarted(1, "tool_call", "c1", "search"), BlockStarted(2, "tool_call", "c2", "search")
    one, two = BlockDelta(1, "{}"), BlockDelta(2, "{}")
    _, out = run(STARTED, a, b, two, one, BlockStopped(1), BlockStopped(2))
    assert out == [STARTED, a, one, BlockStopped(1), b, two, BlockStopped(2)]


def test_a_call_that_the_upstream_never_closed_is_closed_by_the_end():
    flow, out = run(STARTED, *CALL, Finished("tool_calls"))
    assert out == [STARTED, *CALL, BlockStopped(1)]
    assert flow.finished is not None


@pytest.mark.parametrize(
    ("name", "code"),
    [("pay", "approval_required"), ("shell", "tool_denied")],
    ids=["approval", "not offered"],
)
def test_a2_a_call_that_may_not_pass_never_leaves_though_text_before_it_did(name, code):
    bad = BlockStarted(1, "tool_call", "c", name)
    flow, out = run(STARTED, TEXT, SAID, STOPPED, bad, BlockDelta(1, "{}"), BlockStopped(1), STOP)
    assert out == [STARTED, TEXT, SAID, STOPPED]
    assert flow.verdict is not None
    assert flow.verdict.violation is not None
    assert flow.verdict.violation.code == code
    assert flow.finished is None


def test_u13_a_stream_that_says_nothing_is_malformed():
    flow, out = run(STARTED, TEXT, STOPPED, STOP)
    assert out == []
    assert flow.verdict is not None
    assert flow.verdict.failure is not None
    assert flow.verdict.failure.outcome == "malformed"


def test_a_stream_that_the_filter_stopped_before_it_said_anything_may_be_tried_elsewhere():
    flow, _ = run(STARTED, Finished("content_filter"))
    assert flow.verdict is not None
    assert flow.verdict.failure is not None
    assert flow.verdict.failure.outcome == "content_filtered"


def test_an_answer_cut_before_its_first_word_is_passed_on_as_cut():
    flow, out = run(STARTED, Finished("length"))
    assert out == [STARTED]
    assert flow.finished == Finished("length")


def test_marks_that_we_put_into_the_request_are_taken_out_of_the_answer():
    flow, out = run(STARTED, TEXT, BlockDelta(0, "a\ue001b"), mark="\ue001")
    assert out[-1] == BlockDelta(0, "a b")
    assert flow.text == "a b"


def test_the_usage_told_at_the_start_is_known_if_the_stream_is_cut():
    flow, _ = run(STARTED, TEXT, SAID, BROKEN)
    assert flow.usage == Usage(input_tokens=3)


EVENTS = (STARTED, TEXT, SAID, STOPPED, *CALL, BlockStopped(1), Finished("tool_calls"))


@for_all(st.lists(st.integers(1, len(EVENTS) - 1), unique=True))
def test_what_leaves_does_not_depend_on_how_the_events_arrive(cuts):
    flow = Flow(EXPECTED)
    edges = [0, *sorted(cuts), len(EVENTS)]
    out = [event for a, b in pairwise(edges) for event in flow.take(EVENTS[a:b])]
    assert out == list(EVENTS[:-1])
    assert flow.finished == EVENTS[-1]


# --- keys and links ---------------------------------------------------------------------------

KEY = "sk-canary-0123456789"
BOXED = Expected(request(), decision(policy={"safety_mode": "sandbox"}), None, {}, ToolSpec())
SAYINGS = st.lists(
    st.sampled_from(
        [KEY, KEY[:9], KEY[9:], "s", "[a]", "(b)", "](", "https:", "//evil", ".com/x", "<", "b>", " "]
    ),
    max_size=8,
).map("".join)
EXTRA: Any = {"openai-chat": {"delta": {"annotations": [{"url": f"https://{KEY}.example"}]}}}


def through(events):
    flow = Flow(BOXED, secret=KEY)
    return flow, [event for single in events for event in flow.take([single])]


@for_all(st.lists(SAYINGS, min_size=1, max_size=3), st.integers(1, 7))
def test_a_stream_says_what_the_whole_answer_would_without_key_and_links(texts, size):
    whole = Answer(id="", upstream_model="", parts=tuple(Text(text=text) for text in texts), finish="stop")
    events: list[Event] = [STARTED]
    for index, text in enumerate(texts):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        events += [
            BlockStarted(index, "text"),
            *(BlockDelta(index, one) for one in pieces),
            BlockStopped(index),
        ]
    flow, out = through([*events, STOP])
    said = "".join(event.text for event in out if isinstance(event, BlockDelta))
    assert said == text_of(inert_answer(clean_answer(whole, KEY)).parts)
    assert flow.text == text_of(clean_answer(whole, KEY).parts)


@pytest.mark.parametrize("signature", ["c2ln", "openai-responses:gAAAA"])
@for_all(st.lists(SAYINGS, min_size=1, max_size=3), st.integers(1, 7))
@example(["<" + KEY[:9]], 1)
def test_a_thought_keeps_its_signature_only_where_its_words_leave_as_they_were_signed(signature, texts, size):
    thoughts = tuple(Thinking(text=text, signature=signature) for text in texts)
    whole = inert_answer(clean_answer(Answer(id="", upstream_model="", parts=thoughts, finish="stop"), KEY))
    signs = {
        "anthropic-messages": {"type": "signature_delta", "signature": signature},
        "signature": signature,
    }
    events: list[Event] = [STARTED]
    for index, text in enumerate(texts):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        events += [
            BlockStarted(index, "thinking"),
            *(BlockDelta(index, one) for one in pieces),
            BlockDelta(index, "", signs),
            BlockStopped(index),
        ]
    _, out = through([*events, STOP])
    deltas = [event for event in out if isinstance(event, BlockDelta)]
    for index, part in enumerate(whole.parts):
        assert isinstance(part, Thinking)
        here = [event for event in deltas if event.index == index]
        told = [event.extra["signature"] for event in here if event.extra is not None]
        assert "".join(event.text for event in here) == part.text
        assert told == ([part.signature] if part.signature else [])
        sealed = signature.startswith("openai-responses:")
        assert bool(part.signature) == (sealed or part.text == texts[index])


def test_what_was_held_back_of_a_block_that_nobody_closed_leaves_with_the_end():
    _, out = through([STARTED, TEXT, BlockDelta(0, f"a]{KEY[:5]}"), STOP])
    assert "".join(event.text for event in out if isinstance(event, BlockDelta)) == f"a]{KEY[:5]}"


def test_a17_nothing_beside_the_text_says_the_key_or_holds_a_link():
    call = BlockStarted(2, "tool_call", KEY, "search", {"x": KEY})
    events: list[Event] = [
        Started(KEY, "a-1", extra={"x": KEY}),
        BlockStarted(0, "text", value=EXTRA),
        BlockDelta(0, "a", EXTRA),
        BlockStopped(0),
        call,
        BlockDelta(2, "{}", EXTRA),
        BlockStopped(2),
        Finished("tool_calls", extra=EXTRA),
    ]
    asked = Expected(
        request(tools=("search",)), decision(policy={"safety_mode": "sandbox"}), None, {}, ToolSpec()
    )
    flow = Flow(asked, secret=KEY)
    out = flow.take(events)
    assert len(out) == len(events)  # without the end, and with a delta of its own for what rode along
    assert flow.passed
    for event in (*out, flow.finished):
        assert KEY not in str(event)
        assert "://" not in str(event)


def test_text_that_holds_neither_leaves_as_the_very_same_event():
    _, out = through([STARTED, TEXT, SAID])
    assert out[-1] is SAID
