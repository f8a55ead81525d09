"""Azure OpenAI: its addresses, its header for the key, and what its content filter says beside the model."""

import json
from typing import Any, Final

import pytest

from interlock.adapters import azure
from interlock.dialects import DIALECTS
from interlock.types.answer import Answer, BlockStarted, Event, Failure, Finished, Started
from tests.adapters.recorded import ask, payloads, write
from tests.adapters.test_requests import chat, message, target

RESOURCE: Final = "https://name.openai.azure.com"
SAFE: Final = {"hate": {"filtered": False, "severity": "safe"}}
HIT: Final = {
    "hate": {"filtered": False, "severity": "safe"},
    "jailbreak": {"filtered": True, "detected": True},
}
PROMPT: Final = [{"prompt_index": 0, "content_filter_results": SAFE}]


@pytest.mark.parametrize(
    ("base", "version", "chat_url", "embeddings_url"),
    [
        (RESOURCE, None, "/openai/v1/chat/completions", "/openai/v1/embeddings"),
        (f"{RESOURCE}/openai/v1", None, "/openai/v1/chat/completions", "/openai/v1/embeddings"),
        (
            f"{RESOURCE}/openai/v1/",
            "preview",
            "/openai/v1/chat/completions?api-version=preview",
            "/openai/v1/embeddings?api-version=preview",
        ),
        (
            RESOURCE,
            "2024-10-21",
            "/openai/deployments/my%20deployment/chat/completions?api-version=2024-10-21",
            "/openai/deployments/my%20deployment/embeddings?api-version=2024-10-21",
        ),
        (
            f"{RESOURCE}/openai",
            "2024-10-21",
            "/openai/deployments/my%20deployment/chat/completions?api-version=2024-10-21",
            "/openai/deployments/my%20deployment/embeddings?api-version=2024-10-21",
        ),
    ],
)
def test_a_resource_is_called_at_its_newer_addresses_or_by_deployment_and_version(
    base, version, chat_url, embeddings_url
):
    to = target(base, upstream_model="my deployment", api_version=version)
    assert azure.encode_request(chat(), to).url == RESOURCE + chat_url
    assert azure.embeddings.encode_request(chat(operation="embed"), to).url == RESOURCE + embeddings_url


def test_the_key_goes_in_azure_s_header_or_as_a_bearer_where_the_config_says_so():
    own = dict(azure.encode_request(chat(), target(RESOURCE)).headers)
    assert (own["api-key"], "authorization" in own) == ("sk-1", False)
    token = dict(azure.encode_request(chat(), target(RESOURCE, auth="bearer")).headers)
    assert (token["authorization"], "api-key" in token) == ("Bearer sk-1", False)


def test_the_body_is_openai_s():
    body = json.loads(azure.encode_request(chat(stream=True, seed=7), target(RESOURCE)).body)
    assert (body["model"], body["seed"], body["stream_options"]) == ("u", 7, {"include_usage": True})


def test_what_openai_s_format_cannot_carry_azure_s_cannot_either():
    assert azure.cannot_carry(message(top_k=3)) == ("top_k",)


def test_a_filtered_prompt_is_content_filtered_and_the_record_has_what_was_found():
    error = {
        "message": "The response was filtered",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": HIT},
    }
    failure = azure.decode_error(400, {}, json.dumps({"error": error}).encode())
    assert (failure.outcome, failure.final) == ("content_filtered", False)
    assert "ResponsibleAIPolicyViolation, jailbreak" in failure.detail


@pytest.mark.parametrize("inner", [None, "x", {}, {"code": 7}, {"content_filter_result": {"hate": None}}])
def test_an_inner_error_of_another_shape_is_passed_over(inner):
    error = {"code": "DeploymentNotFound", "message": "none such", "innererror": inner}
    failure = azure.decode_error(404, {}, json.dumps({"error": error}).encode())
    assert (failure.outcome, failure.final, failure.message) == ("upstream_error", True, "none such")


def chunk(delta: dict[str, Any], **choice: Any) -> dict[str, Any]:
    return {"id": "c1", "model": "m", "created": 5, "choices": [{"index": 0, "delta": delta, **choice}]}


FIRST: Final = {
    "id": "",
    "model": "",
    "object": "",
    "created": 0,
    "choices": [],
    "prompt_filter_results": PROMPT,
}


def sse(*chunks: dict[str, Any]) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(one).encode() for one in chunks) + b"data: [DONE]\n\n"


ANSWER: Final = sse(
    FIRST,
    chunk({"role": "assistant", "content": ""}, content_filter_results={}),
    chunk({"content": "Hi"}, content_filter_results=SAFE),
    chunk({"content": " there"}, content_filter_results=SAFE),
    chunk({}, finish_reason="stop", content_filter_results={"hate": {"filtered": False}}),
)


def read(*pieces: bytes) -> list[Event]:
    decoder = azure.StreamDecoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.end()


def test_what_the_filter_makes_of_the_prompt_does_not_begin_the_answer():
    events = read(ANSWER)
    assert events[0] == Started("c1", "m", None, 5, None)
    assert [event.kind for event in events if isinstance(event, BlockStarted)] == ["text"]


@pytest.mark.parametrize("at", range(0, len(ANSWER), 7))
def test_a_stream_with_filter_results_has_the_same_events_wherever_it_is_cut(at):
    assert read(ANSWER[:at], ANSWER[at:]) == read(ANSWER)


@pytest.mark.parametrize("events", range(1, 6))
def test_a_stream_that_is_cut_after_any_event_is_none(events):
    cut = b"\n\n".join(ANSWER.split(b"\n\n")[:events]) + b"\n\n"
    assert isinstance(read(cut)[-1], Failure)


def test_a_caller_of_openai_chat_sees_what_the_filter_found_and_the_words_unchanged():
    shown = payloads(write("openai-chat", read(ANSWER)))
    choices = [choice for one in shown for choice in one["choices"]]
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == "Hi there"
    assert [c["content_filter_results"] for c in choices if c.get("content_filter_results")] == [
        SAFE,
        SAFE,
        {"hate": {"filtered": False}},
    ]
    assert shown[-1]["prompt_filter_results"] == PROMPT


def test_a_caller_of_anthropic_messages_sees_one_block_of_the_words():
    shown = payloads(write("anthropic-messages", read(ANSWER)))
    starts = [event for event in shown if event["type"] == "content_block_start"]
    assert len(starts) == 1


def test_an_answer_stopped_by_the_filter_ends_as_such():
    data = sse(FIRST, chunk({"content": "Well"}), chunk({}, finish_reason="content_filter"))
    last = read(data)[-1]
    assert isinstance(last, Finished)
    assert last.finish == "content_filter"


def test_a_whole_answer_keeps_what_the_filter_found_for_callers_of_the_same_dialect():
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": "Hi"},
        "content_filter_results": SAFE,
    }
    body = {"id": "c1", "model": "m", "created": 5, "choices": [choice], "prompt_filter_results": PROMPT}
    answer = azure.decode_answer(json.dumps(body).encode())
    assert isinstance(answer, Answer)
    shown = json.loads(DIALECTS["openai-chat"].encode_answer(answer, ask("openai-chat"), "pool"))
    assert shown["prompt_filter_results"] == PROMPT
    assert shown["choices"][0]["content_filter_results"] == SAFE
