"""The plain way to read a chat body makes exactly what the general way makes: the request, or the error."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from interlock.dialects.openai_chat.plain import read_plain
from interlock.dialects.openai_chat.request import _read, decode_request
from interlock.errors import ApiError
from interlock.types.request import Request
from interlock.wire.fields import Misfit
from interlock.wire.json import read_object
from tests.data import rows

Outcome = Request | tuple[str, str, str, str | None]


def generally(body: bytes, headers: dict[str, str]) -> Request:
    try:
        return _read(read_object(body), headers)
    except Misfit as misfit:
        raise misfit.to_error() from None


def outcome(read: Any, body: bytes, headers: dict[str, str]) -> Any:
    """What came of it, so written that 0 is not -0.0 and 1 is not 1.0."""
    try:
        return repr(read(body, headers))
    except ApiError as error:
        return error.code, error.message, error.hint, error.param


def same(body: bytes, headers: dict[str, str] | None = None) -> bool:
    """Whether a body is a plain one, after both ways have been found to agree."""
    given = headers or {}
    assert outcome(decode_request, body, given) == outcome(generally, body, given), body
    return read_plain(body) is not None


def chat(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}


def spellings(value: Any) -> list[bytes]:
    """A body as clients write it: compact, with spaces, over lines, in ASCII."""
    return [
        json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"),
        json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"),
        json.dumps(value, indent=2).encode(),
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"max_tokens": 800, "temperature": 0.2},
        {"max_completion_tokens": 1, "temperature": 0, "top_p": 1, "stream": True},
        {"temperature": 2, "top_p": 0.5, "stream": False, "stream_options": {"include_usage": True}},
        {"messages": [{"role": "system", "content": ""}, {"content": 'say "hi"\n\\', "role": "user"}]},
        {"messages": [{"role": role, "content": "ü 漢 \U0001f600"} for role in ("developer", "assistant")]},
        {"model": 'a "quoted" name'},
    ],
)
def test_a_body_of_messages_limits_and_sampling_is_plain_however_it_is_written(fields):
    for body in spellings(chat(**fields)):
        assert same(body), body


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": []},
        {"user": "ann"},
        {"metadata": {"a": "b"}},
        {"seed": 1},
        {"temperature": None},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
        {"messages": [{"role": "user", "content": "hi", "name": "ann"}]},
        {"messages": [{"role": "tool", "content": "hi", "tool_call_id": "c"}]},
        {"messages": [{"role": "assistant", "content": None}]},
        {"max_tokens": 1, "max_completion_tokens": 1},
        {"messages": []},
        {"model": ""},
        {"model": 1},
        {"temperature": 2.1},
        {"temperature": True},
        {"max_tokens": 0},
        {"max_tokens": 1.0},
        {"max_tokens": 10**18},
        {"max_tokens": 10**30},
        {"stream": 1},
        {"stream_options": {}},
        {"stream_options": {"include_usage": True, "more": 1}},
        {"api_base": "http://elsewhere"},
        {"functions": []},
    ],
)
def test_whatever_else_a_body_holds_is_left_to_the_general_way(fields):
    for body in spellings(chat(**fields)):
        assert not same(body), body


TURN = b'{"role":"user","content":"x"}'
BEGIN = b'{"model":"m","messages":[' + TURN + b"]"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"null",
        b"[]",
        b'"tools"',
        b"\xef\xbb\xbf" + BEGIN + b"}",
        BEGIN + b"} x",
        BEGIN + b"}{}",
        BEGIN + b',"model":"m"}',
        BEGIN + b',"mod\\u0065l":"m"}',
        BEGIN + b',"messages":[' + TURN + b"]}",
        BEGIN + b',"stream":true,"stream":true}',
        BEGIN + b',"top_p":1,"top_p":1e-5}',
        BEGIN + b',"stream_options":{"include_usage":true,"include_usage":true}}',
        BEGIN + b',"stream":null,"stream":true}',
        b'{"model":"m","messages":[{"role":"user","role":"user","content":"x"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"x","content":"\\"\\""}]}',
        # As many marks as there should be, if those that are written by their number counted.
        b'{"model":"m","messages":[{"role":"user","content":"a","content":"\\u0022\\u0022\\u0022\\u0022"}]}',
        b'{"model":"m","model":"\\u0022\\u0022\\u0022\\u0022","messages":[' + TURN + b"]}",
        b'{"model":"m","messages":[{"role":"user","content":"\\\\u0022"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"\\ud83d\\ude00"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"\xff"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"\xed\xa0\x80"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"\x00"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"a\nb"}]}',
        b'{"model":"m","messages":[{"role":"User","content":"x"}]}',
        b'{"model":"m","messages":[{"role":"us\\u0065r","content":"x"}]}',
        b'{"model":"m","messages":[{"role":"user","content":1}]}',
        b'{"model":"m","messages":{"role":"user","content":"x"}}',
        b'{"model":"m","messages":' + b"[" * 200 + b"]" * 200 + b"}",
        b'{"model":"m","messages":' + b"[" * 100_000,
        b'{"model":"m","messages":[{"role":"user","content":' + b'{"a":' * 100_000,
    ],
)
def test_odd_bodies_come_to_the_same_in_both_ways(body):
    same(body)


NUMBERS = (
    *("0", "-0", "0.0", "-0.0", "1", "1.0", "1e0", "10e-1", "0.20", "1E-5", "1e-400", "1e400", "-1", "2"),
    *("2.0000000000000001", "0.1234567890123456789012345", "100000000000000000000000000000e-30"),
    *("9007199254740992", "9007199254740993", "9223372036854775808", "18446744073709551615"),
    *("99999999999999999999", "00000000000000000000", "NaN", "Infinity", "01", "+1", "1.", ".5", "0x1"),
    *("true", "null", '"1"', "[]", "{}"),
)


@pytest.mark.parametrize("field", ["temperature", "top_p", "max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("number", NUMBERS)
def test_every_spelling_of_a_number_is_read_or_refused_alike(field, number):
    same(BEGIN + b',"%b":%b}' % (field.encode(), number.encode()))


@pytest.mark.parametrize(
    "headers",
    [
        {"x-interlock-task": "triage", "x-stainless-lang": "python"},
        {"x-interlock-data_class": "public"},
        {"x-interlock-data-class": "nothing"},
        {"x-interlock-tusk": "a"},
        {"X_Interlock_Lane": "a"},
    ],
)
def test_hints_in_headers_are_read_or_refused_alike(headers):
    assert same(BEGIN + b"}", headers)
    same(BEGIN + b',"tools":1}', headers)


def test_every_recorded_request_is_read_alike():
    requests = [row["request"] for row in rows("provider-recordings", "recorded_calls_sample.jsonl")]
    plain = [same(body) for request in requests for body in spellings(request)]
    assert True in plain
    assert False in plain


def test_every_naughty_string_is_the_same_text_in_both_ways():
    texts = [row["text"] for row in rows("bad-input", "naughty_strings_sample.jsonl")]
    for text in texts:
        for body in spellings(chat(messages=[{"role": "user", "content": text}])):
            same(body)
    whole = chat(messages=[{"role": "user", "content": text} for text in texts])
    assert same(spellings(whole)[0])


# Fields in any order, any of them twice, with values of all kinds, in JSON as somebody might write it.
texts = st.sampled_from(
    ['"x"', '""', '"\\""', '"\\u0022"', '"\\\\"', '"\\\\u0022"', '"\\n"', '"ü"', '"\\ud800"']
)
roles = st.sampled_from(['"user"', '"system"', '"assistant"', '"tool"', '"us\\u0065r"', "null"])
members = st.one_of(
    st.builds('"role":{}'.format, roles),
    st.builds('"content":{}'.format, texts),
    st.builds('"name":{}'.format, texts),
)
usual_turns = st.builds('{{"role":{},"content":{}}}'.format, roles, texts)
odd_turns = st.lists(members, max_size=4).map(lambda fields: "{" + ",".join(fields) + "}")
turns = usual_turns | usual_turns | odd_turns
numbers = st.sampled_from(
    ["0", "1", "2", "-0", "0.5", "1.0", "1e0", "5e-5", "0.2000", "true", "null", "12345678901234567890"]
)
fields = st.one_of(
    st.builds('"model":{}'.format, texts),
    st.lists(turns, max_size=3).map(lambda turns: f'"messages":[{",".join(turns)}]'),
    st.builds(
        '"{}":{}'.format,
        st.sampled_from(["max_tokens", "max_completion_tokens", "temperature", "top_p", "n", "t\\u006fp_p"]),
        numbers,
    ),
    st.builds('"stream":{}'.format, st.sampled_from(["true", "false", "null"])),
    st.sampled_from(
        ['"stream_options":{"include_usage":true}', '"stream_options":{}', '"x":[{}]', '"tools":[]']
    ),
)
usual = st.tuples(
    st.builds('"model":{}'.format, texts),
    st.lists(usual_turns, min_size=1, max_size=3).map(lambda turns: f'"messages":[{",".join(turns)}]'),
).map(list)
objects = st.builds(
    lambda some, more, order, space: (
        "{" + f",{space}".join(sorted(some + more, key=lambda _: order.random())) + "}"
    ),
    usual | st.just([]),
    st.lists(fields, max_size=4),
    st.randoms(use_true_random=False),
    st.sampled_from(["", " ", "\n  "]),
)


@settings(max_examples=1000)
@given(objects)
def test_any_object_is_read_or_refused_alike(written):
    same(written.encode())


@settings(max_examples=1000)
@example(BEGIN + b"}", [])
@given(
    st.sampled_from(
        [body for fields in ({}, {"temperature": 0.2, "stream": True}) for body in spellings(chat(**fields))]
    ),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 3), st.binary(max_size=2)), max_size=3),
)
def test_a_plain_body_with_a_few_bytes_changed_is_read_or_refused_alike(body, changes):
    for place, gone, new in changes:
        body = body[:place] + new + body[place + gone :]
    same(body)
