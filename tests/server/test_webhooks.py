"""Webhooks: what is told, signed how, how often, by whom, and what it never holds."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from interlock.server.webhooks import MOST_TRIES, Teller, is_due
from interlock.store import Store, events, rollouts
from interlock.store.events import Told
from interlock.wire import webhook
from interlock.wiring import now_us
from tests.release.test_rollouts import act, begin, breaking, many, plans, state
from tests.server.harness import keyed, pool, serving, until
from tests.server.upstream import Reply, Upstream, answer
from tests.server.vendors import chat

SECRET = "a-secret-that-is-long-enough-for-us"
ENV = {"HOOK": SECRET}
OK = answer({})
SLOW = {"steps": [{"weight": 0.2, "for": "1h"}, {"weight": 0.4}, {"weight": 1.0}], "sticky_by": "request"}


def hooked(upstream: str, receiver: Upstream, plan: dict[str, Any] = SLOW, **hook: Any) -> dict[str, Any]:
    row = {"url": f"{receiver.url}/in?x=1", "secret": "${HOOK}", **hook}
    return pool(upstream, **plans(canary=plan), webhooks={"ops": row})


def told(receiver: Upstream) -> list[Any]:
    return [seen.json for seen in receiver.seen]


def kinds(receiver: Upstream) -> list[str]:
    return [event["type"] for event in told(receiver)]


async def test_each_move_of_a_rollout_is_told_once_in_order_and_signed(tmp_path):
    async with (
        Upstream(OK) as receiver,
        serving(tmp_path, hooked("http://127.0.0.1:9", receiver), ENV) as server,
    ):
        await until(lambda: server.gateway.store.read(events.told))
        row = await begin(server)
        for verb in ("pause", "resume", "promote"):
            await act(server, row["id"], verb, reason="because acme said so")
        await until(lambda: len(receiver.seen) == 4)
        assert kinds(receiver) == [
            "rollout.started",
            "rollout.paused",
            "rollout.resumed",
            "rollout.promoted",
        ]
        first = told(receiver)[0]["data"]
        assert (first["rollout"], first["alias"], first["candidate"], first["weight"]) == (
            row["id"],
            "prod",
            "small",
            0.2,
        )
        for seen in receiver.seen:
            name, at = seen.headers["webhook-id"], seen.headers["webhook-timestamp"]
            signed = f"{name}.{at}.".encode() + seen.body
            digest = base64.b64encode(hmac.digest(SECRET.encode(), signed, hashlib.sha256)).decode()
            assert seen.headers["webhook-signature"] == f"v1,{digest}"
            assert seen.json["id"] == name
            assert seen.path == "/in?x=1"
        assert len({seen.headers["webhook-id"] for seen in receiver.seen}) == 4


async def test_a_breach_is_told_with_its_evidence_and_a_step_that_waits_for_a_human_as_such(tmp_path):
    plan = {
        "steps": [{"weight": 0.4}, {"weight": 1.0}],
        "sticky_by": "request",
        "guardrails": [{"metric": "error_rate", "rise_at_most": 0.05}],
    }
    async with (
        Upstream(OK) as receiver,
        Upstream(breaking("up-s")) as up,
        serving(tmp_path, hooked(up.url, receiver, plan), ENV) as server,
    ):
        await until(lambda: server.gateway.store.read(events.told))
        row = await begin(server)
        await until(state(server, row["id"], "paused"))
        for _ in range(40):
            await many(server, 10)
            if server.gateway.state.setting.world.rollouts == {}:
                break
        await until(state(server, row["id"], "aborted"))
        await until(lambda: "rollout.aborted" in kinds(receiver))
        assert kinds(receiver) == ["rollout.started", "rollout.awaiting_approval", "rollout.aborted"]
        data = told(receiver)[-1]["data"]
        assert (data["by"], data["evidence"][0]["verdict"]) == ("rollouts", "breach")
        assert "beyond `rise_at_most 0.05`" in data["why"]


async def test_no_key_tenant_prompt_or_reason_of_an_operator_is_told(tmp_path):
    keys = keyed({"id": "app-key", "key": "k-app"}, {"id": "ops-key", "key": "k-ops", "role": "operator"})
    async with (
        Upstream(OK) as receiver,
        Upstream(chat("the answer")) as up,
        serving(tmp_path, {**hooked(up.url, receiver), "keys": keys}, ENV) as server,
    ):
        await until(lambda: server.gateway.store.read(events.told))
        ops = {"authorization": "Bearer k-ops"}
        body = {"alias": "prod", "to": "small", "plan": "canary", "reason": "for the acme account"}
        row = (await server.client.post("/v1/rollouts", json=body, headers=ops)).json()
        await server.chat("a prompt", headers={"authorization": "Bearer k-app"})
        path = f"/v1/rollouts/{row['id']}/abort"
        await server.client.post(path, json={"reason": "acme called"}, headers=ops)
        await until(lambda: len(receiver.seen) == 2)
        sent = b"".join(seen.body + json.dumps(seen.headers).encode() for seen in receiver.seen)
        for word in (
            b"acme",
            b"app-key",
            b"ops-key",
            b"k-ops",
            b"a prompt",
            b"the answer",
            SECRET.encode(),
        ):
            assert word not in sent
        assert told(receiver)[-1]["data"]["by"] == "operator"


async def test_an_event_that_is_not_taken_is_sent_again_under_its_id_before_any_later_one(tmp_path):
    redirect = Reply(302, (b"",), headers=(("location", "http://127.0.0.1:9/else"),))
    async with (
        Upstream(OK, answer({}, 500), redirect) as receiver,
        serving(tmp_path, hooked("http://127.0.0.1:9", receiver), ENV) as server,
    ):
        await until(lambda: server.gateway.store.read(events.told))
        row = await begin(server)
        await act(server, row["id"], "abort")
        await until(lambda: len(receiver.seen) == 4, within=30)
        names = [seen.headers["webhook-id"] for seen in receiver.seen]
        assert names[0] == names[1] == names[2] != names[3]
        assert kinds(receiver)[2:] == ["rollout.started", "rollout.aborted"]
        said = [line["why"] for line in server.log if line.get("event") == "webhook_failed"]
        assert said == ["status 500", "status 302"]


async def test_one_webhook_that_is_down_holds_up_no_other(tmp_path):
    async with Upstream(OK) as receiver:
        config = hooked("http://127.0.0.1:9", receiver)
        config["webhooks"]["down"] = {"url": "http://127.0.0.1:9/", "secret": "${HOOK}"}
        async with serving(tmp_path, config, ENV) as server:
            await until(lambda: len(server.gateway.store.read(events.told)) == 2)
            row = await begin(server)
            await act(server, row["id"], "abort")
            await until(lambda: len(receiver.seen) == 2)
            assert server.gateway.store.read(events.told)["down"].tries > 0


async def test_an_event_is_given_up_after_its_last_try_and_the_next_ones_turn_comes(tmp_path):
    async with (
        Upstream(answer({}, 500)) as receiver,
        serving(tmp_path, hooked("http://127.0.0.1:9", receiver), ENV) as server,
    ):
        store = server.gateway.store
        await until(lambda: store.read(events.told))
        row = await begin(server)
        await until(lambda: store.read(events.told)["ops"].tries == 1)
        seen = store.read(events.told)["ops"]
        last = events.Told(seen.seq, MOST_TRIES - 1, 0)
        await store.writer.call(lambda db: events.move(db, "ops", seen, last))
        receiver.default = OK
        receiver.replies.append(answer({}, 500))
        await act(server, row["id"], "abort")
        await until(lambda: "rollout.aborted" in kinds(receiver))
        assert [line["tries"] for line in server.log if line.get("event") == "webhook_given_up"] == [
            MOST_TRIES
        ]


async def test_p5_what_was_not_told_before_a_restart_is_told_after_it(tmp_path):
    async with Upstream(answer({}, 500)) as receiver:
        config = hooked("http://127.0.0.1:9", receiver)
        async with serving(tmp_path, config, ENV) as server:
            await until(lambda: server.gateway.store.read(events.told))
            await begin(server)
            await until(lambda: len(receiver.seen) >= 1)
        receiver.default = OK
        receiver.seen.clear()
        async with serving(tmp_path, config, ENV) as server:
            store = server.gateway.store
            await until(lambda: store.read(events.told)["ops"].seq == store.read(events.newest), within=30)
            assert kinds(receiver) == ["rollout.started"]


async def test_d6_of_two_workers_one_tells(tmp_path):
    async with (
        Upstream(OK) as receiver,
        serving(tmp_path, hooked("http://127.0.0.1:9", receiver), ENV) as server,
    ):
        await until(lambda: server.gateway.store.read(events.told))
        other = Teller(server.gateway)
        row = await begin(server)
        for verb in ("pause", "resume", "abort"):
            await act(server, row["id"], verb)
            await other.look()

        async def all_told():
            await other.look()
            return len(receiver.seen) >= 4

        await until(all_told)
        await other.close()
        assert kinds(receiver) == [
            "rollout.started",
            "rollout.paused",
            "rollout.resumed",
            "rollout.aborted",
        ]


async def test_a_webhook_is_told_only_of_the_events_that_it_names(tmp_path):
    async with Upstream(OK) as receiver:
        config = hooked("http://127.0.0.1:9", receiver, events=["rollout.aborted", "alert"])
        async with serving(tmp_path, config, ENV) as server:
            store = server.gateway.store
            await until(lambda: store.read(events.told))
            row = await begin(server)
            await act(server, row["id"], "abort")
            await store.writer.call(
                lambda db: events.put(db, "alert", {"alias": "prod"}, rollouts.instant(db))
            )
            await until(lambda: len(receiver.seen) == 2)
            assert kinds(receiver) == ["rollout.aborted", "alert"]


async def test_what_a_command_does_without_a_server_is_told_by_the_next_one(tmp_path):
    async with Upstream(OK) as receiver:
        config = hooked("http://127.0.0.1:9", receiver)
        async with serving(tmp_path, config, ENV) as server:
            await until(lambda: server.gateway.store.read(events.told))
            path = server.gateway.store.path
        store = Store.open(path, now=now_us)
        await store.writer.call(lambda db: events.put(db, "alert", {"x": 1}, rollouts.instant(db)))
        store.close()
        async with serving(tmp_path, config, ENV):
            await until(lambda: kinds(receiver) == ["alert"])


async def test_tries_are_counted_for_those_who_scrape(tmp_path):
    async with (
        Upstream(OK, answer({}, 500)) as receiver,
        serving(tmp_path, hooked("http://127.0.0.1:9", receiver), ENV) as server,
    ):
        await until(lambda: server.gateway.store.read(events.told))
        await begin(server)
        await until(lambda: len(receiver.seen) == 2, within=30)

        async def counted():
            text = (await server.client.get("/metrics")).text
            name = "interlock_webhook_tries_total"
            return all(f'{name}{{webhook="ops",result="{one}"}} 1' in text for one in ("delivered", "failed"))

        await until(counted)


@pytest.mark.parametrize(
    ("wait_s", "due"),
    [(-1, True), (0, True), (1, False), (3600, False), (3601, True)],
    ids=["past", "now", "soon", "the longest wait", "set when the clock was ahead"],
)
def test_p4_no_event_waits_longer_than_the_longest_wait_whatever_the_clock_was(wait_s, due):
    now = 10_000_000_000
    assert is_due(Told(1, 3, now + wait_s * 1_000_000), now) is due


def test_a_secret_is_read_as_the_specification_writes_it():
    key = b"0123456789abcdef01234567"
    assert webhook.key_of("whsec_" + base64.b64encode(key).decode()) == key
    assert webhook.key_of(key.decode()) == key


@pytest.mark.parametrize("secret", ["short", "whsec_!!!", "whsec_" + base64.b64encode(b"short").decode()])
def test_a_secret_that_is_none_is_refused(secret):
    with pytest.raises(ValueError):
        webhook.key_of(secret)
