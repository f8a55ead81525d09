"""Counting over HTTP: by the provider where it has a counter, else by us, and the record says who counted."""

import pytest

from tests.server.harness import keyed, pool, serving
from tests.server.upstream import HANG, Upstream, answer

HELLO = {"messages": [{"role": "user", "content": "Hello, how many tokens is this?"}]}


async def count(server, headers=None, **fields):
    return await server.client.post(
        "/v1/messages/count_tokens",
        json={"model": "claude", **HELLO, **fields},
        headers={"anthropic-version": "2023-06-01", **(headers or {})},
    )


@pytest.fixture
async def up():
    async with Upstream(answer({"input_tokens": 1234})) as upstream:
        yield upstream


async def test_a_provider_that_can_count_is_asked_and_costs_nothing(tmp_path, up):
    async with serving(tmp_path, pool(up.url, up.url)) as server:
        got = await count(server)
        assert got.json() == {"input_tokens": 1234}
        assert (up.seen[0].path, up.seen[0].json) == (
            "/v1/messages/count_tokens",
            {"model": "up-2", **HELLO},
        )
        assert got.headers["x-interlock-counted-by"] == "provider"
        assert got.headers["x-interlock-route"] == "beta/claude"
        assert float(got.headers["x-interlock-cost-usd"]) == 0
        record = server.record(got)
        assert record.counted is not None
        assert (record.counted.input_tokens, record.counted.by) == (1234, "provider")
        assert (record.status, record.cost_usd, record.attempts[0].input_tokens) == ("ok", 0, None)


async def test_for_a_provider_without_a_counter_we_count_and_nothing_is_sent(tmp_path, up):
    async with serving(tmp_path, pool(up.url, up.url)) as server:
        got = await count(server, model="prod")
        record = server.record(got)
        assert 8 <= got.json()["input_tokens"] <= 20
        assert got.json()["input_tokens"] == record.decision.signals.input_tokens
        assert record.counted is not None
        assert (record.counted.by, record.counted.why, record.attempts) == ("estimate", None, ())
        assert (got.headers["x-interlock-attempts"], got.headers["x-interlock-cost-usd"]) == ("0", "0")
        assert up.seen == []


@pytest.mark.parametrize("reply", [answer({}, 529), answer({}, 429), answer({"tokens": 1}), HANG])
async def test_a_counter_that_fails_leaves_the_counting_to_us_and_the_record_says_so(tmp_path, up, reply):
    up.default = reply
    async with serving(tmp_path, pool(up.url, up.url)) as server:
        got = await count(server, {"x-interlock-deadline-ms": "300"})
        assert got.status_code == 200
        assert got.headers["x-interlock-counted-by"] == "estimate"
        record = server.record(got)
        assert record.counted is not None
        assert record.counted.why
        assert record.status == "ok"
        assert all(attempt.outcome != "ok" for attempt in record.attempts)
        assert record.attempts


@pytest.mark.parametrize("tokens", [0, 10**12])
async def test_u16_a_count_that_cannot_be_true_is_not_passed_on_and_the_record_says_so(tmp_path, up, tokens):
    up.default = answer({"input_tokens": tokens})
    async with serving(tmp_path, pool(up.url, up.url)) as server:
        got = await count(server)
        assert got.headers["x-interlock-counted-by"] == "estimate"
        assert 8 <= got.json()["input_tokens"] <= 20
        counted = server.record(got).counted
        assert counted is not None
        assert (counted.by, counted.why) == ("estimate", "the provider's count cannot be true")


async def test_what_the_counter_says_of_the_request_is_the_caller_s_to_know(tmp_path, up):
    up.replies = [answer({"error": {"type": "invalid_request_error", "message": "bad image"}}, 400)]
    async with serving(tmp_path, pool(up.url, up.url)) as server:
        got = await count(server)
        assert (got.status_code, got.json()["error"]["message"]) == (400, "bad image")
        assert server.record(got).status == "failed"


async def test_another_model_s_counter_is_never_asked_instead(tmp_path, up):
    up.default = answer({}, 500)
    config = pool(up.url, up.url, fallbacks=[{"from": "*", "to": "other", "when": "any"}])
    config["models"]["other"] = {**config["models"]["claude"], "upstream": "up-3"}
    async with serving(tmp_path, config) as server:
        assert (await count(server)).headers["x-interlock-counted-by"] == "estimate"
        assert {seen.json["model"] for seen in up.seen} == {"up-2"}


async def test_a_denied_tool_is_not_counted_as_it_would_not_be_sent(tmp_path, up):
    tool = {"name": "deploy", "description": "d " * 200, "input_schema": {"type": "object"}}
    rule = {"name": "none", "then": {"deny_tools": ["deploy"]}}
    async with serving(tmp_path, pool(up.url, up.url, policy=[rule])) as server:
        await count(server, tools=[tool])
        assert "tools" not in up.seen[0].json
        assert (await count(server, model="prod", tools=[tool])).json()["input_tokens"] < 50


async def test_keys_and_policy_hold_for_counting(tmp_path, up):
    rule = {"name": "no", "when": {"data_class": "confidential"}, "then": {"deny": "not outside"}}
    config = pool(up.url, up.url, policy=[rule], keys=keyed({"id": "k", "key": "key-1"}))
    async with serving(tmp_path, config) as server:
        assert (await count(server)).status_code == 401
        key = {"x-api-key": "key-1"}
        assert (await count(server, {**key, "x-interlock-data-class": "confidential"})).status_code == 403
        assert up.seen == []
        assert (await count(server, key)).status_code == 200


@pytest.mark.parametrize("field", ["max_tokens", "temperature", "top_p", "top_k", "stop_sequences", "stream"])
async def test_a_field_that_is_no_input_is_refused_by_name(tmp_path, up, field):
    value = {"stop_sequences": ["x"], "stream": True}.get(field, 1)
    async with serving(tmp_path, pool(up.url, up.url)) as server:
        got = await count(server, **{field: value})
        assert (got.status_code, got.json()["error"]["param"]) == (400, field)
