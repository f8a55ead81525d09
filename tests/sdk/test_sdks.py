"""The vendors' own SDKs, unchanged, against the gateway: all four pairs of dialect and wire format.

Where both sides speak one dialect, the SDK must see through the gateway what it sees without it.
Across dialects it must see the same text and the same tool calls. The answers are recordings.
"""

import re
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel

from tests.sdk.replay import (
    ANTHROPIC_FIELDS,
    OPENAI_FIELDS,
    anthropic_words,
    arguments,
    offered,
    openai_words,
    recorded_words,
    recordings,
    replay,
)
from tests.server.harness import keyed, pool, serving
from tests.server.upstream import Upstream, answer, sse
from tests.server.vendors import ROLE, chat, chat_stream, message, message_stream, words

KEY = "key-sdk"


@pytest.fixture
async def up():
    async with Upstream() as upstream:
        yield upstream


@pytest.fixture
async def server(tmp_path, up):
    config = pool(up.url, up.url, keys=keyed({"id": "sdk", "key": KEY}))
    for provider in config["providers"].values():
        provider["trusted_for"] = "regulated"
    async with serving(tmp_path, config) as running:
        yield running


@pytest.fixture
async def gpt(server):
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture
async def vendor_gpt(up):
    async with openai.AsyncOpenAI(base_url=f"{up.url}/v1", api_key="x", max_retries=0) as client:
        yield client


@pytest.fixture
async def claude(server):
    async with anthropic.AsyncAnthropic(base_url=server.url, api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture
async def vendor_claude(up):
    async with anthropic.AsyncAnthropic(base_url=up.url, api_key="x", max_retries=0) as client:
        yield client


def comparable(value):
    """What a caller goes by: everything but the model's name, which is the pool's on our side."""
    shown = value.model_dump(exclude_unset=True, exclude_none=True, warnings=False)
    shown.pop("model", None)
    return shown


# --- one dialect on both sides ----------------------------------------------------------------


async def test_openai_to_openai_whole_answers_are_what_the_vendor_said(up, gpt, vendor_gpt):
    rows = recordings("openai-chat", stream=False)
    assert len(rows) > 30
    for row in rows:
        up.default = replay(row)
        given = arguments(row["request"], OPENAI_FIELDS)
        direct = await vendor_gpt.chat.completions.create(model="up-1", **given)
        through = await gpt.chat.completions.create(model="gpt", **given)
        a, b = comparable(direct), comparable(through)
        assert b["choices"][0]["finish_reason"] == a["choices"][0]["finish_reason"]
        assert openai_words(through.choices[0].message) == openai_words(direct.choices[0].message)
        for count in ("prompt_tokens", "completion_tokens", "total_tokens"):
            assert b["usage"][count] == a["usage"][count]
        assert through.model == "gpt"
        assert (b["id"], b["created"]) == (a["id"], a["created"])


async def test_anthropic_to_anthropic_whole_answers_are_what_the_vendor_said(up, claude, vendor_claude):
    rows = recordings("anthropic-messages", stream=False)
    assert len(rows) > 60
    for row in rows:
        up.default = replay(row)
        given = arguments(row["request"], ANTHROPIC_FIELDS)
        direct = await vendor_claude.messages.create(model="up-2", **given)
        through = await claude.messages.create(model="claude", **given)
        a, b = comparable(direct), comparable(through)
        assert b["content"] == a["content"], row["source"]
        assert (b["stop_reason"], b["id"]) == (a["stop_reason"], a["id"])
        for count in ("input_tokens", "output_tokens"):
            assert b["usage"][count] == a["usage"][count]


async def gathered(stream):
    """What the deltas of a chat stream add up to."""
    text, finish = "", None
    calls: dict[int, list[str]] = {}
    async for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
            for delta in choice.delta.tool_calls or []:
                call = calls.setdefault(delta.index, ["", "", ""])
                call[0] += delta.id or ""
                call[1] += delta.function.name or ""
                call[2] += delta.function.arguments or ""
    return text, finish, [calls[index] for index in sorted(calls)]


async def test_openai_to_openai_streams_add_up_to_the_same(up, gpt, vendor_gpt):
    rows = recordings("openai-chat", stream=True)
    assert len(rows) > 10
    seen_calls = 0
    for row in rows:
        up.default = replay(row)
        given = arguments(row["request"], OPENAI_FIELDS)
        direct = await gathered(await vendor_gpt.chat.completions.create(model="up-1", stream=True, **given))
        through = await gathered(await gpt.chat.completions.create(model="gpt", stream=True, **given))
        assert through == direct, row["source"]
        seen_calls = max(seen_calls, len(through[2]))
    assert seen_calls > 1, "no recording has parallel calls"


async def test_anthropic_to_anthropic_streams_add_up_to_the_same(up, claude, vendor_claude):
    rows = recordings("anthropic-messages", stream=True)
    assert len(rows) >= 4
    for row in rows:
        up.default = replay(row)
        given = arguments(row["request"], ANTHROPIC_FIELDS)
        async with vendor_claude.messages.stream(model="up-2", **given) as stream:
            direct = comparable(await stream.get_final_message())
        async with claude.messages.stream(model="claude", **given) as stream:
            through = comparable(await stream.get_final_message())
        assert through["content"] == direct["content"], row["source"]
        assert through["stop_reason"] == direct["stop_reason"]
        assert through["usage"]["output_tokens"] == direct["usage"]["output_tokens"]


# --- across dialects --------------------------------------------------------------------------

HELLO: Any = [{"role": "user", "content": "hello"}]
OBJECT = {"type": "object", "properties": {}}


def plain(name):
    """A tool whose name both vendors accept."""
    return re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) is not None


async def test_openai_sdk_reads_answers_of_anthropic(up, gpt):
    told = 0
    for row in recordings("anthropic-messages", stream=False):
        text, calls = recorded_words(row)
        if not text and not calls:
            continue
        up.default = replay(row)
        names = [name for name in offered(row["request"]) if plain(name)]
        tools = [
            {"type": "function", "function": {"name": name, "parameters": OBJECT}}
            for name in dict.fromkeys(names)
        ]
        got = await gpt.chat.completions.create(
            model="claude", messages=HELLO, **({"tools": tools} if tools else {})
        )
        assert openai_words(got.choices[0].message) == (text, calls), row["source"]
        assert got.choices[0].finish_reason in ("stop", "tool_calls", "length", "content_filter")
        assert (got.choices[0].finish_reason == "tool_calls") == bool(calls)
        told += len(calls)
    assert told > 10


async def test_anthropic_sdk_reads_answers_of_openai(up, claude):
    told = 0
    for row in recordings("openai-chat", stream=False):
        text, calls = recorded_words(row)
        if not text and not calls:
            continue
        up.default = replay(row)
        tools = [
            {"name": name, "input_schema": OBJECT}
            for name in dict.fromkeys(offered(row["request"]))
            if plain(name)
        ]
        given = {"tools": tools} if tools else {}
        got = await claude.messages.create(model="gpt", max_tokens=100, messages=HELLO, **given)
        assert anthropic_words(got) == (text, calls), row["source"]
        assert (got.stop_reason == "tool_use") == bool(calls)
        told += len(calls)
    assert told > 10


async def test_openai_sdk_reads_streams_of_anthropic(up, gpt, vendor_claude):
    for row in recordings("anthropic-messages", stream=True):
        if row["request"].get("mcp_servers"):
            continue  # the rebuilt request offers no MCP server, so its calls are rightly refused
        up.default = replay(row)
        async with vendor_claude.messages.stream(
            model="up-2", **arguments(row["request"], ANTHROPIC_FIELDS)
        ) as stream:
            text, calls = anthropic_words(await stream.get_final_message())
        names = [name for name in offered(row["request"]) if plain(name)]
        tools = [{"type": "function", "function": {"name": name, "parameters": OBJECT}} for name in names]
        got = await gathered(
            await gpt.chat.completions.create(
                model="claude", messages=HELLO, stream=True, **({"tools": tools} if tools else {})
            )
        )
        assert got[0] == text, row["source"]
        assert len(got[2]) == len(calls)


async def test_anthropic_sdk_reads_streams_of_openai_with_parallel_calls(up, claude, vendor_gpt):
    most = 0
    for row in recordings("openai-chat", stream=True):
        up.default = replay(row)
        given = arguments(row["request"], OPENAI_FIELDS)
        text, _, calls = await gathered(
            await vendor_gpt.chat.completions.create(model="up-1", stream=True, **given)
        )
        tools = [{"name": name, "input_schema": OBJECT} for name in dict.fromkeys(offered(row["request"]))]
        async with claude.messages.stream(
            model="gpt", max_tokens=100, messages=HELLO, **({"tools": tools} if tools else {})
        ) as stream:
            got = await stream.get_final_message()
        assert anthropic_words(got)[0] == text, row["source"]
        assert [block.name for block in got.content if block.type == "tool_use"] == [
            call[1] for call in calls
        ]
        most = max(most, len(calls))
    assert most > 1


# --- structured output ------------------------------------------------------------------------


class City(BaseModel):
    city: str
    country: str
    population: int


async def test_structured_output_in_all_four_pairs(up, gpt, claude):
    row = next(
        row
        for row in recordings("anthropic-messages", stream=False)
        if "London" in str(row["request"]["messages"])
        and row["request"].get("output_config", {}).get("format")
    )
    text, _ = recorded_words(row)
    for model, reply in (("claude", replay(row)), ("gpt", chat(text))):
        up.default = reply
        by_openai = await gpt.chat.completions.parse(model=model, messages=HELLO, response_format=City)
        by_anthropic = await claude.messages.parse(
            model=model, max_tokens=100, messages=HELLO, output_format=City
        )
        assert by_openai.choices[0].message.parsed == City(
            city="London", country="United Kingdom", population=9002488
        )
        assert by_anthropic.parsed_output == by_openai.choices[0].message.parsed
    openai_body, anthropic_body = up.seen[-1].json, up.seen[0].json
    assert openai_body["response_format"]["json_schema"]["schema"]["required"] == [
        "city",
        "country",
        "population",
    ]
    assert anthropic_body["output_config"]["format"]["schema"]["required"] == [
        "city",
        "country",
        "population",
    ]


# --- errors -----------------------------------------------------------------------------------


async def test_sdks_raise_their_own_typed_errors(up, gpt, claude, server):
    up.default = answer({"error": {"message": "slow"}}, 429)
    with pytest.raises(openai.RateLimitError):
        await gpt.chat.completions.create(model="gpt", messages=HELLO)
    with pytest.raises(anthropic.RateLimitError):
        await claude.messages.create(model="gpt", max_tokens=5, messages=HELLO)
    with pytest.raises(openai.NotFoundError) as caught:
        await gpt.chat.completions.create(model="nobody", messages=HELLO)
    assert caught.value.code == "unknown_model"
    with pytest.raises(anthropic.NotFoundError):
        await claude.messages.create(model="nobody", max_tokens=5, messages=HELLO)
    with pytest.raises(openai.BadRequestError):
        await gpt.chat.completions.create(model="gpt", messages=[])
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0) as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.chat.completions.create(model="gpt", messages=HELLO)
    async with anthropic.AsyncAnthropic(base_url=server.url, api_key="wrong", max_retries=0) as stranger:
        with pytest.raises(anthropic.AuthenticationError):
            await stranger.messages.create(model="gpt", max_tokens=5, messages=HELLO)


async def test_u8_both_sdks_raise_when_a_stream_is_cut(up, gpt, claude):
    up.default = sse(ROLE, *words("partly"), end="reset")
    with pytest.raises(openai.APIError):
        await gathered(await gpt.chat.completions.create(model="gpt", messages=HELLO, stream=True))
    with pytest.raises(anthropic.APIError):
        async with claude.messages.stream(model="gpt", max_tokens=5, messages=HELLO) as stream:
            await stream.get_final_message()


@pytest.mark.parametrize("said", [1, 2, 3])
@pytest.mark.parametrize("model", ["gpt", "claude"])
async def test_u8_both_sdks_raise_after_whichever_word_the_stream_is_reset(up, gpt, claude, model, said):
    texts = ["one ", "two ", "three"]
    whole = chat_stream(*texts).pieces if model == "gpt" else message_stream(*texts).pieces
    preamble = 1 if model == "gpt" else 2
    up.default = sse(*whole[: preamble + said], end="reset")
    with pytest.raises(openai.APIError):
        await gathered(await gpt.chat.completions.create(model=model, messages=HELLO, stream=True))
    with pytest.raises(anthropic.APIError):
        async with claude.messages.stream(model=model, max_tokens=5, messages=HELLO) as stream:
            await stream.get_final_message()
    assert len(up.seen) == 2, "what was begun is not asked for again"


async def test_models_can_be_listed_by_both_sdks(gpt, claude):
    by_openai = [model.id async for model in gpt.models.list()]
    by_anthropic = [model.id async for model in claude.models.list()]
    assert by_openai == by_anthropic == ["auto", "prod", "claude", "gpt", "small"]


async def test_one_model_is_shown_to_both_sdks_and_a_name_of_nobody_is_their_typed_error(gpt, claude):
    assert (await gpt.models.retrieve("small")).id == "small"
    assert (await claude.models.retrieve("prod")).display_name == "prod"
    with pytest.raises(openai.NotFoundError):
        await gpt.models.retrieve("nobody")
    with pytest.raises(anthropic.NotFoundError):
        await claude.models.retrieve("nobody")


async def test_the_anthropic_sdk_pages_through_the_models(claude):
    page = await claude.models.list(limit=2)
    assert [model.id for model in page.data] == ["auto", "prod"]
    assert page.has_more
    assert [model.id async for model in page] == ["auto", "prod", "claude", "gpt", "small"]


# --- tools, run by the SDK ----------------------------------------------------------------------


def weather_in(seen):
    """A vendor's answer: a call of the tool, or words, where its result is in the conversation."""
    known = "sunny in Oslo" in seen.body.decode()
    if seen.path == "/v1/messages":
        call = {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {"city": "Oslo"}}
        return message("Sun.") if known else message(stop="tool_use", content=[call])
    function = {"name": "get_weather", "arguments": '{"city": "Oslo"}'}
    call = {"id": "call_1", "type": "function", "function": function}
    return chat("Sun.") if known else chat(None, finish="tool_calls", calls=(call,))


@pytest.mark.parametrize("model", ["claude", "gpt"])
async def test_the_anthropic_sdk_runs_tools_and_no_conversation_is_held_at_the_vendor(up, claude, model):
    """Its runner asks for a thread first, and goes on without one where it is told that there is none."""
    asked = []

    @anthropic.beta_async_tool
    async def get_weather(city: str) -> str:
        """The weather in a city.

        Args:
            city: where
        """
        asked.append(city)
        return f"sunny in {city}"

    up.default = weather_in
    runner = claude.beta.messages.tool_runner(
        model=model, max_tokens=100, messages=HELLO, tools=[get_weather]
    )
    last = await runner.until_done()
    assert asked == ["Oslo"]
    assert [block.text for block in last.content] == ["Sun."]
    assert [len(seen.json["messages"]) for seen in up.seen] == [1, 3]
    assert not any("thread" in seen.json for seen in up.seen)


# --- counting and embeddings ------------------------------------------------------------------


async def test_the_anthropic_sdk_counts_tokens_at_a_provider_that_can_and_at_one_that_cannot(up, claude):
    up.default = answer({"input_tokens": 77})
    assert (await claude.messages.count_tokens(model="claude", messages=HELLO)).input_tokens == 77
    tool = {"name": "t", "description": "d", "input_schema": {"type": "object"}}
    ours = await claude.messages.count_tokens(model="gpt", messages=HELLO, tools=[tool], system="Be brief.")
    assert 5 < ours.input_tokens < 200


@pytest.mark.parametrize("given", ["one text", ["one", "two"], [15339, 1917], [[15339], [1917]]])
@pytest.mark.parametrize("asked", [None, "float", "base64"])
async def test_the_openai_sdk_reads_vectors_in_every_encoding_of_every_form_of_input(
    tmp_path, up, given, asked
):
    config = pool(up.url, up.url)
    config["models"]["embed"] = {"provider": "alpha", "upstream": "up-e", "capabilities": ["embeddings"]}
    inputs = len(given) if isinstance(given, list) and not isinstance(given[0], int) else 1
    rows = [{"object": "embedding", "index": at, "embedding": [0.5, -2.0]} for at in range(inputs)]
    up.default = answer({"object": "list", "data": rows, "model": "e", "usage": {"prompt_tokens": 2}})
    async with (
        serving(tmp_path, config) as server,
        openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client,
    ):
        encoding = {"encoding_format": asked} if asked else {}
        got = await client.embeddings.create(model="embed", input=given, dimensions=2, **encoding)
    shown = "AAAAPwAAAMA=" if asked == "base64" else [0.5, -2.0]
    assert [row.embedding for row in got.data] == [shown] * inputs
    assert (got.model, got.usage.prompt_tokens, up.seen[0].json["input"]) == ("embed", 2, given)
