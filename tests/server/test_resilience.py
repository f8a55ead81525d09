"""Bad days, end to end: breakers, limits, hedges, load and cut answers over real connections."""

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from interlock.replay import recompute
from interlock.resilience.load import LEAVE_S
from interlock.route.decide import encode_decision
from interlock.types.world import World
from tests.server.harness import events, pool, serving, until
from tests.server.upstream import HANG, Reply, Upstream, answer, sse
from tests.server.vendors import ROLE, chat, chat_end, chat_stream, message, words

FALLBACK = [{"from": "*", "to": "small", "when": "timeout_or_5xx"}]


def rules(record):
    return [(dropped.model, dropped.rule) for dropped in record.skipped]


def outcomes(record):
    return [(attempt.model, attempt.outcome) for attempt in record.attempts]


def lane(**more: Any) -> dict[str, Any]:
    return {"work": {"match": {"task": "work"}, "models": ["prod"], **more}}


WORK = {"x-interlock-task": "work"}


def in_two_places(eu: Upstream, us: Upstream, **sections: Any) -> dict[str, Any]:
    config = pool("", **sections)
    del config["providers"]["alpha"]["base_url"], config["providers"]["alpha"]["regions"]
    config["providers"]["alpha"]["endpoints"] = {
        place: {"base_url": f"{up.url}/v1"} for place, up in (("eu", eu), ("us", us))
    }
    return config


# --- breakers and limits ----------------------------------------------------------------------


async def test_u4_a_model_that_keeps_failing_is_passed_over_and_the_record_says_so(tmp_path):
    broken = answer({}, 500)

    def reply(seen):
        return broken if seen.json["model"] == "up-1" else chat("from small")

    async with Upstream(reply) as up, serving(tmp_path, pool(up.url, fallbacks=FALLBACK)) as server:
        for _ in range(4):
            assert (await server.chat()).status_code == 200
        up.seen.clear()
        got = await server.chat()
        assert got.status_code == 200
        assert [seen.json["model"] for seen in up.seen] == ["up-s"]
        record = server.record(got)
        assert rules(record) == [("gpt", "breaker")]
        assert outcomes(record) == [("small", "ok")]
        assert record.fallbacks_taken == ("small",)
        assert record.decision.route is not None
        assert record.decision.route.model == "gpt"
        # A reload of the config does not forget it.
        server.write(pool(up.url, fallbacks=FALLBACK, sources={"kb": "trusted"}))
        assert await server.reloader.reload()
        assert rules(server.record(await server.chat())) == [("gpt", "breaker")]


async def test_u4_a_breaker_that_opens_and_shuts_is_said_and_counted(tmp_path):
    up_again = False

    def reply(_):
        return chat() if up_again else answer({}, 500)

    config = pool("", resilience={"breaker": {"failures": 1, "open_s": 1}})
    async with Upstream(reply) as up:
        config["providers"]["alpha"]["base_url"] = up.url + "/v1"
        async with serving(tmp_path, config) as server:

            def said():
                return [
                    (line["provider"], line["model"], line["endpoint"], line["state"])
                    for line in server.log
                    if line["event"] == "breaker"
                ]

            assert (await server.chat()).status_code != 200
            await until(lambda: said() == [("alpha", "gpt", None, "open")])
            up_again = True
            await until(lambda: _ends_well(server))
            await until(lambda: said()[1:] == [("alpha", "gpt", None, "closed")])
            name = 'interlock_breakers_opened_total{provider="alpha",model="gpt",endpoint=""}'
            assert server.gateway.outages.counts == {name: 1}


async def _ends_well(server):
    return (await server.chat()).status_code == 200


async def test_u4_while_one_deployment_fails_another_that_policy_allows_serves_until_it_is_well(tmp_path):
    residency = [
        {"name": place, "when": {"residency": place}, "then": {"regions": [place]}} for place in ("eu", "us")
    ]

    def well(seen):
        return chat_stream("from us") if seen.json.get("stream") else chat("from us")

    async with Upstream(answer({}, 500)) as eu, Upstream(well) as us:
        breaker = {"failures": 1, "open_s": 60}
        config = in_two_places(eu, us, policy=residency, resilience={"breaker": breaker})
        async with serving(tmp_path, config) as server:
            first = server.record(await server.chat())
            assert [(attempt.region, attempt.outcome) for attempt in first.attempts] == [
                ("eu", "upstream_error"),
                ("us", "ok"),
            ]
            for stream in (False, True):
                got = await server.chat(stream=stream)
                assert got.status_code == 200
                record = server.record(got)
                assert record.decision.route is not None
                assert (record.decision.route.region, record.attempts[0].region) == ("eu", "us")
                assert rules(record) == [("gpt", "breaker")]
            stays = await server.chat(headers={"x-interlock-residency": "eu"})
            assert stays.json()["error"]["code"] == "overloaded", "policy holds there too"
            assert len(eu.seen) == 1
            assert (await server.chat(headers={"x-interlock-residency": "us"})).status_code == 200


async def test_u4_who_waits_for_a_deployment_whose_breaker_opens_meanwhile_is_served_by_another(tmp_path):
    gate = asyncio.Event()
    fails = Reply(500, (gate, b"{}"))
    async with Upstream(fails) as eu, Upstream(chat("from us")) as us:
        config = in_two_places(eu, us, resilience={"breaker": {"failures": 1, "open_s": 60}})
        config["providers"]["alpha"]["limits"] = {"concurrency": 1}
        async with serving(tmp_path, config) as server:
            first = asyncio.create_task(server.chat())
            await until(lambda: eu.seen)
            waiting = [asyncio.create_task(server.chat()) for _ in range(3)]
            slots = server.gateway.state.setting.destinations["gpt", "eu"].upstream.slots
            await until(lambda: slots.waiting == 3)
            gate.set()
            got = await asyncio.gather(first, *waiting)
            assert {one.status_code for one in got} == {200}
            assert {tuple(rules(server.record(one))) for one in got} == {(("gpt", "breaker"),)}
            assert len(eu.seen) == 1
            assert slots.taken == 0


@pytest.mark.parametrize("residency", [None, "eu"], ids=["any place", "one place"])
async def test_u4_a_deployment_that_fails_half_of_its_calls_is_left_alone_where_another_may_serve(
    tmp_path, residency
):
    """Without one, half of the answers are better than none."""

    def half(_):
        return chat("from eu") if len(eu.seen) % 2 else answer({}, 500)

    rule = {"name": "place", "when": {"residency": "eu"}, "then": {"regions": ["eu"]}}
    headers = {} if residency is None else {"x-interlock-residency": residency}
    async with Upstream(half) as eu, Upstream(chat("from us")) as us:
        config = in_two_places(eu, us, policy=[rule], resilience={"breaker": {"failures": 5, "open_s": 60}})
        async with serving(tmp_path, config) as server:
            for _ in range(40):
                last = await server.chat(headers=headers)
            if residency is None:
                assert last.json()["choices"][0]["message"]["content"] == "from us"
            else:
                assert us.seen == []
                assert len(eu.seen) > 40


async def test_what_was_passed_over_is_recorded_once_though_its_substitute_is_asked_twice(tmp_path):
    busy = answer({}, 503, retry_after_ms="20")
    async with Upstream(answer({}, 500)) as eu, Upstream(chat("from us"), busy) as us:
        breaker = {"failures": 3, "open_s": 60}
        async with serving(tmp_path, in_two_places(eu, us, resilience={"breaker": breaker})) as server:
            assert (await server.chat()).status_code == 502
            assert len(eu.seen) == 3
            record = server.record(await server.chat())
            assert [attempt.status for attempt in record.attempts] == [503, None]
            assert rules(record) == [("gpt", "breaker")]


async def test_u4_with_nobody_else_an_open_breaker_is_503_with_a_time_to_come_back(tmp_path):
    config = pool("", resilience={"breaker": {"failures": 1, "open_s": 60}})
    async with Upstream(answer({}, 500)) as up:
        config["providers"]["alpha"]["base_url"] = f"{up.url}/v1"
        async with serving(tmp_path, config) as server:
            await server.chat()
            before = len(up.seen)
            got = await server.chat(stream=True)
            assert (got.status_code, got.json()["error"]["code"]) == (503, "overloaded")
            assert 50 < int(got.headers["retry-after"]) <= 60
            assert len(up.seen) == before
            assert (got.headers["x-interlock-cost-usd"], server.record(got).cost_usd) == ("0", 0)


async def test_no_more_calls_run_at_once_than_an_account_allows(tmp_path):
    most = 0
    gates: list[asyncio.Event] = []

    def reply(_):
        gate = asyncio.Event()
        gates.append(gate)
        piece = chat().pieces[0]
        assert isinstance(piece, bytes)
        return Reply(200, (gate, piece), headers=())

    config = pool("")
    config["providers"]["alpha"]["limits"] = {"concurrency": 2}
    async with Upstream(reply) as up:
        config["providers"]["alpha"]["base_url"] = f"{up.url}/v1"
        async with serving(tmp_path, config) as server:
            asking = [asyncio.create_task(server.chat()) for _ in range(6)]
            for served in range(6):
                await until(lambda: len(gates) > served)  # noqa: B023 - awaited in this very round
                most = max(most, len(gates) - served)
                gates[served].set()
            assert {got.status_code for got in await asyncio.gather(*asking)} == {200}
            assert most <= 2


async def test_u7_a_refused_credential_is_said_in_the_log_once(tmp_path):
    refused = answer({"error": {"message": "bad key"}}, 401)
    async with Upstream(refused) as up, serving(tmp_path, pool(up.url)) as server:
        for number in range(1, 4):
            got = await server.chat()
            assert got.status_code == 502
            assert len(up.seen) == number
        said = [line for line in server.log if line.get("event") == "credentials_refused"]
        assert [(line["provider"], line["status"]) for line in said] == [("alpha", 401)]


QUOTA = {
    "error": {
        "message": "You exceeded your quota",
        "type": "insufficient_quota",
        "code": "insufficient_quota",
    }
}


@pytest.mark.parametrize("is_stream", [False, True])
async def test_u5_an_account_that_is_used_up_is_asked_once_named_and_followed_by_the_next(
    tmp_path, is_stream
):
    def reply(seen):
        if seen.json["model"] == "up-1":
            return answer(QUOTA, 429, retry_after="1")
        return chat_stream("fine") if is_stream else chat("fine")

    fallbacks = [{"from": "gpt", "to": "small", "when": "rate_limit"}]
    async with Upstream(reply) as up, serving(tmp_path, pool(up.url, fallbacks=fallbacks)) as server:
        got = await server.chat(stream=is_stream)
        assert got.status_code == 200
        assert [seen.json["model"] for seen in up.seen] == ["up-1", "up-s"]
        first, second = server.record(got).attempts
        assert (first.outcome, first.status, second.outcome) == ("rate_limited", 429, "ok")
        assert "insufficient_quota" in first.detail
        said = [line for line in server.log if line.get("event") == "account_used_up"]
        assert [(line["provider"], line["status"]) for line in said] == [("alpha", 429)]


@pytest.mark.parametrize(
    ("status", "error"), [(429, QUOTA), (402, {"error": {"message": "Insufficient Balance"}})]
)
async def test_u5_with_nobody_else_a_used_up_account_is_a_502_that_says_so_and_no_429(
    tmp_path, status, error
):
    async with Upstream(answer(error, status)) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat()
        assert (got.status_code, len(up.seen)) == (502, 1)
        assert got.json()["error"]["code"] == "upstream_failed"
        assert "used up" in got.json()["error"]["message"]
        assert "retry-after" not in got.headers


@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
async def test_u5_a_crowd_after_headers_that_leave_one_call_does_not_all_go_out(tmp_path, is_stream):
    left = (("x-ratelimit-remaining-requests", "1"), ("x-ratelimit-reset-requests", "20s"))

    def reply(seen):
        said = chat_stream("fine") if is_stream else chat("fine")
        return replace(said, headers=left) if seen.json["model"] == "up-1" else said

    fallbacks = [{"from": "gpt", "to": "small", "when": "rate_limit"}]
    async with Upstream(reply) as up, serving(tmp_path, pool(up.url, fallbacks=fallbacks)) as server:
        assert (await server.chat(stream=is_stream)).status_code == 200
        up.replies.append(replace(chat_stream("fine") if is_stream else chat("fine"), headers=()))
        found = await asyncio.gather(*(server.chat(stream=is_stream) for _ in range(10)))
        assert {got.status_code for got in found} == {200}
        assert [seen.json["model"] for seen in up.seen].count("up-1") == 2
        records = [server.record(got) for got in found]
        assert [rules(record) for record in records].count([("gpt", "rate_limit")]) == 9
        whys = {dropped.why for record in records for dropped in record.skipped}
        assert all("limit is reached by what its answers say" in why for why in whys)


# --- hedges -----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_stream", [False, True])
async def test_u20_a_slow_first_is_overtaken_closed_and_recorded(tmp_path, is_stream):
    quick = chat_stream("quick") if is_stream else chat("quick")

    def reply(seen):
        return HANG if seen.json["model"] == "up-1" else quick

    config = pool("", fallbacks=FALLBACK, lanes=lane(hedge_after_ms=50))
    async with Upstream(reply) as up:
        config["providers"]["alpha"]["base_url"] = f"{up.url}/v1"
        async with serving(tmp_path, config) as server:
            got = await server.chat(model="auto", headers=WORK, stream=is_stream)
            assert got.status_code == 200
            assert "quick" in got.text
            assert got.headers["x-interlock-route"] == "alpha/small"
            assert got.headers["x-interlock-attempts"] == "2"
            await asyncio.wait_for(up.seen[0].gone.wait(), 2)
            record = server.record(got)
            assert outcomes(record) == [("gpt", "cancelled"), ("small", "ok")]
            assert all(attempt.cost_usd for attempt in record.attempts)
            assert record.status == "ok"


async def test_a9_a_hedge_goes_nowhere_that_the_data_may_not(tmp_path):
    async with Upstream(HANG) as home, Upstream(chat()) as away:
        config = pool(
            away.url,
            fallbacks=[{"from": "*", "to": "gpt", "when": "any"}],
            aliases={"prod": "local"},
            lanes=lane(hedge_after_ms=20),
        )
        config["providers"]["home"] = {
            "kind": "openai",
            "base_url": f"{home.url}/v1",
            "trusted_for": "regulated",
        }
        config["models"]["local"] = {"provider": "home", "context_tokens": 9000, "capabilities": []}
        async with serving(tmp_path, config) as server:
            headers = {**WORK, "x-interlock-deadline-ms": "300"}
            got = await server.chat("card 4111 1111 1111 1111", model="auto", headers=headers)
            assert got.status_code == 504
            assert away.seen == []


# --- load -------------------------------------------------------------------------------------


async def test_under_load_batch_goes_first_and_interactive_last(tmp_path):
    def reply(seen):
        return HANG if b"hold" in seen.body else chat()

    async with (
        Upstream(reply) as up,
        serving(tmp_path, pool(up.url, resilience={"max_in_flight": 10})) as server,
    ):
        held = [asyncio.create_task(server.chat("hold")) for _ in range(8)]
        await until(lambda: len(up.seen) == 8)
        got = await server.chat(headers={"x-interlock-latency-class": "batch"})
        assert (got.status_code, got.json()["error"]["code"]) == (503, "overloaded")
        assert got.headers["retry-after"] == "30"
        record = server.record(got)
        assert record.status == "failed"
        assert record.attempts == ()
        assert record.error is not None
        assert record.error.startswith("overloaded")
        assert (await server.chat(headers={"x-interlock-latency-class": "background"})).status_code == 200
        assert (await server.chat()).status_code == 200
        held += [asyncio.create_task(server.chat("hold")) for _ in range(2)]
        await until(lambda: server.gateway.load.in_flight == 10)
        got = await server.message()
        assert (got.status_code, got.json()["error"]["code"]) == (503, "overloaded")
        assert got.headers["retry-after"] == "2"
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)
        await until(lambda: server.gateway.load.in_flight == 0)
        assert (await server.chat(headers={"x-interlock-latency-class": "batch"})).status_code == 200


async def test_a_degrade_mode_is_entered_and_left_by_itself_and_each_decision_names_it(tmp_path):
    config = pool("", resilience={"degrade": ["no_shadow", "fewer_tools"]})
    config["tools"]["look"] = {"effects": ["read"]}
    offered = [{"type": "function", "function": {"name": name}} for name in ("look", "search")]
    async with Upstream(chat()) as up:
        config["providers"]["alpha"]["base_url"] = f"{up.url}/v1"
        async with serving(tmp_path, config) as server:
            gateway = server.gateway
            assert server.record(await server.chat()).decision.why.degrade_mode == "none"
            now = asyncio.get_running_loop().time()
            for _ in range(40):
                now += 0.25
                gateway.measure(now, 0.45)
            got = await server.chat(tools=offered)
            decision = server.record(got).decision
            assert decision.why.degrade_mode == "fewer_tools"
            assert [tool["function"]["name"] for tool in up.seen[-1].json["tools"]] == ["look"]
            assert [denied.tool for denied in decision.policy.tools_denied] == ["search"]
            # It can be computed again from what the store keeps.
            data = gateway.store.get_world(decision.provenance.world_hash)
            assert data is not None
            world = msgspec.json.decode(data, type=World)
            assert world.degrade == "fewer_tools"
            again = recompute(decision, gateway.state.setting.snapshot, world)
            assert encode_decision(again) == encode_decision(decision)
            for _ in range(int(8 * (LEAVE_S + 2))):
                now += 0.25
                gateway.measure(now, 0.0)
            assert server.record(await server.chat()).decision.why.degrade_mode == "none"
            said = [(line["before"], line["mode"]) for line in server.log if line.get("event") == "degrade"]
            assert said == [
                ("none", "no_shadow"),
                ("no_shadow", "fewer_tools"),
                ("fewer_tools", "no_shadow"),
                ("no_shadow", "none"),
            ]


async def test_a_lane_that_is_not_essential_is_told_when_to_come_back(tmp_path):
    config = pool("", lanes=lane(), resilience={"degrade": ["essential_lanes"], "essential_lanes": ["work"]})
    async with Upstream(chat()) as up:
        config["providers"]["alpha"]["base_url"] = f"{up.url}/v1"
        async with serving(tmp_path, config) as server:
            now = asyncio.get_running_loop().time()
            for _ in range(30):
                now += 0.25
                server.gateway.measure(now, 0.45)
            got = await server.chat()
            assert (got.status_code, got.json()["error"]["code"]) == (503, "overloaded")
            assert int(got.headers["retry-after"]) >= 1
            assert server.record(got).decision.why.degrade_mode == "essential_lanes"
            assert (await server.chat(model="auto", headers=WORK)).status_code == 200


# --- answers that were cut --------------------------------------------------------------------


async def test_a_cut_answer_ends_as_such_in_each_dialect_and_goes_on_where_a_lane_lets_it(tmp_path):
    async with Upstream() as up:
        config = pool(up.url, up.url, lanes=lane(budgets={"max_continuations": 2}))
        async with serving(tmp_path, config) as server:
            up.replies.append(chat("The quick", finish="length"))
            assert (await server.chat()).json()["choices"][0]["finish_reason"] == "length"
            up.replies.append(message("The quick", stop="max_tokens"))
            assert (await server.message(model="claude")).json()["stop_reason"] == "max_tokens"
            up.replies += [chat("The quick", finish="length"), chat(" fox.")]
            got = await server.chat(model="auto", headers=WORK)
            assert got.json()["choices"][0]["message"]["content"] == "The quick fox."
            assert got.json()["choices"][0]["finish_reason"] == "stop"
            assert got.json()["usage"]["completion_tokens"] == 14
            assert got.headers["x-interlock-attempts"] == "1"
            assert float(got.headers["x-interlock-cost-usd"]) == pytest.approx(2 * (11 * 2 + 7 * 10) / 1e6)
            sent = up.seen[-1].json["messages"]
            assert [turn["role"] for turn in sent] == ["user", "assistant", "user"]
            assert sent[1]["content"] == "The quick"
            assert server.record(got).attempts[0].continuations == 1


@pytest.mark.parametrize("dialect", ["chat", "messages"])
async def test_a_cut_stream_goes_on_without_a_seam(tmp_path, dialect):
    first = sse(ROLE, *words("The ", "quick"), chat_end("length"))
    async with Upstream(chat(), first, chat_stream(" fox", " jumps.")) as up:
        config = pool(up.url, lanes=lane(budgets={"max_continuations": 2}))
        async with serving(tmp_path, config) as server:
            ask = server.chat if dialect == "chat" else server.message
            got = await ask(model="auto", headers=WORK, stream=True)
            seen = [event for event in events(got.text) if event != "[DONE]"]
            if dialect == "chat":
                choices = [event["choices"][0] for event in seen if event["choices"]]
                text = "".join(choice["delta"].get("content") or "" for choice in choices)
                assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["stop"]
                assert got.text.count("[DONE]") == 1
            else:
                text = "".join(event["delta"].get("text", "") for event in seen if "delta" in event)
                kinds = [event["type"] for event in seen]
                assert kinds.count("message_start") == kinds.count("content_block_start") == 1
                assert kinds.count("content_block_stop") == kinds.count("message_stop") == 1
                assert seen[-2]["delta"]["stop_reason"] == "end_turn"
            assert text == "The quick fox jumps."
            attempt = server.record(got).attempts[0]
            assert (attempt.continuations, attempt.output_tokens) == (1, 14)
