"""Folding and opening: nothing that folds to a letter or digit gets past, and binary stays closed."""

import base64
import string
import sys
import unicodedata

import re2
from hypothesis import given
from hypothesis import strategies as st

from interlock.classify.disguise import (
    FOLDABLE,
    fold,
    json_text,
    json_unescaped,
    origins,
    percent_decoded,
    strings,
    text_in_base64,
    unescaped,
)


def test_every_character_that_folds_to_a_letter_or_a_digit_opens_the_gate():
    letters = set(string.ascii_letters + string.digits)
    every = [
        chr(code)
        for code in range(0x80, sys.maxunicode + 1)
        if unicodedata.category(chr(code)) not in ("Cs", "Cn")
    ]
    folding = [char for char in every if fold(char) in letters]
    gate = re2.compile(FOLDABLE)
    assert len(folding) > 1500
    assert not [hex(ord(char)) for char in folding if not gate.search(f" {char} ")]


def test_every_invisible_character_between_digits_opens_the_gate():
    gate = re2.compile(FOLDABLE)
    for code in range(0x80, sys.maxunicode + 1):
        if unicodedata.category(chr(code)) in ("Cf", "Mn", "Me"):
            assert fold(f"4{chr(code)}1") == "41"
            assert gate.search(f"4{chr(code)}1"), hex(code)


@given(st.text(max_size=60))
def test_each_folded_character_has_an_origin_in_order(text):
    folded, places = fold(text), origins(text)
    assert len(places) == len(folded) + 1
    assert places == sorted(places)
    assert all(folded[index] in fold(text[place]) for index, place in enumerate(places[:-1]))


@given(st.text(string.printable, max_size=200).map(lambda text: text.replace("\x0b", "").replace("\x0c", "")))
def test_plain_text_folds_to_itself_and_comes_back_from_base64(text):
    assert fold(text) == text
    encoded = base64.b64encode(text.encode()).decode()
    assert text_in_base64(encoded) == text
    assert text_in_base64(encoded.rstrip("=").replace("+", "-").replace("/", "_")) == text


@given(st.binary(min_size=16, max_size=400))
def test_binary_data_in_base64_is_text_only_if_it_reads_as_text(data):
    opened = text_in_base64(base64.b64encode(data).decode())
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = None
    controls = text is not None and any(ord(char) < 32 and char not in "\t\n\v\f\r" for char in text)
    assert opened == (None if controls else text)


def test_a_long_text_is_opened_whole_even_where_the_first_look_cuts_a_character():
    for shift in range(4):
        text = "a" * shift + "é漢🙂" * 3000
        assert text_in_base64(base64.b64encode(text.encode()).decode()) == text
    assert text_in_base64(base64.b64encode(b"plain text and then \xff").decode()) is None
    late = "a" * 9000 + "\x00"
    assert text_in_base64(base64.b64encode(late.encode()).decode()) is None


def test_escapes_are_undone_and_broken_ones_leave_the_rest():
    assert unescaped("\\u0034\\x31\\u00zz-\\u0041") == "41zz-A"
    assert percent_decoded("a%34%31%zz%FFb") == "a41%zz\ufffdb"


def test_json_is_read_as_it_stands_unless_escapes_hide_something():
    assert json_text({"a": [1, "b"]}) == '{"a":[1,"b"]}'
    assert (
        json_text({"a": {"password": "x\ny"}}) == '"a": "?"'.replace('"a": "?"', "a") + '\n"password": "x\ny"'
    )
    assert json_unescaped('{"a": "b"}') is None
    assert json_unescaped('{"\\u0061": "\\u0062", "n": 7}') == '"a": "b"\n"n": "7"'
    assert json_unescaped('{"a": \\') is None
    assert json_unescaped("[" * 100_000 + "\\" + "]" * 100_000) is None


def test_deep_json_is_read_without_recursion():
    value: list[object] = ["bottom"]
    for _ in range(50_000):
        value = [value]
    assert list(strings(value)) == ["bottom"]
