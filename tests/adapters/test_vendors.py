"""Vendors that speak OpenAI's format in their own way: what they are asked, what they say, how they fail."""

import json
from typing import Any, Final

import pytest

from interlock.adapters import openai
from interlock.config.vendors import VENDORS
from interlock.types.answer import Answer, BlockDelta, BlockStarted, Event, Failure, Finished
from interlock.types.request import Text, Thinking
from tests.adapters.recorded import payloads, streams, write
from tests.adapters.test_requests import chat, say, target
from tests.data import rows

COMPATIBLE: Final = [vendor for vendor in VENDORS.values() if vendor.kind == "openai" and vendor.base_url]
IDS: Final = [vendor.name for vendor in COMPATIBLE]
THOUGHT: Final = chat(
    say("developer", Text(text="be brief")),
    say("user", Text(text="hi")),
    say("assistant", Thinking(text="hm"), Text(text="hello")),
    say("user", Text(text="and?")),
    max_output_tokens=7,
    seed=3,
    stream=True,
)


def asked(vendor: str) -> dict[str, Any]:
    known = VENDORS[vendor]
    to = target(known.base_url or "", quirks=known.quirks)
    body: dict[str, Any] = json.loads(openai.encode_request(THOUGHT, to).body)
    return body


@pytest.mark.parametrize("vendor", COMPATIBLE, ids=IDS)
def test_every_vendor_is_asked_for_the_same_in_its_own_words(vendor):
    body, quirks = asked(vendor.name), vendor.quirks
    assert body[quirks.limit] == 7
    assert ("max_tokens" in body) != ("max_completion_tokens" in body)
    assert body[quirks.seed] == 3
    assert ("stream_options" in body) == quirks.stream_options
    assert body["messages"][0]["role"] == ("developer" if quirks.developer else "system")
    text = json.dumps(body["messages"][2])
    assert ("hm" in text) == (quirks.reasoning is not None)
    assert "hello" in text


def test_mistral_is_sent_nothing_that_it_refuses():
    body = asked("mistral")
    assert body.keys() == {"model", "messages", "max_tokens", "random_seed", "stream"}
    assert body["messages"][2] == {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
            {"type": "text", "text": "hello"},
        ],
    }


def test_thoughts_go_back_in_the_field_that_a_vendor_knows():
    assert asked("groq")["messages"][2]["reasoning"] == "hm"
    assert asked("deepseek")["messages"][2]["reasoning_content"] == "hm"


def test_perplexity_is_called_at_the_one_address_it_has():
    to = target(VENDORS["perplexity"].base_url or "")
    assert openai.encode_request(chat(), to).url == "https://api.perplexity.ai/chat/completions"


# --- thoughts, streamed and not ---------------------------------------------------------------


def fixture(name: str) -> str:
    for row in rows("provider-recordings", "provider_fixtures_sample.jsonl"):
        if row["name"] == name:
            return str(row["body"])
    raise LookupError(name)


@pytest.mark.parametrize(
    "name", ["deepseek-reasoning.json", "groq-reasoning.json", "xai-text.json", "xai-tool-call.json"]
)
def test_thoughts_of_a_recorded_answer_are_thinking_whatever_the_vendor_calls_them(name):
    body = fixture(name)
    sent = json.loads(body)["choices"][0]["message"]
    answer = openai.decode_answer(body.encode())
    assert isinstance(answer, Answer)
    thoughts = [part.text for part in answer.parts if isinstance(part, Thinking)]
    assert thoughts == [sent.get("reasoning_content") or sent.get("reasoning")]


@pytest.mark.parametrize(
    "name", ["deepseek-reasoning.chunks.txt", "xai-text.chunks.txt", "xai-tool-call.chunks.txt"]
)
def test_thoughts_of_a_recorded_stream_are_thinking_however_it_is_cut(name):
    lines = [json.loads(line) for line in fixture(name).splitlines() if line.strip()]
    deltas = [choice["delta"] for line in lines for choice in line["choices"]]
    expected = "".join(delta.get("reasoning_content") or "" for delta in deltas)
    data = dict(streams("openai-chat"))[name]
    whole = feed(data)
    assert thoughts_in(whole) == expected
    assert len(expected) > 10
    head = data[:2000]
    reference = openai.StreamDecoder().feed(head)
    decoder = openai.StreamDecoder()
    assert [event for byte in head for event in decoder.feed(bytes([byte]))] == reference


@pytest.mark.parametrize(
    "name",
    [
        "deepseek-reasoning.chunks.txt",
        "mistral-incremental-tool-call.chunks.txt",
        "xai-text.chunks.txt",
        "xai-tool-call.chunks.txt",
    ],
)
def test_u8_a_recorded_stream_cut_after_any_event_never_looks_finished(name):
    events = dict(streams("openai-chat"))[name].split(b"\n\n")[:-2]  # all but [DONE]
    decoder = openai.StreamDecoder()
    for event in events:
        assert not any(isinstance(found, Finished | Failure) for found in decoder.feed(event + b"\n\n"))
    assert isinstance(decoder.end()[-1], Failure)


def feed(*pieces: bytes) -> list[Event]:
    decoder = openai.StreamDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.end()


def thoughts_in(events: list[Event]) -> str:
    thinking = {
        event.index for event in events if isinstance(event, BlockStarted) and event.kind == "thinking"
    }
    return "".join(e.text for e in events if isinstance(e, BlockDelta) and e.index in thinking)


def chunks(*deltas: dict[str, Any], **top: Any) -> bytes:
    made = [{"id": "c", "model": "m", "choices": [{"index": 0, "delta": delta}], **top} for delta in deltas]
    made.append(
        {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], **top}
    )
    return b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in made) + b"data: [DONE]\n\n"


PIECES: Final = [
    {"type": "thinking", "thinking": [{"type": "text", "text": "first"}, {"type": "text", "text": " this"}]},
    {"type": "text", "text": "then that"},
]


def test_thoughts_and_words_in_a_list_are_told_apart():
    body = {"choices": [{"message": {"content": PIECES}, "finish_reason": "stop"}]}
    answer = openai.decode_answer(json.dumps(body).encode())
    assert isinstance(answer, Answer)
    assert answer.parts == (Thinking(text="first this"), Text(text="then that"))


def test_thoughts_and_words_in_lists_of_a_stream_are_told_apart_wherever_it_is_cut():
    data = chunks({"content": PIECES[:1]}, {"content": PIECES[1:]}, {"content": " too"})
    events = feed(data)
    kinds = [event.kind for event in events if isinstance(event, BlockStarted)]
    assert kinds == ["thinking", "text"]
    assert thoughts_in(events) == "first this"
    assert "".join(e.text for e in events if isinstance(e, BlockDelta)) == "first thisthen that too"
    for at in range(len(data)):
        assert feed(data[:at], data[at:]) == events


@pytest.mark.parametrize("piece", [{"type": "reference", "reference_ids": [1]}, {"type": "tool_call"}])
def test_a_part_of_a_kind_that_nobody_knows_makes_the_answer_none(piece):
    body = {"choices": [{"message": {"content": [piece]}, "finish_reason": "stop"}]}
    for found in (openai.decode_answer(json.dumps(body).encode()), feed(chunks({"content": [piece]}))[-1]):
        assert isinstance(found, Failure)
        assert piece["type"] in found.detail


def test_cohere_s_native_answer_is_none_of_this_format():
    found = openai.decode_answer(fixture("cohere-reasoning.json").encode())
    assert isinstance(found, Failure)
    assert found.outcome == "malformed"


# --- what else a stream says ------------------------------------------------------------------


def test_sources_of_a_streamed_search_reach_a_caller_of_the_same_dialect():
    found = [{"title": "t", "url": "https://x.test"}]
    data = chunks({"content": "so"}, citations=["https://x.test"], search_results=found)
    last = payloads(write("openai-chat", feed(data)))[-1]
    assert (last["citations"], last["search_results"]) == (["https://x.test"], found)


def test_the_details_of_reasoning_go_with_the_thoughts_and_open_no_block_of_words():
    summary = [{"type": "reasoning.summary", "summary": "hm"}]
    sealed = [{"type": "reasoning.encrypted", "data": "x"}]
    data = chunks(
        {"content": "", "reasoning": "hm", "reasoning_details": summary},
        {"content": "", "reasoning_details": sealed},
        {"content": "so"},
    )
    events = feed(data)
    assert [event.kind for event in events if isinstance(event, BlockStarted)] == ["thinking", "text"]
    shown = [choice["delta"] for one in payloads(write("openai-chat", events)) for choice in one["choices"]]
    assert [delta["reasoning_details"] for delta in shown if "reasoning_details" in delta] == [
        summary,
        sealed,
    ]


# --- how they fail ----------------------------------------------------------------------------


FORBIDDEN: Final = {"loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}
REFUSALS: Final[dict[str, tuple[int, dict[str, Any], str]]] = {
    "mistral": (
        422,
        {"object": "error", "message": {"detail": [FORBIDDEN]}, "code": None},
        "body.seed: Extra inputs are not permitted",
    ),
    "mistral, newer": (
        422,
        {"message": [FORBIDDEN, {"loc": [], "msg": 7}], "code": 3001},
        "body.seed: Extra inputs are not permitted",
    ),
    "xai": (400, {"code": "Client specified an invalid argument", "error": "no model"}, "no model"),
    "nvidia": (404, {"status": 404, "title": "Not Found", "detail": "no function"}, "no function"),
    "nvidia, bare": (400, {"title": "Bad Request"}, "Bad Request"),
    "cohere": (400, {"id": "x", "message": "invalid model"}, "invalid model"),
    "vllm": (400, {"object": "error", "message": "bad", "type": "BadRequestError", "code": 400}, "bad"),
}


@pytest.mark.parametrize("vendor", REFUSALS)
def test_a_refusal_of_any_shape_reaches_the_caller_in_the_vendor_s_words(vendor):
    status, body, words = REFUSALS[vendor]
    failure = openai.decode_error(status, {}, json.dumps(body).encode())
    assert (failure.outcome, failure.final, failure.message) == ("upstream_error", True, words)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("exceed_context_size_error", "context_length"),
        ("tool_use_failed", "malformed"),
        ("json_validate_failed", "schema_invalid"),
    ],
)
def test_what_a_model_got_wrong_or_cannot_take_is_not_held_against_the_caller(code, outcome):
    body = {"error": {"message": "vendor words", "code": code, "failed_generation": "<x>"}}
    failure = openai.decode_error(400, {}, json.dumps(body).encode())
    assert (failure.outcome, failure.final) == (outcome, False)
    assert "vendor words" not in failure.message


def test_a_router_s_error_has_the_status_that_it_reports():
    data = b'data: {"id":"c","error":{"code":429,"message":"Provider returned error"}}\n\n'
    found = feed(data)[-1]
    assert isinstance(found, Failure)
    assert (found.outcome, found.status) == ("rate_limited", 429)
