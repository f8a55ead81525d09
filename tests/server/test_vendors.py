"""Azure and vendors of OpenAI's format behind the gateway: each asked in its own way, all answered alike."""

import json

import openai
import pytest

from tests.data import rows
from tests.server.harness import CANARY, pool, serving
from tests.server.upstream import Upstream, answer, sse
from tests.server.vendors import DONE, chat, chat_end, event, words

FILTERED = {
    "message": "filtered",
    "code": "content_filter",
    "status": 400,
    "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
}
WEATHER = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
PROMPT_FIRST = event({"id": "", "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]})


def at_azure(url, **provider):
    config = pool(url, fallbacks=[{"from": "*", "to": "small", "when": "content_filter"}])
    config["providers"]["azure"] = {"base_url": url, "api_key": "${ALPHA_KEY}", **provider}
    config["models"]["gpt"]["provider"] = "azure"
    config["models"]["embed"] = {
        "provider": "azure",
        "upstream": "my-embed",
        "capabilities": ["embeddings"],
        "price": {"input": 1, "output": 0},
    }
    return config


@pytest.fixture
async def up():
    async with Upstream(chat("Hello")) as upstream:
        yield upstream


async def test_azure_is_called_by_deployment_with_its_header_and_the_answer_is_like_any(tmp_path, up):
    async with serving(tmp_path, at_azure(up.url, api_version="2024-10-21")) as server:
        got = await server.chat(max_tokens=9)
        assert (got.status_code, got.json()["model"]) == (200, "gpt")
        assert up.seen[0].path == "/openai/deployments/up-1/chat/completions?api-version=2024-10-21"
        assert up.seen[0].headers["api-key"] == f"{CANARY}-alpha"
        assert "authorization" not in up.seen[0].headers
        assert up.seen[0].json["max_completion_tokens"] == 9


async def test_azure_answers_callers_of_anthropic_messages_too(tmp_path, up):
    async with serving(tmp_path, at_azure(up.url)) as server:
        got = await server.message()
        assert got.json()["content"] == [{"type": "text", "text": "Hello"}]
        assert up.seen[0].path == "/openai/v1/chat/completions"


async def test_a_prompt_that_azure_filters_leads_to_the_fallback_for_that(tmp_path, up):
    up.replies = [answer({"error": FILTERED}, 400)]
    async with serving(tmp_path, at_azure(up.url)) as server:
        got = await server.chat()
        assert (got.status_code, got.json()["model"]) == (200, "small")
        assert [one.outcome for one in server.record(got).attempts] == ["content_filtered", "ok"]


@pytest.mark.parametrize("path", ["", "/openai", "/openai/v1"])
async def test_azure_is_asked_for_responses_at_its_newer_address_with_its_header(tmp_path, up, path):
    fixtures = {
        row["name"]: row["body"] for row in rows("provider-recordings", "provider_fixtures_sample.jsonl")
    }
    up.default = answer(json.loads(fixtures["azure-tool-call.1.json"]))
    config = at_azure(up.url + path, api="responses")
    async with serving(tmp_path, config) as server:
        got = await server.client.post(
            "/v1/responses", json={"model": "gpt", "input": "x", "tools": [WEATHER]}
        )
        assert [item["name"] for item in got.json()["output"]] == ["weather"]
        assert up.seen[0].path == "/openai/v1/responses"
        assert up.seen[0].headers["api-key"] == f"{CANARY}-alpha"
        assert "authorization" not in up.seen[0].headers
        assert (up.seen[0].json["model"], up.seen[0].json["store"]) == ("up-1", False)
        up.default = answer({"data": [{"index": 0, "embedding": [1.0]}], "usage": {"prompt_tokens": 2}})
        await server.client.post("/v1/embeddings", json={"model": "embed", "input": "x"})
        assert up.seen[1].path == "/openai/v1/embeddings"
        assert up.seen[1].headers["api-key"] == f"{CANARY}-alpha"


async def test_azure_makes_embeddings(tmp_path, up):
    up.default = answer({"data": [{"index": 0, "embedding": [1.0]}], "usage": {"prompt_tokens": 2}})
    async with serving(tmp_path, at_azure(up.url, api_version="2024-10-21")) as server:
        got = await server.client.post("/v1/embeddings", json={"model": "embed", "input": "x"})
        assert got.json()["data"][0]["embedding"] == [1.0]
        assert up.seen[0].path == "/openai/deployments/my-embed/embeddings?api-version=2024-10-21"


async def test_the_openai_sdk_streams_through_azure_whose_first_chunk_is_about_the_prompt(tmp_path, up):
    up.default = sse(PROMPT_FIRST, *words("Hi", " there"), chat_end())
    async with (
        serving(tmp_path, at_azure(up.url)) as server,
        openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client,
    ):
        stream = await client.chat.completions.create(
            model="gpt", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        text, ids, about = "", set(), []
        async for chunk in stream:
            ids.add(chunk.id)
            about += (chunk.model_extra or {}).get("prompt_filter_results", [])
            text += "".join(choice.delta.content or "" for choice in chunk.choices)
    assert (text, ids, about) == ("Hi there", {"chatcmpl-1"}, [{"prompt_index": 0}])


async def test_a_vendor_s_ways_hold_at_an_address_of_one_s_own(tmp_path, up):
    config = pool(up.url)
    config["providers"]["alpha"]["vendor"] = "mistral"
    async with serving(tmp_path, config) as server:
        await server.chat(seed=7, max_tokens=9)
        assert (up.seen[0].json["random_seed"], up.seen[0].json["max_tokens"]) == (7, 9)
        up.default = sse(*words("Hi"), event({"choices": [{"delta": {}, "finish_reason": "stop"}]}), DONE)
        got = await server.chat(stream=True)
        assert "stream_options" not in up.seen[1].json
        assert "Hi" in got.text
