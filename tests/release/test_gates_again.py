"""A run of a gate over what is active is about the version that it began with, whatever moves meanwhile."""

import asyncio
from functools import partial

import pytest

from interlock.cli.gate_again import stay
from interlock.release.afterwards import of_gate
from interlock.store import Store, watches
from interlock.store.releasing import begin_gate, end_gate, handle_gate, lease_rollouts, renew_gate
from interlock.store.rollouts import Fenced
from interlock.wiring import now_us

TTL_US = 60_000_000
FAILED = {"record": "gate_x", "verdict": "fail", "why": "it fell"}


@pytest.fixture
def store(tmp_path):
    found = Store.open(tmp_path / "interlock.db", now=now_us)
    found.seed_aliases({"prod": "old"}, now=now_us(), by="test")
    yield found
    found.close()


async def promote(store, version):
    await store.promote("prod", "new", if_version=version, by="test", now=now_us(), override="x")


def last(store):
    return store.read(partial(watches.again, alias="prod"))


async def begin(store, run="again_1", holder="one"):
    begun = await begin_gate(store, "prod", run, holder, TTL_US)
    assert begun is not None
    return begun


async def test_a_verdict_about_a_version_does_not_take_back_the_next_one(store):
    begun = await begin(store)
    await promote(store, 1)
    assert await renew_gate(store, begun, "one", TTL_US)
    await end_gate(store, begun, "one", **FAILED)
    run = last(store)
    assert (run.version, run.verdict) == (1, "fail")
    token = await lease_rollouts(store, "watch", TTL_US)
    assert token is not None
    acted = await handle_gate(store, run, of_gate(run), "roll_back", token=token, pool={}, pinned=None)
    assert (acted.alerts, store.aliases()["prod"].active) == ((), 2)


async def test_a_run_that_another_version_was_begun_in_place_of_is_not_its_own_any_more(store):
    begun = await begin(store)
    await promote(store, 1)
    other = await begin_gate(store, "prod", begun.run, "one", TTL_US)
    assert other is not None
    assert other.version == 2
    assert not await renew_gate(store, begun, "one", TTL_US)
    with pytest.raises(Fenced):
        await end_gate(store, begun, "one", **FAILED)
    assert last(store) == other


async def test_a_run_whose_lease_somebody_else_has_is_not_renewed(store):
    begun = await begin_gate(store, "prod", "again_1", "one", 0)
    assert begun is not None
    assert await begin(store, "again_2", "two") == begun, "it is gone on with"
    assert not await renew_gate(store, begun, "one", TTL_US)


async def test_a_store_that_cannot_be_written_for_a_while_ends_no_run(store):
    begun = await begin(store)
    store.close()
    staying = asyncio.create_task(stay(store, begun, "one", every_s=0.001))
    done, _ = await asyncio.wait({staying}, timeout=0.2)
    assert not done, "it is tried again"
    staying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await staying
