"""Embeddings and counts on the wire of a provider: what is asked, and what counts as an answer."""

import json

import pytest

from interlock.adapters import anthropic, openai
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
