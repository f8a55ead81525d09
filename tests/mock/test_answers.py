"""What the mock answers when nothing goes wrong, as the vendors' own SDKs read it."""

import json

import anthropic
import openai
import pytest

from interlock.mock import Answering, Behaviour, Mock, Script
from interlock.mock.said import SENTENCE
from interlock.mock.sample import smallest
from interlock.mock.script import CallWritten
from tests.mock.raw import CHAT, body, chat, exchange, messages, post

HI = [{"role": "user", "content": "hi"}]
TOOL = {"name": "search", "description": "d"}
SCHEMA = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}


def scripted(**behaviour):
    return Answering(Script(default=Behaviour(**behaviour)))


def openai_client(mock):
    return openai.AsyncOpenAI(base_url=f"{mock.url}/v1", api_key="any", max_retries=0)


def anthropic_client(mock):
    return anthropic.AsyncAnthropic(base_url=mock.url, api_key="any", max_retries=0)


async def test_openais_sdk_reads_an_answer_a_stream_embeddings_and_models():
    async with Mock(Answering()) as mock, openai_client(mock) as client:
        whole = await client.chat.completions.create(model="m", messages=HI)
        assert (whole.choices[0].message.content, whole.choices[0].finish_reason) == (SENTENCE, "stop")
        assert whole.usage is not None
        assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
        stream = await client.chat.completions.create(
            model="m", messages=HI, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == SENTENCE
        assert chunks[-1].usage is not None
        vectors = await client.embeddings.create(model="m", input=["a", "b", "a"], dimensions=8)
        first, second, third = (row.embedding for row in vectors.data)
        assert (len(first), first == third, first == second) == (8, True, False)
        assert [model.id async for model in client.models.list()] == ["mock"]


async def test_anthropics_sdk_reads_an_answer_a_stream_and_a_count():
    async with Mock(Answering()) as mock, anthropic_client(mock) as client:
        whole = await client.messages.create(model="m", max_tokens=9, messages=HI)
        assert (whole.content[0].text, whole.stop_reason) == (SENTENCE, "end_turn")
        async with client.messages.stream(model="m", max_tokens=9, messages=HI) as stream:
            assert "".join([text async for text in stream.text_stream]) == SENTENCE
            assert (await stream.get_final_message()).usage.output_tokens == whole.usage.output_tokens
        counted = await client.messages.count_tokens(model="m", messages=HI)
        assert counted.input_tokens > 0


async def test_the_same_request_gets_the_same_bytes():
    async with Mock(Answering()) as mock:
        assert await exchange(mock.port, chat()) == await exchange(mock.port, chat())


async def test_a_demanded_tool_is_called_and_a_schema_is_kept():
    async with (
        Mock(Answering()) as mock,
        openai_client(mock) as openais,
        anthropic_client(mock) as anthropics,
    ):
        function = {"type": "function", "function": {**TOOL, "parameters": SCHEMA}}
        called = await openais.chat.completions.create(
            model="m", messages=HI, tools=[function], tool_choice="required"
        )
        (call,) = called.choices[0].message.tool_calls
        assert (call.function.name, json.loads(call.function.arguments)) == ("search", {"query": "x"})
        assert called.choices[0].finish_reason == "tool_calls"
        used = await anthropics.messages.create(
            model="m",
            max_tokens=9,
            messages=HI,
            tools=[{**TOOL, "input_schema": SCHEMA}],
            tool_choice={"type": "tool", "name": "search"},
        )
        assert (used.content[0].name, used.content[0].input, used.stop_reason) == (
            "search",
            {"query": "x"},
            "tool_use",
        )
        wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
        kept = await openais.chat.completions.create(model="m", messages=HI, response_format=wanted)
        assert json.loads(kept.choices[0].message.content) == {"query": "x"}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"a": 1}),
        ({"type": "object", "properties": {"a": {"type": "integer"}}}, {}),
        ({"type": "array", "items": {"type": "string"}, "minItems": 2}, ["x", "x"]),
        ({"enum": ["red", "blue"]}, "red"),
        ({"const": 7}, 7),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        ({"type": ["boolean", "null"]}, True),
        ({"type": "string", "minLength": 3}, "xxx"),
        ({"type": "number", "minimum": 5}, 5),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"const": 1}}}, 1),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": []}, {}),
    ],
)
def test_the_smallest_value_of_a_schema_keeps_it(schema, value):
    assert smallest(schema) == value


def test_a_schema_that_holds_itself_ends():
    endless = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
    assert json.dumps(smallest(endless)).count("{") < 50


async def test_an_answer_can_be_scripted_with_calls_that_both_vendors_can_say():
    calls = (
        CallWritten(name="search", arguments={"query": "weather in Paris"}),
        CallWritten(name="send", arguments={"to": "a", "text": "b"}),
    )
    async with Mock(scripted(text="Two.", calls=calls)) as mock, anthropic_client(mock) as client:
        async with client.messages.stream(model="m", max_tokens=9, messages=HI) as stream:
            got = await stream.get_final_message()
        assert [block.type for block in got.content] == ["text", "tool_use", "tool_use"]
        assert got.content[1].input == {"query": "weather in Paris"}
        async with openai_client(mock) as other:
            said = await other.chat.completions.create(model="m", messages=HI)
        assert [call.function.name for call in said.choices[0].message.tool_calls] == ["search", "send"]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (post("/v1/chat/completions", {"model": "m"}), 400),
        (post("/v1/chat/completions", "text"), 400),
        (post("/v1/nothing", CHAT), 404),
        (b"GET /v1/chat/completions HTTP/1.1\r\nconnection: close\r\n\r\n", 404),
        (b"nonsense\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\ncontent-length: many\r\n\r\n", 400),
    ],
)
async def test_what_is_no_request_gets_an_error(data, status):
    async with Mock(Answering()) as mock:
        got, _ = await exchange(mock.port, data)
        assert got.startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.parametrize(
    ("status", "kind", "other"),
    [
        (401, "authentication_error", "authentication_error"),
        (429, "rate_limit_error", "rate_limit_error"),
        (529, "server_error", "overloaded_error"),
        (400, "invalid_request_error", "invalid_request_error"),
    ],
)
async def test_an_error_has_its_vendors_shape(status, kind, other):
    async with Mock(scripted(status=status)) as mock:
        got, _ = await exchange(mock.port, chat())
        assert json.loads(body(got))["error"]["type"] == kind
        got, _ = await exchange(mock.port, messages())
        assert json.loads(body(got))["error"]["type"] == other
        assert json.loads(body(got))["type"] == "error"
