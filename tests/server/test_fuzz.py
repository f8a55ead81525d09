"""C10: requests made up from the published specifications: each is served, or refused by a typed error."""

import asyncio
import json
import random
from functools import partial
from typing import Any, Final

import pytest

from tests import specs
from tests.from_schema import Made
from tests.server.harness import Running, pool, serving
from tests.server.upstream import Reply, Seen, Upstream, answer, sse
from tests.server.vendors import (
    ROLE,
    call,
    chat,
    chat_end,
    chat_event,
    chat_stream,
    message,
    message_stream,
)
from tests.specs import Spec, faults

REQUESTS: Final[dict[str, tuple[str, Spec, str]]] = {
    "chat": ("/v1/chat/completions", "openai", "CreateChatCompletionRequest"),
    "responses": ("/v1/responses", "openai", "CreateResponse"),
    "open responses": ("/v1/responses", "openresponses", "CreateResponseBody"),
    "embeddings": ("/v1/embeddings", "openai", "CreateEmbeddingRequest"),
}
SCHEMAS: Final = ({"type": "object"}, {"type": "object", "properties": {"a": {"type": "string"}}})
GIVEN: Final = {
    "FunctionParameters": SCHEMAS,
    "ResponseFormatJsonSchemaSchema": SCHEMAS,
    "ModelIdsShared": ("gpt",),
    "ModelIdsResponses": ("gpt",),
    "ChatCompletionRequestFunctionMessage": ({"role": "user", "content": "hi"},),
}
SELDOM: Final = {
    "background",
    "conversation",
    "function_call",
    "functions",
    "n",
    "previous_response_id",
    "prompt",
}
"""Fields that are refused whatever they hold: where one is set, nothing else is looked at."""
COUNT: Final = 600
AT_ONCE: Final = 8


def reply(seen: Seen) -> Reply:
    """What a provider would say: a call where one is demanded, JSON where that is asked for, else words."""
    body = seen.json
    if seen.path.endswith("/embeddings"):
        several = type(body["input"]) is list and body["input"] and type(body["input"][0]) is not int
        vectors = [
            {
                "object": "embedding",
                "index": place,
                "embedding": "AAAAAA==" if body.get("encoding_format") == "base64" else [0.5],
            }
            for place in range(len(body["input"]) if several else 1)
        ]
        return answer(
            {
                "object": "list",
                "data": vectors,
                "model": "m",
                "usage": {"prompt_tokens": 1, "total_tokens": 1},
            }
        )
    stream, choice = body.get("stream"), body.get("tool_choice")
    if seen.path.endswith("/messages"):
        if isinstance(choice, dict) and choice.get("type") in ("any", "tool"):
            name = choice.get("name") or body["tools"][0]["name"]
            content = [{"type": "tool_use", "id": "t", "name": name, "input": {}}]
            return message(content=content, stop="tool_use") if not stream else message_stream("{}")
        return message_stream("{}") if stream else message("{}")
    if (choice == "required" and "tools" in body) or (isinstance(choice, dict) and "function" in choice):
        name = (
            choice["function"]["name"] if isinstance(choice, dict) else body["tools"][0]["function"]["name"]
        )
        one = call(0, name, "{}")
        if stream:
            return sse(ROLE, chat_event({"tool_calls": [one]}), chat_end("tool_calls"))
        return chat(None, finish="tool_calls", calls=(one,))
    return chat_stream("{}") if stream else chat("{}")


def made_up(kind: str, seed: int) -> dict[str, Any]:
    """One request body; every third has something in it that does not belong there."""
    _, spec, name = REQUESTS[kind]
    chance = random.Random(f"{kind} {seed}")
    maker = Made(partial(specs.schema, spec), chance, GIVEN)
    published = {"$ref": f"#/components/schemas/{name}"}
    body = maker.of(published)
    for field in SELDOM & body.keys() if chance.random() < 0.9 else ():
        del body[field]
    body["model"] = "vectors" if kind == "embeddings" else chance.choice(("gpt", "claude"))
    if "responses" in kind and chance.random() < 0.9:
        while not body.get("input"):
            body["input"] = maker.of(published).get("input")
    made: dict[str, Any] = maker.odd(body) if seed % 3 == 2 else body
    return made


async def sent(server: Running, kind: str, seed: int) -> int:
    body = made_up(kind, seed)
    got = await server.client.post(REQUESTS[kind][0], content=json.dumps(body).encode())
    about = (kind, seed, got.status_code, got.text[:500], json.dumps(body)[:2000])
    assert got.status_code == 200 or 400 <= got.status_code < 500, about
    if got.status_code != 200:
        assert not faults("openai", "ErrorResponse", got.json()), about
        assert got.json()["error"]["message"], about
    return got.status_code


def config(up: str) -> dict[str, Any]:
    found = pool(up, up, store={"url": "sqlite:///interlock.db", "responses": "default"})
    found["models"]["vectors"] = {**found["models"]["gpt"], "capabilities": ["embeddings"]}
    for name in ("gpt", "claude"):
        found["models"][name]["capabilities"] = [
            "tools",
            "json_schema",
            "vision",
            "reasoning",
            "files",
            "audio",
        ]
    found["tools"] = {"default": {"effects": ["read"]}}
    found["resilience"] = {"breaker": {"failures": 1_000_000}}
    return found


async def fuzz(folder: Any, kind: str, seeds: range) -> None:
    async with Upstream(reply) as up, serving(folder, config(up.url)) as server:
        statuses: list[int] = []
        for first in range(seeds.start, seeds.stop, AT_ONCE):
            some = range(first, min(first + AT_ONCE, seeds.stop))
            statuses += await asyncio.gather(*(sent(server, kind, seed) for seed in some))
        assert statuses.count(200) > len(statuses) // 10, "most of it says nothing if nothing is served"
        faulty = [line for line in server.log if line.get("event") == "fault"]
        assert not faulty


@pytest.mark.parametrize("kind", REQUESTS)
async def test_c10_a_request_made_up_from_the_specification_is_served_or_refused_by_a_typed_error(
    tmp_path, kind
):
    await fuzz(tmp_path, kind, range(COUNT))


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", REQUESTS)
async def test_c10_many_requests_made_up_from_the_specification(tmp_path, kind):
    await fuzz(tmp_path, kind, range(COUNT, 20 * COUNT))


@pytest.mark.parametrize("model", [None, "gpt", "prod"])
async def test_the_models_are_as_the_specification_has_them(tmp_path, model):
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.client.get("/v1/models" if model is None else f"/v1/models/{model}")
        assert got.status_code == 200
        assert not faults("openai", "ListModelsResponse" if model is None else "Model", got.json())
