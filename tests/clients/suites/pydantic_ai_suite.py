"""Pydantic AI in both dialects. A further dialect is a further row of DIALECTS."""

from typing import Any

import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, BinaryContent, ModelRetry, NativeOutput, ToolOutput
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelRateLimitError,
    ModelServerError,
)
from pydantic_ai.messages import ThinkingPart
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.profiles import ModelProfile
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider

from tests.clients.suites.given import BEHIND, BROKEN, CARD, CITE, CUT, KEY, OPENAI, PICTURE, SLOW_DOWN, URL


def chat(name: str, key: str = KEY) -> Model[Any]:
    client = AsyncOpenAI(base_url=OPENAI, api_key=key, max_retries=0)
    return OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))


def responses(name: str, key: str = KEY) -> Model[Any]:
    client = AsyncOpenAI(base_url=OPENAI, api_key=key, max_retries=0)
    return OpenAIResponsesModel(name, provider=OpenAIProvider(openai_client=client))


def messages(name: str, key: str = KEY) -> Model[Any]:
    client = AsyncAnthropic(base_url=URL, api_key=key, max_retries=0)
    profile = ModelProfile(supports_json_schema_output=True)  # it goes by the name, and does not know ours
    return AnthropicModel(name, provider=AnthropicProvider(anthropic_client=client), profile=profile)


DIALECTS = {"chat": chat, "responses": responses, "messages": messages}


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> Any:
    return DIALECTS[request.param]


@pytest.fixture(params=BEHIND)
def model(dialect: Any, request: pytest.FixtureRequest) -> Any:
    return dialect(request.param)


async def test_chat(model):
    result = await Agent(model, instructions="be brief").run("hi")
    assert result.output == "You said: hi. I was told: be brief."
    assert result.usage.input_tokens > 0 < result.usage.output_tokens
    assert result.response.model_name == model.model_name
    assert result.response.finish_reason == "stop"


async def test_a_conversation_goes_on(model):
    agent = Agent(model)
    first = await agent.run("hi")
    second = await agent.run("and now", message_history=first.all_messages())
    assert second.output == "You said: and now."


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_conversation_goes_on_after_an_answer_that_cites(model, streamed):
    agent = Agent(model)
    if streamed:
        async with agent.run_stream(CITE) as stream:
            first = await stream.get_output()
            said = stream.all_messages()
    else:
        result = await agent.run(CITE)
        first, said = result.output, result.all_messages()
    assert first == f"You said: {CITE}."
    assert (await agent.run("and now", message_history=said)).output == "You said: and now."


async def test_streaming(model):
    async with Agent(model).run_stream("a b c") as stream:
        pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
        usage = stream.usage
    assert "".join(pieces) == "You said: a b c."
    assert len(pieces) > 1
    assert usage.output_tokens == 5


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_tools_are_called_and_answered(model, streamed):
    agent = Agent(model)
    asked = []

    @agent.tool_plain
    def weather(city: str, days: int) -> str:
        """The weather of a city."""
        asked.append((city, days))
        return "it rains"

    if streamed:
        async with agent.run_stream("'Zürich' for 3 days") as stream:
            output = await stream.get_output()
    else:
        output = (await agent.run("'Zürich' for 3 days")).output
    assert (asked, output) == ([("Zürich", 3)], "The tool said it rains.")


async def test_parallel_calls_are_each_answered(model):
    agent = Agent(model)

    @agent.tool_plain
    def weather(city: str) -> str:
        return f"rain in {city}"

    @agent.tool_plain
    def clock(zone: str) -> str:
        return f"noon in {zone}"

    result = await agent.run("[[each]] 'Wien'")
    assert result.output == "The tool said rain in Wien and noon in Wien."


async def test_a_tool_that_asks_again_is_called_again(model):
    agent = Agent(model)
    asked = []

    @agent.tool_plain
    def weather(city: str) -> str:
        asked.append(city)
        if city != "Wien":
            raise ModelRetry("say 'Wien'")
        return "it rains"

    result = await agent.run("[[insist]] 'Vienna'")
    assert (asked, result.output) == (["Vienna", "Wien"], "The tool said it rains.")


@pytest.mark.parametrize("way", [ToolOutput, NativeOutput])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_structured_output(model, way, streamed):
    agent = Agent(model, output_type=way(Person))
    if streamed:
        async with agent.run_stream("'Ada' is 36") as stream:
            output = await stream.get_output()
    else:
        output = (await agent.run("'Ada' is 36")).output
    assert output == Person(name="Ada", age=36)


async def test_images(model):
    result = await Agent(model).run(["look", BinaryContent(PICTURE, media_type="image/png")])
    assert "I see image" in result.output


async def test_reasoning_is_shown_where_the_vendor_shows_it(dialect):
    result = await Agent(dialect("claude")).run("[[think]]")
    assert [part.content for part in result.response.parts if isinstance(part, ThinkingPart)] == [
        "let me see"
    ]
    assert result.output == "You said: [[think]]."


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_conversation_goes_on_after_thoughts(model, streamed):
    agent = Agent(model)
    if streamed:
        async with agent.run_stream("[[think]]") as first:
            await first.get_output()
            said = first.all_messages()
    else:
        said = (await agent.run("[[think]]")).all_messages()
    second = await agent.run("and now", message_history=said)
    assert second.output == "You said: and now."


async def test_a_tool_loop_goes_on_after_thoughts(model):
    agent = Agent(model)

    @agent.tool_plain
    def weather(city: str) -> str:
        return f"rain in {city}"

    result = await agent.run("[[think]] 'Bern'")
    assert result.output == "The tool said rain in Bern."


async def test_thoughts_come_back_to_whoever_signed_them_where_the_client_keeps_what_they_are_signed_with():
    for dialect, kept in ((messages, "let me see"), (chat, "nothing")):
        agent = Agent(dialect("claude"))
        first = await agent.run("[[think]]")
        second = await agent.run("[[recall]]", message_history=first.all_messages())
        assert second.output == f"You said: [[recall]]. I had thought: {kept}."


@pytest.mark.parametrize(
    ("text", "error", "status"),
    [(SLOW_DOWN, ModelRateLimitError, 429), (BROKEN, ModelServerError, 502), (CARD, ModelHTTPError, 403)],
)
async def test_errors_have_their_types(model, text, error, status):
    with pytest.raises(error) as caught:
        await Agent(model).run(text)
    assert caught.value.status_code == status


async def test_errors_before_any_vendor_is_asked_have_their_types(dialect):
    with pytest.raises(ModelNotFoundError):
        await Agent(dialect("nobody")).run("hi")
    with pytest.raises(ModelAuthenticationError):
        await Agent(dialect("gpt", key="wrong")).run("hi")


async def test_u8_a_stream_that_is_cut_raises(model):
    with pytest.raises(ModelAPIError):
        async with Agent(model).run_stream(CUT) as stream:
            await stream.get_output()
