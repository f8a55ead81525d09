"""Live figures: what `GET /v1/routes` says of traffic that has really been served."""

import json

import pytest

from interlock.server.live import figures_of
from interlock.wiring import now_us
from tests.server.harness import keyed, pool, serving
from tests.server.upstream import Upstream, answer, refused_port
from tests.server.vendors import call, chat

KEYS = keyed({"id": "ann", "key": "key-ann"}, {"id": "ops", "key": "key-ops", "role": "operator"})
ANN, OPS = {"authorization": "Bearer key-ann"}, {"authorization": "Bearer key-ops"}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {"name": "a", "schema": {"type": "object", "required": ["a"]}},
}
DEPLOY = [{"type": "function", "function": {"name": "deploy", "parameters": {"type": "object"}}}]


@pytest.fixture
async def up():
    async with Upstream(chat()) as upstream:
        yield upstream


@pytest.fixture
async def server(tmp_path, up):
    async with serving(tmp_path, pool(up.url, keys=KEYS)) as running:
        yield running


async def routes(server, query=""):
    got = await server.client.get(f"/v1/routes{query}", headers=OPS)
    assert got.status_code == 200, got.text
    return got.json()


async def test_figures_are_of_the_route_and_the_alias_version(server, up):
    up.replies = [chat(), chat(), answer({"error": {"message": "no"}}, 400)]
    for _ in range(3):
        await server.chat(headers=ANN)
    found = await routes(server)
    assert (found["next"], found["window"]["complete"]) == (None, True)
    (row,) = found["data"]
    assert (row["alias"], row["alias_version"], row["provider"], row["model"]) == ("prod", 1, "alpha", "gpt")
    assert (row["requests"], row["ok"], row["errors"]) == (3, 2, 1)
    assert row["error_rate"] == {"value": pytest.approx(1 / 3), "n": 3}
    assert row["latency_ms"]["n"] == 2
    assert 0 < row["latency_ms"]["p50"] <= row["latency_ms"]["p95"] <= row["latency_ms"]["p99"]
    assert row["input_tokens"]["total"] == 22
    assert row["cost_usd"]["total"] == pytest.approx(2 * (11 * 2.0 + 7 * 10.0) / 1e6)
    assert row["schema_validity"] == {"value": None, "n": 0}


async def test_a_promotion_begins_a_row_of_its_own(server):
    await server.chat(headers=ANN)
    await server.client.post("/v1/aliases/prod/promote", json={"to": "small"}, headers=OPS)
    await server.chat(headers=ANN)
    found = (await routes(server))["data"]
    assert [(row["alias_version"], row["model"], row["requests"]) for row in found] == [
        (1, "gpt", 1),
        (2, "small", 1),
    ]
    assert [row["model"] for row in (await routes(server, "?model=small"))["data"]] == ["small"]
    assert (await routes(server, "?alias=other"))["data"] == []


async def test_an_override_that_is_told_later_is_in_the_figures(server):
    name = (await server.chat(headers=ANN)).headers["x-interlock-decision-id"]
    assert (await routes(server))["data"][0]["override_rate"]["value"] == 0
    await server.client.post(f"/v1/decisions/{name}/outcome", json={"override": "edit"}, headers=ANN)
    assert (await routes(server))["data"][0]["override_rate"] == {"value": 1, "n": 1}


async def test_schema_validity_refusals_and_withheld_calls_are_seen(server, up):
    up.replies = [
        chat('{"a": 1}'),
        chat('{"b": 1}'),
        chat("I will not", finish="content_filter"),
        chat(None, finish="tool_calls", calls=(call(0, "search", "{}"),)),
    ]
    await server.chat(headers=ANN, response_format=SCHEMA)
    await server.chat(headers=ANN, response_format=SCHEMA)
    await server.chat(headers=ANN)
    await server.chat(headers=ANN, tools=DEPLOY)
    (row,) = (await routes(server))["data"]
    assert row["schema_validity"] == {"value": 0.5, "n": 2}
    assert row["denied_tool_calls"]["total"] == 1


async def test_a_fallback_counts_for_the_route_that_was_decided(tmp_path, up):
    config = pool(up.url, fallbacks=[{"from": "gpt", "to": "small", "when": "timeout_or_5xx"}])
    config["providers"]["dead"] = {
        **config["providers"]["alpha"],
        "base_url": f"http://127.0.0.1:{refused_port()}/v1",
    }
    config["models"]["gpt"]["provider"] = "dead"
    async with serving(tmp_path, config) as server:
        assert (await server.chat()).headers["x-interlock-route"] == "alpha/small"
        (row,) = (await server.client.get("/v1/routes")).json()["data"]
        assert (row["model"], row["fallback_rate"]["value"], row["errors"]) == ("gpt", 1, 0)


async def test_dry_runs_are_not_in_the_figures(server):
    ask = {"model": "prod", "messages": [{"role": "user", "content": "hi"}]}
    await server.client.post("/v1/decisions", json=ask, headers=ANN)
    assert (await routes(server))["data"] == []


async def test_figures_are_for_operators_and_say_what_they_do_not_understand(server):
    assert (await server.client.get("/v1/routes", headers=ANN)).status_code == 403
    for query, param in (("?window=0m", "window"), ("?window=soon", "window"), ("?when=15m", "when")):
        got = await server.client.get(f"/v1/routes{query}", headers=OPS)
        assert (got.status_code, json.loads(got.content)["error"]["param"]) == (400, param)


async def test_a_window_of_more_records_than_are_read_says_where_it_begins(server):
    for _ in range(4):
        await server.chat(headers=ANN)
    store = server.gateway.store
    rows, window = figures_of(store, now_us(), 60_000_000, most=3)
    assert (rows[0].requests, window.complete) == (3, False)
    oldest_read = store.list_records(limit=3)[0][-1]
    assert window.since == server.gateway.clock.at(oldest_read.created_at * 1000)
    rows, window = figures_of(store, now_us(), 60_000_000, most=4)
    assert (rows[0].requests, window.complete) == (4, True)
