"""LiteLLM as a client: its `openai/` and `anthropic/` providers, with our URL as `api_base`."""

import base64
import json
from typing import Any

import litellm
import pytest
from pydantic import BaseModel

from tests.clients.suites.given import (
    BEHIND,
    BROKEN,
    CARD,
    CITE,
    CUT,
    KEY,
    OPENAI,
    PAGE,
    PICTURE,
    SLOW_DOWN,
    URL,
)

DIALECTS = {"openai": OPENAI, "openai/responses": OPENAI, "anthropic": URL}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
CLOCK = {
    "type": "function",
    "function": {
        "name": "clock",
        "parameters": {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]},
    },
}


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=BEHIND)
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def ask(dialect: str, model: str, text: str | list[Any], **more: Any) -> Any:
    messages = [{"role": "user", "content": text}] if isinstance(text, str) else text
    return litellm.completion(model=f"{dialect}/{model}", messages=messages, **given(dialect), **more)


def given(dialect: str) -> dict[str, Any]:
    return {"api_base": DIALECTS[dialect], "api_key": KEY, "num_retries": 0, "max_retries": 0}


def test_chat(dialect, model):
    answer = ask(
        dialect, model, [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    )
    assert answer.choices[0].message.content == "You said: hi. I was told: be brief."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens > 0 < answer.usage.completion_tokens
    assert answer.model.endswith(model)


def test_what_an_answer_cites_and_how_the_conversation_goes_on(dialect, model):
    first = ask(dialect, model, CITE).choices[0].message
    assert first.content == f"You said: {CITE}."
    assert PAGE in str(first)
    asked = [{"role": "user", "content": CITE}, first.model_dump(), {"role": "user", "content": "and now"}]
    assert ask(dialect, model, asked).choices[0].message.content == "You said: and now."


def test_what_a_streamed_answer_cites_is_read(dialect, model):
    chunks = list(ask(dialect, model, CITE, stream=True))
    assert litellm.stream_chunk_builder(chunks).choices[0].message.content == f"You said: {CITE}."


async def test_chat_without_waiting_for_it(dialect, model):
    messages = [{"role": "user", "content": "hi"}]
    answer = await litellm.acompletion(model=f"{dialect}/{model}", messages=messages, **given(dialect))
    assert answer.choices[0].message.content == "You said: hi."


def test_streaming(dialect, model):
    chunks = list(ask(dialect, model, "a b c", stream=True, stream_options={"include_usage": True}))
    texts = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    assert "".join(texts) == "You said: a b c."
    assert len(texts) > 1
    whole = litellm.stream_chunk_builder(chunks)
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage.completion_tokens == 5


def test_an_answer_ends_at_its_limit(dialect, model):
    short = ask(dialect, model, "one " * 20, max_tokens=16)
    assert len(short.choices[0].message.content.split()) == 16
    assert short.choices[0].finish_reason == "length"


@pytest.mark.parametrize("model", ["gpt", "claude"])
@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_an_answer_ends_at_a_stop_sequence_where_both_sides_know_one(dialect, model):
    stopped = ask(dialect, model, "one two three", stop=["two"])
    assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == (
        "You said: one ",
        "stop",
    )


def test_tools_are_called_and_answered(dialect, model):
    turns: list[Any] = [{"role": "user", "content": "the weather in 'Wien' for 3 days"}]
    asked = ask(dialect, model, turns, tools=[WEATHER, CLOCK])
    message = asked.choices[0].message
    assert asked.choices[0].finish_reason == "tool_calls"
    (call,) = message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == (
        "weather",
        {"city": "Wien", "days": 3},
    )
    turns += [message.model_dump(), {"role": "tool", "tool_call_id": call.id, "content": "it rains"}]
    told = ask(dialect, model, turns, tools=[WEATHER, CLOCK])
    assert told.choices[0].message.content == "The tool said it rains."


def test_parallel_calls_come_whole_out_of_a_stream(dialect, model):
    chunks = list(ask(dialect, model, "[[each]] 'Zürich'", tools=[WEATHER, CLOCK], stream=True))
    whole = litellm.stream_chunk_builder(chunks)
    calls = [
        (one.function.name, json.loads(one.function.arguments)) for one in whole.choices[0].message.tool_calls
    ]
    assert calls == [("weather", {"city": "Zürich", "days": 1}), ("clock", {"zone": "Zürich"})]
    assert len({one.id for one in whole.choices[0].message.tool_calls}) == 2


def test_a_tool_can_be_forced(dialect, model):
    forced = {"type": "function", "function": {"name": "clock"}}
    answer = ask(dialect, model, "'CET'", tools=[WEATHER, CLOCK], tool_choice=forced)
    assert [call.function.name for call in answer.choices[0].message.tool_calls] == ["clock"]


def test_structured_output(dialect, model):
    answer = ask(dialect, model, "'Ada' is 36", response_format=Person)
    assert Person.model_validate_json(answer.choices[0].message.content) == Person(name="Ada", age=36)


def test_images(dialect, model):
    dot = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"
    content = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": dot}}]
    answer = ask(dialect, model, [{"role": "user", "content": content}])
    assert "I see image" in answer.choices[0].message.content


def test_a_vendors_limit_is_a_rate_limit_error(dialect, model):
    with pytest.raises(litellm.RateLimitError):
        ask(dialect, model, SLOW_DOWN)


def test_what_policy_denies_is_a_403(dialect, model):
    # LiteLLM has a type for it, and keeps it for some providers.
    with pytest.raises(
        litellm.PermissionDeniedError if dialect == "anthropic" else litellm.APIError
    ) as caught:
        ask(dialect, model, CARD)
    assert caught.value.status_code == 403


@pytest.mark.parametrize("streamed", [False, True])
def test_a_conversation_goes_on_after_thoughts(dialect, model, streamed):
    said: list[Any] = [{"role": "user", "content": "[[think]]"}]
    answer = ask(dialect, model, said, stream=streamed)
    if streamed:
        answer = litellm.stream_chunk_builder(list(answer), messages=said)
    said += [answer.choices[0].message.model_dump(), {"role": "user", "content": "and now"}]
    assert ask(dialect, model, said).choices[0].message.content == "You said: and now."


def test_a_tool_loop_goes_on_after_thoughts(dialect, model):
    said: list[Any] = [{"role": "user", "content": "[[think]] [[recall]] 'Bern'"}]
    message = ask(dialect, model, said, tools=[WEATHER]).choices[0].message
    said += [
        message.model_dump(),
        {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "rain"},
    ]
    text = ask(dialect, model, said, tools=[WEATHER]).choices[0].message.content
    thought = "let me see" if model == "claude" else "nothing"  # the others are not asked for their state
    assert text == f"The tool said rain. I had thought: {thought}."


def test_a_failed_vendor_is_a_server_error(dialect, model):
    with pytest.raises((litellm.BadGatewayError, litellm.InternalServerError, litellm.APIError)) as caught:
        ask(dialect, model, BROKEN)
    assert caught.value.status_code >= 500


def test_errors_before_any_vendor_is_asked_have_their_types(dialect):
    with pytest.raises(litellm.NotFoundError):
        ask(dialect, "nobody", "hi")
    with pytest.raises(litellm.BadRequestError):
        ask(dialect, "gpt", "hi", temperature=9)
    with pytest.raises(litellm.AuthenticationError):
        litellm.completion(
            model=f"{dialect}/gpt",
            messages=[{"role": "user", "content": "hi"}],
            **{**given(dialect), "api_key": "wrong"},
        )


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_u8_a_stream_that_is_cut_raises(dialect, model):
    # Its bridge to Responses knows neither of OpenAI's two events for a failure, and ends as if finished.
    with pytest.raises(litellm.exceptions.MidStreamFallbackError):
        list(ask(dialect, model, CUT, stream=True))
