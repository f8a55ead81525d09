"""The OpenAI SDK's Responses API through the gateway, before upstreams of each wire format.

Where the upstream speaks it too, the SDK must see through the gateway what it sees without it. The
answers are recordings of the vendors.
"""

import json
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel

from tests.adapters.recorded import payloads
from tests.data import rows
from tests.sdk.replay import anthropic_words, offered, openai_words, recorded_words, recordings, replay
from tests.server.harness import keyed, pool, serving
from tests.server.upstream import Reply, Upstream, sse
from tests.server.vendors import ROLE, chat, chat_stream, message, words

KEY = "key-sdk"
HELLO: Any = [{"role": "user", "content": "hello"}]
FIELDS = ("input", "instructions", "tools", "tool_choice", "reasoning", "include", "text", "service_tier")
# The recordings were made with these, and Interlock keeps no such state at the vendor.
STATEFUL = ("background", "conversation", "previous_response_id", "store")


@pytest.fixture
async def up():
    async with Upstream() as upstream:
        yield upstream


@pytest.fixture
async def server(tmp_path, up):
    """`gpt` is at a server of responses, `small` at one of chat completions, `claude` at Anthropic's."""
    config = pool(up.url, up.url, keys=keyed({"id": "sdk", "key": KEY}))
    config["providers"]["gamma"] = {**config["providers"]["alpha"]}
    config["providers"]["alpha"]["api"] = "responses"
    config["models"]["small"]["provider"] = "gamma"
    for provider in config["providers"].values():
        provider["trusted_for"] = "regulated"
    async with serving(tmp_path, config) as running:
        yield running


@pytest.fixture
async def ours(server):
    async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


@pytest.fixture
async def vendor(up):
    async with openai.AsyncOpenAI(base_url=f"{up.url}/v1", api_key="x", max_retries=0) as client:
        yield client


@pytest.fixture
async def claude(server):
    async with anthropic.AsyncAnthropic(base_url=server.url, api_key=KEY, max_retries=0) as client:
        yield client


def recorded(*, stream: bool) -> list[dict[str, Any]]:
    found = [
        row
        for row in rows("provider-recordings", "recorded_calls_sample.jsonl")
        if row["dialect"] == "openai-responses" and row["stream"] is stream and row["status"] == 200
    ]
    return [row for row in found if not row["request"].get("background")]


def arguments(request: dict[str, Any]) -> dict[str, Any]:
    """A recorded request as arguments of the SDK's method."""
    known = {name: request[name] for name in FIELDS if name in request}
    left = {*FIELDS, *STATEFUL, "model", "stream"}
    rest = {name: value for name, value in request.items() if name not in left}
    return {**known, "extra_body": rest} if rest else known


def items(response: Any) -> list[dict[str, Any]]:
    """What was said, item by item, without what only says that nothing was."""
    shown = [
        item.model_dump(exclude_unset=True, exclude_none=True, warnings=False) for item in response.output
    ]
    for item in shown:
        for part in item.get("content", ()):
            part.pop("logprobs", None)
        if item["type"] == "reasoning":
            item["encrypted_content"] = bool(item.get("encrypted_content"))  # made anew each time it is said
            if not item.get("content"):
                item.pop("content", None)
    return shown


def called(response: Any) -> list[tuple[str, Any]]:
    return [(c.name, json.loads(c.arguments or "{}")) for c in response.output if c.type == "function_call"]


# --- responses on both sides ------------------------------------------------------------------


async def test_whole_answers_are_what_the_vendor_said(up, ours, vendor):
    seen = 0
    for row in recorded(stream=False):
        up.default = replay(row)
        given = arguments(row["request"])
        direct = await vendor.responses.create(model="up-1", **given)
        through = await ours.responses.create(model="gpt", **given)
        assert items(through) == items(direct), row["source"]
        assert (through.status, through.output_text) == (direct.status, direct.output_text)
        assert through.id.startswith("resp_")
        assert through.model == "gpt"
        assert through.usage is not None
        assert direct.usage is not None
        assert through.usage.total_tokens == direct.usage.total_tokens
        seen += 1
    assert seen > 65


async def test_streams_add_up_to_what_the_vendor_said_event_by_event(up, ours, vendor):
    seen = 0
    for row in recorded(stream=True):
        if b'"sequence_number"' not in row["response"].encode():
            continue  # older than the SDK's way of putting a stream together
        up.default = replay(row)
        given = arguments(row["request"])
        direct = [event async for event in await vendor.responses.create(model="up-1", stream=True, **given)]
        through = [event async for event in await ours.responses.create(model="gpt", stream=True, **given)]
        assert {event.type for event in through} == {event.type for event in direct}, row["source"]
        assert items(through[-1].response) == items(direct[-1].response), row["source"]
        seen += 1
        if "web_search_call" in row["response"]:
            continue  # the SDK warns of fields that its own types do not have
        async with ours.responses.stream(model="gpt", **given) as stream:
            final = await stream.get_final_response()
        assert final.output_text == direct[-1].response.output_text
        assert [item.id for item in final.output] == [item.id for item in direct[-1].response.output]
    assert seen >= 5


# --- across dialects --------------------------------------------------------------------------


@pytest.mark.parametrize(("dialect", "model"), [("openai-chat", "small"), ("anthropic-messages", "claude")])
async def test_the_sdk_reads_whole_answers_of_other_vendors(up, ours, dialect, model):
    told = 0
    for row in recordings(dialect, stream=False):
        text, calls = recorded_words(row)
        if not text and not calls:
            continue
        up.default = replay(row)
        names = dict.fromkeys(name for name in offered(row["request"]) if name)
        tools: Any = [{"type": "function", "name": name, "parameters": {"type": "object"}} for name in names]
        got = await ours.responses.create(model=model, input=HELLO, **({"tools": tools} if tools else {}))
        assert (got.output_text, called(got)) == (text, calls), row["source"]
        told += len(calls)
    assert told > 10


@pytest.mark.parametrize(("dialect", "model"), [("openai-chat", "small"), ("anthropic-messages", "claude")])
async def test_the_sdk_puts_streams_of_other_vendors_together(up, ours, dialect, model):
    seen = 0
    for row in recordings(dialect, stream=True):
        if row["request"].get("mcp_servers"):
            continue  # the rebuilt request offers no MCP server, so its calls are rightly refused
        up.default = replay(row)
        names = dict.fromkeys(name for name in offered(row["request"]) if name)
        tools: Any = [{"type": "function", "name": name, "parameters": {"type": "object"}} for name in names]
        given: Any = {"input": HELLO, **({"tools": tools} if tools else {})}
        async with ours.responses.stream(model=model, **given) as stream:
            got = [event async for event in stream]
            if got[-1].type != "response.completed":
                continue
            final = await stream.get_final_response()
        deltas = "".join(event.delta for event in got if event.type == "response.output_text.delta")
        assert final.output_text == deltas, row["source"]
        assert [event.sequence_number for event in got] == list(range(len(got)))
        seen += 1
    assert seen >= 4


async def test_callers_of_other_dialects_read_answers_of_a_server_of_responses(up, ours, claude):
    told = 0
    for row in recorded(stream=False):
        output = row["response"]["output"]
        if {item["type"] for item in output} - {"message", "function_call", "reasoning"}:
            continue
        text = "".join(p["text"] for item in output if item["type"] == "message" for p in item["content"])
        calls = [(c["name"], json.loads(c["arguments"])) for c in output if c["type"] == "function_call"]
        up.default = replay(row)
        names = dict.fromkeys([name for name, _ in calls])
        schema = {"type": "object", "properties": {}}
        functions: Any = [{"type": "function", "function": {"name": n, "parameters": schema}} for n in names]
        by_chat = await ours.chat.completions.create(
            model="gpt", messages=HELLO, **({"tools": functions} if functions else {})
        )
        assert openai_words(by_chat.choices[0].message) == (text, calls), row["source"]
        tools: Any = [{"name": name, "input_schema": schema} for name in names]
        by_messages = await claude.messages.create(
            model="gpt", max_tokens=100, messages=HELLO, **({"tools": tools} if tools else {})
        )
        assert anthropic_words(by_messages) == (text, calls), row["source"]
        told += 1
    assert told > 25


async def test_callers_of_other_dialects_read_streams_of_a_server_of_responses(up, ours, claude):
    row = next(row for row in recorded(stream=True) if "output_text.delta" in row["response"])
    text = "".join(
        event["delta"]
        for event in payloads(row["response"].encode())
        if event["type"] == "response.output_text.delta"
    )
    up.default = replay(row)
    chunks = [
        chunk async for chunk in await ours.chat.completions.create(model="gpt", messages=HELLO, stream=True)
    ]
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == text
    async with claude.messages.stream(model="gpt", max_tokens=100, messages=HELLO) as stream:
        assert anthropic_words(await stream.get_final_message())[0] == text


# --- what users of the SDK do -----------------------------------------------------------------


class City(BaseModel):
    city: str
    country: str


@pytest.mark.parametrize("model", ["gpt", "small", "claude"])
async def test_structured_output_is_parsed(up, ours, model):
    text = '{"city": "Paris", "country": "France"}'
    part = {"type": "output_text", "text": text, "annotations": []}
    said = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [part]}
    body = {"id": "resp_1", "model": "up-1", "status": "completed", "output": [said]}
    up.default = {
        "gpt": Reply(200, (json.dumps(body).encode(),)),
        "small": chat(text),
        "claude": message(text),
    }[model]
    got = await ours.responses.parse(model=model, input=HELLO, text_format=City)
    assert got.output_parsed == City(city="Paris", country="France")
    sent = up.seen[-1].json
    schema = (
        sent["text"]["format"]["schema"]
        if model == "gpt"
        else sent["response_format"]["json_schema"]["schema"]
        if model == "small"
        else sent["output_config"]["format"]["schema"]
    )
    assert schema["required"] == ["city", "country"]


async def test_a_conversation_is_kept_shown_listed_and_deleted(up, ours):
    up.default = chat("Hello")
    first = await ours.responses.create(model="small", input="hi", instructions="be brief")
    up.default = chat_stream("a", "b")
    async with ours.responses.stream(model="small", input="and?", previous_response_id=first.id) as stream:
        second = await stream.get_final_response()
    assert second.output_text == "ab"
    assert [turn["content"] for turn in up.seen[-1].json["messages"]] == ["hi", "Hello", "and?"]
    assert (await ours.responses.retrieve(second.id)).output_text == "ab"
    listed = [item async for item in ours.responses.input_items.list(second.id, order="asc", limit=2)]
    assert [item.role for item in listed if item.type == "message"] == ["user", "assistant", "user"]
    await ours.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        await ours.responses.retrieve(first.id)
    with pytest.raises(openai.NotFoundError) as caught:
        await ours.responses.create(model="small", input="so?", previous_response_id=second.id)
    assert caught.value.param == "previous_response_id"


async def test_sdk_raises_its_own_typed_errors(up, ours):
    up.default = Reply(429, (b'{"error": {"message": "slow"}}',))
    with pytest.raises(openai.RateLimitError):
        await ours.responses.create(model="gpt", input="hi")
    with pytest.raises(openai.NotFoundError) as caught:
        await ours.responses.create(model="nobody", input="hi")
    assert caught.value.code == "unknown_model"
    with pytest.raises(openai.BadRequestError):
        await ours.responses.create(model="gpt", input="hi", background=True)


async def test_u8_the_sdk_raises_when_a_stream_is_cut(up, ours):
    up.default = sse(ROLE, *words("partly"), end="reset")
    with pytest.raises(openai.APIError):
        async for _ in await ours.responses.create(model="small", input="hi", stream=True):
            pass
