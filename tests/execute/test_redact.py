"""The provider's key in what the provider says: taken out, whole or in pieces, of texts and of fields."""

from itertools import pairwise

import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st

from interlock.execute.redact import KeyScreen, clean_answer, without_key, without_key_in
from interlock.types.answer import Answer
from interlock.types.request import Opaque, Text, Thinking, ToolCall

KEY = "sk-sk-canary-sk-4f9a8b7c"
OFTEN = st.lists(st.sampled_from([KEY, KEY[:7], KEY[3:], "s", "sk-", "x ", "-"]), max_size=8).map("".join)


@pytest.mark.parametrize("at", range(len(KEY) + 1))
def test_a17_a_key_split_anywhere_never_leaves_whole(at):
    screen = KeyScreen(KEY)
    out = screen.feed("it is " + KEY[:at]) + screen.feed(KEY[at:] + ".") + screen.flush()
    assert out == "it is …."


@for_all(OFTEN, st.lists(st.integers(0, 80)))
def test_a17_a_stream_comes_out_like_the_whole_however_it_is_cut(text, cuts):
    screen = KeyScreen(KEY)
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    out = [screen.feed(text[a:b]) for a, b in pairwise(edges)]
    assert "".join(out) + screen.flush() == without_key(text, KEY)


@for_all(OFTEN)
def test_what_is_held_back_is_shorter_than_the_key(text):
    screen = KeyScreen(KEY)
    screen.feed(text)
    assert len(screen.flush()) < len(KEY)


def test_a_text_without_the_keys_beginning_leaves_as_it_came():
    text = "token"
    assert KeyScreen(KEY).feed(text) is text


def test_a17_a_vendors_own_fields_do_not_say_the_key():
    extra = {"anthropic-messages": {"citations": [{"title": f"about {KEY}", KEY: 1}]}}
    assert KEY not in str(without_key_in(extra, KEY))
    assert without_key_in({"a": [1]}, KEY) == {"a": [1]}


def test_a17_no_part_of_a_whole_answer_says_the_key():
    parts = (
        Text(text=KEY, extra={"x": KEY}),
        Thinking(text=KEY, signature=f"openai-responses:{KEY}"),
        Thinking(redacted=KEY),
        ToolCall(id=KEY, name="n", arguments=f'{{"a":"{KEY}"}}'),
        Opaque(dialect="anthropic-messages", kind="web_search_tool_result", value={"a": KEY}, seal=KEY),
    )
    answer = Answer(id=KEY, upstream_model="", parts=parts, finish="stop", extra={"top": KEY})
    assert KEY not in str(clean_answer(answer, KEY))
