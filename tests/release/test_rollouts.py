"""Rollouts on a real server: shares, steps, guardrails, hands of operators, restarts, two who race."""

import asyncio
import json
from collections import Counter
from typing import Any

import msgspec
import pytest
import yaml
from click.testing import CliRunner

from interlock.cli.app import cli
from interlock.release.controller import LEASE_US, Controller
from interlock.replay import recompute
from interlock.route.snapshot import snapshot
from interlock.store import StaleVersion, Store, rollouts
from interlock.store.releasing import lease_rollouts, move_rollout
from interlock.store.rollouts import Fenced
from interlock.types.world import World
from interlock.wiring import now_us
from tests.server.harness import pool, serving, until
from tests.server.upstream import Upstream, answer
from tests.server.vendors import chat

FAST = {"steps": [{"weight": 0.5, "for": "100ms"}, {"weight": 1.0}]}
GUARDED = {
    "steps": [{"weight": 0.5, "for": "10m"}, {"weight": 1.0}],
    "sticky_by": "request",
    "guardrails": [{"metric": "error_rate", "rise_at_most": 0.05}],
}


def plans(**named: dict[str, Any]) -> dict[str, Any]:
    return {"rollouts": named}


async def begin(server, plan="canary", to="small", **fields):
    got = await server.client.post("/v1/rollouts", json={"alias": "prod", "to": to, "plan": plan, **fields})
    assert got.status_code == 200, got.text
    return got.json()


async def look(server, name):
    return (await server.client.get(f"/v1/rollouts/{name}")).json()


async def act(server, name, verb, **body):
    return await server.client.post(f"/v1/rollouts/{name}/{verb}", json=body)


def state(server, name, *states):
    async def reached():
        return (await look(server, name))["state"] in states

    return reached


def breaking(upstream):
    """An upstream whose `up-s` (the candidate) fails, while `up-1` answers."""
    return lambda seen: answer({"error": {"message": "x"}}, 400) if seen.json["model"] == upstream else chat()


async def many(server, count):
    return Counter([(await server.chat(f"{n}")).headers["x-interlock-alias"] for n in range(count)])


def served_by(server, version):
    async def is_so():
        return (await server.chat()).headers["x-interlock-alias"] == version

    return is_so


async def test_a_candidate_that_holds_goes_step_by_step_and_is_released_unattended(tmp_path):
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url, **plans(canary=FAST))) as server:
        row = await begin(server, reason="cheaper")
        assert (row["state"], row["step"], row["weight"], row["from_version"], row["candidate"]) == (
            "running",
            0,
            0.5,
            1,
            "small",
        )
        seen = await many(server, 40)
        await until(state(server, row["id"], "promoted"))
        history = (await server.client.get("/v1/aliases/prod")).json()
        assert (history["active"], history["model"]) == (2, "small")
        await until(served_by(server, "prod@2"))  # the file says so first
        assert set(seen) <= {"prod@1", "prod@2"}
        listed = (await server.client.get("/v1/rollouts")).json()
        assert [one["id"] for one in listed["data"]] == [row["id"]]
        assert server.gateway.store.verify_control_log() is None


async def test_o6_a_canary_that_fails_is_aborted_with_its_evidence_and_the_alias_stays(tmp_path):
    config = pool("", **plans(canary=GUARDED))
    async with Upstream(breaking("up-s")) as up:
        config["providers"]["alpha"]["base_url"] = f"{up.url}/v1"
        async with serving(tmp_path, config) as server:
            row = await begin(server)
            asked = 0
            while (await look(server, row["id"]))["state"] == "running" and asked < 400:
                await many(server, 10)
                asked += 10
                await asyncio.sleep(0.05)
            row = await look(server, row["id"])
            assert (row["state"], row["weight"]) == ("aborted", 0.0)
            (evidence,) = row["evidence"]
            assert (evidence["metric"], evidence["verdict"]) == ("error_rate", "breach")
            assert evidence["value"] == 1.0
            assert evidence["baseline"] == 0.0
            assert evidence["low"] > 0.05
            assert "beyond `rise_at_most 0.05`" in row["why"]
            await until(lambda: not server.gateway.state.setting.world.rollouts)
            assert set(await many(server, 20)) == {"prod@1"}
            # Whoever pulls the cord now finds it pulled: the release before stays.
            got = await server.client.post("/v1/aliases/prod/rollback", json={})
            assert got.json()["active"] == 1
            assert (await act(server, row["id"], "abort")).json()["state"] == "aborted"
            assert (await act(server, row["id"], "resume")).status_code == 409


async def test_both_arms_are_visible_in_records_and_every_decision_is_computed_again_byte_for_byte(tmp_path):
    plan = {"steps": [{"weight": 0.5, "for": "1h"}, {"weight": 1.0}]}
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url, **plans(canary=plan))) as server:
        row = await begin(server)
        await many(server, 30)
        arms: Counter[str] = Counter()
        for stored in server.gateway.store.each_record():
            decision = msgspec.json.decode(stored.decision)
            route, why = decision["route"], decision["why"]
            arms[route["arm"]] += 1
            assert why["propensity"] == 0.5
            canary = route["arm"] == "canary"
            assert why["selected_by"] == ("canary" if canary else "alias")
            assert (route["model"], route["alias_version"]) == (("small", 2) if canary else ("gpt", 1))
            body = server.gateway.store.get_world(decision["provenance"]["world_hash"])
            assert body is not None
            world = msgspec.json.decode(body, type=World)
            assert world.rollouts["prod"].rollout == row["id"]
            again = recompute(server.record(stored.id).decision, snapshot(server.gateway.state.config), world)
            assert msgspec.json.encode(again) == stored.decision
        assert min(arms["canary"], arms["stable"]) > 0


async def test_a_session_stays_on_its_arm(tmp_path):
    plan = {"steps": [{"weight": 0.5, "for": "1h"}, {"weight": 1.0}]}
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url, **plans(canary=plan))) as server:
        await begin(server)
        for session in range(8):
            headers = {"x-interlock-session": f"s{session}"}
            seen = {(await server.chat(headers=headers)).headers["x-interlock-alias"] for _ in range(4)}
            assert len(seen) == 1


async def test_operators_pause_resume_abort_and_promote_and_each_is_idempotent(tmp_path):
    plan = {"steps": [{"weight": 0.3, "for": "1h"}, {"weight": 1.0}]}
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url, **plans(canary=plan))) as server:
        row = await begin(server)
        for _ in range(2):
            paused = (await act(server, row["id"], "pause", reason="lunch")).json()
            assert (paused["state"], paused["weight"], paused["waits_for"]) == ("paused", 0.3, "operator")
        assert paused["why"] == "lunch"
        for _ in range(2):
            assert (await act(server, row["id"], "resume")).json()["state"] == "running"
        for _ in range(2):
            assert (await act(server, row["id"], "promote")).json()["state"] == "promoted"
        assert server.gateway.store.aliases()["prod"].active == 2
        assert (await act(server, row["id"], "abort")).status_code == 409
        assert (await act(server, "rol_none", "abort")).status_code == 404
        assert (await server.client.get("/v1/rollouts/rol_none")).status_code == 404


async def test_a_step_without_a_time_waits_for_a_human(tmp_path):
    plan = {"steps": [{"weight": 0.3}, {"weight": 0.6, "for": "1h"}, {"weight": 1.0}]}
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url, **plans(canary=plan))) as server:
        row = await begin(server)
        await until(state(server, row["id"], "paused"))
        assert (await look(server, row["id"]))["waits_for"] == "human"
        resumed = (await act(server, row["id"], "resume")).json()
        assert (resumed["state"], resumed["step"], resumed["weight"]) == ("running", 1, 0.6)


async def test_too_few_requests_to_tell_pause_a_rollout_and_never_promote_it(tmp_path):
    plan = {**GUARDED, "steps": [{"weight": 0.5, "for": "10ms"}, {"weight": 1.0}]}
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url, **plans(canary=plan))) as server:
        row = await begin(server)
        await many(server, 6)
        await until(state(server, row["id"], "paused"))
        shown = await look(server, row["id"])
        assert shown["waits_for"] == "data"
        assert "too little data to tell" in shown["why"] or "requests of the candidate" in shown["why"]


async def test_an_alias_under_a_rollout_is_rolled_back_at_once_and_promoted_by_nobody_else(tmp_path):
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url, **plans(canary=GUARDED))) as server:
        row = await begin(server)
        other = {"alias": "prod", "to": "claude", "plan": "canary"}
        assert (await server.client.post("/v1/rollouts", json=other)).status_code == 409
        got = await server.client.post("/v1/aliases/prod/promote", json={"to": "claude"})
        assert (got.status_code, got.json()["error"]["code"]) == (409, "conflict")
        for _ in range(2):
            got = await server.client.post("/v1/aliases/prod/rollback", json={})
            assert (got.status_code, got.json()["active"]) == (200, 1)
        assert (await look(server, row["id"]))["state"] == "aborted"
        assert (await begin(server))["to_version"] == 3


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"alias": "none"}, 404, "not_found"),
        ({"to": "none"}, 404, "unknown_model"),
        ({"plan": "none"}, 404, "not_found"),
        ({"to": "gpt"}, 409, "conflict"),
        ({"if_version": 7}, 409, "stale_version"),
        ({"weight": 1}, 400, "invalid_request"),
    ],
)
async def test_a_rollout_that_cannot_begin_says_why(tmp_path, fields, status, code):
    async with serving(tmp_path, pool("http://127.0.0.1:9", **plans(canary=GUARDED))) as server:
        body = {"alias": "prod", "to": "small", "plan": "canary", **fields}
        got = await server.client.post("/v1/rollouts", json=body)
        assert (got.status_code, got.json()["error"]["code"]) == (status, code)


async def test_a_gated_alias_needs_its_record_for_a_rollout_too(tmp_path):
    (tmp_path / "suite.yaml").write_text("suite: s\ngraders: [{kind: exact}]\ncases: []\n")
    sections = {
        "evals": {"s": {"suite": "./suite.yaml"}},
        "gates": {"prod": {"suites": ["s"], "checks": [{"metric": "task_success", "at_least": 0.9}]}},
        **plans(canary=GUARDED),
    }
    async with serving(tmp_path, pool("http://127.0.0.1:9", **sections)) as server:
        body = {"alias": "prod", "to": "small", "plan": "canary"}
        got = await server.client.post("/v1/rollouts", json=body)
        assert (got.status_code, got.json()["error"]["code"]) == (409, "gate_failed")
        got = await server.client.post("/v1/rollouts", json={**body, "override": "INC-9"})
        assert got.status_code == 200
        log = server.gateway.store._rows("SELECT body FROM control_log WHERE action = 'rollout.start'")
        assert "INC-9" in log[0][0]


async def test_p5_a_rollout_goes_on_at_its_step_after_a_restart_in_each_state(tmp_path):
    plan = {"steps": [{"weight": 0.2, "for": "1h"}, {"weight": 0.4}, {"weight": 1.0}]}
    async with Upstream(chat()) as up:
        config = pool(up.url, **plans(canary=plan))
        async with serving(tmp_path, config) as server:
            row = await begin(server)
        for verb, expected in (
            (None, ("running", 0, None)),
            ("pause", ("paused", 0, "operator")),
            ("resume", ("running", 0, None)),
        ):
            async with serving(tmp_path, config) as server:
                if verb is not None:
                    await act(server, row["id"], verb)
            async with serving(tmp_path, config) as server:
                found = await look(server, row["id"])
                assert (found["state"], found["step"], found["waits_for"]) == expected
                assert server.gateway.state.setting.world.rollouts["prod"].weight == 0.2
        async with serving(tmp_path, config) as server:
            assert (await act(server, row["id"], "abort")).json()["state"] == "aborted"
        async with serving(tmp_path, config) as server:
            assert (await look(server, row["id"]))["state"] == "aborted"
            assert server.gateway.state.setting.world.rollouts == {}


async def test_d6_of_two_controllers_one_leads_and_the_other_is_fenced_off(tmp_path):
    async with serving(tmp_path, pool("http://127.0.0.1:9", **plans(canary=GUARDED))) as server:
        row = await begin(server)
        skewed = Store.open(server.gateway.store.path, now=lambda: now_us() + 300_000_000)
        try:
            own = Controller(server.gateway.store, "a", lambda *_, **__: None)
            other = Controller(skewed, "b", lambda *_, **__: None)
            store = server.gateway.store
            await _stands_down(server.gateway.controller, store)
            held = await lease_rollouts(store, "a", LEASE_US)
            assert await lease_rollouts(skewed, "b", LEASE_US) is None, "its clock is five minutes ahead"
            before = store.read(lambda db: rollouts.find(db, row["id"]))
            await other.look()
            assert store.read(lambda db: rollouts.find(db, row["id"])) == before
            await own.look()
            # `a` sleeps until its lease is over; `b` takes over, then `a` wakes and wants to write.
            await lease_rollouts(store, "a", 0)
            token = await lease_rollouts(skewed, "b", 60_000_000)
            assert held is not None
            assert token == held + 1
            with pytest.raises(Fenced):
                await move_rollout(store, row["id"], lambda _, p, __: p, by="a", findings=(), token=held)
            await move_rollout(skewed, row["id"], lambda _, p, __: p, by="b", findings=(), token=token)
        finally:
            skewed.close()


async def _stands_down(controller, store):
    """The server's own controller gives up its lease, and asks for none again."""

    async def idle():
        return None

    controller.look = idle
    await lease_rollouts(store, controller.holder, 0)


async def test_a_candidate_that_may_not_serve_a_request_leaves_it_on_the_stable_arm(tmp_path):
    rule = {"name": "eu", "when": {"data_class": "confidential"}, "then": {"vendors": ["alpha"]}}
    plan = {"steps": [{"weight": 1.0, "for": "1h"}]}
    async with Upstream(chat()) as up:
        config = pool(up.url, **plans(canary=plan), policy=[rule])
        config["providers"]["alpha"]["trusted_for"] = "confidential"
        async with serving(tmp_path, config) as server:
            await begin(server, to="claude")
            got = await server.chat(headers={"x-interlock-data-class": "confidential"})
            decision = server.record(got).decision
            route, why = decision.route, decision.why
            assert route is not None
            assert (route.arm, route.model, why.propensity) == ("stable", "gpt", 1.0)
            assert ("claude", "eu") in [(drop.model, drop.rule) for drop in why.dropped]


async def test_a_rule_that_names_the_alias_lets_its_candidate_serve(tmp_path):
    rule = {"name": "only", "then": {"models": ["prod"]}}
    plan = {"steps": [{"weight": 1.0, "for": "1h"}]}
    sections = {**plans(canary=plan), "policy": [rule]}
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url, **sections)) as server:
        await begin(server)
        got = await server.chat()
        assert (got.status_code, got.headers["x-interlock-alias"]) == (200, "prod@2")


async def test_a_pinned_workflow_is_moved_by_no_rollout(tmp_path):
    rule = {"name": "close", "when": {"metadata": {"workflow": "close"}}, "then": {"pin": "gpt"}}
    plan = {"steps": [{"weight": 1.0, "for": "1h"}]}
    async with Upstream(chat()) as up:
        config = pool(up.url, **plans(canary=plan), policy=[rule], metadata=["workflow"])
        async with serving(tmp_path, config) as server:
            await begin(server)
            await server.chat(metadata={"workflow": "close"})
            assert up.seen[-1].json["model"] == "up-1"
            await server.chat(metadata={"workflow": "other"})
            assert up.seen[-1].json["model"] == "up-s"


async def test_a_candidate_that_the_pool_changes_is_rolled_out_no_further(tmp_path):
    async with Upstream(chat()) as up:
        config = pool(up.url, **plans(canary=GUARDED))
        async with serving(tmp_path, config) as server:
            row = await begin(server)
            config["models"]["small"]["upstream"] = "up-else"
            server.write(config)
            assert await server.reloader.reload()
            found = await look(server, row["id"])
            assert (found["state"], found["why"]) == (
                "aborted",
                "the pool changed: `small` is not what was rolled out",
            )


async def test_a7_under_a_hundred_flips_a_second_no_request_mixes_two_versions(tmp_path):
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url)) as server:
        store, stop = server.gateway.store, asyncio.Event()

        async def flip():
            models = ("small", "gpt")
            for turn in range(200):
                if turn % 3 == 2:
                    await store.rollback("prod", None, if_version=None, by="x", now=now_us())
                else:
                    await store.promote("prod", models[turn % 2], if_version=None, by="x", now=now_us())
                server.gateway.refresh_world()
                await asyncio.sleep(0.005)
            stop.set()

        flipping = asyncio.create_task(flip())
        names = []
        while not stop.is_set():
            got = await asyncio.gather(*(server.chat() for _ in range(8)))
            names += [
                (one.headers["x-interlock-decision-id"], one.headers["x-interlock-alias"]) for one in got
            ]
        await flipping
        history = store.alias_history("prod")
        assert history is not None
        versions = {one.version: one.model for one in history.versions}
        for name, shown in names:
            record = server.record(name)
            route = record.decision.route
            assert route is not None
            assert route.alias_version is not None
            assert shown == f"prod@{route.alias_version}"
            assert versions[route.alias_version] == route.model == record.attempts[0].model
        assert len({shown for _, shown in names}) > 2


async def test_p6_of_rollouts_that_start_at_once_for_one_alias_one_begins(tmp_path):
    async with serving(tmp_path, pool("http://127.0.0.1:9", **plans(canary=GUARDED))) as server:
        body = {"alias": "prod", "to": "small", "plan": "canary"}
        got = await asyncio.gather(*(server.client.post("/v1/rollouts", json=body) for _ in range(8)))
        assert sorted(one.status_code for one in got) == [200, *[409] * 7]


async def test_a_promotion_that_lost_the_race_against_the_alias_changes_nothing(tmp_path):
    async with serving(tmp_path, pool("http://127.0.0.1:9", **plans(canary=GUARDED))) as server:
        row = await begin(server)
        with pytest.raises(StaleVersion):
            await server.gateway.store.rollback("prod", 2, if_version=9, by="x", now=now_us())
        assert (await look(server, row["id"]))["state"] == "running"


def test_the_commands_start_show_hold_and_end_a_rollout(tmp_path, monkeypatch):
    (tmp_path / "interlock.yaml").write_text(
        yaml.safe_dump(pool("http://127.0.0.1:9", **plans(canary=GUARDED)), sort_keys=False)
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALPHA_KEY", "a")
    monkeypatch.setenv("BETA_KEY", "b")

    def run(*arguments):
        return CliRunner().invoke(cli, ["rollout", *arguments, "--json"])

    began = json.loads(run("start", "prod", "--to", "small").stdout)
    assert (began["state"], began["weight"], began["plan"]) == ("running", 0.5, "canary")
    assert began["guardrails"] == [
        {"metric": "error_rate", "verdict": "undecided", "why": "not looked at yet"}
    ]
    assert run("start", "prod", "--to", "claude").exit_code == 1
    assert run("start", "prod", "--to", "none").exit_code == 2
    assert json.loads(run("pause", "prod", "--reason", "lunch").stdout)["why"] == "lunch"
    assert json.loads(run("status", began["id"]).stdout)["waits_for"] == "operator"
    assert json.loads(run("resume", began["id"]).stdout)["state"] == "running"
    assert json.loads(run("promote", "prod").stdout)["state"] == "promoted"
    assert run("abort", began["id"]).exit_code == 1
    assert run("abort", "prod").exit_code == 2, "none is under way"
    assert [json.loads(line)["id"] for line in run("status").stdout.splitlines()] == [began["id"]]
