"""What goes on after a release, on a real server: guardrails that alert or roll back, once, with evidence."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
import yaml

from interlock.config.written import GateAgain, Watched
from interlock.release.afterwards import Afterwards, Duty
from interlock.release.controller import Controller
from interlock.server.afterwards import Gates, follow_releases, is_due
from interlock.store import Store, alerts, watches
from interlock.store.releasing import begin_gate, end_gate, keep_watch, lease_rollouts
from interlock.store.rollouts import Fenced
from interlock.wiring import now_us
from tests.release.test_rollouts import FAST, begin, plans, state
from tests.server.harness import pool, serving, until
from tests.server.test_process import ASK, process
from tests.server.upstream import Upstream, answer
from tests.server.vendors import chat

ERRORS = {"metric": "error_rate", "rise_at_most": 0.05}
BASELINE = 200


def watched(**fields):
    return {"watch": {"prod": {"guardrails": [ERRORS], "baseline": BASELINE, **fields}}}


class Changing:
    """A vendor whose models may turn bad without a word. Mutable: `bad` are upstream names."""

    def __init__(self):
        self.bad = set()

    def __call__(self, seen):
        if seen.json["model"] in self.bad:
            return answer({"error": {"message": "x"}}, 400)
        return chat()


@asynccontextmanager
async def place(tmp_path, **sections):
    vendor = Changing()
    async with Upstream(vendor) as up, serving(tmp_path, pool(up.url, **sections)) as server:
        yield server, vendor


def watcher(server):
    gateway = server.gateway
    return Afterwards(gateway.store, gateway.controller.holder, gateway.say)


async def ask(server, count):
    for _ in range(count):
        await server.chat()


async def promote(server, to="small"):
    got = await server.client.post("/v1/aliases/prod/promote", json={"to": to})
    assert got.status_code == 200, got.text


async def heard(server, **filters):
    got = await server.client.get("/v1/alerts", params=filters)
    assert got.status_code == 200, got.text
    return got.json()["data"]


def active(server):
    return server.gateway.store.aliases()["prod"].active


async def degrade(server, vendor, watch, version=2):
    """Make a version known as it is, then worse."""
    await ask(server, BASELINE + 20)
    await watch.look(server.gateway.state.config)
    assert await heard(server) == []
    vendor.bad = {"up-s", "up-1"} if version == 1 else {"up-s"}
    await ask(server, 60)
    await watch.look(server.gateway.state.config)


async def test_a_version_that_gets_worse_after_its_release_is_alerted_and_stays(tmp_path):
    async with place(tmp_path, **watched()) as (server, vendor):
        await promote(server)
        watch = watcher(server)
        await degrade(server, vendor, watch)
        (alert,) = await heard(server)
        assert (alert["kind"], alert["alias"], alert["version"], alert["did"]) == (
            "guardrail",
            "prod",
            2,
            "alerted",
        )
        (evidence,) = alert["evidence"]
        assert (evidence["metric"], evidence["verdict"], evidence["baseline"]) == (
            "error_rate",
            "breach",
            0.0,
        )
        assert evidence["low"] > 0.05
        assert active(server) == 2
        await ask(server, 30)
        await watch.look(server.gateway.state.config)
        assert len(await heard(server)) == 1, "a breach is told once"
        assert [line["did"] for line in server.log if line["event"] == "alert"] == ["alerted"]
        assert server.gateway.store.verify_control_log() is None
        text = (await server.client.get("/metrics")).text
        assert 'interlock_breached{alias="prod",alias_version="2",what="error_rate"} 1' in text
        labels = 'alias="prod",alias_version="2",kind="guardrail",did="alerted"'
        assert f"interlock_alerts_total{{{labels}}} 1" in text
        shown = (await server.client.get("/v1/aliases/prod/watch")).json()
        assert shown["guardrails"][0]["verdict"] == "breach"
        assert shown["requests"] == BASELINE + 20 + 60 + 30
        assert shown["alerts"][0]["id"] == alert["id"]


async def test_a_version_that_gets_worse_is_rolled_back_once_where_that_is_configured_and_nothing_flaps(
    tmp_path,
):
    async with place(tmp_path, **watched(on_breach="roll_back")) as (server, vendor):
        await promote(server)
        watch = watcher(server)
        await degrade(server, vendor, watch)
        assert active(server) == 1
        (alert,) = await heard(server)
        assert (alert["did"], alert["to_version"]) == ("rolled_back", 1)
        await until(lambda: server.gateway.state.setting.world.aliases["prod"].version == 1)
        assert (await server.chat()).headers["x-interlock-alias"] == "prod@1"
        # The one that it was rolled back to turns bad as well: it stays, for there is nothing better.
        vendor.bad = set()
        await degrade_again(server, vendor, watch)
        assert active(server) == 1
        newest = (await heard(server))[0]
        assert (newest["version"], newest["did"]) == (1, "alerted")
        assert "it is what the alias was rolled back to" in newest["why"]


async def degrade_again(server, vendor, watch):
    await ask(server, BASELINE + 20)
    await watch.look(server.gateway.state.config)
    vendor.bad = {"up-1"}
    await ask(server, 60)
    await watch.look(server.gateway.state.config)


async def test_a_version_whose_model_a_rule_pins_is_only_alerted(tmp_path):
    rule = {"name": "quarter-close", "when": {"task": "close"}, "then": {"pin": "small"}}
    async with place(tmp_path, policy=[rule], **watched(on_breach="roll_back")) as (server, vendor):
        await promote(server)
        await degrade(server, vendor, watcher(server))
        (alert,) = await heard(server)
        assert (alert["did"], active(server)) == ("alerted", 2)
        assert "the rule `quarter-close` pins its model" in alert["why"]


async def test_the_first_version_and_one_whose_forerunner_was_taken_back_itself_are_only_alerted(tmp_path):
    async with place(tmp_path, **watched(on_breach="roll_back")) as (server, vendor):
        await degrade(server, vendor, watcher(server), version=1)
        assert (await heard(server))[0]["why"].endswith("not rolled back: it is the first")
        vendor.bad = set()
        await promote(server)
        await degrade_of(server, vendor)
        assert active(server) == 1
        got = await server.client.post("/v1/aliases/prod/rollback", json={"to": 2})
        assert got.json()["active"] == 2
        vendor.bad = set()
        await promote(server, "gpt")
        await ask(server, BASELINE + 20)
        vendor.bad = {"up-1"}
        await ask(server, 60)
        await watcher(server).look(server.gateway.state.config)
        assert active(server) == 3
        assert "version 2 has been taken back itself" in (await heard(server))[0]["why"]


async def degrade_of(server, vendor):
    await ask(server, BASELINE + 20)
    vendor.bad = {"up-s"}
    await ask(server, 60)
    await watcher(server).look(server.gateway.state.config)


async def test_the_guardrails_of_a_rollout_go_on_after_it_without_a_word_in_the_config(tmp_path):
    plan = {**FAST, "guardrails": [{"metric": "error_rate", "at_most": 0.3}]}
    async with place(tmp_path, **plans(canary=plan)) as (server, vendor):
        row = await begin(server)
        await ask(server, 120)
        await until(state(server, row["id"], "promoted"))
        await ask(server, 1000)
        watch = watcher(server)
        (duty,) = await watch.look(server.gateway.state.config)
        assert [check.metric for check in duty.guardrails] == ["error_rate"]
        shown = (await server.client.get("/v1/aliases/prod/watch")).json()
        assert (shown["version"], shown["baseline"], shown["on_breach"]) == (2, 1000, "alert")
        records = [row for row in server.gateway.store.each_record() if row.alias_version == 2]
        arms = {server.record(row.id).decision.route.arm for row in records}
        assert arms == {"canary", "stable"}
        assert shown["requests"] == len(records), "its canary's requests are its first"
        vendor.bad = {"up-s"}
        await ask(server, 200)
        await watch.look(server.gateway.state.config)
        assert [alert["did"] for alert in await heard(server)] == ["alerted"]


async def test_an_alias_under_a_rollout_is_only_alerted(tmp_path):
    plan = {"steps": [{"weight": 0.0, "for": "1h"}, {"weight": 1.0}]}
    sections = {**plans(canary=plan), **watched(on_breach="roll_back")}
    async with place(tmp_path, **sections) as (server, vendor):
        await promote(server)
        await begin(server, to="claude")
        await degrade(server, vendor, watcher(server))
        (alert,) = await heard(server)
        assert (alert["did"], active(server)) == ("alerted", 2)
        assert "is under way" in alert["why"]


async def test_p5_what_was_seen_survives_a_restart_and_is_not_read_again(tmp_path):
    vendor = Changing()
    async with Upstream(vendor) as up:
        config = pool(up.url, **watched())
        async with serving(tmp_path, config) as server:
            await ask(server, BASELINE + 20)
            await watcher(server).look(server.gateway.state.config)
            before = server.gateway.store.read(lambda db: watches.find(db, "prod", 1))
        async with serving(tmp_path, config) as server:
            await lease_free(server)
            watch = watcher(server)
            await watch.look(server.gateway.state.config)
            assert server.gateway.store.read(lambda db: watches.find(db, "prod", 1)) == before
            vendor.bad = {"up-1"}
            await ask(server, 60)
            await watch.look(server.gateway.state.config)
            assert [alert["version"] for alert in await heard(server)] == [1]


async def lease_free(server):
    """The lease of a process that is gone is over."""
    store = server.gateway.store
    row = store.read(lambda db: db.execute("SELECT holder FROM leases WHERE name = 'rollouts'").get)
    await lease_rollouts(store, row, 0)


async def test_d6_of_two_who_watch_one_acts_and_the_other_is_fenced_off(tmp_path):
    async with place(tmp_path, **watched(on_breach="roll_back")) as (server, vendor):
        await promote(server)
        await ask(server, BASELINE + 20)
        vendor.bad = {"up-s"}
        await ask(server, 60)
        config = server.gateway.state.config
        stores = [Store.open(server.gateway.store.path, now=now_us) for _ in range(2)]
        try:
            both = [
                Afterwards(store, f"w{place}", lambda *_, **__: None) for place, store in enumerate(stores)
            ]
            duties = await asyncio.gather(*(one.look(config) for one in both))
            assert sorted(map(len, duties)) == [0, 1]
        finally:
            for store in stores:
                store.close()
        assert active(server) == 1
        assert [alert["did"] for alert in await heard(server)] == ["rolled_back"]


async def test_what_an_old_holder_wants_to_keep_is_refused_and_so_is_what_was_judged_twice(tmp_path):
    async with place(tmp_path, **watched()) as (server, _):
        store = server.gateway.store
        await ask(server, 5)
        await watcher(server).look(server.gateway.state.config)
        seen = store.read(lambda db: watches.find(db, "prod", 1))
        assert seen is not None
        token = await lease_rollouts(store, server.gateway.controller.holder, 60_000_000)
        assert token is not None
        for wrong in (token + 1, token - 1):
            with pytest.raises(Fenced):
                await keep_watch(store, seen, (), "alert", pool={}, pinned=None, token=wrong)
        kept, _ = await keep_watch(store, seen, (), "alert", pool={}, pinned=None, token=token)
        assert kept.rev == seen.rev + 1
        with pytest.raises(Fenced):
            await keep_watch(store, seen, (), "alert", pool={}, pinned=None, token=token)


async def test_a_config_that_watches_nothing_asks_for_no_lease(tmp_path):
    async with place(tmp_path) as (server, _):
        assert await watcher(server).look(server.gateway.state.config) == ()
        leases = server.gateway.store.read(lambda db: db.execute("SELECT count(*) FROM leases").get)
        assert leases == 0
        assert isinstance(server.gateway.controller, Controller)


async def test_alerts_are_for_operators_and_listed_page_by_page(tmp_path):
    keys = [{"id": "u", "key": "key-user"}, {"id": "o", "key": "key-ops", "role": "operator"}]
    async with place(tmp_path, keys=keys) as (server, _):
        store = server.gateway.store
        for number in range(120):
            alert = alerts.Alert(kind="guardrail", alias="prod", version=1, what=f"m{number}", why="x")
            store.writer.run(partial(alerts.add, alert=alert, by="test", now=number))
        ops = {"authorization": "Bearer key-ops"}
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            got = (await server.client.get("/v1/alerts", params=cursor, headers=ops)).json()
            seen += [row["what"] for row in got["data"]]
            if got["next"] is None:
                break
            cursor = {"cursor": got["next"]}
        assert seen == [f"m{number}" for number in reversed(range(120))]
        for path in ("/v1/alerts", "/v1/aliases/prod/watch"):
            assert (await server.client.get(path, headers={"x-api-key": "key-user"})).status_code == 403
        assert (await server.client.get("/v1/alerts?cursor=x", headers=ops)).status_code == 400
        assert (await server.client.get("/v1/aliases/none/watch", headers=ops)).status_code == 404
        found = store.read(lambda db: alerts.after(db, 100, 50))
        assert [one.alert.what for one in found] == [f"m{number}" for number in range(100, 120)]


@pytest.mark.timeout(300)  # real processes and hundreds of connections, on a machine that may be busy
async def test_a_release_that_gets_worse_is_taken_back_unattended_within_200_requests_and_by_every_worker(
    tmp_path,
):
    """Two real workers, of which one watches; the connection is a new one for each request."""
    vendor = Changing()
    async with Upstream(vendor) as up:
        config = pool(up.url, **watched(on_breach="roll_back"))
        async with process(tmp_path, config, workers=2) as (_, client):

            async def ask_alias():
                return (await client.post("/v1/chat/completions", json=ASK)).headers["x-interlock-alias"]

            async def seen_requests():
                return (await client.get("/v1/aliases/prod/watch")).json()["requests"]

            await client.post("/v1/aliases/prod/promote", json={"to": "small"})
            await until(lambda: is_now(ask_alias, "prod@2"), 80)
            served = 0
            while served < BASELINE:  # the other worker hears of it a moment later
                served += await ask_alias() == "prod@2"
            before = (await client.get("/v1/aliases/prod/watch")).json()
            assert (before["version"], before["on_breach"]) == (2, "roll_back")
            await until(lambda: is_now(seen_requests, None, at_least=BASELINE), 80)
            vendor.bad = {"up-s"}
            for _ in range(200):
                await ask_alias()
            await until(lambda: is_now(ask_alias, "prod@1"), 80)
            for _ in range(40):
                seen = {await ask_alias() for _ in range(20)}
                if seen == {"prod@1"}:
                    break
                await asyncio.sleep(0.1)
            assert seen == {"prod@1"}
            alerts_of = (await client.get("/v1/alerts")).json()["data"]
            assert [(alert["version"], alert["did"]) for alert in alerts_of] == [(2, "rolled_back")]


async def is_now(ask_it, value, at_least=0):
    found = await ask_it()
    return found == value if value is not None else found >= at_least


# --- gates that run again -----------------------------------------------------------------------

SUITE = {
    "suite": "s",
    "parameters": {"temperature": 0},
    "graders": [{"kind": "contains", "all": ["right"]}],
    "cases": [{"id": f"c{n}", "messages": [{"role": "user", "content": f"q{n}"}]} for n in range(60)],
}
GATED = {
    "evals": {"s": {"suite": "./suite.yaml"}},
    "gates": {"prod": {"suites": ["s"], "checks": [{"metric": "task_success", "drop_at_most": 0.1}]}},
}


class Answering:
    """A vendor whose models are right until they are not. Mutable."""

    def __init__(self):
        self.says = "right"
        self.asked = 0

    def __call__(self, seen):
        self.asked += 1
        return chat(self.says if seen.json["model"] == "up-s" else "right")


@asynccontextmanager
async def scheduled(tmp_path, monkeypatch, **gate):
    """A server that runs the gate again every second, as its workers do. The gate has passed for `small`."""
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(SUITE))
    for name in ("ALPHA_KEY", "BETA_KEY"):
        monkeypatch.setenv(name, "none")
    vendor = Answering()
    sections: dict[str, Any] = {**GATED, "watch": {"prod": {"gate": {"every": "1s", **gate}}}}
    async with Upstream(vendor) as up, serving(tmp_path, pool(up.url, **sections)) as server:
        command = [sys.executable, "-m", "interlock.cli", "gate", "s", "--alias", "prod", "--to", "small"]
        process = await asyncio.create_subprocess_exec(
            *command, "--config", str(server.file), stderr=PIPE, stdout=DEVNULL
        )
        _, said = await process.communicate()
        assert process.returncode == 0, said.decode()
        await promote(server)
        yield server, vendor


def last_run(server):
    return server.gateway.store.read(lambda db: watches.again(db, "prod"))


async def test_a_gate_runs_again_on_its_schedule_and_a_vendor_that_changed_a_model_is_taken_back(
    tmp_path, monkeypatch
):
    async with scheduled(tmp_path, monkeypatch, on_fail="roll_back") as (server, vendor):
        following = asyncio.create_task(follow_releases(server.gateway, server.file, look_s=0.05))
        try:
            await until(lambda: (run := last_run(server)) and run.handled, 60)
            assert last_run(server).verdict == "pass"
            assert await heard(server) == []
            vendor.says = "wrong"
            await until(lambda: active(server) == 1, 60)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        run = last_run(server)
        (alert,) = await heard(server)
        assert (alert["kind"], alert["what"], alert["did"], alert["to_version"]) == (
            "gate",
            "fail",
            "rolled_back",
            1,
        )
        assert alert["record"] == run.record
        records = [row.verdict for row in server.gateway.store.gate_records("prod")]
        assert records == ["fail", *["pass"] * (len(records) - 1)]
        started = [line for line in server.log if line["event"] == "gate_again"]
        assert len(started) == len(records) - 1, "never two at a time, and none for nothing"


async def test_a_run_that_cannot_tell_alerts_and_rolls_nothing_back(tmp_path, monkeypatch):
    async with scheduled(tmp_path, monkeypatch, on_fail="roll_back") as (server, _):
        store = server.gateway.store
        begun = await begin_gate(store, "prod", "again_x", "somebody", 60_000_000)
        assert begun is not None
        await end_gate(store, begun, "somebody", record=None, verdict="inconclusive", why="why")
        for _ in range(2):
            await watcher(server).look(server.gateway.state.config)
        (alert,) = await heard(server)
        assert (alert["what"], alert["did"], alert["why"], active(server)) == (
            "inconclusive",
            "alerted",
            "why",
            2,
        )
        assert last_run(server).handled


async def test_a_run_about_a_version_that_is_active_no_more_does_nothing(tmp_path, monkeypatch):
    async with scheduled(tmp_path, monkeypatch, on_fail="roll_back") as (server, _):
        store = server.gateway.store
        begun = await begin_gate(store, "prod", "again_x", "somebody", 60_000_000)
        assert begun is not None
        await end_gate(store, begun, "somebody", record=None, verdict="fail", why="why")
        await server.client.post("/v1/aliases/prod/rollback", json={"to": 1})
        await watcher(server).look(server.gateway.state.config)
        assert (await heard(server), active(server)) == ([], 1)
        assert last_run(server).handled


@pytest.mark.parametrize(
    ("last", "now", "due"),
    [
        (None, 100, False),
        (None, 3_600_000_100, True),
        ({"version": 1, "began": 0, "ended": 5}, 3_600_000_050, False),
        ({"version": 2, "began": 200, "ended": 300}, 3_600_000_150, False),
        ({"version": 2, "began": 200, "ended": 300}, 3_600_000_200, True),
        ({"version": 2, "began": 200, "ended": None}, 300, True),
        (None, 99, True),
        ({"version": 2, "began": 200, "ended": 300}, 199, True),
    ],
    ids=[
        "just released",
        "first",
        "of the version before",
        "not yet",
        "again",
        "cut short",
        "released before the clock was set back",
        "run before the clock was set back",
    ],
)
def test_p5_a_run_is_due_a_while_after_the_release_or_the_last_one_and_at_once_where_it_was_cut_short(
    last, now, due
):
    release = watches.Release(version=2, model="small", at=100, since=0, rollout=None)
    written = Watched(gate=GateAgain(every="1h"))
    duty = Duty(alias="prod", release=release, guardrails=(), written=written)
    run = None if last is None else watches.Again(alias="prod", run="r", **last)
    assert is_due(duty, run, now) is due


async def test_a_run_that_cannot_begin_is_said_and_not_tried_again_at_once(tmp_path, monkeypatch):
    async with scheduled(tmp_path, monkeypatch) as (server, vendor):
        (tmp_path / "suite.yaml").unlink()
        gates = Gates(server.gateway, server.file)
        duties = await watcher(server).look(server.gateway.state.config)
        await asyncio.sleep(1.1)
        await gates.look(duties)
        await until(lambda: [line for line in server.log if line["event"] == "gate_again_failed"], 30)
        asked = vendor.asked
        for _ in range(3):
            await gates.look(duties)
            await asyncio.sleep(0.01)  # a run that was begun would have said so
        assert len([line for line in server.log if line["event"] == "gate_again"]) == 1
        assert vendor.asked == asked
        await gates.stop()
