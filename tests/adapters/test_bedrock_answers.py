"""What Bedrock answers, whole and streamed, and how it fails; then out to callers of both dialects."""

import base64
import json
from functools import partial
from typing import Any, Final

import pytest
from anthropic.types import Message as AnthropicMessage
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.adapters import ADAPTERS
from interlock.adapters.bedrock.frames import FrameParser
from interlock.types.answer import (
    Answer,
    BlockDelta,
    BlockStarted,
    BlockStopped,
    Failure,
    Finished,
    Started,
    Usage,
)
from interlock.types.request import Text, Thinking, ToolCall
from tests.adapters.every import Recording, as_chat, as_message, decoded, read, streams, wholes
from tests.adapters.recorded import write
from tests.adapters.test_recorded_answers import chat_of, message_of
from tests.aws_frames import BEGIN, METADATA, USAGE, call, delta, event, exception, frame, stop, text

BEDROCK: Final = ADAPTERS["bedrock"]
COUNTS: Final = Usage(input_tokens=17, cached_tokens=4, cache_write_tokens=3, output_tokens=5)
CANARY: Final = "AKIACANARYCANARY0001"


feed: Final = partial(read, "bedrock")


def whole(*content: dict[str, Any], reason: str | None = "end_turn", **more: Any) -> Answer | Failure:
    body = {
        "output": {"message": {"role": "assistant", "content": list(content)}},
        "stopReason": reason,
        **more,
    }
    return BEDROCK.decode_answer(json.dumps(body).encode())


def answer(*content: dict[str, Any], reason: str = "end_turn", **more: Any) -> Answer:
    found = whole(*content, reason=reason, **more)
    assert isinstance(found, Answer), found
    return found


def payloads_of(one: Recording) -> list[tuple[str, dict[str, Any]]]:
    """The kinds and the contents of a stream's frames."""
    frames = [frame for event in one.events for frame in FrameParser().feed(event)]
    return [(frame.headers[":event-type"], json.loads(frame.payload)) for frame in frames]


# --- recordings ------------------------------------------------------------------------------------


def test_recorded_answers_reach_callers_of_both_dialects_with_their_words_and_calls():
    recorded = wholes("bedrock")
    assert len(recorded) == 4
    for whole_one in recorded:
        sent, found = json.loads(whole_one.data), decoded("bedrock", whole_one.data)
        content = sent["output"]["message"]["content"]
        chat, message = as_chat(found), as_message(found)
        words = [block["text"] for block in content if "text" in block]
        uses = [block["toolUse"] for block in content if "toolUse" in block]
        assert (chat["choices"][0]["message"]["content"] or "") == "".join(words)
        assert [block["text"] for block in message["content"] if block["type"] == "text"] == words
        calls = [
            (one["id"], one["function"]["name"], json.loads(one["function"]["arguments"]))
            for one in chat["choices"][0]["message"]["tool_calls"]
        ]
        assert calls == [(use["toolUseId"], use["name"], use["input"]) for use in uses]
        blocks = [block for block in message["content"] if block["type"] == "tool_use"]
        assert [(b["id"], b["name"], b["input"]) for b in blocks] == calls
        assert (chat["choices"][0]["finish_reason"], message["stop_reason"]) == ("tool_calls", "tool_use")
        assert chat["usage"]["total_tokens"] == sent["usage"]["totalTokens"]


def test_recorded_streams_add_up_to_valid_answers_of_both_dialects():
    recorded = streams("bedrock")
    assert len(recorded) == 4
    for one in recorded:
        lines = payloads_of(one)
        deltas = [line["delta"] for kind, line in lines if kind == "contentBlockDelta"]
        words = "".join(delta.get("text", "") for delta in deltas)
        names = [line["start"]["toolUse"]["name"] for kind, line in lines if kind == "contentBlockStart"]
        events = feed(one.data)
        assert isinstance(events[-1], Finished), one.name
        assert events[-1].finish == "tool_calls"
        chat = chat_of(write("openai-chat", events, include_usage=True))["choices"][0]["message"]
        message = message_of(write("anthropic-messages", events))
        AnthropicMessage.model_validate(message)
        assert (chat.get("content") or "") == words
        assert [call["function"]["name"] for call in chat["tool_calls"]] == names
        assert all(json.loads(call["function"]["arguments"]) for call in chat["tool_calls"])
        assert "".join(b["text"] for b in message["content"] if b["type"] == "text") == words
        assert [b["name"] for b in message["content"] if b["type"] == "tool_use"] == names
        begun = [event.index for event in events if isinstance(event, BlockStarted)]
        ended = [event.index for event in events if isinstance(event, BlockStopped)]
        assert sorted(ended) == begun == list(range(len(begun)))


def test_u10_a_recorded_stream_has_the_same_events_wherever_its_frames_are_cut():
    for name, data in ((one.name, one.data) for one in streams("bedrock")):
        events = feed(data)
        for at in range(len(data)):
            assert feed(data[:at], data[at:]) == events, (name, at)
        assert feed(*(data[at : at + 1] for at in range(len(data)))) == events


def test_u8_a_recorded_stream_cut_at_any_byte_before_it_says_why_it_ended_is_never_finished():
    for one in streams("bedrock"):
        reason = next(at for at, (kind, _) in enumerate(payloads_of(one)) if kind == "messageStop")
        needed = sum(map(len, one.events[: reason + 1]))
        for at in range(needed):
            last = feed(one.data[:at])[-1]
            assert isinstance(last, Failure), (one.name, at)
            assert (last.outcome, last.final) == ("malformed", False)


# --- blocks ----------------------------------------------------------------------------------------


def test_text_thoughts_and_calls_are_blocks_and_the_signature_goes_to_whom_can_give_it_back():
    data = (
        BEGIN
        + delta(0, reasoningContent={"text": "hm"})
        + delta(0, reasoningContent={"signature": "sig"})
        + event("contentBlockStop", contentBlockIndex=0)
        + delta(1, text="a")
        + delta(1, text="b")
        + event("contentBlockStop", contentBlockIndex=1)
        + call(2, "f", "t1", '{"a":', "1}")
        + stop("tool_use")
        + METADATA
    )
    events = feed(data)
    assert events == [
        Started("", ""),
        BlockStarted(0, "thinking"),
        BlockDelta(0, "hm"),
        BlockDelta(
            0, "", {"anthropic-messages": {"type": "signature_delta", "signature": "sig"}, "signature": "sig"}
        ),
        BlockStopped(0),
        BlockStarted(1, "text"),
        BlockDelta(1, "a"),
        BlockDelta(1, "b"),
        BlockStopped(1),
        BlockStarted(2, "tool_call", "t1", "f"),
        BlockDelta(2, '{"a":'),
        BlockDelta(2, "1}"),
        BlockStopped(2),
        Finished("tool_calls", None, COUNTS),
    ]
    message = message_of(write("anthropic-messages", events))
    assert message["content"][0] == {"type": "thinking", "thinking": "hm", "signature": "sig"}
    found = answer(
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}},
        {"text": "ab"},
        {"toolUse": {"toolUseId": "t1", "name": "f", "input": {"a": 1}}},
        reason="tool_use",
        usage=USAGE,
    )
    assert found.parts == (
        Thinking(text="hm", signature="sig"),
        Text(text="ab"),
        ToolCall(id="t1", name="f", arguments='{"a":1}'),
    )
    assert found.usage == COUNTS


def test_redacted_thoughts_are_kept_by_callers_of_anthropics_dialect_under_bedrocks_name():
    sealed = base64.b64encode(b"secret thought").decode()
    block = {"type": "redacted_thinking", "data": f"bedrock:{sealed}"}
    found = answer({"reasoningContent": {"redactedContent": sealed}}, {"text": "x"})
    assert as_message(found)["content"][0] == block
    events = feed(
        BEGIN + delta(0, reasoningContent={"redactedContent": sealed}) + delta(1, text="x") + stop()
    )
    assert message_of(write("anthropic-messages", events))["content"][0] == block


def test_u18_two_calls_that_grow_side_by_side_are_put_together_by_index():
    def begin(at: int) -> bytes:
        start = {"toolUse": {"toolUseId": f"t{at}", "name": f"f{at}"}}
        return event("contentBlockStart", contentBlockIndex=at, start=start)

    data = BEGIN + begin(0) + begin(1)
    for piece in ('{"n"', ":1}"):
        data += delta(0, toolUse={"input": piece}) + delta(1, toolUse={"input": piece})
    events = feed(data + stop("tool_use") + METADATA)
    calls = chat_of(write("openai-chat", events))["choices"][0]["message"]["tool_calls"]
    assert [(one["id"], one["function"]["arguments"]) for one in calls] == [
        ("t0", '{"n":1}'),
        ("t1", '{"n":1}'),
    ]


CITED: Final = {
    "title": "T",
    "sourceContent": [{"text": "quo"}, {"text": "ted"}],
    "location": {"documentChar": {"documentIndex": 1, "start": 2, "end": 8}},
}
CITATION: Final = {
    "type": "char_location",
    "cited_text": "quoted",
    "document_index": 1,
    "document_title": "T",
    "start_char_index": 2,
    "end_char_index": 8,
}


def test_citations_of_documents_reach_callers_of_anthropics_dialect():
    found = answer({"citationsContent": {"content": [{"text": "said"}], "citations": [CITED]}})
    (block,) = as_message(found)["content"]
    assert block["text"] == "said"
    assert block["citations"] == [CITATION]
    assert as_chat(found)["choices"][0]["message"]["content"] == "said"
    events = feed(BEGIN + delta(0, text="said") + delta(0, citation=CITED) + stop() + METADATA)
    (streamed,) = message_of(write("anthropic-messages", events))["content"]
    assert [{k: v for k, v in one.items() if v is not None} for one in streamed["citations"]] == [CITATION]


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        ({"documentPage": {"documentIndex": 0, "start": 1, "end": 2}}, "page_location"),
        ({"documentChunk": {"documentIndex": 0, "start": 1, "end": 2}}, "content_block_location"),
    ],
)
def test_every_kind_of_place_in_a_document_has_its_own_name(location, kind):
    cited = {**CITED, "location": location}
    found = answer({"citationsContent": {"content": [{"text": "said"}], "citations": [cited]}})
    assert as_message(found)["content"][0]["citations"][0]["type"] == kind


# --- ends ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("end_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("stop_sequence", "stop_sequence"),
        ("tool_use", "tool_calls"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
    ],
)
def test_every_reason_to_stop_has_its_own(word, finish):
    more = {"additionalModelResponseFields": {"stop_sequence": "END"}}
    found = answer({"text": "x"}, reason=word, **more)
    assert (found.finish, found.stop_sequence) == (finish, "END")
    last = feed(BEGIN + delta(text="x") + stop(word, **more) + METADATA)[-1]
    assert isinstance(last, Finished)
    assert (last.finish, last.stop_sequence) == (finish, "END")


@pytest.mark.parametrize("word", ["malformed_model_output", "malformed_tool_use", "surprise"])
def test_u13_a_model_that_stopped_for_no_reason_that_is_an_end_has_failed(word):
    failure = whole({"text": "x"}, reason=word)
    assert isinstance(failure, Failure)
    assert (failure.outcome, failure.final) == ("malformed", False)
    assert feed(BEGIN + delta(text="x") + stop(word) + METADATA)[-1] == failure


def test_a_stream_ends_with_its_counts_and_a_connection_without_them_with_unknown_ones():
    decoder = BEDROCK.StreamDecoder()
    decoder.feed(BEGIN + delta(text="x") + stop())
    assert isinstance(decoder.feed(METADATA)[-1], Finished)
    assert decoder.feed(delta(text="more")) == decoder.end() == []
    last = feed(BEGIN + delta(text="x") + stop())[-1]
    assert last == Finished("stop", None, Usage())
    assert isinstance(feed(BEGIN + delta(text="x") + stop() + METADATA[:-1])[-1], Failure)


def test_events_of_kinds_that_nobody_knows_yet_are_passed_over():
    assert feed(BEGIN + event("surprise", a=1) + delta(text="x") + stop() + METADATA)[-1] == Finished(
        "stop", None, COUNTS
    )


@pytest.mark.parametrize(
    "data",
    [
        delta(0, toolUse={"input": "{}"}),
        delta(0, text="a") + delta(0, toolUse={"input": "{}"}),
        call(0, "f", "t", "{}") + call(1, "g", "u")[:-1],
        event("contentBlockStart", contentBlockIndex=0, start={"toolUse": {"toolUseId": "t", "name": "f"}})
        * 2,
        event("contentBlockStart", contentBlockIndex=0, start={"image": {"format": "png"}}),
        delta(0, image={"source": {}}),
        delta(0, surprise=1),
        event("contentBlockDelta", delta={"text": "x"}),
        event("contentBlockDelta", contentBlockIndex="0", delta={"text": "x"}),
        stop() + delta(0, text="x"),
        frame([(":event-type", 7, text("contentBlockDelta")), (":message-type", 7, text("event"))], b"{"),
        frame([], b""),
    ],
)
def test_u11_events_in_an_impossible_order_or_shape_are_a_failure(data):
    last = feed(BEGIN + data + stop() + METADATA)[-1]
    assert isinstance(last, Failure)
    assert not last.final


@pytest.mark.parametrize("kind", ["server_tool_use", "surprise"])
def test_a2_a_call_that_aws_would_carry_out_itself_makes_an_answer_malformed(kind):
    failure = whole({"toolUse": {"toolUseId": "t", "name": "f", "input": {}, "type": kind}})
    assert isinstance(failure, Failure)
    assert failure.outcome == "malformed"
    start = {"toolUse": {"toolUseId": "t", "name": "f", "type": kind}}
    assert isinstance(feed(BEGIN + event("contentBlockStart", contentBlockIndex=0, start=start))[-1], Failure)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html></html>",
        b"[]",
        b"null",
        b"{}",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b'{"output":{}}',
        b'{"output":{"message":{"content":[{"surprise":1}]}},"stopReason":"end_turn"}',
        b'{"output":{"message":{"content":[{"toolUse":{"name":"f"}}]}},"stopReason":"end_turn"}',
        b'{"output":{"message":{"content":[{"text":7}]}},"stopReason":"end_turn"}',
        b'{"output":{"message":{"content":[]}},"stopReason":null}',
        b'{"output":{"message":{"content":[{"citationsContent":{"content":[],"citations":[{}]}}]}},"stopReason":"end_turn"}',
    ],
)
def test_u11_u13_an_answer_that_is_none_is_a_failure_without_a_word_of_it(body):
    failure = BEDROCK.decode_answer(body)
    assert isinstance(failure, Failure)
    assert (failure.outcome, failure.final) == ("malformed", False)
    assert isinstance(feed(body)[-1], Failure)


@pytest.mark.parametrize("usage", [None, 7, {}, {"inputTokens": "x", "outputTokens": 1.5}])
def test_u16_impossible_counts_are_unknown_ones(usage):
    assert answer({"text": "x"}, usage=usage).usage == Usage()
    last = feed(BEGIN + delta(text="x") + stop() + event("metadata", usage=usage))[-1]
    assert isinstance(last, Finished)
    assert last.usage == Usage()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_u11_a_mutated_stream_never_raises_and_ends_once(data):
    raw = bytearray(BEGIN + delta(text="x") + call(1, "f", "t", "{}") + stop("tool_use") + METADATA)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    events = feed(bytes(raw[:cut]), bytes(raw[cut:]))
    terminal = [one for one in events if isinstance(one, Finished | Failure)]
    assert terminal == [events[-1]]


@pytest.mark.parametrize(
    "words", ["\n\ndata: {}\n\n", "event: x\r\n\r\n", "\u2028</script>\x00", "data: [DONE]\n\n"]
)
def test_a14_words_that_look_like_events_are_words(words):
    events = feed(
        BEGIN
        + delta(text=words)
        + call(1, words, "t", json.dumps({"a": words}))
        + stop("tool_use")
        + METADATA
    )
    chat = chat_of(write("openai-chat", events))["choices"][0]["message"]
    assert (chat["content"], chat["tool_calls"][0]["function"]["name"]) == (words, words)
    message = message_of(write("anthropic-messages", events))
    assert [block.get("text") or block["input"]["a"] for block in message["content"]] == [words, words]


# --- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "code", "outcome", "final"),
    [
        (400, "ValidationException", "upstream_error", True),
        (404, "ResourceNotFoundException", "upstream_error", True),
        (400, "ServiceQuotaExceededException", "rate_limited", False),
        (408, "ModelTimeoutException", "timeout", False),
        (424, "ModelErrorException", "upstream_error", False),
        (429, "ThrottlingException", "rate_limited", False),
        (429, "ModelNotReadyException", "upstream_error", False),
        (500, "InternalServerException", "upstream_error", False),
        (503, "ServiceUnavailableException", "upstream_error", False),
        (413, None, "context_length", False),
    ],
)
def test_u6_status_and_exception_say_how_a_call_failed(status, code, outcome, final):
    body = json.dumps({"message": "vendor words"}).encode()
    named = {} if code is None else {"x-amzn-errortype": f"{code}:http://internal.amazon.com/x/"}
    failure = BEDROCK.decode_error(status, named, body)
    assert (failure.outcome, failure.final, failure.status) == (outcome, final, status)
    assert failure.spent == (code == "ServiceQuotaExceededException")
    assert final == (failure.message == "vendor words")
    other = json.dumps({"__type": f"com.amazon#{code}", "Message": "vendor words"}).encode()
    assert BEDROCK.decode_error(status, {}, other).outcome == outcome


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "AccessDeniedException"),
        (403, "InvalidSignatureException"),
        (400, "ExpiredTokenException"),
        (400, "IncompleteSignatureException"),
        (401, None),
    ],
)
def test_u7_what_aws_says_of_our_signature_is_shown_to_nobody(status, code):
    words = f"The Canonical String for this request should have been 'host:x {CANARY}'"
    headers = {} if code is None else {"x-amzn-errortype": code}
    failure = BEDROCK.decode_error(status, headers, json.dumps({"message": words}).encode())
    assert (failure.outcome, failure.final) == ("upstream_error", False)
    assert CANARY not in failure.message + failure.detail
    assert "Canonical" not in failure.message + failure.detail


@pytest.mark.parametrize(
    ("kind", "outcome", "final"),
    [
        ("throttlingException", "rate_limited", False),
        ("modelStreamErrorException", "upstream_error", False),
        ("internalServerException", "upstream_error", False),
        ("serviceUnavailableException", "upstream_error", False),
        ("modelTimeoutException", "timeout", False),
        ("validationException", "upstream_error", True),
        ("surprise", "upstream_error", False),
    ],
)
def test_u13_an_exception_in_a_stream_is_the_failure_that_it_says(kind, outcome, final):
    last = feed(BEGIN + delta(text="x") + exception(kind, "vendor words"))[-1]
    assert isinstance(last, Failure)
    assert (last.outcome, last.final) == (outcome, final)


def test_an_error_without_a_shape_in_a_stream_is_a_failure():
    headers = [
        (":message-type", 7, text("error")),
        (":error-code", 7, text("ThrottlingException")),
        (":error-message", 7, text("slow down")),
    ]
    last = feed(BEGIN + frame(headers, b""))[-1]
    assert isinstance(last, Failure)
    assert last.outcome == "rate_limited"


@pytest.mark.parametrize(
    "body", [b"<html>", b"", b"[]", b"\xff", b"[" * 100_000, b'{"message":7,"__type":7}']
)
def test_u6_the_status_decides_whatever_the_body_is(body):
    assert BEDROCK.decode_error(500, {}, body).outcome == "upstream_error"
    assert BEDROCK.decode_error(400, {}, body).final
    assert BEDROCK.decode_error(429, {"retry-after": "3"}, body).retry_after_s == 3.0
