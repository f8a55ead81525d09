"""Copies of live requests: who gets them, what they may not touch, and what is known of them afterwards."""

import asyncio
import json
from functools import partial
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from interlock.cli.app import cli
from interlock.config.checked import decode
from interlock.replay import recompute
from interlock.route.decide import encode_decision
from interlock.route.snapshot import snapshot
from interlock.server.mirroring import MOST_BYTES
from interlock.types.world import World
from tests.server.harness import keyed, pool, serving, until
from tests.server.upstream import HANG, Upstream, answer
from tests.server.vendors import call, chat, chat_stream, message

soon = partial(until, within=30)
"""However busy the machine is."""

ALL = {"steps": [{"weight": 0, "for": "1h"}, {"weight": 1.0}], "shadow": 1.0, "sticky_by": "request"}
AGREES = {"agrees": {"kind": "consistency"}}


def shadowed(upstream: Upstream, **plan: Any) -> dict[str, Any]:
    return pool(upstream.url, rollouts={"mirror": {**ALL, **plan}})


async def begin(server, to="small"):
    got = await server.client.post("/v1/rollouts", json={"alias": "prod", "to": to, "plan": "mirror"})
    assert got.status_code == 200, got.text
    return got.json()["id"]


async def copies(server, name):
    """What is known of a rollout's copies, once none is under way."""
    await soon(lambda: server.gateway.copies.idle and server.gateway.gradings.idle)
    await server.gateway.mirrors.flush()
    found = (await server.client.get(f"/v1/rollouts/{name}")).json()
    return {**found["unseen"], **found["shadow"]}


def models(upstream: Upstream) -> list[str]:
    return [seen.json["model"] for seen in upstream.seen]


def by_model(**replies: Any) -> Any:
    """An upstream that answers by the model that it is asked for; `up_s` is the candidate's name."""
    return lambda seen: replies[seen.json["model"].replace("-", "_")]


def records(server):
    return [server.record(row.id) for row in server.gateway.store.each_record()]


async def test_a_copy_goes_to_the_candidate_and_the_caller_sees_nothing_of_it(tmp_path):
    async with Upstream(by_model(up_1=chat("yes"), up_s=chat("no"))) as up:
        config = shadowed(up, graders=AGREES)
        async with serving(tmp_path, config) as server:
            plain = await server.chat("Is it?")
            name = await begin(server)
            got = await server.chat("Is it?")
            assert got.json()["choices"] == plain.json()["choices"]
            assert set(got.headers) == set(plain.headers)
            assert got.headers["x-interlock-alias"] == "prod@1"
            found = await copies(server, name)
            assert models(up) == ["up-1", "up-1", "up-s"]
            assert up.seen[-1].json["messages"] == up.seen[-2].json["messages"]
            assert (found["sent"], found["answered"], found["failed"], found["dropped"]) == (1, 1, 0, {})
            assert found["cost_usd"] == pytest.approx((11 * 2 + 7 * 10) / 1e6)
            (agrees, error_rate) = found["comparisons"]
            assert (agrees["grader"], agrees["value"], agrees["live"], agrees["n"]) == (
                "agrees",
                0.0,
                None,
                1,
            )
            assert (error_rate["value"], error_rate["live"], error_rate["n_live"]) == (0.0, 0.0, 1)


async def test_a_copy_has_a_record_of_its_own_that_is_no_traffic_and_no_callers(tmp_path):
    keys = keyed({"id": "app", "key": "k-app"}, {"id": "ops", "key": "k-ops", "role": "operator"})
    async with Upstream(chat()) as up, serving(tmp_path, {**shadowed(up), "keys": keys}) as server:
        app, ops = ({"authorization": f"Bearer {key}"} for key in ("k-app", "k-ops"))
        body = {"alias": "prod", "to": "small", "plan": "mirror"}
        name = (await server.client.post("/v1/rollouts", json=body, headers=ops)).json()["id"]
        got = await server.chat(headers=app)
        await soon(lambda: len(up.seen) == 2 and server.gateway.copies.idle)
        of = got.headers["x-interlock-decision-id"]
        (copied,) = [record for record in records(server) if record.shadow_of is not None]
        assert (copied.shadow_of, copied.status, copied.attempts[0].model) == (of, "ok", "small")
        assert copied.content is None
        route = copied.decision.route
        assert route is not None
        assert (route.alias, route.alias_version, route.model) == ("prod", 2, "small")
        mine = (await server.client.get("/v1/decisions", headers=app)).json()["data"]
        assert [one["decision"]["id"] for one in mine] == [of]
        path = f"/v1/decisions/{copied.decision.id}"
        assert (await server.client.get(path, headers=app)).status_code == 404
        assert (await server.client.get(path, headers=ops)).json()["shadow_of"] == of
        rows = (await server.client.get("/v1/routes", headers=ops)).json()["data"]
        assert [(row["model"], row["requests"]) for row in rows] == [("gpt", 1)]
        assert (await server.client.get(f"/v1/rollouts/{name}", headers=ops)).json()["state"] == "running"


async def test_the_decision_on_a_copy_is_computed_again_byte_for_byte(tmp_path):
    async with Upstream(chat()) as up:
        config = {**shadowed(up), "fallbacks": [{"from": "*", "to": "claude", "when": "timeout_or_5xx"}]}
        async with serving(tmp_path, config) as server:
            await begin(server)
            await server.chat()
            await soon(lambda: len(records(server)) == 2 and server.gateway.copies.idle)
            (copied,) = [record for record in records(server) if record.shadow_of is not None]
            decision, store = copied.decision, server.gateway.store
            assert decision.fallbacks == ()
            body, world = (
                store.get_config(decision.provenance.config_hash),
                store.get_world(decision.provenance.world_hash),
            )
            assert body is not None
            assert world is not None
            again = recompute(decision, snapshot(decode(body)), msgspec.json.decode(world, type=World))
            assert encode_decision(again) == encode_decision(decision)


async def test_a9_local_only_data_is_not_copied_to_a_candidate_outside_and_not_a_byte_leaves(tmp_path):
    """The live request stays at home; the copy is decided again, and nobody may serve it."""
    async with Upstream(chat()) as home, Upstream(message("hi")) as outside:
        config = pool(home.url, outside.url, rollouts={"mirror": ALL})
        config["providers"]["alpha"]["trusted_for"] = "regulated"
        async with serving(tmp_path, config) as server:
            name = await begin(server, to="claude")
            labelled = {"x-interlock-data-class": "confidential"}
            for text, headers in (
                ("secret plans", labelled),
                ("my card is 4111 1111 1111 1111", {}),
            ):
                assert (await server.chat(text, headers=headers)).status_code == 200
            found = await copies(server, name)
            assert (len(home.seen), outside.seen) == (2, [])
            assert (found["denied"], found["sent"]) == (2, 0)
            denied = [record for record in records(server) if record.shadow_of is not None]
            assert {record.status for record in denied} == {"denied"}
            assert all(record.decision.route is None for record in denied)
            # What may go outside is copied there.
            await server.chat("nothing special")
            await soon(lambda: len(outside.seen) == 1)


@pytest.mark.parametrize(
    ("rule", "headers"),
    [
        (
            {"name": "eu", "when": {"residency": "eu"}, "then": {"regions": ["eu"]}},
            {"x-interlock-residency": "eu"},
        ),
        ({"name": "close", "then": {"providers": ["alpha"]}}, {}),
        ({"name": "pinned", "then": {"pin": "gpt"}}, {}),
    ],
    ids=["residency", "provider", "pin"],
)
async def test_a9_a_rule_that_keeps_a_request_from_the_candidate_keeps_its_copy_too(tmp_path, rule, headers):
    async with Upstream(chat()) as home, Upstream(message("hi")) as outside:
        config = pool(home.url, outside.url, rollouts={"mirror": ALL}, policy=[rule])
        async with serving(tmp_path, config) as server:
            name = await begin(server, to="claude")
            assert (await server.chat(headers=headers)).status_code == 200
            found = await copies(server, name)
            assert (found["sent"], found["dropped"], outside.seen) == (0, {}, [])
            # A pinned workflow is moved by no rollout, so its copy is not even asked for.
            assert found["denied"] == (0 if "pin" in rule["then"] else 1)


async def test_a_shadow_that_fails_leaves_live_traffic_to_the_same_target_alone(tmp_path):
    async with Upstream(by_model(up_1=chat(), up_s=answer({"error": {"message": "x"}}, 500))) as up:
        config = {**shadowed(up), "resilience": {"breaker": {"failures": 2, "open_s": 300}}}
        async with serving(tmp_path, config) as server:
            name = await begin(server)
            for _ in range(4):
                assert (await server.chat()).status_code == 200
                found = await copies(server, name)
            # Its own breaker opened, nothing was tried twice, and the live breaker knows of nothing.
            assert models(up).count("up-s") == 2
            assert (found["failed"], found["dropped"]) == (2, {"breaker": 2})
            (error_rate,) = found["comparisons"]
            assert (error_rate["value"], error_rate["n"]) == (1.0, 2)
            up.default = chat()
            assert (await server.chat(model="small")).status_code == 200


async def test_a_target_that_live_traffic_leaves_alone_gets_no_copies(tmp_path):
    async with Upstream(by_model(up_1=chat(), up_s=answer({"error": {"message": "x"}}, 500))) as up:
        config = {**shadowed(up), "resilience": {"breaker": {"failures": 1, "open_s": 300}}}
        async with serving(tmp_path, config) as server:
            assert (await server.chat(model="small")).status_code == 502
            name = await begin(server)
            tried = models(up).count("up-s")
            await server.chat()
            assert (await copies(server, name))["dropped"] == {"live_unwell": 1}
            assert models(up).count("up-s") == tried


async def test_copies_stop_where_their_money_ends_and_the_callers_is_not_touched(tmp_path):
    async with Upstream(chat()) as up:
        config = shadowed(up, shadow_limits={"max_cost_usd": 0.0025})
        async with serving(tmp_path, config) as server:
            name = await begin(server)
            for _ in range(4):
                got = await server.chat(max_tokens=100)
                assert got.headers["x-interlock-cost-usd"] == "0.00009200"
                await copies(server, name)
            found = await copies(server, name)
            # A copy may cost up to 0.00102 for its tokens and is settled at 0.000092.
            assert found["sent"] == 4
            await server.chat(max_tokens=4000)
            found = await copies(server, name)
            assert (found["sent"], found["dropped"]) == (4, {"budget": 1})
            assert found["cost_usd"] == pytest.approx(4 * 0.000092)


async def test_a_candidate_without_a_price_is_not_copied_to_for_its_money_has_no_limit(tmp_path):
    async with Upstream(chat()) as up:
        config = shadowed(up)
        del config["models"]["small"]["price"]
        async with serving(tmp_path, config) as server:
            name = await begin(server)
            await server.chat()
            assert (await copies(server, name))["dropped"] == {"unpriced": 1}


async def test_a_queue_that_is_full_leaves_copies_out_and_counts_them(tmp_path):
    async with (
        Upstream(by_model(up_1=chat(), up_s=HANG)) as up,
        serving(tmp_path, shadowed(up, shadow_limits={"concurrency": 1})) as server,
    ):
        name = await begin(server)
        waiting = server.gateway.copies._places
        for _ in range(waiting + 3):
            assert (await server.chat()).status_code == 200
        await server.gateway.mirrors.flush()
        found = (await server.client.get(f"/v1/rollouts/{name}")).json()["shadow"]
        assert found["dropped"] == {"full": 2}
        assert models(up).count("up-s") == 1


async def test_under_load_nothing_is_copied(tmp_path):
    async with Upstream(chat()) as up:
        config = {**shadowed(up), "resilience": {"degrade": ["no_shadow"]}}
        async with serving(tmp_path, config) as server:
            name = await begin(server)
            now = asyncio.get_running_loop().time()
            for _ in range(40):
                now += 0.25
                server.gateway.measure(now, 0.45)
            assert server.record(await server.chat()).decision.why.degrade_mode == "no_shadow"
            found = await copies(server, name)
            assert found["dropped"] == {"load": 1}
            assert models(up) == ["up-1"]


async def test_copies_leave_half_of_an_accounts_limits_to_live_traffic(tmp_path):
    async with Upstream(chat()) as up:
        config = shadowed(up)
        config["providers"]["alpha"]["limits"] = {"requests_per_minute": 6}
        async with serving(tmp_path, config) as server:
            name = await begin(server)
            for _ in range(4):
                assert (await server.chat()).status_code == 200
                found = await copies(server, name)
            # live, copy, live: half of six is taken, so the rest of the copies is left out.
            assert (found["sent"], found["dropped"]) == (1, {"limits": 3})


async def test_tools_that_a_copy_calls_are_recorded_and_run_by_nobody(tmp_path):
    calls = (call(0, "search", '{"q": "x"}'),)
    live, copied = chat("I know."), chat(None, finish="tool_calls", calls=calls)
    tools = [{"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}]
    graders = {"same_tools": {"kind": "tool_use"}}
    async with (
        Upstream(by_model(up_1=live, up_s=copied)) as up,
        serving(tmp_path, shadowed(up, graders=graders)) as server,
    ):
        name = await begin(server)
        got = await server.chat(tools=tools)
        assert got.json()["choices"][0]["message"].get("tool_calls") is None
        found = await copies(server, name)
        (one,) = [record for record in records(server) if record.shadow_of is not None]
        assert one.attempts[0].tool_calls == 1
        assert len(up.seen) == 2
        graded = {row["grader"]: row["value"] for row in found["comparisons"]}
        assert graded["same_tools"] == 0.0


async def test_a_request_with_a_tool_that_the_provider_runs_is_not_copied(tmp_path):
    async with Upstream(message("hi")) as up:
        config = pool(up.url, up.url, rollouts={"mirror": ALL}, aliases={"prod": "claude"})
        config["models"]["opus"] = {**config["models"]["claude"], "upstream": "up-o"}
        async with serving(tmp_path, config) as server:
            name = await begin(server, to="opus")
            tools = [{"type": "web_search_20250305", "name": "web_search"}]
            config_ok = await server.message(tools=tools)
            assert config_ok.status_code == 200, config_ok.text
            assert (await copies(server, name))["dropped"] == {"vendor_tools": 1}
            assert models(up) == ["up-2"]


async def test_a_streamed_request_is_copied_whole(tmp_path):
    async with (
        Upstream(by_model(up_1=chat_stream("ye", "s"), up_s=chat("yes"))) as up,
        serving(tmp_path, shadowed(up, graders=AGREES)) as server,
    ):
        name = await begin(server)
        got = await server.chat(stream=True, stream_options={"include_usage": True})
        assert '"ye"' in got.text
        found = await copies(server, name)
        assert "stream" not in up.seen[-1].json
        graded = {row["grader"]: row["value"] for row in found["comparisons"]}
        assert graded == {"agrees": 1.0, "error_rate": 0.0}


async def test_a_share_of_requests_is_copied_that_sticks_to_what_the_rollout_sticks_to(tmp_path):
    async with Upstream(chat()) as up:
        config = shadowed(up, shadow=0.5, sticky_by="session")
        async with serving(tmp_path, config) as server:
            await begin(server)
            seen = []
            for number in range(16):
                before = models(up).count("up-s")
                for _ in range(3):
                    await server.chat(headers={"x-interlock-session": f"s{number}"})
                    await soon(lambda: server.gateway.copies.idle)
                seen.append(models(up).count("up-s") - before)
            assert set(seen) == {0, 3}


async def test_who_is_on_the_canary_is_not_copied_for_it_was_the_candidates_already(tmp_path):
    async with Upstream(chat()) as up:
        config = shadowed(up, steps=[{"weight": 0.5, "for": "1h"}, {"weight": 1.0}])
        async with serving(tmp_path, config) as server:
            name = await begin(server)
            aliases = [(await server.chat()).headers["x-interlock-alias"] for _ in range(20)]
            found = await copies(server, name)
            assert found["sent"] == aliases.count("prod@1")
            assert 0 < found["sent"] < 20
            decided = [record.decision for record in records(server) if record.shadow_of is not None]
            assert {one.why.propensity for one in decided} == {1.0}, "a copy has no arms to be on"


async def test_copies_end_with_their_rollout_and_nothing_is_done_without_one(tmp_path):
    async with Upstream(chat()) as up, serving(tmp_path, shadowed(up)) as server:
        assert server.gateway.mirrors.by_alias == {}
        name = await begin(server)
        await server.chat()
        await soon(lambda: len(up.seen) == 2)
        await server.client.post(f"/v1/rollouts/{name}/abort", json={})
        await server.chat()
        assert (await copies(server, name))["sent"] == 1
        assert server.gateway.mirrors.by_alias == {}


async def test_p5_after_a_restart_copies_go_on_and_their_figures_are_kept(tmp_path):
    async with Upstream(chat()) as up:
        config = shadowed(up)
        async with serving(tmp_path, config) as server:
            name = await begin(server)
            await server.chat()
            await copies(server, name)
        async with serving(tmp_path, config) as server:
            await server.chat()
            assert (await copies(server, name))["sent"] == 2


async def test_a_copy_that_a_shutdown_cuts_short_is_recorded_and_paid_for(tmp_path):
    async with Upstream(by_model(up_1=chat(), up_s=HANG)) as up:
        config = shadowed(up)
        async with serving(tmp_path, config) as server:
            name = await begin(server)
            await server.chat(max_tokens=100)
            await soon(lambda: len(up.seen) == 2)
        async with serving(tmp_path, config) as server:
            (one,) = [record for record in records(server) if record.shadow_of is not None]
            assert one.status == "failed"
            assert one.attempts[0].outcome == "cancelled"
            found = await copies(server, name)
            assert (found["sent"], found["failed"]) == (1, 1)
            assert found["cost_usd"] > 0


async def test_prompts_and_answers_of_copies_are_kept_nowhere(tmp_path):
    secret = "the-words-of-a-caller"
    async with Upstream(chat("the-words-of-a-model")) as up:
        config = shadowed(up, graders={**AGREES, "brief": {"kind": "length", "at_most": 5}}, grade=1.0)
        async with serving(tmp_path, config) as server:
            name = await begin(server)
            await server.chat(secret)
            found = await copies(server, name)
            assert found["sent"] == 1
        for file in tmp_path.glob("interlock.db*"):
            data = file.read_bytes()
            assert secret.encode() not in data
            assert b"the-words-of-a-model" not in data


async def test_commands_tell_copies_from_traffic(tmp_path, monkeypatch):
    """They are explained and computed again like any record, and are no cases and no traffic to replay."""
    monkeypatch.setenv("ALPHA_KEY", "a")
    monkeypatch.setenv("BETA_KEY", "b")
    async with Upstream(chat("yes")) as up:
        config = {**shadowed(up, graders=AGREES), "telemetry": {"content": "full"}}
        async with serving(tmp_path, config) as server:
            name = await begin(server)
            of = (await server.chat()).headers["x-interlock-decision-id"]
            await copies(server, name)
            (one,) = [record for record in records(server) if record.shadow_of is not None]
            assert one.content is not None, "it is kept where content is"
    file = ["--config", str(tmp_path / "interlock.yaml")]

    def run(*words):
        told = CliRunner().invoke(cli, [*words, *file], catch_exceptions=False)
        assert told.exit_code == 0, told.output
        return told.output

    assert f"follows {of}, and nobody has seen its answer: answered by `small`" in run(
        "explain", one.decision.id
    )
    assert "2 of 2 decisions" in run("replay", "--verify")
    assert "0 of 1 decisions would change" in run("replay", "--against", str(tmp_path / "interlock.yaml"))
    assert "replayed: 0 of 1 decisions would differ" in run("config", "diff", "--replay")
    out = str(tmp_path / "cases.jsonl")
    run("eval", "from-decisions", "--out", out)
    assert [json.loads(line)["id"] for line in (tmp_path / "cases.jsonl").read_text().splitlines()] == [of]
    shown = run("rollout", "status", name)
    assert "copies: 1 sent, 1 answered, 0 failed, 0 refused by policy; left out: none" in shown
    assert "agrees" in shown
    listed = json.loads(run("rollout", "status", name, "--json"))
    assert listed["shadow"]["sent"] == 1


async def test_a_copy_of_a_strictly_logged_request_is_on_record_before_it_is_sent(tmp_path):
    rule = {"name": "careful", "then": {"logging": "strict"}}
    async with Upstream(chat()) as up:
        config = {**shadowed(up), "policy": [rule], "telemetry": {"content": "full"}}
        async with serving(tmp_path, config) as server:
            found: list[int] = []

            def look(seen):
                if seen.json["model"] == "up-s":
                    found.append(sum(one.shadow_of is not None for one in records(server)))
                return chat()

            up.default = look
            name = await begin(server)
            await server.chat()
            assert (await copies(server, name))["sent"] == 1
            assert found == [1]
            (one,) = [record for record in records(server) if record.shadow_of is not None]
            assert (one.status, one.content) == ("ok", None)


async def test_a_large_request_is_answered_and_not_copied(tmp_path):
    async with Upstream(chat()) as up, serving(tmp_path, shadowed(up)) as server:
        name = await begin(server)
        body = b'{"model": "prod",%b"messages": [{"role": "user", "content": "hi"}]}' % (b" " * MOST_BYTES)
        assert (await server.client.post("/v1/chat/completions", content=body)).status_code == 200
        assert (await copies(server, name))["dropped"] == {"too_large": 1}


async def test_a_key_that_is_replaced_is_what_copies_go_with(tmp_path):
    """No hash of the config shows it, for no key is in one."""
    async with Upstream(chat()) as up:
        config = shadowed(up)
        config["providers"]["alpha"]["api_key"] = "sk-before"
        async with serving(tmp_path, config) as server:
            name = await begin(server)
            config["providers"]["alpha"]["api_key"] = "sk-after"
            server.write(config)
            assert await server.reloader.reload()
            server.gateway.refresh_world()
            await server.chat()
            assert (await copies(server, name))["sent"] == 1
            assert [seen.headers["authorization"] for seen in up.seen] == ["Bearer sk-after"] * 2
