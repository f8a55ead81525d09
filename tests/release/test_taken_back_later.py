"""A rollback that could not be made when a breach was seen is made when nothing is in its way, once."""

import pytest

from interlock.config.written import Check
from interlock.measures import Ended
from interlock.rollout.after import After, add, look
from interlock.store import watches
from tests.release.test_afterwards import (
    BASELINE,
    active,
    ask,
    degrade,
    heard,
    place,
    promote,
    watched,
    watcher,
)
from tests.release.test_rollouts import act, begin, plans

LONG = {"steps": [{"weight": 0.0, "for": "1h"}, {"weight": 1.0}]}
ROLL_BACK = {**plans(canary=LONG), **watched(on_breach="roll_back")}


async def look_at(server, watch=None):
    await (watch or watcher(server)).look(server.gateway.state.config)


async def dids(server):
    return [(alert["version"], alert["did"], alert["to_version"]) for alert in await heard(server)]


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_breach_seen_during_a_rollout_is_acted_on_when_that_has_ended_without_new_traffic(
    tmp_path, restarted
):
    async with place(tmp_path, **ROLL_BACK) as (server, vendor):
        await promote(server)
        row = await begin(server, to="claude")
        watch = watcher(server)
        await degrade(server, vendor, watch)
        for _ in range(2):
            await look_at(server, watch)
        assert await dids(server) == [(2, "alerted", None)], "it is told once while it waits"
        await act(server, row["id"], "abort")
        watch = watcher(server) if restarted else watch
        for _ in range(3):
            await look_at(server, watch)
        assert active(server) == 1
        assert await dids(server) == [(2, "rolled_back", 1), (2, "alerted", None)]
        (evidence,) = (await heard(server))[0]["evidence"]
        assert (evidence["metric"], evidence["verdict"]) == ("error_rate", "breach")


async def test_a_breach_that_is_over_by_then_takes_nothing_back(tmp_path):
    async with place(tmp_path, **ROLL_BACK) as (server, vendor):
        await promote(server)
        row = await begin(server, to="claude")
        watch = watcher(server)
        await degrade(server, vendor, watch)
        vendor.bad = set()
        await ask(server, 500)
        await look_at(server, watch)
        assert [alert["kind"] for alert in await heard(server)] == ["recovered", "guardrail"]
        await act(server, row["id"], "abort")
        await look_at(server, watch)
        assert active(server) == 2
        assert len(await heard(server)) == 2


async def test_a_version_that_came_back_by_a_rollback_meanwhile_stays_and_that_is_told_once(tmp_path):
    async with place(tmp_path, **ROLL_BACK) as (server, vendor):
        await promote(server)
        row = await begin(server, to="claude")
        await degrade(server, vendor, watcher(server))
        assert (await act(server, row["id"], "promote")).status_code == 200
        got = await server.client.post("/v1/aliases/prod/rollback", json={"to": 2})
        assert got.json()["active"] == 2
        watch = watcher(server)
        for _ in range(3):
            await look_at(server, watch)
        assert active(server) == 2
        assert await dids(server) == [(2, "alerted", None)] * 2
        assert "it is what the alias was rolled back to" in (await heard(server))[0]["why"]
        seen = server.gateway.store.read(lambda db: watches.find(db, "prod", 2))
        assert seen is not None
        assert not seen.after.waits


def test_a_version_waits_no_longer_than_one_of_its_guardrails_is_breached():
    after, checks = After(), (Check(metric="error_rate", at_most=0.1),)

    def ended(status, count):
        for _ in range(count):
            add(after, checks, Ended(status=status), BASELINE)
        look(after, checks)

    ended("ok", BASELINE)
    ended("failed", 100)
    assert after.breached
    after.waits = True
    ended("failed", 10)
    assert after.waits
    ended("ok", 500)
    assert (after.breached, after.waits) == ({}, False)
