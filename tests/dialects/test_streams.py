"""What callers are sent while an answer grows: one event for each delta, whatever its text says (row A14)."""

import json
from typing import Any

import pytest

from interlock.dialects import DIALECTS
from interlock.types.answer import (
    BlockDelta,
    BlockStarted,
    BlockStopped,
    Event,
    Finished,
    Started,
    Usage,
)
from interlock.types.labels import Dialect
from interlock.types.request import Opaque
from interlock.wire.sse import EventParser
from tests.data import rows
from tests.dialects.bodies import BOTH, decode

INJECTIONS = [
    "\n\ndata: [DONE]\n\n",
    "\r\n\r\nevent: message_stop\r\ndata: {}\r\n\r\n",
    '"}}]}\n\ndata: {"choices":[]}',
    "\u2028\u2029\x85\x0b\x0c\x1c",
    "</script><script>alert(1)</script>",
    "\0\x1b[2J",
    "😀 \ufeff é",
]


def events_of(stream: bytes) -> list[Any]:
    parser = EventParser()
    data = parser.feed(stream)
    assert parser.end() == []
    return [json.loads(item) if item != b"[DONE]" else "[DONE]" for item in data]


def encode(dialect: Dialect, events: list[Event], **fields: Any) -> list[Any]:
    encoder = DIALECTS[dialect].StreamEncoder(decode(dialect, stream=True, **fields), "pool-model")
    return events_of(encoder.encode(events))


def texts() -> list[str]:
    return INJECTIONS + [row["text"] for row in rows("bad-input", "naughty_strings_sample.jsonl")]


@pytest.mark.parametrize("dialect", BOTH)
def test_a14_text_of_any_kind_is_one_event_and_arrives_unchanged(dialect):
    naughty = texts()
    assert len(naughty) > 200
    for text in naughty:
        try:
            text.encode()
        except UnicodeEncodeError:
            continue  # no JSON decoder of ours lets such a string in
        encoder = DIALECTS[dialect].StreamEncoder(decode(dialect, stream=True), text)
        (*_, block) = events_of(encoder.encode([Started(text, text), BlockStarted(0, "text")])) or [None]
        (event,) = events_of(encoder.encode([BlockDelta(0, text)])) if text else [block]
        if text and dialect == "openai-chat":
            assert event["choices"][0]["delta"] == {"content": text}
            assert (event["id"], event["model"]) == (text, text)
        elif text:
            assert event["delta"] == {"type": "text_delta", "text": text}


@pytest.mark.parametrize("dialect", BOTH)
@pytest.mark.parametrize("text", INJECTIONS)
def test_a14_names_and_arguments_of_calls_cannot_end_their_event(dialect, text):
    events: list[Event] = [
        Started("id", "m"),
        BlockStarted(0, "tool_call", text, text),
        BlockDelta(0, text),
        BlockStopped(0),
        Finished("tool_calls", text),
    ]
    got = encode(dialect, events)
    if dialect == "openai-chat":
        begun, grown = got[1]["choices"][0]["delta"], got[2]["choices"][0]["delta"]
        assert begun["tool_calls"][0]["id"] == begun["tool_calls"][0]["function"]["name"] == text
        assert grown["tool_calls"][0]["function"]["arguments"] == text
    else:
        assert got[1]["content_block"]["id"] == got[1]["content_block"]["name"] == text
        assert got[2]["delta"]["partial_json"] == text
        assert got[4]["delta"]["stop_sequence"] == text


WHOLE: list[Event] = [
    Started("id", "upstream", Usage(input_tokens=7, cached_tokens=2, cache_write_tokens=1), 17),
    BlockStarted(0, "thinking"),
    BlockDelta(0, "hm"),
    BlockDelta(0, "", {"anthropic-messages": {"type": "signature_delta", "signature": "sig"}}),
    BlockStopped(0),
    BlockStarted(1, "opaque", value=Opaque(dialect="anthropic-messages", kind="x", value={"type": "x"})),
    BlockStopped(1),
    BlockStarted(2, "text"),
    BlockDelta(2, "hi"),
    BlockStarted(3, "tool_call", "c1", "one"),
    BlockStarted(4, "tool_call", "c2", "two"),
    BlockDelta(4, "{}"),
    BlockDelta(3, "{"),
    BlockDelta(3, "}"),
    BlockStopped(2),
    BlockStopped(3),
    BlockStopped(4),
    Finished(
        "tool_calls", None, Usage(input_tokens=7, cached_tokens=2, cache_write_tokens=1, output_tokens=5)
    ),
]


def test_a_chat_stream_has_one_chunk_for_each_thing_said_and_ends_in_done():
    *chunks, done = encode("openai-chat", WHOLE)
    assert done == "[DONE]"
    assert {(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in chunks} == {
        ("id", 17, "pool-model", "chat.completion.chunk")
    }
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "hm"},
        {"content": "hi"},
        {
            "tool_calls": [
                {"index": 0, "id": "c1", "type": "function", "function": {"name": "one", "arguments": ""}}
            ]
        },
        {
            "tool_calls": [
                {"index": 1, "id": "c2", "type": "function", "function": {"name": "two", "arguments": ""}}
            ]
        },
        {"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 8 + ["tool_calls"]
    assert not any("usage" in chunk for chunk in chunks)


def test_the_counts_come_in_a_chunk_of_their_own_only_to_callers_who_asked():
    *chunks, last, done = encode("openai-chat", WHOLE, stream_options={"include_usage": True})
    assert done == "[DONE]"
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": 7,
        "completion_tokens": 5,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 1},
    }
    assert all(chunk["usage"] is None for chunk in chunks)


def test_a_message_stream_has_the_vendors_full_sequence_with_its_own_numbers():
    got = encode("anthropic-messages", WHOLE)
    assert [event["type"] for event in got] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        "content_block_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "content_block_stop",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert got[0]["message"]["usage"]["input_tokens"] == 4
    assert got[3]["delta"] == {"type": "signature_delta", "signature": "sig"}
    assert got[5]["content_block"] == {"type": "x"}
    assert got[-2]["delta"]["stop_reason"] == "tool_use"
    assert got[-2]["usage"] == {
        "input_tokens": 4,
        "cache_read_input_tokens": 2,
        "cache_creation_input_tokens": 1,
        "output_tokens": 5,
    }


def test_a_block_of_another_vendor_takes_no_number_in_a_message_stream():
    other = Opaque(dialect="openai-chat", kind="x", value={"type": "x"})
    events: list[Event] = [
        Started("id", "m"),
        BlockStarted(0, "opaque", value=other),
        BlockDelta(0, "", {"openai-chat": {"delta": {}}}),
        BlockStopped(0),
        BlockStarted(1, "text"),
        BlockDelta(1, "hi"),
        BlockStopped(1),
        BlockStarted(2, "text"),
        Finished("stop"),
    ]
    got = encode("anthropic-messages", events)
    assert [event.get("index") for event in got] == [None, 0, 0, 0, 1, 1, None, None]


def test_a_second_start_leaves_one_preamble():
    twice: list[Event] = [Started("one", "m"), Started("two", "m"), Finished("stop")]
    got = encode("anthropic-messages", twice)
    assert [event["type"] for event in got] == ["message_start", "message_delta", "message_stop"]
    assert [event["id"] for event in encode("openai-chat", twice)[:-1]] == ["one", "one"]


def test_a_refusal_is_the_vendors_own_kind_of_refusal():
    events: list[Event] = [
        Started("id", "m"),
        BlockStarted(0, "refusal"),
        BlockDelta(0, "no"),
        BlockStopped(0),
        Finished("stop"),
    ]
    assert encode("openai-chat", events)[1]["choices"][0]["delta"] == {"refusal": "no"}
    got = encode("anthropic-messages", events)
    assert got[2]["delta"] == {"type": "text_delta", "text": "no"}
    assert got[-2]["delta"]["stop_reason"] == "refusal"


@pytest.mark.parametrize(
    ("finish", "there", "here"),
    [
        ("stop", "stop", "end_turn"),
        ("stop_sequence", "stop", "stop_sequence"),
        ("length", "length", "max_tokens"),
        ("tool_calls", "tool_calls", "tool_use"),
        ("content_filter", "content_filter", "refusal"),
        ("refusal", "content_filter", "refusal"),
        ("pause", "length", "pause_turn"),
    ],
)
def test_every_reason_to_stop_has_a_word_in_both_dialects_and_what_was_cut_never_looks_finished(
    finish, there, here
):
    events: list[Event] = [Started("id", "m"), Finished(finish)]
    assert encode("openai-chat", events)[1]["choices"][0]["finish_reason"] == there
    assert encode("anthropic-messages", events)[1]["delta"]["stop_reason"] == here


def test_what_only_the_other_dialect_knows_is_left_out():
    events: list[Event] = [
        Started("id", "m", None, None, {"anthropic-messages": {"top": {"x": 1}}}),
        BlockStarted(0, "text"),
        BlockDelta(0, "hi", {"anthropic-messages": {"type": "citations_delta", "citation": {"x": 1}}}),
        BlockStopped(0),
        Finished("stop", None, Usage(), {"anthropic-messages": {"delta": {"x": 1}}}),
    ]
    assert '"x"' not in json.dumps(encode("openai-chat", events))
    assert encode("openai-chat", events)[1]["choices"][0]["delta"] == {"content": "hi"}


@pytest.mark.parametrize("dialect", BOTH)
def test_a_run_of_events_is_the_same_bytes_as_one_by_one(dialect):
    request = decode(dialect, stream=True)
    encoder = DIALECTS[dialect].StreamEncoder(request, "m")
    assert DIALECTS[dialect].StreamEncoder(request, "m").encode(WHOLE) == b"".join(
        encoder.encode([event]) for event in WHOLE
    )
