"""Embeddings over HTTP: decided, checked, paid for and recorded like an answer, by models that embed."""

import pytest

from tests.server.harness import keyed, pool, serving
from tests.server.upstream import Upstream, answer, refused_port

EMBEDS = {"context_tokens": 20, "capabilities": ["embeddings"], "price": {"input": 0.5, "output": 0}}
FALLBACK = [{"from": "*", "to": "spare", "when": "any"}]


def embedding(*vectors, **top):
    rows = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)]
    body = {"object": "list", "data": rows, "model": "up-e"}
    return answer({**body, "usage": {"prompt_tokens": 4, "total_tokens": 4}, **top})


def embedders(url, **sections):
    config = pool(url, url, **sections)
    config["models"] |= {
        "embed": {"provider": "alpha", "upstream": "up-e", **EMBEDS},
        "spare": {"provider": "alpha", "upstream": "up-e2", **EMBEDS},
    }
    config["aliases"]["vectors"] = "embed"
    return config


@pytest.fixture
async def up():
    async with Upstream(embedding([0.5, 1.0])) as upstream:
        yield upstream


async def ask(server, headers=None, **fields):
    body = {"model": "vectors", "input": "hello", **fields}
    return await server.client.post("/v1/embeddings", json=body, headers=headers or {})


async def test_a_vector_comes_with_its_decision_route_and_cost_and_is_recorded(tmp_path, up):
    async with serving(tmp_path, embedders(up.url)) as server:
        got = await ask(server, dimensions=2)
        assert got.status_code == 200
        assert got.json()["data"] == [{"object": "embedding", "index": 0, "embedding": [0.5, 1.0]}]
        assert (got.json()["model"], got.json()["usage"]["prompt_tokens"]) == ("embed", 4)
        assert got.headers["x-interlock-route"] == "alpha/embed"
        assert got.headers["x-interlock-alias"] == "vectors@1"
        assert float(got.headers["x-interlock-cost-usd"]) == pytest.approx(4 * 0.5 / 1e6)
        assert (up.seen[0].path, up.seen[0].json) == (
            "/v1/embeddings",
            {"model": "up-e", "input": "hello", "dimensions": 2},
        )
        record = server.record(got)
        assert (record.status, record.decision.signals.endpoint) == ("ok", "/v1/embeddings")
        attempt = record.attempts[0]
        assert (attempt.input_tokens, attempt.output_tokens) == (4, 0)


async def test_a_chat_model_is_not_asked_for_embeddings_nor_an_embedding_model_for_answers(tmp_path, up):
    async with serving(tmp_path, embedders(up.url)) as server:
        for got in (await ask(server, model="gpt"), await server.chat(model="embed")):
            assert got.status_code == 403
            assert got.json()["error"]["code"] == "policy_denied"
            assert server.record(got).decision.why.dropped[0].rule == "capability"
        assert up.seen == []


async def test_a_provider_whose_format_has_no_embeddings_is_passed_over_by_name(tmp_path, up):
    config = embedders(up.url)
    config["models"]["embed"]["provider"] = "beta"
    async with serving(tmp_path, config) as server:
        got = await ask(server)
        assert (got.status_code, got.json()["error"]["code"]) == (400, "invalid_request")
        assert "anthropic" in got.json()["error"]["message"]


async def test_policy_judges_inputs_as_it_judges_messages(tmp_path, up):
    rule = {"name": "no-cards", "when": {"data_class": "regulated"}, "then": {"deny": "no cards"}}
    async with serving(tmp_path, embedders(up.url, policy=[rule])) as server:
        assert (await ask(server, input=["fine", "4111 1111 1111 1111"])).status_code == 403
        assert (await ask(server, headers={"x-interlock-data-class": "regulated"})).status_code == 403
        assert (await ask(server)).status_code == 200


async def test_a_key_asks_for_embeddings_only_where_it_may(tmp_path, up):
    keys = keyed({"id": "k", "key": "key-1", "allow": {"aliases": ["prod"]}})
    async with serving(tmp_path, embedders(up.url, keys=keys)) as server:
        assert (await ask(server)).status_code == 401
        assert (await ask(server, {"authorization": "Bearer key-1"})).status_code == 403


async def test_each_input_has_the_window_for_itself_and_the_budget_counts_all(tmp_path, up):
    up.replies = [embedding(*[[1.0]] * 30)]
    async with serving(tmp_path, embedders(up.url)) as server:
        assert (await ask(server, input=["hello"] * 30)).status_code == 200
        got = await ask(server, input="hello " * 30)
        assert (got.status_code, got.json()["error"]["code"]) == (413, "context_too_large")
        got = await ask(server, input=["hello"] * 30, metadata={"max_cost_usd": "0.000001"})
        assert (got.status_code, got.json()["error"]["code"]) == (402, "budget_exceeded")


async def test_a_fallback_takes_over_where_the_first_model_cannot_be_reached(tmp_path, up):
    config = embedders(up.url, fallbacks=FALLBACK)
    config["providers"]["dead"] = {"kind": "openai", "base_url": f"http://127.0.0.1:{refused_port()}/v1"}
    config["models"]["embed"]["provider"] = "dead"
    async with serving(tmp_path, config) as server:
        got = await ask(server)
        assert (got.status_code, got.json()["model"]) == (200, "spare")
        assert [one.outcome for one in server.record(got).attempts] == ["connect_failed", "ok"]


async def test_token_ids_go_to_no_model_of_another_tokenizer(tmp_path, up):
    twin = {"from": "*", "to": "twin", "when": "any"}
    config = embedders(up.url, fallbacks=[*FALLBACK, twin])
    config["models"]["embed"]["upstream"] = "text-embedding-3-small"
    config["models"]["twin"] = {"provider": "alpha", "upstream": "text-embedding-3-large", **EMBEDS}
    async with serving(tmp_path, config) as server:
        up.default = answer({}, 400)
        ids, text = await ask(server, input=[15339]), await ask(server)
        fallbacks = [server.record(got).decision.fallbacks for got in (ids, text)]
        assert [[step.model for step in steps] for steps in fallbacks] == [["twin"], ["spare", "twin"]]


@pytest.mark.parametrize("reply", [embedding(), embedding([1.0], [2.0])], ids=["none", "too many"])
async def test_an_answer_with_another_number_of_vectors_is_malformed_and_another_model_is_tried(
    tmp_path, up, reply
):
    up.replies = [reply]
    async with serving(tmp_path, embedders(up.url, fallbacks=FALLBACK)) as server:
        got = await ask(server)
        assert (got.status_code, got.json()["model"]) == (200, "spare")
        assert [one.outcome for one in server.record(got).attempts] == ["malformed", "ok"]


async def test_a_lane_s_schema_for_answers_asks_nothing_of_vectors(tmp_path, up):
    (tmp_path / "schema.json").write_text('{"type": "object"}')
    lanes = {"l": {"models": ["vectors"], "output": {"json_schema": "schema.json"}, "temperature": 0.5}}
    async with serving(tmp_path, embedders(up.url, lanes=lanes)) as server:
        assert (await ask(server, model="lane:l")).status_code == 200
        assert up.seen[0].json == {"model": "up-e", "input": "hello"}


async def test_a_dry_run_decides_on_embeddings_too(tmp_path, up):
    async with serving(tmp_path, embedders(up.url)) as server:
        body = {"model": "vectors", "input": [1, 2, 3]}
        got = await server.client.post("/v1/decisions?endpoint=/v1/embeddings", json=body)
        assert got.json()["route"]["model"] == "embed"
        assert up.seen == []


async def test_gemini_embeds_and_a_provider_that_does_not_is_refused_by_the_field_s_name(tmp_path):
    async with Upstream(answer({"embeddings": [{"values": [0.5, 1.0]}]})) as up:
        config = embedders(up.url)
        config["providers"]["google"] = {"kind": "gemini", "base_url": up.url, "api_key": "k"}
        config["models"]["embed"] = {"provider": "google", "upstream": "gemini-embedding-001", **EMBEDS}
        config["models"]["claude-e"] = {"provider": "beta", "upstream": "up-c", **EMBEDS}
        async with serving(tmp_path, config) as server:
            got = await ask(server, encoding_format="float")
            assert got.status_code == 200, got.text
            assert got.json()["data"][0]["embedding"] == [0.5, 1.0]
            assert server.record(got).attempts[0].usage_estimated
            assert up.seen[0].path == "/v1beta/models/gemini-embedding-001:batchEmbedContents"
            for refused in (await ask(server, input=[[1, 2]]), await ask(server, model="claude-e")):
                assert refused.status_code == 400
                assert "`input` cannot be carried" in refused.json()["error"]["message"]
            assert len(up.seen) == 1
