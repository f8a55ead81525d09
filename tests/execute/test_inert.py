"""Links and images of answers, taken apart: whatever a reader of Markdown or HTML would make of them."""

import json
from itertools import pairwise

import pytest
from hypothesis import example
from hypothesis import given as for_all
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from interlock.execute.inert import LOOK, Inert, inert_answer, make_inert
from interlock.types.answer import Answer
from interlock.types.request import Opaque, Refusal, Text, ToolCall

ACTIVE = ("link_open", "image", "html_inline", "html_block")
MARKDOWN = MarkdownIt("commonmark")


def active(text):
    """What a reader of Markdown makes of a text beyond words and their layout."""
    tokens = list(MARKDOWN.parse(text))
    tokens += [child for token in tokens for child in token.children or ()]
    return [token.type for token in tokens if token.type in ACTIVE]


@pytest.mark.parametrize(
    ("text", "inert"),
    [
        ("[x](https://evil.example/a)", "[x] (https[:]//evil[.]example/a)"),
        ("![x](//evil.example/a.png)", "![x] (//evil[.]example/a.png)"),
        ("![x](/logout)", "![x] (/logout)"),
        ("[x][1]\n\n[1]: javascript:alert(1)", "[x][1]\n\n[1] : javascript:alert(1)"),
        ("<https://evil.example>", "< https[:]//evil.example>"),
        ("<img src=x onerror=y>", "< img src=x onerror=y>"),
        ("</a><!-- x --><?php", "< /a>< !-- x -->< ?php"),
        ("see HTTPS://evil.example", "see HTTPS[:]//evil.example"),
        ("www.evil.example", "www[.]evil.example"),
        ("evil.example/?q=secret", "evil[.]example/?q=secret"),
        ("secret.evil.com", "secret.evil[.]com"),
        ("a.b.co.uk:80", "a.b[.]co[.]uk:80"),
        ("<1@evil.com>", "<1[@]evil[.]com>"),
        ("mail me@evil.com", "mail me[@]evil[.]com"),
        ('{"a": "http:\\/\\/evil.example"}', '{"a": "http[:]\\/\\/evil.example"}'),
        ('{"a": "\\u003cimg src=x"}', '{"a": "\\u003c img src=x"}'),
        ('{"a": "\\u005d\\u0028x"}', '{"a": "\\u005d \\u0028x"}'),
    ],
)
def test_a_link_is_taken_apart_and_every_character_stays(text, inert):
    assert make_inert(text) == inert


@pytest.mark.parametrize(
    "text",
    [
        "Plain words. More of them: (one) [two] 3 < 4, a->b; 5 > 4.",
        "main.py and README.md, version 1.2, e.g. this",
        "x @ y, @dataclass\ndef f(): ...",
        '{"team": "ops", "n": [1, 2], "ratio": 1.5}',
        "日本語の文章。これはリンクではない。",
    ],
)
def test_words_code_and_json_without_links_stay_as_they_are(text):
    assert make_inert(text) == text


PIECES = st.sampled_from(
    [
        *(
            "[",
            "]",
            "(",
            ")",
            "!",
            "<",
            ">",
            ":",
            "/",
            "//",
            "://",
            "@",
            ".",
            "\\",
            " ",
            "\n",
            "a",
            "1",
            "é",
            "-",
        ),
        *(
            "http",
            "https://",
            "www.",
            "evil",
            ".com",
            "com",
            "/x",
            "?q=1",
            "img",
            "](",
            "]:",
            "\\u003c",
            "\\u00",
        ),
        *("\\u005d", "\\u0028", "<a", "x.io", "&lt;", "`", "```", "*"),
    ]
)
TEXTS = st.lists(PIECES, max_size=25).map("".join) | st.text(max_size=40)


@for_all(TEXTS)
@example("[a\n](b)")
@example("[a]: <b>\n\n[a]")
@example("<a@b>")
@example("<<a>>")
def test_no_reader_of_markdown_finds_anything_to_follow_or_to_load(text):
    assert active(make_inert(text)) == []


@for_all(TEXTS)
def test_made_inert_twice_is_made_inert_once(text):
    once = make_inert(text)
    assert make_inert(once) == once


@for_all(TEXTS)
def test_nothing_of_the_text_is_lost(text):
    kept = iter(make_inert(text))
    assert all(any(found == wanted for found in kept) for wanted in text)


@for_all(TEXTS, st.lists(st.integers(0, 60)))
def test_a_stream_comes_out_like_the_whole_however_it_is_cut(text, cuts):
    inert = Inert()
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    out = [inert.feed(text[a:b]) for a, b in pairwise(edges)]
    assert "".join(out) + inert.flush() == make_inert(text)


@for_all(TEXTS)
def test_what_is_held_back_is_never_long(text):
    inert, gone = Inert(), 0
    for place, character in enumerate(text, 1):
        gone += len(inert.feed(character))
        assert place - gone <= LOOK


@for_all(st.lists(TEXTS, max_size=4))
@example(["see [x]", "(https:", "//evil", ".com/a)"])
@example(["www", ".", "evil.example"])
@example(["a", ".c", "om"])
def test_a_link_across_blocks_is_taken_apart_too(blocks):
    inert = Inert()
    joined = "".join(inert.feed(block) + inert.flush() for block in blocks)
    assert active(joined) == []
    assert make_inert(joined) == joined


@for_all(st.dictionaries(st.text(max_size=5), st.sampled_from(["[a](b)", "<b>", "http://x", "y"])))
def test_a_structured_answer_stays_json_and_its_strings_are_inert(value):
    for written in (json.dumps(value), json.dumps(value).replace("/", "\\/").replace("<", "\\u003c")):
        read = json.loads(make_inert(written))
        assert all(active(text) == [] and "://" not in text for text in read.values())


def test_a_whole_answer_is_inert_in_its_words_and_in_what_stands_beside_them():
    cited = {"openai-chat": {"message": {"annotations": [{"url": "https://evil.example"}]}}}
    results = Opaque(dialect="anthropic-messages", kind="web_search_tool_result", value={"url": "https://x"})
    call = ToolCall(id="c", name="get", arguments='{"url": "https://x"}')
    parts = (Text(text="[a]"), results, call, Refusal(text="(b)"))
    answer = inert_answer(Answer(id="", upstream_model="", parts=parts, finish="stop", extra=cited))
    assert answer.parts == (Text(text="[a]"), results, call, Refusal(text=" (b)"))
    assert "https[:]//evil.example" in str(answer.extra)
