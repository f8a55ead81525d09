"""Bodies that two parsers could read differently, refused before anything reads them (rows C6 to C9)."""

import base64
import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.dialects import DIALECTS
from interlock.errors import ApiError
from interlock.types.request import Request
from interlock.wire.json import MOST_DEPTH, MOST_DIGITS, check_body, read_object
from tests.data import rows

BEGIN = b'{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":9,"value":'


def refusal(body: bytes) -> ApiError:
    with pytest.raises(ApiError) as caught:
        check_body(body)
    assert (caught.value.code, caught.value.status) == ("invalid_request", 400)
    return caught.value


def decode(body: bytes) -> Request | ApiError:
    try:
        return DIALECTS["openai-chat"].decode_request(body, {})
    except ApiError as error:
        return error


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b" \r\n\t", "empty"),
        (b'\xef\xbb\xbf{"a":1}', "byte order mark"),
        ('{"a":1}'.encode("utf-16"), "not valid JSON"),
        (b'{"a":"\xff"}', "UTF-8"),
        (b'{"a":"\xed\xa0\x80"}', "UTF-8"),
        (b'{"a":"\\ud800"}', "not valid JSON"),
        (b'{"a":"\\udc00\\ud800"}', "not valid JSON"),
        (b'{"a":"\x00"}', "not valid JSON"),
        (b'{"a":1}\x00', "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b'"text"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'{"a":1} {"b":2}', "not valid JSON"),
        (b"<html>", "not valid JSON"),
    ],
)
def test_c6_what_is_no_json_object_in_utf_8_is_refused_with_a_reason(body, said):
    assert said in refusal(body).message


def test_c6_an_escaped_nul_passes_unharmed():
    assert read_object(b'{"a":"\\u0000"}') == {"a": "\0"}


def test_c6_a_refusal_quotes_nothing_of_the_body_and_is_one_line():
    for body in (b'{"secret\n":nope}', b'{"a":"secret\xff"}', b"secret", b'["secret"]'):
        said = refusal(body).message
        assert "secret" not in said
        assert "\n" not in said


def test_c6_every_row_of_the_parsing_suite_is_refused_or_read_and_nothing_else():
    suite = rows("bad-input", "json_parsing_sample.jsonl")
    assert len(suite) > 100
    for row in suite:
        body = base64.b64decode(row["body_base64"])
        alone, inside = decode(body), decode(BEGIN + body + b"}")
        assert isinstance(alone, ApiError), row["name"]
        assert alone.status == 400
        if row["expect"] == "reject":
            assert isinstance(inside, ApiError), row["name"]
        elif row["expect"] == "accept":
            twice = isinstance(inside, ApiError) and "comes twice" in inside.message
            assert twice or isinstance(inside, Request), row["name"]


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
@pytest.mark.parametrize("levels", [MOST_DEPTH + 1, 500, 100_000])
def test_c7_a_depth_bomb_is_refused_and_never_recursed_into(opening, levels):
    closing = b"".join({b"[": b"]", b"{": b"}"}[bytes([byte])] for byte in reversed(opening) if byte in b"[{")
    nested = opening * levels + b"1" + closing * levels
    assert "deep" in refusal(b'{"x":' + nested + b"}").message
    assert isinstance(decode(BEGIN + nested + b"}"), ApiError)
    assert isinstance(decode(BEGIN + opening * levels), ApiError)


def test_c7_the_deepest_body_that_passes_can_be_worked_on_from_any_depth_of_calls():
    value: Any = 1
    for _ in range(MOST_DEPTH - 1):
        value = [value]
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x"}], "x": value}).encode()

    def from_below(frames: int) -> Request | ApiError:
        return decode(body) if frames == 0 else from_below(frames - 1)

    assert isinstance(from_below((sys.getrecursionlimit() - 1) // 2), Request)


def test_c7_many_brackets_in_text_are_no_depth():
    assert read_object(json.dumps({"text": "[{" * 5000}).encode())["text"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"a","model":"b"}',
        b'{"stream":true,"stream":false}',
        b'{"stream":false,"stream":true}',
        b'{"a": 1, "b": 2, "a": 1}',
        b'{"x":[{"y":{"deep":1,"deep":2}}]}',
        b'{"a":1,"\\u0061":2}',
        b'{"a":"\\u0061\\u0061","a":1e5}',
        b'{"n":100000000000.0,"n":1e11}',
        b'{"a":1,"a":1,"x":1e6}',  # what is lost is exactly as long as what re-encoding adds
    ],
)
def test_c8_a_key_that_comes_twice_is_refused_by_name(body):
    error = refusal(body)
    assert error.param in ("model", "stream", "a", "deep", "n")
    assert f"`{error.param}`" in error.message


def test_c8_a_long_key_is_shown_short():
    key = "k" * 5000
    assert len(refusal(f'{{"{key}":1,"{key}":2}}'.encode()).message) < 200


@given(data=st.data())
def test_c8_a_doubled_key_is_found_at_any_level_in_any_spelling(data):
    """The fast way must not be fooled by what re-encoding makes longer or shorter."""
    spelling = {
        "ensure_ascii": data.draw(st.booleans()),
        "separators": data.draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " :\n")])),
    }
    scalars = st.one_of(st.text(max_size=8), st.integers(-9, 9), st.sampled_from([1e16, 0.1, None, True]))
    values = st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    )
    key, one, other = data.draw(st.text(max_size=3)), data.draw(values), data.draw(values)
    pair = ",".join(f"{json.dumps(key)}:{json.dumps(value, **spelling)}" for value in (one, other))
    whole = json.dumps({"around": data.draw(values), "here": "HERE"}, **spelling)
    body = whole.replace('"HERE"', "{" + pair + "}")
    try:
        body.encode()
    except UnicodeEncodeError:
        return  # lone surrogates are another row
    if "HERE" in key:
        return
    refusal(body.encode())


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
        st.recursive(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
            | st.integers(-(2**63), 2**63)
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.booleans()
            | st.none(),
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab"), inner, max_size=3),
        ),
        max_size=4,
    ),
    st.booleans(),
    st.sampled_from([None, 1]),
)
def test_every_object_reads_as_what_it_is_however_it_was_written(value, ensure_ascii, indent):
    body = json.dumps(value, ensure_ascii=ensure_ascii, indent=indent).encode()
    assert read_object(body) == value


@pytest.mark.parametrize(
    "number",
    ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 400, "-" + "1" * 400, "1" * 5000, "+1", "0x1"],
)
def test_c9_numbers_that_other_parsers_read_otherwise_are_refused(number):
    refusal(f'{{"a":{number}}}'.encode())
    refusal(f'{{"a": [ {number} ]}}'.encode())
    assert isinstance(decode(BEGIN + number.encode() + b"}"), ApiError)


@given(st.integers(min_value=0, max_value=10**30), st.booleans())
def test_c9_an_integer_passes_exactly_if_it_is_short_enough(number, negative):
    text = f"-{number}" if negative else str(number)
    body = f'{{"a":{text}}}'.encode()
    if len(str(number)) > MOST_DIGITS:
        refusal(body)
    else:
        assert read_object(body) == {"a": int(text)}


def test_c9_long_numbers_inside_text_are_text():
    assert read_object(b'{"a":"' + b"7" * 400 + b'"}')
