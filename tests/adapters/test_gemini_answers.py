"""What Gemini answers, whole and streamed, and how it fails; then out to callers of both dialects."""

import json
from functools import partial
from typing import Any, Final

import pytest
from anthropic.types import Message as AnthropicMessage
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.adapters import ADAPTERS
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
from interlock.types.request import Text, Thinking, ToolCall
from tests.adapters.every import as_chat, as_message, decoded, read, streams, wholes
from tests.adapters.recorded import payloads, write
from tests.adapters.test_recorded_answers import chat_of, message_of
from tests.data import rows

GEMINI: Final = ADAPTERS["gemini"]
CANARY: Final = "AIza-live-canary"


feed: Final = partial(read, "gemini")


def reply(*parts: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    candidate |= {
        key: more.pop(key)
        for key in tuple(more)
        if key.endswith(("Metadata", "Result")) and key != "usageMetadata"
    }
    return {"candidates": [candidate], "responseId": "R1", "modelVersion": "gemini-x", **more}


def stream(*replies: dict[str, Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in replies)


def whole(*parts: dict[str, Any], finish: str | None = "STOP", **more: Any) -> Answer | Failure:
    return GEMINI.decode_answer(json.dumps(reply(*parts, finish=finish, **more)).encode())


def answer(*parts: dict[str, Any], finish: str = "STOP", **more: Any) -> Answer:
    return decoded("gemini", json.dumps(reply(*parts, finish=finish, **more)).encode())


def said(events: list[Event]) -> str:
    texts = {event.index for event in events if isinstance(event, BlockStarted) and event.kind == "text"}
    return "".join(event.text for event in events if isinstance(event, BlockDelta) and event.index in texts)


CALL: Final = {"functionCall": {"name": "f", "args": {"a": 1}}}
USAGE: Final = {
    "promptTokenCount": 10,
    "cachedContentTokenCount": 4,
    "candidatesTokenCount": 5,
    "thoughtsTokenCount": 7,
    "toolUsePromptTokenCount": 2,
    "totalTokenCount": 24,
}


# --- recordings ------------------------------------------------------------------------------------


def test_recorded_answers_reach_callers_of_both_dialects_with_their_words_and_counts():
    recorded = wholes("gemini")
    assert len(recorded) == 3
    for one in recorded:
        sent, found = json.loads(one.data), decoded("gemini", one.data)
        text, counts = sent["candidates"][0]["content"]["parts"][0]["text"], sent["usageMetadata"]
        chat, message = as_chat(found), as_message(found)
        assert chat["choices"][0]["message"]["content"] == text
        assert [block["text"] for block in message["content"] if block["type"] == "text"] == [text]
        written = counts["candidatesTokenCount"] + counts["thoughtsTokenCount"]
        assert chat["usage"]["completion_tokens"] == message["usage"]["output_tokens"] == written
        assert chat["usage"]["total_tokens"] == counts["totalTokenCount"]
        assert (chat["choices"][0]["finish_reason"], message["stop_reason"]) == ("stop", "end_turn")
        signature = sent["candidates"][0]["content"]["parts"][0]["thoughtSignature"]
        assert message["content"][-1] == {"type": "redacted_thinking", "data": f"gemini:{signature}"}
        extra = chat["choices"][0]["message"]["extra_content"]
        assert extra == {"google": {"thought_signature": f"gemini:{signature}"}}


def test_recorded_streams_add_up_to_valid_answers_of_both_dialects():
    recorded = streams("gemini")
    assert len(recorded) == 3
    for one in recorded:
        events = feed(one.data)
        lines = [json.loads(event[6:]) for event in one.events]
        text = "".join(
            part.get("text", "") for line in lines for part in line["candidates"][0]["content"]["parts"]
        )
        signature = lines[-1]["candidates"][0]["content"]["parts"][0]["thoughtSignature"]
        assert isinstance(events[-1], Finished), one.name
        assert events[-1].usage.reasoning_tokens == lines[-1]["usageMetadata"]["thoughtsTokenCount"]
        chat = chat_of(write("openai-chat", events, include_usage=True))
        message = message_of(write("anthropic-messages", events))
        AnthropicMessage.model_validate(message)
        assert chat["choices"][0]["message"]["content"] == said(events) == text
        assert chat["choices"][0]["message"]["extra_content"]["google"]["thought_signature"].endswith(
            signature
        )
        assert message["content"][0]["text"] == text
        assert message["content"][1]["data"] == f"gemini:{signature}"


def test_u10_a_recorded_stream_has_the_same_events_wherever_it_is_cut_in_two():
    for name, data in ((one.name, one.data) for one in streams("gemini")):
        events = feed(data)
        for at in range(len(data)):
            assert feed(data[:at], data[at:]) == events, (name, at)
        assert feed(*(data[at : at + 1] for at in range(len(data)))) == events


@pytest.mark.parametrize("ending", [b"\n\n", b"\r\r", b"\r\n\r\n"])
def test_u10_line_ends_a_mark_comments_and_a_missing_last_line_make_no_difference(ending):
    for name, data in ((one.name, one.data) for one in streams("gemini")):
        odd = b"\xef\xbb\xbf: hello" + ending + data.replace(b"\r\n\r\n", ending)
        assert feed(odd) == feed(data), name
        assert feed(odd.rstrip(b"\r\n")) == feed(data), name


def test_u8_a_stream_cut_after_any_event_but_its_last_fails_and_is_never_finished():
    for one in streams("gemini"):
        for length in range(len(one.events)):
            events = feed(*one.events[:length])
            assert isinstance(events[-1], Failure), (one.name, length)
            assert (events[-1].outcome, events[-1].final) == ("malformed", False)
            assert not any(isinstance(event, Finished) for event in events)


# --- calls -----------------------------------------------------------------------------------------


def test_u18_parallel_calls_have_ids_that_are_theirs_however_they_arrive():
    parts: list[dict[str, Any]] = [CALL, {"functionCall": {"name": "g"}}, CALL]
    found = answer(*parts)
    calls = [part for part in found.parts if isinstance(part, ToolCall)]
    assert [(call.id, call.name, call.arguments) for call in calls] == [
        ("call_R1_0", "f", '{"a":1}'),
        ("call_R1_1", "g", "{}"),
        ("call_R1_2", "f", '{"a":1}'),
    ]
    assert found.finish == "tool_calls"
    streamed = feed(stream(reply(parts[0]), reply(*parts[1:], finish="STOP")))
    begun = [event for event in streamed if isinstance(event, BlockStarted)]
    assert [(event.call_id, event.name) for event in begun] == [(call.id, call.name) for call in calls]
    assert isinstance(streamed[-1], Finished)
    assert streamed[-1].finish == "tool_calls"


def test_an_id_of_the_servers_own_is_kept_and_an_answer_without_a_name_gets_ids_all_the_same():
    own = answer({"functionCall": {"name": "f", "id": "ab12"}}).parts[0]
    assert isinstance(own, ToolCall)
    assert own.id == "gemini-ab12"
    for odd in ("", "a b", "x" * 500):
        first, again = (answer(CALL, responseId=odd).parts[0] for _ in range(2))
        assert isinstance(first, ToolCall)
        assert first == again
        assert 0 < len(first.id) <= 64


def test_a_call_and_its_signature_reach_callers_of_both_dialects():
    found = answer({**CALL, "thoughtSignature": "c2ln"})
    (call,) = as_chat(found)["choices"][0]["message"]["tool_calls"]
    assert call["extra_content"] == {"google": {"thought_signature": "gemini:c2ln"}}
    assert as_message(found)["content"] == [
        {"type": "tool_use", "id": "call_R1_0", "name": "f", "input": {"a": 1}},
        {"type": "redacted_thinking", "data": "gemini:c2ln"},
    ]
    events = feed(stream(reply({**CALL, "thoughtSignature": "c2ln"}, finish="STOP")))
    (streamed,) = chat_of(write("openai-chat", events))["choices"][0]["message"]["tool_calls"]
    assert streamed["extra_content"] == {"google": {"thought_signature": "gemini:c2ln"}}
    assert message_of(write("anthropic-messages", events))["content"][1]["data"] == "gemini:c2ln"


# --- text, thoughts, sources, probabilities ----------------------------------------------------------


def test_thoughts_and_words_are_blocks_one_after_the_other():
    parts = ({"text": "hm", "thought": True}, {"text": "a"}, {"text": "b"})
    assert answer(*parts).parts == (Thinking(text="hm"), Text(text="a"), Text(text="b"))
    events = feed(stream(*(reply(part) for part in parts), reply(finish="MAX_TOKENS", usageMetadata=USAGE)))
    assert events == [
        Started("R1", "gemini-x"),
        BlockStarted(0, "thinking"),
        BlockDelta(0, "hm"),
        BlockStopped(0),
        BlockStarted(1, "text"),
        BlockDelta(1, "a"),
        BlockDelta(1, "b"),
        BlockStopped(1),
        Finished(
            "length",
            None,
            Usage(input_tokens=12, cached_tokens=4, output_tokens=12, reasoning_tokens=7),
        ),
    ]


def test_a_signature_with_nothing_before_it_makes_an_empty_answer_no_fuller():
    events = feed(stream(reply({"text": "", "thoughtSignature": "c2ln"}, finish="STOP")))
    assert [type(event) for event in events] == [Started, Finished]
    assert answer({"text": "", "thoughtSignature": "c2ln"}).parts == ()


GROUNDING: Final = {
    "groundingChunks": [{"web": {"uri": "https://x.test/a", "title": "A"}}, {"retrievedContext": {}}],
    "groundingSupports": [
        {"segment": {"startIndex": 4, "endIndex": 8, "text": "ölf"}, "groundingChunkIndices": [0, 1, 7]}
    ],
}


def test_sources_of_a_search_are_annotations_counted_in_characters():
    text = "ää ölf"
    expected = [
        {
            "type": "url_citation",
            "url_citation": {"url": "https://x.test/a", "title": "A", "start_index": 2, "end_index": 5},
        }
    ]
    found = answer({"text": text}, groundingMetadata=GROUNDING)
    assert as_chat(found)["choices"][0]["message"]["annotations"] == expected
    data = stream(
        reply({"text": text[:3]}), reply({"text": text[3:]}, finish="STOP", groundingMetadata=GROUNDING)
    )
    assert chat_of(write("openai-chat", feed(data)))["choices"][0]["message"]["annotations"] == expected
    cited = {"citationSources": [{"startIndex": 0, "endIndex": 2, "uri": "https://x.test/b"}]}
    (one,) = as_chat(answer({"text": text}, citationMetadata=cited))["choices"][0]["message"]["annotations"]
    assert one["url_citation"] == {"url": "https://x.test/b", "title": "", "start_index": 0, "end_index": 1}


def test_log_probabilities_are_those_of_openais_dialect():
    result = {
        "chosenCandidates": [{"token": "é", "logProbability": -0.5}],
        "topCandidates": [
            {"candidates": [{"token": "é", "logProbability": -0.5}, {"token": "e", "logProbability": -1.5}]}
        ],
    }
    (token,) = as_chat(answer({"text": "é"}, logprobsResult=result))["choices"][0]["logprobs"]["content"]
    assert (token["token"], token["logprob"], token["bytes"]) == ("é", -0.5, [195, 169])
    assert [other["token"] for other in token["top_logprobs"]] == ["é", "e"]
    events = feed(stream(reply({"text": "é"}, finish="STOP", logprobsResult=result)))
    assert chat_of(write("openai-chat", events))["choices"][0]["logprobs"]["content"][0]["token"] == "é"


# --- ends ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        *[
            (word, "content_filter")
            for word in (
                "SAFETY",
                "RECITATION",
                "BLOCKLIST",
                "PROHIBITED_CONTENT",
                "SPII",
                "LANGUAGE",
                "MODEL_ARMOR",
            )
        ],
    ],
)
def test_every_reason_to_stop_has_its_own(word, finish):
    assert answer({"text": "x"}, finish=word).finish == finish
    last = feed(stream(reply({"text": "x"}, finish=word)))[-1]
    assert isinstance(last, Finished)
    assert last.finish == finish


@pytest.mark.parametrize(
    "word",
    [
        None,
        "OTHER",
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "MISSING_THOUGHT_SIGNATURE",
        "SURPRISE",
    ],
)
def test_u13_a_model_that_stopped_for_no_reason_that_is_an_end_has_failed(word):
    failure = whole({"text": "x"}, finish=word)
    assert isinstance(failure, Failure)
    assert (failure.outcome, failure.final) == ("malformed", False)
    last = feed(stream(reply({"text": "x"}, finish=word)))[-1]
    assert isinstance(last, Failure)
    assert last.outcome == "malformed"


def test_a_blocked_prompt_is_the_vendors_filter_not_an_empty_answer():
    body = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 3}}
    failure = GEMINI.decode_answer(json.dumps(body).encode())
    assert isinstance(failure, Failure)
    assert (failure.outcome, failure.final) == ("content_filtered", False)
    assert "PROHIBITED_CONTENT" in failure.detail
    assert feed(stream(body)) == [failure]


def test_older_models_say_stop_in_every_chunk_and_are_heard_to_the_end():
    data = stream(reply({"text": "a"}, finish="STOP"), reply({"text": "b"}, finish="STOP"))
    events = feed(data)
    assert said(events) == "ab"
    assert sum(isinstance(event, Finished) for event in events) == 1


def test_nothing_is_given_out_after_the_end():
    decoder = GEMINI.StreamDecoder()
    decoder.feed(stream(reply({"text": "a"}, finish="STOP")))
    assert isinstance(decoder.end()[-1], Finished)
    assert decoder.feed(stream(reply({"text": "b"}))) == decoder.end() == []


@pytest.mark.parametrize(
    "part",
    [
        {"executableCode": {"language": "PYTHON", "code": "x"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK"}},
        {"inlineData": {"mimeType": "image/png", "data": "AA"}},
        {"toolCall": {"name": "x"}},
        {"surprise": 1},
    ],
)
def test_a2_a_part_that_may_be_a_call_nobody_judges_makes_an_answer_malformed(part):
    failure = whole({"text": "x"}, part)
    assert isinstance(failure, Failure)
    assert failure.outcome == "malformed"
    last = feed(stream(reply({"text": "x"}), reply(part, finish="STOP")))[-1]
    assert isinstance(last, Failure)


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
        b'{"candidates":[]}',
        b'{"candidates":[{"finishReason":"STOP","content":{"parts":7}}]}',
        b'{"candidates":[{"finishReason":"STOP","content":{"parts":[{"functionCall":{}}]}}]}',
        b'{"candidates":[{"finishReason":"STOP","content":{"parts":[{"functionCall":{"name":"f","args":"x"}}]}}]}',
        b'{"candidates":[{"finishReason":"STOP","groundingMetadata":{"groundingSupports":[7]},"content":{}}]}',
        b'{"candidates":[{"finishReason":7}]}',
    ],
)
def test_u11_u13_an_answer_that_is_none_is_a_failure_without_a_word_of_it(body):
    failure = GEMINI.decode_answer(body)
    assert isinstance(failure, Failure)
    assert (failure.outcome, failure.final) == ("malformed", False)
    last = feed(b"data: " + body + b"\n\n")[-1]
    assert isinstance(last, Failure)


@pytest.mark.parametrize("usage", [None, 7, {}, {"promptTokenCount": "x", "candidatesTokenCount": -1.5}])
def test_u16_impossible_counts_are_unknown_ones(usage):
    assert answer({"text": "x"}, usageMetadata=usage).usage == Usage()
    last = feed(stream(reply({"text": "x"}, finish="STOP", usageMetadata=usage)))[-1]
    assert isinstance(last, Finished)
    assert last.usage == Usage()


def test_counts_of_nothing_are_left_out_by_the_server_and_told_by_the_total():
    usage = {"promptTokenCount": 9, "thoughtsTokenCount": 30, "totalTokenCount": 39}
    assert answer(finish="MAX_TOKENS", usageMetadata=usage).usage == Usage(
        input_tokens=9, output_tokens=30, reasoning_tokens=30
    )


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_u11_a_mutated_stream_never_raises_and_ends_once(data):
    frames = [
        reply({"text": "hm", "thought": True}),
        reply({**CALL, "thoughtSignature": "c2ln"}),
        reply({"text": "x"}, finish="STOP", groundingMetadata=GROUNDING),
    ]
    raw = bytearray(stream(*frames))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    events = feed(bytes(raw[:cut]), bytes(raw[cut:]))
    terminal = [event for event in events if isinstance(event, Finished | Failure)]
    assert terminal == [events[-1]]
    body = bytearray(json.dumps(frames[1]).encode())
    body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    GEMINI.decode_answer(bytes(body))


@pytest.mark.parametrize(
    "words", ["\n\ndata: {}\n\n", "event: x\r\n\r\n", "\u2028</script>\x00", "data: [DONE]\n\n"]
)
def test_a14_words_that_look_like_events_are_words(words):
    events = feed(
        stream(
            reply({"text": words}),
            reply({"functionCall": {"name": words, "args": {"a": words}}}, finish="STOP"),
        )
    )
    chat = chat_of(write("openai-chat", events))
    assert chat["choices"][0]["message"]["content"] == words
    assert chat["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == words
    blocks = [
        one for one in payloads(write("anthropic-messages", events)) if one["type"] == "content_block_start"
    ]
    assert [block["content_block"].get("name") for block in blocks] == [None, words]


# --- errors ----------------------------------------------------------------------------------------


def fail(status: int, error: Any, headers: dict[str, str] | None = None) -> Failure:
    return GEMINI.decode_error(status, headers or {}, json.dumps({"error": error}).encode())


def detail(kind: str, **fields: Any) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **fields}


@pytest.mark.parametrize(
    ("status", "error", "outcome", "final"),
    [
        (400, {"status": "INVALID_ARGUMENT", "message": "bad schema"}, "upstream_error", True),
        (404, {"status": "NOT_FOUND", "message": "no such model"}, "upstream_error", True),
        (400, {"status": "FAILED_PRECONDITION", "message": "not in your country"}, "upstream_error", False),
        (429, {"status": "RESOURCE_EXHAUSTED"}, "rate_limited", False),
        (500, {"status": "INTERNAL"}, "upstream_error", False),
        (503, {"status": "UNAVAILABLE"}, "upstream_error", False),
        (504, {"status": "DEADLINE_EXCEEDED"}, "timeout", False),
        (413, None, "context_length", False),
        (502, "words", "upstream_error", False),
    ],
)
def test_u6_status_and_code_say_how_a_call_failed(status, error, outcome, final):
    failure = fail(status, error)
    assert (failure.outcome, failure.final, failure.status) == (outcome, final, status)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, {"status": "INVALID_ARGUMENT", "details": [detail("ErrorInfo", reason="API_KEY_INVALID")]}),
        (401, {"status": "UNAUTHENTICATED"}),
        (403, {"status": "PERMISSION_DENIED", "details": [detail("ErrorInfo", reason="SERVICE_DISABLED")]}),
    ],
)
def test_u7_what_the_vendor_says_of_our_key_is_shown_to_nobody(status, error):
    failure = fail(status, {"message": f"API key not valid: {CANARY}", **error})
    assert (failure.outcome, failure.final, failure.status) == ("upstream_error", False, status)
    assert CANARY not in failure.message + failure.detail
    assert "not valid" not in failure.message + failure.detail


def test_u5_the_recorded_refusal_says_how_long_to_wait():
    (row,) = (
        row
        for row in rows("provider-recordings", "provider_fixtures_sample.jsonl")
        if row["name"] == "google-429-retry-info.json"
    )
    failure = GEMINI.decode_error(429, {}, row["body"].encode())
    assert (failure.outcome, failure.retry_after_s) == ("rate_limited", 34.4)


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        ("34.4s", 34.4),
        ("0s", 0.0),
        ("-3s", None),
        ("soon", None),
        ("9" * 40 + "s", None),
        (7, None),
        ("1e9s", None),
    ],
)
def test_u5_a_delay_that_is_none_is_unknown_and_the_header_goes_first(delay, seconds):
    error = {
        "status": "RESOURCE_EXHAUSTED",
        "details": [detail("RetryInfo", retryDelay=delay), 7, {"@type": []}],
    }
    assert fail(429, error).retry_after_s == seconds
    assert fail(429, error, {"retry-after": "2"}).retry_after_s == 2.0


def test_u13_an_error_inside_a_200_or_a_stream_is_the_failure_that_it_says():
    error = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "x"}}
    failure = GEMINI.decode_answer(json.dumps(error).encode())
    assert isinstance(failure, Failure)
    assert (failure.outcome, failure.status) == ("rate_limited", 429)
    assert feed(stream(reply({"text": "a"}), error))[-1] == failure


@pytest.mark.parametrize(
    "body", [b"<html>", b"", b"[]", b"[[]]", b"\xff", b"[" * 100_000, b'{"error":{"details":7}}']
)
def test_u6_the_status_decides_whatever_the_body_is(body):
    assert GEMINI.decode_error(500, {}, body).outcome == "upstream_error"
    assert GEMINI.decode_error(400, {}, body).final


def test_an_error_in_the_form_of_a_list_is_read_too():
    body = json.dumps([{"error": {"status": "INVALID_ARGUMENT", "message": "bad schema"}}]).encode()
    assert GEMINI.decode_error(400, {}, body).message == "bad schema"
