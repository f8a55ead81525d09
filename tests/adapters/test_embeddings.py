"""Embeddings and counts on the wire of a provider: what is asked, and what counts as an answer."""

import json

import pytest

from interlock.adapters import CALLS, Target, anthropic, gemini, openai
from interlock.errors import ApiError
from interlock.types.answer import Answer, Failure
from interlock.types.request import Embedding, Message, Request, Text, Tokens
from tests.adapters.recorded import TARGETS

ITEM = {"object": "embedding", "index": 0, "embedding": [0.5, 1]}


def asked(*parts, **fields):
    messages = tuple(Message(role="user", parts=(part,)) for part in parts)
    return Request(dialect="openai-chat", operation="embed", model="m", messages=messages, **fields)


def reply(*items, **top):
    return openai.embeddings.decode_answer(json.dumps({"object": "list", "data": items, **top}).encode())


def item(index, first):
    return {"embedding": [first], "index": index}


def test_one_input_goes_alone_and_several_as_a_list_with_what_the_caller_asked_of_them():
    call = openai.embeddings.encode_request(asked(Text(text="a"), extra={"dimensions": 8}), TARGETS["openai"])
    assert call.url == "https://openai.test/v1/embeddings"
    assert json.loads(call.body) == {"model": "upstream-model", "input": "a", "dimensions": 8}
    assert ("authorization", "Bearer sk-canary") in call.headers
    call = openai.embeddings.encode_request(asked(Text(text="a"), Text(text="b")), TARGETS["openai"])
    assert json.loads(call.body)["input"] == ["a", "b"]
    call = openai.embeddings.encode_request(asked(Tokens(ids=(1, 2)), user="u"), TARGETS["openai"])
    assert json.loads(call.body) == {"model": "upstream-model", "input": [1, 2], "user": "u"}


def test_vectors_come_in_the_order_of_the_inputs_whatever_the_order_of_the_answer():
    answer = reply(item(1, 20), item(0, 10))
    assert isinstance(answer, Answer)
    assert answer.parts == (Embedding(vector=[10]), Embedding(vector=[20]))


def test_usage_is_all_input_and_unknown_where_nobody_counted():
    known = reply(ITEM, usage={"prompt_tokens": 3, "total_tokens": 3})
    assert isinstance(known, Answer)
    assert (known.usage.input_tokens, known.usage.output_tokens) == (3, 0)
    unknown = reply(ITEM)
    assert isinstance(unknown, Answer)
    assert unknown.usage.input_tokens is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"data":[{"embedding":[]}]}',
        b'{"data":[{"embedding":"AAA"}]}',
        b'{"data":[{"embedding":"AAAA"}]}',
        b'{"data":[{"embedding":"not base64"}]}',
        b'{"data":[{"embedding":["x"]}]}',
        b'{"data":[{"embedding":[1e300]}]}',
        b'{"data":[{"embedding":[1],"index":0},{"embedding":[1],"index":0}]}',
        b'{"data":[{"embedding":[1],"index":1}]}',
    ],
)
def test_what_holds_no_vectors_is_malformed(body):
    found = openai.embeddings.decode_answer(body)
    assert isinstance(found, Failure)
    assert found.outcome == "malformed"


def test_an_error_in_an_answer_is_one():
    found = reply(error={"message": "slow down", "code": "rate_limit_exceeded"})
    assert isinstance(found, Failure)
    assert found.outcome == "rate_limited"


def test_a_count_is_asked_of_the_counter_without_what_is_no_input():
    request = Request(
        dialect="anthropic-messages",
        operation="count",
        model="m",
        messages=(Message(role="user", parts=(Text(text="hi"),)),),
        temperature=0.5,
        max_output_tokens=9,
        user="u",
        extra={"anthropic_beta": ["b-1"], "context_management": {"edits": []}},
    )
    call = anthropic.counting.encode_request(request, TARGETS["anthropic"])
    assert call.url == "https://anthropic.test/v1/messages/count_tokens"
    assert json.loads(call.body) == {
        "model": "upstream-model",
        "messages": [{"role": "user", "content": "hi"}],
        "context_management": {"edits": []},
    }
    assert ("anthropic-beta", "b-1") in call.headers


@pytest.mark.parametrize("body", [b"", b"{}", b'{"input_tokens":"7"}', b'{"input_tokens":-1}'])
def test_what_holds_no_count_is_malformed(body):
    found = anthropic.counting.decode_answer(body)
    assert isinstance(found, Failure)
    assert found.outcome == "malformed"


GEMINI = Target(
    upstream_model="gemini-embedding-001",
    base_url="https://generativelanguage.googleapis.com",
    api_key="k",
    max_output_tokens=None,
)


def test_gemini_embeds_one_text_and_many_in_one_call():
    extra = {"dimensions": 8, "encoding_format": "base64"}
    call = gemini.embeddings.encode_request(asked(Text(text="a"), Text(text="b"), extra=extra), GEMINI)
    assert call.url.endswith("/v1beta/models/gemini-embedding-001:batchEmbedContents")
    assert ("x-goog-api-key", "k") in call.headers
    each = {"model": "models/gemini-embedding-001", "outputDimensionality": 8}
    assert json.loads(call.body) == {
        "requests": [{**each, "content": {"parts": [{"text": text}]}} for text in "ab"]
    }


def test_gemini_s_vectors_come_in_order_and_their_tokens_are_unknown_where_nobody_counted():
    body: dict[str, object] = {"embeddings": [{"values": [1, 2]}, {"values": [3, 4]}]}
    found = gemini.embeddings.decode_answer(json.dumps(body).encode())
    assert isinstance(found, Answer)
    assert found.parts == (Embedding(vector=[1, 2]), Embedding(vector=[3, 4]))
    assert (found.usage.input_tokens, found.usage.output_tokens) == (None, 0)
    body["usageMetadata"] = {"promptTokenCount": 5}
    counted = gemini.embeddings.decode_answer(json.dumps(body).encode())
    assert isinstance(counted, Answer)
    assert counted.usage.input_tokens == 5


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (asked(Tokens(ids=(1, 2))), "input"),
        (asked(Text(text="a"), extra={"input_type": "query"}), "input_type"),
    ],
)
def test_what_gemini_cannot_embed_is_named_and_never_sent_without(request_, named):
    assert named in gemini.embeddings.cannot_carry(request_)
    with pytest.raises(ApiError, match=named):
        gemini.embeddings.encode_request(request_, GEMINI)


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b"", "malformed"),
        (b'{"embeddings":[{"values":[]}]}', "malformed"),
        (b'{"embeddings":[{"values":["x"]}]}', "malformed"),
        (b'{"embeddings":[{"values":[1e300]}]}', "malformed"),
        (b'{"error":{"code":429,"status":"RESOURCE_EXHAUSTED"}}', "rate_limited"),
    ],
)
def test_what_holds_none_of_gemini_s_vectors_is_a_failure(body, outcome):
    found = gemini.embeddings.decode_answer(body)
    assert isinstance(found, Failure)
    assert found.outcome == outcome


def test_wire_formats_that_embed_are_named_and_bedrock_and_anthropic_are_not_among_them():
    assert CALLS["embed"].keys() == {"openai", "openai-responses", "azure", "gemini"}
