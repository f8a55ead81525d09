"""A conversation that goes on after a model has shown thoughts: real SDKs, a real server, a strict vendor.

The vendor is the one of the client suites: it refuses fields that it does not know, and thoughts that it has
not signed itself.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import anthropic
import openai
import pytest

from tests.clients.vendor import vendor
from tests.server.harness import Running, pool, serving
from tests.server.upstream import Upstream

MODELS: Final = ("gpt", "answers", "claude")
WEATHER: Final = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
FUNCTION: Final[Any] = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}
TOOL: Final[Any] = {"name": "weather", "input_schema": WEATHER}
THINK: Final[Any] = {"role": "user", "content": "[[think]]"}
RECALL: Final[Any] = {"role": "user", "content": "[[recall]]"}


@asynccontextmanager
async def gateway(tmp_path: Path) -> AsyncIterator[Running]:
    async with Upstream(vendor) as up:
        config = pool(up.url, up.url, tools={"weather": {"effects": ["read"]}})
        config["providers"]["alpha"]["vendor"] = "openai"
        config["providers"]["beta"]["vendor"] = "anthropic"
        config["providers"]["gamma"] = {**config["providers"]["alpha"], "api": "responses"}
        config["models"]["answers"] = {**config["models"]["gpt"], "provider": "gamma", "upstream": "up-3"}
        async with serving(tmp_path, config) as server:
            yield server


def chat_at(server: Running) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=server.url + "/v1", api_key="any", max_retries=0)


def messages_at(server: Running) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=server.url, api_key="any", max_retries=0)


def left_out(server: Running, answer: Any) -> tuple[str, ...]:
    """What the record of an answer says that its model was not sent."""
    (attempt,) = server.record(str(answer.headers["x-interlock-decision-id"])).attempts
    return attempt.left_out


@pytest.mark.parametrize("then", MODELS)
@pytest.mark.parametrize("first", MODELS)
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_chat_goes_on_with_any_model_after_any_other_has_thought(tmp_path, first, then, streamed):
    async with gateway(tmp_path) as server, chat_at(server) as client:
        given: dict[str, Any] = {"model": first, "messages": [THINK], "reasoning_effort": "high"}
        if streamed:
            async with client.chat.completions.stream(**given) as stream:
                message: Any = (await stream.get_final_completion()).choices[0].message
        else:
            message = (await client.chat.completions.create(**given)).choices[0].message
        assert message.content == "You said: [[think]]."
        raw = await client.chat.completions.with_raw_response.create(
            model=then, messages=[THINK, message, RECALL], reasoning_effort="high"
        )
        thought = "let me see" if first == then != "gpt" else "nothing"
        text = raw.parse().choices[0].message.content
        assert text == f"You said: [[recall]]. I had thought: {thought}."
        lost = left_out(server, raw)
        assert ("messages[].reasoning_content" in lost) == (first not in ("gpt", then))


@pytest.mark.parametrize("model", MODELS)
async def test_a_chats_tool_loop_goes_on_after_thoughts_with_their_signature_or_without(tmp_path, model):
    ask: Any = {"role": "user", "content": "[[think]] [[recall]] 'Bern'"}
    async with gateway(tmp_path) as server, chat_at(server) as client:
        given: dict[str, Any] = {"model": model, "tools": [FUNCTION], "reasoning_effort": "high"}
        answer = await client.chat.completions.create(**given, messages=[ask])
        message: Any = answer.choices[0].message
        result: Any = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "rain"}
        words: dict[str, Any] = {"role": "assistant", "reasoning_content": "let me see"}
        words["tool_calls"] = [
            call.model_dump(include={"id", "type", "function"}) for call in message.tool_calls
        ]
        turns: Any = ((message, model != "gpt"), (words, False))
        for turn, kept in turns:
            raw = await client.chat.completions.with_raw_response.create(
                **given, messages=[ask, turn, result]
            )
            text = raw.parse().choices[0].message.content
            assert text == f"The tool said rain. I had thought: {'let me see' if kept else 'nothing'}."
            lost = left_out(server, raw)
            assert lost == (() if turn is message else ("messages[].reasoning_content",))


@pytest.mark.parametrize("then", MODELS)
@pytest.mark.parametrize("first", MODELS)
@pytest.mark.parametrize("streamed", [False, True])
async def test_messages_go_on_with_any_model_after_any_other_has_thought(tmp_path, first, then, streamed):
    async with gateway(tmp_path) as server, messages_at(server) as client:
        given: dict[str, Any] = {"max_tokens": 3000, "output_config": {"effort": "high"}}
        if streamed:
            async with client.messages.stream(model=first, messages=[THINK], **given) as stream:
                turn = (await stream.get_final_message()).content
        else:
            turn = (await client.messages.create(model=first, messages=[THINK], **given)).content
        said: Any = [THINK, {"role": "assistant", "content": turn}, RECALL]
        raw = await client.messages.with_raw_response.create(model=then, messages=said, **given)
        thought = "let me see" if first == then != "gpt" else "nothing"
        (block,) = (await raw.parse()).content
        assert block.type == "text"
        assert block.text == f"You said: [[recall]]. I had thought: {thought}."
        lost = left_out(server, raw)
        assert ("messages[].content[].thinking" in lost) == (first not in ("gpt", then))


async def test_a_tool_loop_with_a_fixed_budget_for_thinking_goes_on_where_the_thought_comes_back(tmp_path):
    ask: Any = {"role": "user", "content": "[[think]] [[recall]] 'Bern'"}
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    async with gateway(tmp_path) as server, messages_at(server) as client:
        given: dict[str, Any] = {"model": "claude", "max_tokens": 3000, "tools": [TOOL], "thinking": thinking}
        turn: Any = (await client.messages.create(**given, messages=[ask])).content
        result: Any = {"type": "tool_result", "tool_use_id": turn[-1].id, "content": "rain"}
        results: Any = {"role": "user", "content": [result]}
        again: Any = {"role": "assistant", "content": turn}
        block: Any = (await client.messages.create(**given, messages=[ask, again, results])).content[0]
        assert block.text == "The tool said rain. I had thought: let me see."
        without: Any = {"role": "assistant", "content": turn[1:]}
        with pytest.raises(anthropic.BadRequestError, match="must start with a thinking block"):
            await client.messages.create(**given, messages=[ask, without, results])


async def test_marks_for_the_prompt_cache_are_sent_to_claude_and_said_to_be_left_out_elsewhere(tmp_path):
    part: Any = {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}
    async with gateway(tmp_path) as server, chat_at(server) as client:
        for model, expected in (("claude", ()), ("answers", ("messages[].content[].cache_control",))):
            raw = await client.chat.completions.with_raw_response.create(
                model=model, messages=[{"role": "user", "content": [part]}]
            )
            assert left_out(server, raw) == expected
