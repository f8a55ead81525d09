"""Addresses in a provider's complaint: those of an inner network go, and what helps the caller stays."""

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from interlock.execute.places import without_places

CALLED = "https://models.eu.acme-ai.com:8443/v1/chat/completions"
PLACES = [
    "models.eu.acme-ai.com",
    "models.eu.acme-ai.com:8443",
    "MODELS.eu.Acme-AI.com",
    "https://models.eu.acme-ai.com:8443/v1/chat/completions",
    "https://user:secret@models.eu.acme-ai.com/v1?x=1",
    "http://vllm-7b:8000/v1/models",
    "http://10.0.3.7:8000/generate",
    "https://[fd00::12]:9000/x",
    "grpc://triton.inference.svc.cluster.local:8001",
    "10.0.3.7",
    "192.168.178.20:11434",
    "203.0.113.9",
    "169.254.169.254",
    "fd00::12",
    "[fe80::1]:80",
    "::1",
    "2001:db8:0:0:0:0:2:1",
    "localhost",
    "localhost:8000",
    "ip-10-0-0-1.eu-west-1.compute.internal",
    "redis.prod.svc",
    "gpu-03.lan:22",
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("around", ["{}", "failed at {}: retry", "({})", "see '{}'.", 'x="{}", y', "[{}]"])
def test_an_inner_address_is_taken_out_wherever_it_stands(place, around):
    text = around.format(place)
    found = without_places(text, CALLED)
    assert found.replace("[…]", "…") == around.format("…").replace("[…]", "…")


@pytest.mark.parametrize(
    "text",
    [
        "Unknown parameter: 'messages[1].tool_calls[0].function.arguments'.",
        "max_tokens: 4096 is more than 1024 (see https://platform.openai.com/docs/guides/limits).",
        "This model's maximum context length is 8192 tokens, at 12:30:45 on 2026-11-26.",
        "gpt-4.1 does not support `response_format`; use gpt-4.1-mini or claude-3.5",
        "messages.0.content.1.image.source.base64: invalid base64 data",
        "version 1.2.3 of std::vector, a::b and :: are no addresses",
        "read https://docs.anthropic.com/en/api/errors#http-errors, then try again",
        "local variables, internal errors and private fields are words",
        "body -> messages: Input should be a valid list",
    ],
)
def test_what_helps_the_caller_stays_as_it_was(text):
    assert without_places(text, CALLED) == text


def test_the_host_that_was_called_is_known_by_a_single_word_only_with_its_port():
    text = "vllm could not load: vllm:8000 is busy"
    assert without_places(text, "http://vllm:8000/v1/chat/completions") == "vllm could not load: … is busy"


@for_all(
    st.lists(st.sampled_from([*PLACES, "and", "x.", "(see)"]), max_size=8),
    st.sampled_from([" ", "\n", ", ", " -> "]),
)
def test_however_many_stand_in_a_text_none_is_left(words, between):
    found = without_places(between.join(words), CALLED).replace("[…]", "…")
    assert found == between.join("…" if word in PLACES else word for word in words)


@for_all(st.text(max_size=60), st.text(max_size=30))
def test_whatever_a_provider_writes_is_no_fault(text, url):
    assert isinstance(without_places(text, url), str)


@pytest.mark.parametrize("bad", ["http://[", "http://a b", "", "http://[::1"])
def test_a_text_that_is_no_address_is_no_fault(bad):
    assert isinstance(without_places(bad, bad), str)
