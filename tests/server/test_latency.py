"""What `select: fastest` goes by is what was measured, in bands."""

from interlock.server.latency import Latencies, band
from tests.server.harness import pool, serving
from tests.server.upstream import Upstream
from tests.server.vendors import chat


def test_a_band_is_wide_enough_that_noise_does_not_change_it():
    assert band(900) == band(1000)
    assert band(900) != band(2000)
    assert band(0) == 1


def test_a_mean_follows_a_model_that_has_become_slower():
    found = Latencies()
    assert found.bands() == {}
    for _ in range(50):
        found.note("small", 100)
    before = found.bands()
    for _ in range(50):
        found.note("small", 1000)
    assert found.bands()["small"] > before["small"]


async def test_decisions_see_what_was_measured_and_replay_under_it(tmp_path):
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url)) as server:
        await server.chat()
        server.gateway.refresh_world()
        got = await server.chat()
        decision = server.record(got).decision
        (figures,) = decision.why.scores
        assert figures.latency_ms is not None
        world = server.gateway.store.get_world(decision.provenance.world_hash)
        assert world is not None
        assert f'"{figures.model}":{figures.latency_ms}'.encode() in world
