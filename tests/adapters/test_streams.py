"""Streams cut, mixed up, broken and ended too early: never an exception, never a false end."""

import json
import random
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.adapters import ADAPTERS
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
from interlock.types.labels import Dialect
from interlock.types.request import Opaque
from tests.adapters.recorded import adapter, fixtures, read, streams

BOTH: Final[tuple[Dialect, ...]] = ("openai-chat", "anthropic-messages")


def feed(dialect: Dialect, *pieces: bytes) -> list[Event]:
    decoder = adapter(dialect).StreamDecoder()
    found = [event for piece in pieces for event in decoder.feed(piece)]
    return found + decoder.end()


def chunks(*deltas: dict[str, Any], done: bool = True, finish: str | None = "stop") -> bytes:
    """A chat stream of these deltas."""
    events = [{"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    if finish is not None:
        events.append({"id": "c", "model": "m", "choices": [{"delta": {}, "finish_reason": finish}]})
    data = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    return data + b"data: [DONE]\n\n" if done else data


def messages(*events: dict[str, Any]) -> bytes:
    """A message stream of these events."""
    return b"".join(
        b"event: " + event["type"].encode() + b"\ndata: " + json.dumps(event).encode() + b"\n\n"
        for event in events
    )


def start(name: str = "msg_1") -> dict[str, Any]:
    return {
        "type": "message_start",
        "message": {"id": name, "model": "m", "usage": {"input_tokens": 5, "output_tokens": 1}},
    }


def text_block(index: int, *texts: str) -> list[dict[str, Any]]:
    deltas = [
        {"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}}
        for text in texts
    ]
    begin = {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}}
    return [begin, *deltas, {"type": "content_block_stop", "index": index}]


END: Final[list[dict[str, Any]]] = [
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}},
    {"type": "message_stop"},
]


@pytest.mark.parametrize("dialect", BOTH)
def test_u10_a_recorded_stream_has_the_same_events_wherever_it_is_cut_in_two(dialect):
    draw = random.Random(0)
    for source, data in streams(dialect):
        whole = read(dialect, data)
        cuts = range(len(data)) if len(data) < 1500 else sorted(draw.sample(range(len(data)), 60))
        for at in cuts:
            assert feed(dialect, data[:at], data[at:]) == whole, (source, at)


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize("ending", [b"\r\n", b"\r"])
def test_u10_a_recorded_stream_with_other_line_ends_byte_by_byte_has_the_same_events(dialect, ending):
    source, data = min(streams(dialect), key=lambda stream: len(stream[1]))
    other = b"\xef\xbb\xbf: hello\n\n".replace(b"\n", ending) + data.replace(b"\n", ending)
    assert feed(dialect, *(other[at : at + 1] for at in range(len(other)))) == read(dialect, data), source


@pytest.mark.parametrize("dialect", BOTH)
@settings(max_examples=40)
@given(st.data())
def test_u10_a_recorded_stream_in_any_pieces_has_the_same_events(dialect, data):
    _, stream = data.draw(st.sampled_from(streams(dialect)))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=30)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert feed(dialect, *pieces) == read(dialect, stream)


@pytest.mark.parametrize("dialect", BOTH)
def test_u8_a_stream_cut_after_any_of_its_events_fails_and_is_never_finished(dialect):
    for source, data in streams(dialect):
        events = data.split(b"\n\n")[:-1]
        step = max(1, len(events) // 40)
        for at in {*range(0, len(events), step), len(events) - 1}:
            found = feed(dialect, b"".join(event + b"\n\n" for event in events[:at]))
            assert isinstance(found[-1], Failure), (source, at)
            assert found[-1].outcome == "malformed"
            assert not any(isinstance(event, Finished) for event in found), (source, at)


@pytest.mark.parametrize("dialect", BOTH)
def test_u8_a_stream_cut_inside_its_last_event_is_never_finished(dialect):
    for source, data in streams(dialect):
        last = data.rstrip().rfind(b"\n\n") + 2
        for at in range(last, len(data.rstrip())):
            found = feed(dialect, data[:at])
            assert not any(isinstance(event, Finished) for event in found), (source, at)


@pytest.mark.parametrize("dialect", BOTH)
def test_a_stream_without_its_last_blank_line_is_finished(dialect):
    for source, data in streams(dialect):
        assert feed(dialect, data.rstrip()) == read(dialect, data), source


@pytest.mark.parametrize("dialect", BOTH)
def test_nothing_is_given_out_after_the_terminal_event(dialect):
    for _, data in streams(dialect):
        decoder = adapter(dialect).StreamDecoder()
        decoder.feed(data)
        assert decoder.feed(data) == []
        assert decoder.end() == []


@pytest.mark.parametrize("dialect", BOTH)
def test_exactly_one_terminal_event_ends_a_stream_and_each_block_begins_and_ends_once(dialect):
    for source, data in streams(dialect):
        events = read(dialect, data)
        assert [isinstance(event, Finished | Failure) for event in events].count(True) == 1, source
        assert isinstance(events[-1], Finished | Failure)
        if isinstance(events[-1], Failure):
            continue
        begun = [event.index for event in events if isinstance(event, BlockStarted)]
        ended = [event.index for event in events if isinstance(event, BlockStopped)]
        assert len(begun) == len(set(begun)), source
        assert sorted(begun) == sorted(ended), source


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize(
    "bad",
    [
        b"data: {\n\n",
        b"data: <html>\n\n",
        b"data: []\n\n",
        b'data: "text"\n\n',
        b"data: \xff\n\n",
        b'data: {"choices":7,"type":7}\n\n',
        b'data: {"choices":[{"delta":{"content":7}}],"type":"content_block_delta","index":"0"}\n\n',
        b"data: " + b"[" * 100_000 + b"\n\n",
        b"<html>no events at all</html>",
    ],
)
def test_u11_a_broken_event_is_a_failure_and_never_passed_on(dialect, bad):
    found = feed(dialect, bad)
    assert isinstance(found[-1], Failure)
    assert found[-1].outcome == "malformed"
    assert not any(isinstance(event, BlockDelta | Finished) for event in found)


@pytest.mark.parametrize("dialect", BOTH)
@settings(max_examples=60)
@given(st.data())
def test_u11_a_mutated_recording_never_raises(dialect, data):
    _, stream = data.draw(st.sampled_from(streams(dialect)))
    at = data.draw(st.integers(0, len(stream) - 1))
    mutated = stream[:at] + data.draw(st.binary(max_size=4)) + stream[at + data.draw(st.integers(0, 40)) :]
    found = feed(dialect, mutated)
    assert isinstance(found[-1], Finished | Failure)


def test_u9_the_fixture_of_a_spliced_message_start_fails_where_the_second_message_begins():
    body = dict(fixtures("anthropic-messages", "stream")).get("spliced-message-start.chunks.txt")
    assert body is not None
    found = read("anthropic-messages", messages(*(json.loads(line) for line in body.splitlines())))
    assert [type(event) for event in found].count(Started) == 1
    assert isinstance(found[-1], Failure)
    assert '{"value":"Spark' in [event.text for event in found if isinstance(event, BlockDelta)]
    assert not any("Day" in event.text for event in found if isinstance(event, BlockDelta))


def test_u9_a_message_that_starts_again_before_it_said_anything_has_one_preamble():
    found = read("anthropic-messages", messages(start("first"), start("second"), *text_block(0, "hi"), *END))
    assert [event.id for event in found if isinstance(event, Started)] == ["first"]
    assert isinstance(found[-1], Finished)


@pytest.mark.parametrize(
    "events",
    [
        text_block(0, "hi"),
        [start(), {"type": "content_block_stop", "index": 0}],
        [start(), text_block(0, "hi")[1]],
        [start(), *text_block(0, "hi"), *text_block(0, "again")],
        [start(), *text_block(0, "hi"), start("again"), *text_block(1, "more")],
        [start(), {"type": "message_stop"}],
        [start(), {"type": "message_delta", "delta": {"stop_reason": "surprise"}}, {"type": "message_stop"}],
        [start(), {"type": "message_delta", "delta": {"stop_reason": None}}, {"type": "message_stop"}],
        END,
        [{"type": "message_start", "message": {}}],
        [start(), {"type": "content_block_start", "index": 0, "content_block": {"type": "text"}}],
        [start(), {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use"}}],
    ],
)
def test_message_events_in_an_impossible_order_or_shape_are_a_failure(events):
    found = read("anthropic-messages", messages(*events, *END))
    assert isinstance(found[-1], Failure)
    assert found[-1].outcome == "malformed"


def test_events_of_kinds_that_nobody_knows_yet_are_passed_over():
    found = read(
        "anthropic-messages",
        messages(
            start(), {"type": "news", "index": {}, "delta": 7}, *text_block(0, "hi"), {"type": "ping"}, *END
        ),
    )
    assert isinstance(found[-1], Finished)


def test_the_counts_of_a_message_are_those_of_its_last_event_where_it_has_them():
    found = read("anthropic-messages", messages(start(), *text_block(0, "hi"), *END))
    assert isinstance(found[-1], Finished)
    assert found[-1].usage == Usage(input_tokens=5, output_tokens=9)


@pytest.mark.parametrize(
    ("error", "outcome", "status"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, "upstream_error", None),
        ({"type": "rate_limit_error", "message": "slow down"}, "rate_limited", None),
        ({"type": "timeout_error", "message": "late"}, "timeout", None),
        ({"type": "authentication_error", "message": "sk-canary"}, "upstream_error", 401),
        ({"type": "api_error", "message": "oops"}, "upstream_error", None),
        ("words", "upstream_error", None),
        (None, "upstream_error", None),
    ],
)
def test_an_error_event_ends_a_message_stream_as_a_failure(error, outcome, status):
    found = read("anthropic-messages", messages(start(), {"type": "error", "error": error}, *END))
    assert isinstance(found[-1], Failure)
    assert (found[-1].outcome, found[-1].status, found[-1].final) == (outcome, status, False)
    assert "sk-canary" not in found[-1].message + found[-1].detail


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        ({"message": "x", "type": "server_error", "code": None}, "upstream_error"),
        ({"message": "x", "code": "rate_limit_exceeded"}, "rate_limited"),
        ({"message": "x", "code": 502}, "upstream_error"),
        ({"message": "x", "code": 429}, "rate_limited"),
        ({"message": "x", "code": "content_filter"}, "content_filtered"),
        ("words", "upstream_error"),
    ],
)
def test_an_error_ends_a_chat_stream_as_a_failure(error, outcome):
    data = chunks({"content": "hi"}, done=False, finish=None)
    found = read("openai-chat", data + b"data: " + json.dumps({"error": error}).encode() + b"\n\n")
    assert isinstance(found[-1], Failure)
    assert found[-1].outcome == outcome


@pytest.mark.parametrize("finish", [None, "surprise", "function_call"])
def test_u13_a_chat_stream_that_does_not_say_why_it_ended_is_a_failure(finish):
    found = read("openai-chat", chunks({"content": "hi"}, finish=finish))
    assert isinstance(found[-1], Failure)
    assert found[-1].outcome == "malformed"


def test_text_reasoning_and_refusal_are_blocks_one_after_the_other():
    data = chunks(
        {"role": "assistant"}, {"reasoning": "a"}, {"content": "b"}, {"content": "c"}, {"refusal": "d"}
    )
    kinds = [event.kind for event in read("openai-chat", data) if isinstance(event, BlockStarted)]
    assert kinds == ["thinking", "text", "refusal"]
    texts = [event.text for event in read("openai-chat", data) if isinstance(event, BlockDelta)]
    assert texts == ["a", "b", "c", "d"]


def call(index: int | None, arguments: str = "", **more: Any) -> dict[str, Any]:
    function = {"arguments": arguments, **({"name": more["name"]} if "name" in more else {})}
    entry = {"function": function, **({"index": index} if index is not None else {})}
    if "id" in more:
        entry |= {"id": more["id"], "type": "function"}
    return {"tool_calls": [entry]}


def calls_in(events: list[Event]) -> list[tuple[str, str, str]]:
    names = {
        e.index: (e.call_id, e.name) for e in events if isinstance(e, BlockStarted) and e.kind == "tool_call"
    }
    grown = dict.fromkeys(names, "")
    for event in events:
        if isinstance(event, BlockDelta) and event.index in grown:
            grown[event.index] += event.text
    return [(*names[index], grown[index]) for index in names]


def test_u18_two_calls_that_grow_side_by_side_are_put_together_by_index():
    data = chunks(
        call(1, id="b", name="two"),
        call(0, id="a", name="one"),
        call(1, '{"y":'),
        call(0, '{"x":'),
        call(0, "1}"),
        call(1, "2}"),
        finish="tool_calls",
    )
    events = read("openai-chat", data)
    assert calls_in(events) == [("b", "two", '{"y":2}'), ("a", "one", '{"x":1}')]
    stopped = [event.index for event in events if isinstance(event, BlockStopped)]
    assert len(stopped) == 2


def test_u18_a_new_id_under_an_old_index_is_another_call():
    data = chunks(
        call(0, '{"x":1}', id="a", name="one"), call(0, '{"y":2}', id="b", name="two"), finish="tool_calls"
    )
    assert [name for _, name, _ in calls_in(read("openai-chat", data))] == ["one", "two"]


def test_u18_a_repeated_id_and_name_do_not_begin_a_call_again():
    data = chunks(
        call(0, '{"x"', id="a", name="one"), call(0, ":1}", id="a", name="one"), finish="tool_calls"
    )
    assert calls_in(read("openai-chat", data)) == [("a", "one", '{"x":1}')]


def test_u18_a_call_without_a_name_is_a_failure():
    found = read("openai-chat", chunks(call(0, "{}"), finish="tool_calls"))
    assert isinstance(found[-1], Failure)


@given(st.data())
def test_u18_calls_are_the_same_in_whatever_order_their_pieces_come(data):
    wanted = {
        index: (f"id{index}", f"tool{index}", json.dumps({"value": index, "text": "é\n"}))
        for index in range(3)
    }
    left = {index: [text[:4], text[4:9], text[9:]] for index, (_, _, text) in wanted.items()}
    deltas = []
    begun = set()
    while any(left.values()):
        index = data.draw(st.sampled_from([index for index, pieces in left.items() if pieces]))
        if index not in begun:
            begun.add(index)
            deltas.append(call(index, id=wanted[index][0], name=wanted[index][1]))
        deltas.append(call(index, left[index].pop(0)))
    found = calls_in(read("openai-chat", chunks(*deltas, finish="tool_calls")))
    assert sorted(found) == sorted(wanted.values())


@pytest.mark.parametrize(
    "usage",
    [
        None,
        "many",
        {},
        {"prompt_tokens": "12", "completion_tokens": None},
        {"prompt_tokens": 1.5, "completion_tokens": True},
        {"prompt_tokens": [], "prompt_tokens_details": 3, "completion_tokens_details": []},
    ],
)
def test_u16_counts_that_are_none_are_unknown_and_do_not_break_the_stream(usage):
    data = chunks({"content": "hi"}, done=False)
    end = b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\ndata: [DONE]\n\n"
    found = read("openai-chat", data + end)
    assert isinstance(found[-1], Finished)
    assert found[-1].usage == Usage()
    stop = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
    begin = {"type": "message_start", "message": {"id": "m", "model": "m", "usage": usage}}
    found = read("anthropic-messages", messages(begin, stop, {"type": "message_stop"}))
    assert isinstance(found[-1], Finished)
    assert found[-1].usage == Usage()


def test_log_probabilities_ride_along_and_an_empty_first_chunk_begins_no_text():
    entry = {"content": [{"token": "hi", "logprob": -0.1, "bytes": None, "top_logprobs": []}]}
    events = [
        {"choices": [{"delta": {"role": "assistant", "content": ""}, "logprobs": {"content": []}}]},
        {"choices": [{"delta": {"content": "hi"}, "logprobs": entry}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
    ]
    data = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    found = read("openai-chat", data + b"data: [DONE]\n\n")
    (delta,) = [event for event in found if isinstance(event, BlockDelta)]
    assert delta.extra == {"openai-chat": {"logprobs": entry}}


@pytest.mark.parametrize("wire", ["openai-chat", "gemini"])
@pytest.mark.parametrize("both", [True, False], ids=["side by side", "alone"])
def test_u13_a_second_answer_that_nobody_asked_for_makes_it_malformed_and_is_not_dropped(wire, both):
    kept = [0, 1] if both else [1]
    if wire == "gemini":
        decoder = ADAPTERS["gemini"]
        found = [{"index": at, "content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"} for at in kept]
        stream = whole = {"candidates": found}
    else:
        decoder = adapter("openai-chat")
        stream = {"choices": [{"index": at, "delta": {"content": "x"}} for at in kept]}
        chosen = {"message": {"content": "x"}, "finish_reason": "stop"}
        whole = {"choices": [{"index": at, **chosen} for at in (0, 1)]}
    pieces = decoder.StreamDecoder().feed(b"data: " + json.dumps(stream).encode() + b"\n\n")
    for end in (pieces[-1], decoder.decode_answer(json.dumps(whole).encode())):
        assert isinstance(end, Failure)
        assert (end.outcome, "more than one" in end.detail) == ("malformed", True)


def message_with(block: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    """What an answer with this block comes to: whole, and as a stream."""
    whole = {"id": "m", "model": "m", "content": [block], "stop_reason": "end_turn"}
    begin = {"type": "content_block_start", "index": 0, "content_block": block}
    stop = {"type": "content_block_stop", "index": 0}
    decoded = adapter("anthropic-messages").decode_answer(json.dumps(whole).encode())
    return [decoded], feed("anthropic-messages", messages(start(), begin, stop, *END))


@pytest.mark.parametrize(
    "block",
    [
        {"type": "custom_tool_use", "name": "shell", "input": {}},
        {"type": "function_call", "name": "shell", "arguments": "{}"},
        {"type": "news"},
        {"type": "compaction", "name": "shell", "input": {}},
        {"type": "server_tool_use", "input": {}},
        {"type": "mcp_tool_use", "name": "shell", "input": {}},
    ],
)
def test_a2_a_block_that_may_be_a_call_nobody_judges_makes_an_answer_malformed(block):
    for found in message_with(block):
        assert isinstance(found[-1], Failure)
        assert found[-1].outcome == "malformed"


@pytest.mark.parametrize(
    "block",
    [
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "mcp_tool_use", "id": "s", "name": "f", "server_name": "wiki", "input": {}},
        {"type": "compaction", "content": "so far"},
    ],
)
def test_a2_a_call_at_the_vendor_is_given_out_as_a_block_of_its_kind(block):
    opaque = Opaque(dialect="anthropic-messages", kind=block["type"], value=block)
    whole, stream = message_with(block)
    assert whole[0].parts == (opaque,)
    assert stream[1] == BlockStarted(0, "opaque", value=opaque)


CALLS: Final = [{"function": {"name": "shell", "arguments": "{}"}}]


@pytest.mark.parametrize("name", ["custom_tool_calls", "toolCalls", "function_call"])
@pytest.mark.parametrize("value", [CALLS, {"name": "shell"}])
def test_a2_calls_beside_those_that_are_judged_make_a_completion_malformed(name, value):
    answer = {"choices": [{"message": {"content": "x", name: value}, "finish_reason": "stop"}]}
    whole = adapter("openai-chat").decode_answer(json.dumps(answer).encode())
    stream = feed("openai-chat", chunks({"content": "x", name: value}))[-1]
    for found in (whole, stream):
        assert isinstance(found, Failure)
        assert found.outcome == "malformed"


def test_a2_calls_at_the_top_of_a_completion_make_it_malformed_and_empty_ones_do_not():
    answer = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], "tool_calls": []}
    decode = adapter("openai-chat").decode_answer
    assert not isinstance(decode(json.dumps(answer).encode()), Failure)
    found = decode(json.dumps(answer | {"tool_calls": CALLS}).encode())
    assert isinstance(found, Failure)
    chunk = json.dumps({"id": "c", "choices": [], "tool_calls": CALLS}).encode()
    assert isinstance(feed("openai-chat", b"data: " + chunk + b"\n\n" + chunks())[-1], Failure)
