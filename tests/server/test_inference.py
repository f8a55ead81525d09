"""Whole answers, end to end: what comes back, what is sent upstream, what is recorded, and every failure."""

import asyncio
import time
from contextlib import closing
from email.utils import formatdate
from types import SimpleNamespace as Some
from typing import Any

import apsw
import msgspec
import pytest

from interlock.errors import StoreError
from interlock.server.inference import guard
from interlock.types.decision import Dropped
from tests.server.harness import CANARY, keyed, pool, serving, until
from tests.server.upstream import HANG, Reply, Upstream, answer, refused_port
from tests.server.vendors import call, chat, message

FALLBACK = [{"from": "*", "to": "small", "when": "timeout_or_5xx"}]


def tool(name):
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


def outcomes(record):
    return [(attempt.model, attempt.outcome) for attempt in record.attempts]


async def test_an_answer_names_its_decision_route_alias_attempts_and_cost(tmp_path):
    async with Upstream(chat("Hello")) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat()
        assert got.status_code == 200
        assert got.json()["choices"][0]["message"]["content"] == "Hello"
        assert got.json()["model"] == "gpt"
        assert got.headers["x-interlock-route"] == "alpha/gpt"
        assert got.headers["x-interlock-alias"] == "prod@1"
        assert got.headers["x-interlock-attempts"] == "1"
        assert float(got.headers["x-interlock-cost-usd"]) == pytest.approx((11 * 2 + 7 * 10) / 1e6)
        assert got.headers["x-request-id"].startswith("req_")
        record = server.record(got)
        assert record.status == "ok"
        assert record.cost_usd == pytest.approx((11 * 2 + 7 * 10) / 1e6)
        assert record.attempts[0].output_tokens == 7
        assert up.seen[0].json["model"] == "up-1"
        assert up.seen[0].headers["authorization"] == f"Bearer {CANARY}-alpha"


async def test_both_dialects_reach_both_wire_formats(tmp_path):
    async with (
        Upstream(chat("from openai")) as one,
        Upstream(message("from anthropic")) as two,
        serving(tmp_path, pool(one.url, two.url)) as server,
    ):
        for model, text in (("gpt", "from openai"), ("claude", "from anthropic")):
            got = (await server.chat(model=model)).json()
            assert got["choices"][0]["message"]["content"] == text
            got = (await server.message(model=model)).json()
            assert got["content"] == [{"type": "text", "text": text}]
            assert got["model"] == model
        assert two.seen[0].path == "/v1/messages"
        assert two.seen[0].headers["x-api-key"] == f"{CANARY}-beta"


async def test_labels_and_hints_do_not_go_upstream(tmp_path):
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url)) as server:
        content = [{"type": "text", "text": "hi", "trust": "trusted", "source": "kb"}]
        await server.client.post(
            "/v1/chat/completions",
            json={
                "model": "prod",
                "messages": [{"role": "user", "content": content}],
                "metadata": {"task": "code", "team_note": "x"},
            },
            headers={"x-interlock-session": "s1"},
        )
        assert b"trust" not in up.seen[0].body
        assert b"source" not in up.seen[0].body
        assert b'"task"' not in up.seen[0].body
        assert not any(name.startswith("x-interlock") for name in up.seen[0].headers)


async def test_an_error_before_any_decision_says_that_nothing_was_tried_and_nothing_spent(tmp_path):
    keys = keyed({"id": "k", "key": "key-1"})
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url, keys=keys)) as server:
        headers = {"authorization": "Bearer key-1"}
        for got, status in (
            (await server.chat(), 401),
            (await server.chat(headers=headers, temperature=9), 400),
            (await server.message(headers=headers, max_tokens=None), 400),
            (await server.client.post("/v1/embeddings", json={}, headers=headers), 400),
            (await server.client.get("/v1/chat/completions", headers=headers), 405),
        ):
            assert got.status_code == status
            assert (got.headers["x-interlock-attempts"], got.headers["x-interlock-cost-usd"]) == ("0", "0")
            assert "x-interlock-decision-id" not in got.headers
        assert "x-interlock-attempts" not in (await server.client.get("/v1/nothing", headers=headers)).headers
        assert up.seen == []


async def test_a_message_without_max_tokens_is_refused_by_the_field_s_name_as_anthropic_does(tmp_path):
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.message(max_tokens=None)
        assert got.status_code == 400
        assert got.json()["error"]["type"] == "invalid_request_error"
        assert got.json()["error"]["param"] == "max_tokens"


async def test_a_call_that_was_never_sent_costs_nothing_and_one_that_failed_costs_what_nobody_knows(tmp_path):
    async with Upstream(answer({}, 500)) as up:
        config = pool(up.url)
        config["providers"]["dead"] = {"kind": "openai", "base_url": f"http://127.0.0.1:{refused_port()}/v1"}
        config["models"]["small"]["provider"] = "dead"
        async with serving(tmp_path, config) as server:
            unsent, failed = await server.chat(model="small"), await server.chat(model="gpt")
            assert float(unsent.headers["x-interlock-cost-usd"]) == 0
            assert server.record(unsent).cost_usd == 0
            assert failed.headers["x-interlock-cost-usd"] == "unknown"
            assert server.record(failed).cost_usd is None


# --- failures and fallbacks -------------------------------------------------------------------


async def test_u1_a_refused_connection_falls_back_and_the_caller_sees_success(tmp_path):
    async with Upstream(chat("from small")) as up:
        config = pool(up.url, fallbacks=FALLBACK)
        config["providers"]["dead"] = {"kind": "openai", "base_url": f"http://127.0.0.1:{refused_port()}/v1"}
        config["models"]["gpt"]["provider"] = "dead"
        async with serving(tmp_path, config) as server:
            got = await server.chat()
            assert got.status_code == 200
            assert got.json()["model"] == "small"
            assert got.headers["x-interlock-route"] == "alpha/small"
            assert got.headers["x-interlock-attempts"] == "2"
            record = server.record(got)
            assert outcomes(record) == [("gpt", "connect_failed"), ("small", "ok")]
            assert record.fallbacks_taken == ("small",)


async def test_u2_an_upstream_that_never_answers_leaves_time_for_the_next(tmp_path):
    async with (
        Upstream(chat("from small"), HANG) as up,
        serving(tmp_path, pool(up.url, fallbacks=FALLBACK)) as server,
    ):
        got = await server.chat(headers={"x-interlock-deadline-ms": "800"})
        assert got.status_code == 200
        assert outcomes(server.record(got)) == [("gpt", "timeout"), ("small", "ok")]
        await asyncio.wait_for(up.seen[0].gone.wait(), 2)


async def test_u2_an_upstream_that_never_answers_is_followed_by_the_next_without_any_budget(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("interlock.execute.deadlines.LONGEST_ANSWER_S", 0.2)
    async with (
        Upstream(chat("from small"), HANG) as up,
        serving(tmp_path, pool(up.url, fallbacks=FALLBACK)) as server,
    ):
        got = await server.chat()
        assert got.status_code == 200
        assert outcomes(server.record(got)) == [("gpt", "timeout"), ("small", "ok")]
        await asyncio.wait_for(up.seen[0].gone.wait(), 2)


async def test_u12_a_whole_answer_that_stalls_is_followed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr("interlock.execute.calls.IDLE_S", 0.1)
    stalled = Reply(200, (b'{"id": "x", "choices": [', asyncio.Event(), b"]}"))
    async with (
        Upstream(chat("from small"), stalled) as up,
        serving(tmp_path, pool(up.url, fallbacks=FALLBACK)) as server,
    ):
        got = await server.chat()
        assert got.status_code == 200
        assert outcomes(server.record(got)) == [("gpt", "timeout"), ("small", "ok")]
        await asyncio.wait_for(up.seen[0].gone.wait(), 2)


async def test_a_deadline_that_nobody_meets_is_504(tmp_path):
    async with Upstream(HANG) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat(headers={"x-interlock-deadline-ms": "150"})
        assert got.status_code == 504
        assert got.json()["error"]["code"] == "deadline_exceeded"
        assert server.record(got).status == "failed"
        await asyncio.wait_for(up.seen[0].gone.wait(), 2)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 529])
async def test_u3_a_5xx_is_tried_again_and_then_falls_back(tmp_path, status):
    broken = answer({"error": {"message": "boom"}}, status)
    async with (
        Upstream(chat(), broken) as up,
        serving(tmp_path, pool(up.url, fallbacks=FALLBACK)) as server,
    ):
        got = await server.chat()
        assert got.status_code == 200
        assert outcomes(server.record(got)) == [("gpt", "upstream_error"), ("gpt", "ok")]
        assert got.headers["x-interlock-attempts"] == "2"
        up.seen.clear()
        up.replies += [broken, broken]
        got = await server.chat()
        record = server.record(got)
        assert outcomes(record) == [("gpt", "upstream_error")] * 2 + [("small", "ok")]
        assert record.fallbacks_taken == ("small",)
        assert [seen.json["model"] for seen in up.seen] == ["up-1", "up-1", "up-s"]


async def test_u3_no_more_than_three_calls_are_made_where_nothing_else_is_said(tmp_path):
    async with Upstream(answer({}, 503)) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat()
        assert got.status_code == 502
        assert len(up.seen) == 3
        assert outcomes(server.record(got)) == [("gpt", "upstream_error")] * 3


async def test_u3_a_cut_answer_may_have_been_paid_for_and_is_not_asked_for_again(tmp_path):
    cut = Reply(200, (b'{"id"',), headers=(("x", "y"),), end="reset")
    async with (
        Upstream(chat(), cut) as up,
        serving(tmp_path, pool(up.url, fallbacks=FALLBACK)) as server,
    ):
        got = await server.chat()
        assert [model for model, _ in outcomes(server.record(got))] == ["gpt", "small"]


async def test_u3_max_attempts_bounds_calls_and_is_three_where_nothing_sets_it(tmp_path):
    rows = [{"from": "*", "to": name, "when": "any"} for name in ("small", "claude", "gpt")]
    async with (
        Upstream(answer({}, 500)) as up,
        serving(tmp_path, pool(up.url, up.url, fallbacks=rows)) as server,
    ):
        got = await server.chat()
        assert got.status_code == 502
        assert [model for model, _ in outcomes(server.record(got))] == ["gpt", "gpt", "small"]
        assert len(up.seen) == 3
        for most, tried in ((2, ["gpt", "small"]), (4, ["gpt", "gpt", "small", "claude"])):
            up.seen.clear()
            classes = {"interactive": {"max_attempts": most}}
            server.write(pool(up.url, up.url, fallbacks=rows, latency_classes=classes))
            assert await server.reloader.reload()
            got = await server.chat()
            assert [model for model, _ in outcomes(server.record(got))] == tried
            assert len(up.seen) == most


@pytest.mark.parametrize("said", ["17", "-5", "1000000000", "soon", "Wed, 21 Oct 2065 07:28:00 GMT"])
async def test_u5_a_rate_limit_without_fallback_is_429_with_a_wait_that_can_be_followed(tmp_path, said):
    slow = answer({"error": {"message": "slow down"}}, 429, retry_after=said)
    async with Upstream(slow) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat(headers={"x-interlock-deadline-ms": "1500"})
        assert got.status_code == 429
        assert 1 <= int(got.headers["retry-after"]) <= 600
        assert said != "17" or got.headers["retry-after"] == "17"
        # The target is left in peace; the next caller is told so, and nothing is sent.
        before = len(up.seen)
        got = await server.chat(headers={"x-interlock-deadline-ms": "100"})
        assert (got.status_code, got.json()["error"]["code"]) == (429, "rate_limited")
        assert 1 <= int(got.headers["retry-after"]) <= 60
        assert [dropped.rule for dropped in server.record(got).skipped] == ["rate_limit"]
        assert len(up.seen) == before


async def test_u5_a_date_counts_from_our_clock_where_the_upstream_tells_no_time(tmp_path):
    until_then = formatdate(time.time() + 300, usegmt=True)
    slow = answer({"error": {"message": "slow down"}}, 429, retry_after=until_then)
    async with Upstream(slow) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat(headers={"x-interlock-deadline-ms": "60000"})
        assert got.status_code == 429
        assert 200 < int(got.headers["retry-after"]) <= 301
        assert len(up.seen) == 1, "so long a wait does not fit"


async def test_u5_a_wait_that_fits_the_deadline_is_waited_for(tmp_path):
    slow = answer({"error": {"message": "slow down"}}, 429, retry_after_ms="150")
    async with Upstream(chat(), slow) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat()
        assert outcomes(server.record(got)) == [("gpt", "rate_limited"), ("gpt", "ok")]
        assert server.record(got).attempts[1].started_at > server.record(got).attempts[0].started_at


async def test_u6_a_400_about_the_request_is_final_and_says_why(tmp_path):
    refusal = {"error": {"message": "`top_k` is not a parameter", "type": "invalid_request_error"}}
    rows = [{"from": "*", "to": "small", "when": "any"}]
    async with (
        Upstream(chat(), answer(refusal, 400)) as up,
        serving(tmp_path, pool(up.url, fallbacks=rows)) as server,
    ):
        got = await server.chat()
        assert got.status_code == 400
        assert "`top_k` is not a parameter" in got.json()["error"]["message"]
        assert len(up.seen) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "invalid_request"), (404, "unknown_model"), (409, "conflict"), (422, "invalid_request")],
)
async def test_u6_a_refusal_keeps_its_status_by_which_sdks_type_it(tmp_path, status, code):
    words = {"error": {"message": "no such thing", "type": "invalid_request_error"}}
    async with Upstream(answer(words, status)) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat()
        assert (got.status_code, got.json()["error"]["code"]) == (status, code)
        assert got.json()["error"]["message"] == "no such thing"
        assert len(up.seen) == 1


async def test_u6_too_long_for_the_model_is_413_and_has_a_row_of_its_own(tmp_path):
    long = {
        "error": {"message": "too long", "code": "context_length_exceeded", "type": "invalid_request_error"}
    }
    async with Upstream(answer(long, 400)) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat()
        assert (got.status_code, got.json()["error"]["code"]) == (413, "context_too_large")


@pytest.mark.parametrize("status", [401, 403])
async def test_u7_a_refused_credential_is_ours_to_solve_and_neither_key_nor_words_are_echoed(
    tmp_path, status
):
    words = {"error": {"message": f"Incorrect API key provided: {CANARY}-alpha", "type": "auth"}}
    async with Upstream(answer(words, status)) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat()
        assert got.status_code in (502, 503)
        assert CANARY not in got.text
        assert "Incorrect" not in got.text
        record = server.record(got)
        assert CANARY not in msgspec.json.encode(record).decode()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, (b"<html>hello</html>",), "text/html"),
        answer({"error": {"message": "overloaded", "type": "server_error"}}),
        answer({"id": "x", "choices": []}),
        answer({"id": "x", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}}]}),
        chat(""),
        Reply(200, (b'{"id": "x", "choi',)),
    ],
    ids=["html", "an error object", "no choices", "no finish reason", "empty", "truncated JSON"],
)
async def test_u13_an_answer_that_is_none_counts_as_a_failure(tmp_path, reply):
    async with (
        Upstream(chat("from small"), reply) as up,
        serving(tmp_path, pool(up.url, fallbacks=FALLBACK)) as server,
    ):
        got = await server.chat()
        assert got.status_code == 200
        assert got.json()["choices"][0]["message"]["content"] == "from small"
        first = server.record(got).attempts[0]
        assert first.outcome in ("malformed", "upstream_error")


async def test_u16_missing_usage_is_estimated_and_flagged(tmp_path):
    (data,) = chat("one two three").pieces
    assert isinstance(data, bytes)
    body = msgspec.json.decode(data)
    del body["usage"]
    async with Upstream(answer(body)) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat()
        attempt = server.record(got).attempts[0]
        assert attempt.usage_estimated
        assert attempt.output_tokens
        assert attempt.input_tokens
        assert attempt.cost_usd
        assert got.json()["usage"]["completion_tokens"] == attempt.output_tokens


async def test_u19_all_targets_down_is_503_with_a_time_to_come_back(tmp_path):
    config = pool(
        f"http://127.0.0.1:{refused_port()}", f"http://127.0.0.1:{refused_port()}", fallbacks=FALLBACK
    )
    async with serving(tmp_path, config) as server:
        got = await server.chat()
        assert (got.status_code, got.json()["error"]["code"]) == (503, "overloaded")
        assert int(got.headers["retry-after"]) >= 1
        assert got.json()["error"]["decision_id"] == got.headers["x-interlock-decision-id"]
        got = await server.message()
        assert got.json()["type"] == "error"
        assert got.json()["error"]["code"] == "overloaded"


# --- refusals by reason -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "headers", "status", "code"),
    [
        ({"model": "nobody"}, {}, 404, "unknown_model"),
        ({"model": "lane:none"}, {}, 404, "unknown_model"),
        ({}, {"x-interlock-data-class": "regulated"}, 403, "policy_denied"),
        ({}, {"x-interlock-max-cost-usd": "0.0000001"}, 402, "budget_exceeded"),
        ({}, {"x-interlock-task": "long"}, 413, "context_too_large"),
        ({}, {"x-interlock-data-class": "secret"}, 400, "invalid_request"),
        (
            {"tools": [tool("deploy")], "tool_choice": {"type": "function", "function": {"name": "deploy"}}},
            {},
            403,
            "tool_denied",
        ),
    ],
    ids=["no such model", "no such lane", "data class", "money", "tokens", "a bad hint", "a forced tool"],
)
async def test_a_refusal_has_its_own_status_and_reaches_nobody(tmp_path, fields, headers, status, code):
    rules = [
        {"name": "short", "when": {"task": "long"}, "then": {"max_input_tokens": 1}},
        {"name": "no-deploy", "then": {"deny_tools": ["deploy"]}},
    ]
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url, policy=rules)) as server:
        got = await server.chat(headers=headers, **fields)
        assert (got.status_code, got.json()["error"]["code"]) == (status, code)
        assert up.seen == []
        if status != 400:
            record = server.record(got)
            assert (record.status, record.cost_usd) == ("denied", 0)
            assert record.decision.route is None
            assert got.json()["error"]["decision_id"] == record.decision.id


async def test_a9_regulated_data_never_leaves_on_a_fallback_either(tmp_path):
    async with Upstream(answer({}, 500)) as home, Upstream(chat()) as away:
        config = pool(
            away.url, fallbacks=[{"from": "*", "to": "gpt", "when": "any"}], aliases={"prod": "local"}
        )
        config["providers"]["home"] = {
            "kind": "openai",
            "base_url": f"{home.url}/v1",
            "trusted_for": "regulated",
        }
        config["models"]["local"] = {"provider": "home", "context_tokens": 9000, "capabilities": []}
        async with serving(tmp_path, config) as server:
            got = await server.chat("card 4111 1111 1111 1111")
            assert got.status_code == 502
            assert away.seen == []


# --- tools ------------------------------------------------------------------------------------


async def test_a_denied_tool_is_not_offered_upstream(tmp_path):
    rules = [{"name": "no-deploy", "then": {"deny_tools": ["deploy"]}}]
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url, policy=rules)) as server:
        got = await server.chat(tools=[tool("deploy"), tool("search")])
        assert [one["function"]["name"] for one in up.seen[0].json["tools"]] == ["search"]
        assert [denied.tool for denied in server.record(got).decision.policy.tools_denied] == ["deploy"]


@pytest.mark.parametrize(
    ("name", "code"), [("deploy", "tool_denied"), ("shell", "tool_denied"), ("wire", "approval_required")]
)
async def test_a2_a_call_that_may_not_be_made_is_withheld(tmp_path, name, code):
    rules = [
        {"name": "no-deploy", "then": {"deny_tools": ["deploy"]}},
        {"name": "ask", "then": {"require_approval": ["wire"]}},
    ]
    reply = chat(None, finish="tool_calls", calls=(call(0, name, '{"amount": 31337}'),))
    async with Upstream(reply) as up, serving(tmp_path, pool(up.url, policy=rules)) as server:
        got = await server.chat(tools=[tool("deploy"), tool("search"), tool("wire")])
        assert (got.status_code, got.json()["error"]["code"]) == (403, code)
        assert "31337" not in got.text
        record = server.record(got)
        assert record.status == "denied"
        assert record.attempts[0].tool_calls == 1
        assert record.attempts[0].violations


async def test_a_withheld_call_may_be_answered_by_another_model(tmp_path):
    rows = [{"from": "*", "to": "small", "when": "schema_invalid"}]
    bad = chat(None, finish="tool_calls", calls=(call(0, "shell", "{}"),))
    async with Upstream(chat("fine"), bad) as up, serving(tmp_path, pool(up.url, fallbacks=rows)) as server:
        got = await server.chat(tools=[tool("search")])
        assert got.json()["choices"][0]["message"]["content"] == "fine"
        assert outcomes(server.record(got)) == [("gpt", "schema_invalid"), ("small", "ok")]


# --- schemas and lanes ------------------------------------------------------------------------

PLACE = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
ASKED = {"type": "json_schema", "json_schema": {"name": "place", "schema": PLACE}}


async def test_an_answer_that_breaks_the_callers_schema_falls_back(tmp_path):
    rows = [{"from": "*", "to": "small", "when": "schema_invalid"}]
    async with (
        Upstream(chat('{"city": "Rome"}'), chat('{"town": 1}')) as up,
        serving(tmp_path, pool(up.url, fallbacks=rows)) as server,
    ):
        got = await server.chat(response_format=ASKED)
        assert got.json()["choices"][0]["message"]["content"] == '{"city": "Rome"}'
        first, second = server.record(got).attempts
        assert first.outcome == "schema_invalid"
        assert first.validation is not None
        assert first.validation.verdict == "failed"
        assert second.validation is not None
        assert second.validation.verdict == "passed"


async def test_an_answer_that_breaks_its_schema_is_not_passed_off_as_good(tmp_path):
    async with Upstream(chat("no JSON")) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat(response_format=ASKED)
        assert (got.status_code, got.json()["error"]["code"]) == (502, "upstream_failed")
        assert "schema" in got.json()["error"]["hint"]


async def test_an_answer_cut_by_its_length_is_passed_on_as_cut(tmp_path):
    async with Upstream(chat('{"ci', finish="length")) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat(response_format=ASKED)
        assert got.status_code == 200
        assert got.json()["choices"][0]["finish_reason"] == "length"
        validation = server.record(got).validation
        assert validation is not None
        assert validation.verdict == "unchecked"


async def test_a_lanes_output_contract_temperature_and_cap_hold(tmp_path):
    (tmp_path / "place.json").write_bytes(msgspec.json.encode(PLACE))
    lane = {
        "match": {"task": "triage"},
        "models": ["prod"],
        "output": {"json_schema": "./place.json"},
        "temperature": 0,
        "budgets": {"max_output_tokens": 99},
    }
    async with (
        Upstream(chat("no JSON")) as up,
        serving(tmp_path, pool(up.url, lanes={"triage": lane})) as server,
    ):
        got = await server.chat(headers={"x-interlock-task": "triage"}, model="auto")
        assert got.status_code == 502
        sent = up.seen[0].json
        assert sent["temperature"] == 0
        assert 99 in (sent.get("max_tokens"), sent.get("max_completion_tokens"))
        assert sent["response_format"]["json_schema"]["schema"] == PLACE


async def test_max_cost_usd_caps_the_output(tmp_path):
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat(headers={"x-interlock-max-cost-usd": "0.001"})
        sent = up.seen[0].json
        cap = sent.get("max_completion_tokens") or sent["max_tokens"]
        tokens = server.record(got).decision.signals.input_tokens
        assert cap == int((0.001e6 - 2 * tokens) / 10)


# --- the record -------------------------------------------------------------------------------


async def test_c1_a_caller_that_leaves_cancels_the_upstream_and_is_recorded(tmp_path):
    async with Upstream(HANG) as up, serving(tmp_path, pool(up.url)) as server:
        asking = asyncio.create_task(server.chat())
        await until(lambda: up.seen)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await asyncio.wait_for(up.seen[0].gone.wait(), 2)
        await until(lambda: server.gateway.store.list_records()[0])
        rows = server.gateway.store.list_records()[0]
        record = server.record(rows[0].id)
        assert record.status == "cancelled"
        assert outcomes(record) == [("gpt", "cancelled")]


async def test_the_record_is_in_the_store_when_the_answer_arrives(tmp_path):
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url)) as server:
        for _ in range(20):
            assert server.record(await server.chat()).status == "ok"


async def test_strict_logging_writes_before_anything_is_sent(tmp_path):
    rules = [{"name": "strict", "then": {"logging": "strict"}}]
    stored: list[Any] = []

    def look(_):
        stored.extend(server.gateway.store.list_records()[0])
        return chat()

    async with Upstream(look) as up, serving(tmp_path, pool(up.url, policy=rules)) as server:
        got = await server.chat()
        assert [(row.id, row.status) for row in stored] == [
            (got.headers["x-interlock-decision-id"], "failed")
        ]
        assert server.record(got).status == "ok"


@pytest.mark.parametrize(
    ("content", "logging", "kept"),
    [
        ("off", "full", None),
        ("full", "full", "4111"),
        ("redacted", "full", "[card]"),
        ("full", "metadata", None),
    ],
)
async def test_a17_content_is_kept_only_where_it_was_switched_on(tmp_path, content, logging, kept):
    config = pool("", telemetry={"content": content}, policy=[{"name": "l", "then": {"logging": logging}}])
    async with Upstream(chat("noted: 4111 1111 1111 1111")) as up:
        config["providers"]["alpha"] |= {"base_url": f"{up.url}/v1", "trusted_for": "regulated"}
        async with serving(tmp_path, config) as server:
            got = await server.chat("my card is 4111 1111 1111 1111")
            assert got.status_code == 200
            record = server.record(got)
            text = msgspec.json.encode(record.content).decode() if record.content else None
            if kept is None:
                assert text is None
                assert "4111 1111" not in server.log_file.read_text()
            else:
                assert text is not None
                assert kept in text
                assert ("4111 1111" in text) is (content == "full")


async def test_a17_keys_are_found_in_no_log_record_or_file(tmp_path):
    config = pool(
        "", keys=keyed({"id": "app", "key": "${APP_KEY}", "role": "admin"}), telemetry={"content": "full"}
    )
    async with Upstream(answer({"error": {"message": f"bad key {CANARY}-alpha"}}, 401)) as up:
        config["providers"]["alpha"]["base_url"] = f"{up.url}/v1"
        async with serving(tmp_path, config, {"APP_KEY": f"{CANARY}-caller"}) as server:
            headers = {"authorization": f"Bearer {CANARY}-caller"}
            assert (await server.chat(headers=headers)).status_code == 502
            assert (await server.chat(headers={"authorization": f"Bearer {CANARY}-wrong"})).status_code == 401
            await server.client.get("/v1/decisions", headers=headers)
        for file in tmp_path.iterdir():
            if file.name != "interlock.yaml":
                assert CANARY.encode() not in file.read_bytes(), file.name


async def test_one_log_line_per_request_that_control_characters_cannot_break(tmp_path):
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat("line one\nline two\r\x1b[31m", headers={"x-interlock-session": "s\tt"})
        line = [one for one in server.log if one["event"] == "request"][-1]
        assert len(server.log_file.read_text().splitlines()) == len(server.log)
        assert line["status"] == got.status_code
        assert "line one" not in server.log_file.read_text()


async def test_a_session_only_becomes_more_sensitive(tmp_path):
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url)) as server:
        headers = {"x-interlock-session": "s1"}
        assert (await server.chat("card 4111 1111 1111 1111", headers=headers)).status_code == 403
        again = await server.chat("hello", headers=headers)
        assert again.status_code == 403
        assert server.record(again).decision.signals.data_class == "regulated"
        assert (await server.chat("hello", headers={"x-interlock-session": "s2"})).status_code == 200


async def test_a7_a_request_keeps_the_world_it_began_with(tmp_path):
    gate = asyncio.Event()
    held = Reply(200, (gate, chat("late").pieces[0]))
    held.pieces = (gate, chat("late").pieces[0])
    async with Upstream(chat(), held) as up, serving(tmp_path, pool(up.url)) as server:
        asking = asyncio.create_task(server.chat())
        await until(lambda: up.seen)
        moved = await server.client.post("/v1/aliases/prod/promote", json={"to": "small"})
        assert moved.status_code == 200
        gate.set()
        got = await asking
        assert got.headers["x-interlock-alias"] == "prod@1"
        assert got.json()["model"] == "gpt"
        assert (await server.chat()).headers["x-interlock-alias"] == "prod@2"


async def test_a_fault_of_ours_while_an_answer_is_read_leaves_the_call_in_the_record(tmp_path, monkeypatch):
    def broken(*_):
        raise KeyError("boom")

    monkeypatch.setattr("interlock.execute.executor.judge_answer", broken)
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat()
        assert (got.status_code, got.json()["error"]["code"]) == (500, "internal")
        record = server.record(got)
        assert record.status == "failed"
        assert outcomes(record) == [("gpt", "malformed")]
        assert record.cost_usd is not None, "what the provider counted is to be paid"


async def test_our_own_faults_are_500_without_a_trace(tmp_path, monkeypatch):
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url)) as server:

        def broken(*_: object, **__: object) -> None:
            raise RuntimeError(f"secret {CANARY}")

        monkeypatch.setattr("interlock.server.judge.classify", broken)
        got = await server.chat()
        assert (got.status_code, got.json()["error"]["code"]) == (500, "internal")
        assert CANARY not in got.text
        fault = next(line for line in server.log if line["event"] == "fault")
        assert fault["error"] == "RuntimeError"
        assert CANARY not in server.log_file.read_text()


async def test_u14_an_answer_without_end_is_cut(tmp_path, monkeypatch):
    monkeypatch.setattr("interlock.execute.calls.MOST_ANSWER", 10_000)
    async with Upstream(chat("x" * 20_000)) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat()
        assert (got.status_code, got.json()["error"]["code"]) == (502, "upstream_failed")
        assert outcomes(server.record(got)) == [("gpt", "malformed")]


async def test_u15_a_redirect_is_not_followed(tmp_path):
    async with Upstream(chat()) as other:
        moved = Reply(302, (b"",), headers=(("location", f"{other.url}/v1/chat/completions"),))
        async with Upstream(moved) as up, serving(tmp_path, pool(up.url)) as server:
            got = await server.chat()
            assert got.status_code == 502
            assert "location" not in got.headers
            assert other.seen == []


async def test_u17_no_header_of_an_upstream_reaches_the_caller(tmp_path):
    reply = chat()
    reply.headers = (
        ("set-cookie", "a=b"),
        ("x-internal", "1"),
        ("x-interlock-route", "forged"),
        ("via", "x"),
    )
    async with Upstream(reply) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat()
        assert got.headers["x-interlock-route"] == "alpha/gpt"
        assert not {"set-cookie", "x-internal", "via"} & set(got.headers)


def disk_full(*_: object, **__: object) -> None:
    raise StoreError("the disk is full")


async def test_p2_without_a_record_there_is_no_answer(tmp_path, monkeypatch):
    async with Upstream(chat("secret answer")) as up, serving(tmp_path, pool(up.url)) as server:
        monkeypatch.setattr(server.gateway.store, "note_row", lambda *_, **__: False)
        monkeypatch.setattr(server.gateway.store, "put_row", disk_full)
        got = await server.chat()
        assert (got.status_code, got.json()["error"]["code"]) == (503, "overloaded")
        assert "secret answer" not in got.text
        assert int(got.headers["retry-after"]) > 0
        monkeypatch.undo()
        assert (await server.chat()).status_code == 200


async def test_an_answer_waits_for_no_commit_where_its_record_outlives_the_process(tmp_path, monkeypatch):
    """Where nothing else has to be written first: the busier the machine, the more often something has."""
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url)) as server:
        assert (await server.chat()).status_code == 200
        monkeypatch.setattr(server.gateway.store, "put_row", disk_full)
        asked = [await server.chat() for _ in range(20)]
        noted = [got for got in asked if got.status_code == 200]
        assert noted
        assert {server.record(got).status for got in noted} == {"ok"}


async def test_p3_a_record_that_a_lock_keeps_out_of_the_store_is_not_said_to_be_absent(tmp_path, monkeypatch):
    """The lock comes between note and commit; once it has gone, so has the delay, without a request."""
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url)) as server:
        await server.chat()
        store = server.gateway.store
        noting = store.note_row
        with closing(apsw.Connection(str(store.path))) as other:

            def noted_and_locked(row, *, since):
                noted = noting(row, since=since)
                if noted:
                    other.execute("BEGIN EXCLUSIVE")
                return noted

            monkeypatch.setattr(store, "note_row", noted_and_locked)
            async with asyncio.timeout(30):
                while not other.in_transaction:  # something else may have to be written first
                    got = await server.chat()
            assert got.status_code == 200
            where = f"/v1/decisions/{got.headers['x-interlock-decision-id']}"
            for _ in range(2):
                assert (await server.client.get(where)).status_code == 503
            assert (await server.client.get("/v1/decisions")).status_code == 200
            other.execute("ROLLBACK")
        ahead = store.writer.ahead
        assert ahead is not None
        await until(lambda: not ahead.noted)
        assert (await server.client.get(where)).status_code == 200


async def test_with_several_workers_a_record_is_in_the_file_before_its_answer(tmp_path, monkeypatch):
    """Another worker may be asked for it."""
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url, server={"workers": 2})) as server:
        assert not server.gateway.store.note_row(("a row",), since=0.0)
        monkeypatch.setattr(server.gateway.store, "put_row", disk_full)
        assert [(await server.chat()).status_code for _ in range(5)] == [503] * 5


async def test_p2_strict_logging_sends_nothing_while_the_store_is_down(tmp_path, monkeypatch):
    rules = [{"name": "strict", "then": {"logging": "strict"}}]
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url, policy=rules)) as server:
        monkeypatch.setattr(server.gateway.store, "note_row", lambda *_, **__: False)
        monkeypatch.setattr(server.gateway.store, "put_row", disk_full)
        assert (await server.chat()).status_code == 503
        assert up.seen == []


async def test_u6_where_a_provider_runs_is_taken_out_of_its_words_and_the_rest_stays(tmp_path):
    def reply(seen):
        where = f"http://{seen.headers['host']}/v1 via 10.4.0.9:8000 (vllm-0.vllm.svc.cluster.local)"
        return answer({"error": {"message": f"temperature: must be at most 1; {where}", "type": "x"}}, 400)

    async with Upstream(reply) as up, serving(tmp_path, pool(up.url)) as server:
        for got in (await server.chat(), await server.chat(stream=True), await server.message()):
            assert got.status_code == 400
            assert "temperature: must be at most 1" in got.json()["error"]["message"]
            (attempt,) = server.record(got).attempts
            for shown in (got.text, attempt.detail):
                assert not [place for place in ("127.0.0.1", str(up.port), "10.4", "svc") if place in shown]


@pytest.mark.parametrize("status", [400, 500])
async def test_u7_a_key_that_a_provider_quotes_is_taken_out_of_its_words(tmp_path, status):
    words = {"error": {"message": f"no such project for {CANARY}-alpha", "type": "x"}}
    async with Upstream(answer(words, status)) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat()
        assert CANARY not in got.text
        record = msgspec.json.encode(server.record(got)).decode()
        assert "no such project for …" in record
        assert CANARY not in record


async def test_policy_is_asked_again_before_a_fallback_is_called(tmp_path, monkeypatch):
    asked = []

    def permits(snapshot, signals, world, model, endpoint):
        asked.append(model)
        return Dropped(model=model, rule="r", why="not any more")

    monkeypatch.setattr("interlock.execute.door.permits", permits)
    async with (
        Upstream(answer({}, 500)) as up,
        serving(tmp_path, pool(up.url, fallbacks=FALLBACK)) as server,
    ):
        got = await server.chat()
        assert got.status_code == 502
        assert asked == ["small"]
        assert [seen.json["model"] for seen in up.seen] == ["up-1", "up-1"]
        assert [dropped.why for dropped in server.record(got).skipped] == ["not any more"]


async def test_what_an_attempt_may_have_cost_is_not_spent_twice(tmp_path):
    broken = Reply(200, (b"<html>",), "text/html")
    async with (
        Upstream(chat(), broken) as up,
        serving(tmp_path, pool(up.url, fallbacks=FALLBACK)) as server,
    ):
        dry = await server.client.post(
            "/v1/decisions", json={"model": "prod", "messages": [{"role": "user", "content": "hi"}]}
        )
        input_usd = dry.json()["signals"]["input_tokens"] * 2 / 1e6
        got = await server.chat(headers={"x-interlock-max-cost-usd": f"{input_usd + 11e-6:.9f}"})
        assert got.status_code == 502
        assert outcomes(server.record(got)) == [("gpt", "malformed")]
        assert len(up.seen) == 1


async def test_c1_for_a_caller_that_has_left_already_nothing_is_begun():
    ran = []

    async def run():
        ran.append("the upstream is asked")

    call: Any = Some(gone=True, exposed=False)
    execution: Any = Some(error=None)
    await guard(Some(), Some(call=call, name="n"), execution, run())  # type: ignore[arg-type]  # all that it needs
    assert ran == []
    assert execution.error.code == "client_closed"
    call.gone = False
    await guard(Some(), Some(call=call, name="n"), execution, run())  # type: ignore[arg-type]  # as above
    assert ran == ["the upstream is asked"]
    assert not call.exposed
