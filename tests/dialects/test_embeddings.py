"""Requests for embeddings in every form that callers write, and answers in the encoding they ask for."""

import base64
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.dialects.openai_embeddings import as_base64, as_floats, decode_request, encode_answer
from interlock.errors import ApiError
from interlock.types.answer import Answer, Usage
from interlock.types.request import Embedding, Text, Tokens

VECTOR = [0.25, -1.5, 3.0]
PACKED = base64.b64encode(struct.pack("<3f", *VECTOR)).decode()


def read(headers=None, **fields):
    return decode_request(json.dumps({"model": "m", "input": "hi", **fields}).encode(), headers or {})


def parts(request):
    return [part for message in request.messages for part in message.parts]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("one", [Text(text="one")]),
        (["one", "two"], [Text(text="one"), Text(text="two")]),
        ([1, 2, 3], [Tokens(ids=(1, 2, 3))]),
        ([[1, 2], [3]], [Tokens(ids=(1, 2)), Tokens(ids=(3,))]),
    ],
    ids=["a string", "strings", "ids", "lists of ids"],
)
def test_each_text_is_an_input_of_its_own_as_a_string_or_as_ids(given, expected):
    request = read(input=given)
    assert parts(request) == expected
    assert len(request.messages) == len(expected)
    assert request.operation == "embed"


def test_what_is_asked_of_the_vector_is_sent_on_and_so_is_what_nobody_knows():
    request = read(encoding_format="base64", dimensions=256, user="u", truncate="END")
    assert request.extra == {"encoding_format": "base64", "dimensions": 256, "truncate": "END"}
    assert request.user == "u"


def test_hints_are_taken_out_of_the_metadata():
    request = read({"x-interlock-session": "s"}, metadata={"data_class": "confidential", "note": "n"})
    assert (request.hints.data_class, request.hints.session) == ("confidential", "s")
    assert request.metadata == {"note": "n"}
    assert request.extra == {}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": []}, "input"),
        ({"input": 7}, "input"),
        ({"input": None}, "input"),
        ({"input": ["a", 1]}, "input[1]"),
        ({"input": [[1], []]}, "input[1]"),
        ({"input": [1, -1]}, "input[1]"),
        ({"input": [1, 2**32]}, "input[1]"),
        ({"input": [[True]]}, "input[0][0]"),
        ({"input": ["x"] * 2049}, "input"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"dimensions": 0}, "dimensions"),
        ({"stream": True}, "stream"),
        ({"model": ""}, "model"),
        ({"api_base": "http://evil"}, "api_base"),
        ({"metadata": {"tenant": "other"}}, "metadata.tenant"),
    ],
)
def test_a_field_that_does_not_fit_is_refused_by_its_path(fields, param):
    with pytest.raises(ApiError) as raised:
        read(**fields)
    assert (raised.value.code, raised.value.param) == ("invalid_request", param)


@pytest.mark.parametrize("sent", [VECTOR, PACKED], ids=["floats", "base64"])
@pytest.mark.parametrize(("asked", "shown"), [(None, VECTOR), ("float", VECTOR), ("base64", PACKED)])
def test_a_caller_gets_the_encoding_it_asked_for_whatever_the_upstream_chose(sent, asked, shown):
    request = read(encoding_format=asked)
    answer = Answer(
        id="",
        upstream_model="up",
        parts=(Embedding(vector=sent), Embedding(vector=sent)),
        finish="stop",
        usage=Usage(input_tokens=4, output_tokens=0),
    )
    body = json.loads(encode_answer(answer, request, "pool-key"))
    assert [(row["index"], row["object"], row["embedding"]) for row in body["data"]] == [
        (0, "embedding", shown),
        (1, "embedding", shown),
    ]
    assert (body["object"], body["model"]) == ("list", "pool-key")
    assert body["usage"] == {"prompt_tokens": 4, "total_tokens": 4}


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_no_bit_of_a_vector_is_lost_between_the_encodings(vector):
    assert as_floats(as_base64(vector)) == vector
