"""OpenTelemetry: what a collector on loopback is sent, and that one which fails costs nobody anything."""

import asyncio

import pytest

from interlock.live.amounts import reask
from interlock.live.exposition import METRICS, ROUTE_LABELS
from interlock.server import noticing, watch
from interlock.server.export import MOST_BEHIND, TRIES, Exporter
from interlock.store.live import Place
from interlock.wiring import now_us
from tests.server.harness import pool, serving, until
from tests.server.test_live import SCHEMA
from tests.server.test_metrics import scrape, value
from tests.server.upstream import HANG, Upstream, answer, refused_port, sse
from tests.server.vendors import ROLE, chat, chat_end, words

TAKEN = answer({})


@pytest.fixture(autouse=True)
def _each_looks_for_itself(monkeypatch):
    """After its first look the server's own exporter takes nothing from under a test."""
    monkeypatch.setattr(watch, "LOOK_S", 3600.0)


@pytest.fixture
async def up():
    async with Upstream(chat()) as upstream:
        yield upstream


@pytest.fixture
async def collector():
    async with Upstream(TAKEN) as double:
        yield double


async def watched(server):
    """From here on records are followed."""
    await until(lambda: server.gateway.store.counts.place("otlp"))


def values(attributes):
    return {one["key"]: next(iter(one["value"].values())) for one in attributes}


def spans(seen):
    return seen.json["resourceSpans"][0]["scopeSpans"][0]["spans"]


async def results(server):
    text = await scrape(server.gateway.store, now_us())
    return {
        kind: value(text, "interlock_otlp_records_total", result=kind)
        for kind in ("sent", "failed", "skipped")
    }


async def test_a_request_is_a_span_with_one_below_it_for_each_call(tmp_path, up, collector):
    config = pool(up.url, telemetry={"otlp_endpoint": collector.url + "/"})
    async with serving(tmp_path, config) as server:
        await watched(server)
        up.replies = [answer({"error": {"message": "no"}}, 500), chat()]
        asked = await server.chat(
            "a secret word", max_tokens=30, headers={"x-interlock-session": "sess-secret"}
        )
        await Exporter(server.gateway).look()
        traces, metrics = collector.seen
    assert (traces.path, metrics.path) == ("/v1/traces", "/v1/metrics")
    assert traces.headers["content-type"] == "application/json"
    whole, *calls = spans(traces)
    assert values(whole["attributes"])["interlock.decision.id"] == asked.headers["x-interlock-decision-id"]
    assert values(whole["attributes"])["interlock.alias_version"] == "1"
    assert {call["parentSpanId"] for call in calls} == {whole["spanId"]}
    assert {call["traceId"] for call in calls} == {whole["traceId"]}
    assert (len(whole["traceId"]), len(whole["spanId"])) == (32, 16)
    last = values(calls[-1]["attributes"])
    assert last["gen_ai.operation.name"] == "chat"
    assert last["gen_ai.request.model"] == "up-1"
    assert (last["gen_ai.usage.input_tokens"], last["gen_ai.usage.output_tokens"]) == ("11", "7")
    assert last["gen_ai.request.max_tokens"] == "30"
    assert "error.type" not in last
    assert values(calls[0]["attributes"])["error.type"] == "upstream_error"
    assert calls[0]["status"] == {"code": 2}
    assert int(calls[0]["startTimeUnixNano"]) <= int(calls[0]["endTimeUnixNano"])
    assert b"secret" not in traces.body + metrics.body


async def test_histograms_hold_every_call_once_and_agree_with_their_sums(tmp_path, up, collector):
    async with serving(tmp_path, pool(up.url, telemetry={"otlp_endpoint": collector.url})) as server:
        await watched(server)
        for _ in range(3):
            await server.chat()
        up.replies = [sse(ROLE, *words("Hel", "lo"), chat_end())]
        await server.chat(stream=True)
        await Exporter(server.gateway).look()
        found = collector.seen[1].json["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    found = [one for one in found if "histogram" in one]
    points = {one["name"]: one["histogram"]["dataPoints"] for one in found}
    assert {one["histogram"]["aggregationTemporality"] for one in found} == {1}
    (duration,) = points["gen_ai.client.operation.duration"]
    assert (duration["count"], sum(map(int, duration["bucketCounts"]))) == ("4", 4)
    assert len(duration["bucketCounts"]) == len(duration["explicitBounds"]) + 1
    (first,) = points["gen_ai.client.operation.time_to_first_chunk"]
    assert first["count"] == "1"
    tokens = {
        values(p["attributes"])["gen_ai.token.type"]: p["sum"] for p in points["gen_ai.client.token.usage"]
    }
    assert tokens == {"input": 44.0, "output": 28.0}


def sums(seen):
    """By name, the data points of the counters of a metrics call."""
    found = seen.json["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
    return {one["name"]: one["sum"]["dataPoints"] for one in found if "sum" in one}


async def test_counters_of_routes_are_those_of_metrics_by_alias_version(tmp_path, up, collector):
    async with serving(tmp_path, pool(up.url, telemetry={"otlp_endpoint": collector.url})) as server:
        await watched(server)
        up.replies = [chat(), answer({"error": {"message": "no"}}, 400), chat('{"b": 1}')]
        await server.chat()
        await server.chat()
        await server.chat(response_format=SCHEMA)
        await server.client.post("/v1/aliases/prod/promote", json={"to": "small"})
        await server.chat()
        await Exporter(server.gateway).look()
        found = sums(collector.seen[1])
        text = await scrape(server.gateway.store, now_us())
    for name, points in found.items():
        labels = METRICS[f"{name.replace('.', '_')}_total"].labels
        for point in points:
            has = values(point["attributes"])
            own = {label: has[f"interlock.{label}"] for label in (*ROUTE_LABELS, *labels)}
            assert point["asDouble"] == value(text, f"{name.replace('.', '_')}_total", **own)
    ended = {
        (has["interlock.alias_version"], has["interlock.status"]): point["asDouble"]
        for point in found["interlock.requests"]
        if (has := values(point["attributes"]))
    }
    assert ended == {("1", "ok"): 1, ("1", "failed"): 2, ("2", "ok"): 1}
    assert found["interlock.schema_invalid"][0]["asDouble"] == 1
    assert found["interlock.validation_failed"][0]["asDouble"] == 1


async def test_what_becomes_known_after_a_record_was_sent_is_sent_once_and_waits_for_a_collector_that_fails(
    tmp_path, up, collector
):
    async with serving(tmp_path, pool(up.url, telemetry={"otlp_endpoint": collector.url})) as server:
        await watched(server)
        name = (await server.chat()).headers["x-interlock-decision-id"]
        exporter = Exporter(server.gateway, pause_s=0.001)
        await exporter.look()
        await server.client.post(f"/v1/decisions/{name}/outcome", json={"override": "edit"})
        seen = noticing.Seen(name, "reask")
        record = await asyncio.to_thread(noticing.keep, server.gateway.store, seen)
        assert record is not None
        server.gateway.came_late(record, reask(record))
        collector.default = answer({}, 400)
        await exporter.look()
        collector.default, before = TAKEN, len(collector.seen)
        await exporter.look()
        await exporter.look()
        (sent,) = collector.seen[before:]
        found = sums(sent)
        kinds = {key: values(points[0]["attributes"]) for key, points in found.items()}
        assert kinds["interlock.overrides"]["interlock.override"] == "edit"
        assert kinds["interlock.reasks"]["interlock.noticed"] == "reask"
        assert kinds["interlock.reasks"]["interlock.alias_version"] == "1"


async def test_what_became_known_of_a_strictly_logged_request_is_not_sent(tmp_path, up, collector):
    rule = {"name": "s", "then": {"logging": "strict"}}
    config = pool(up.url, telemetry={"otlp_endpoint": collector.url}, policy=[rule])
    async with serving(tmp_path, config) as server:
        name = (await server.chat()).headers["x-interlock-decision-id"]
        await server.client.post(f"/v1/decisions/{name}/outcome", json={"override": "edit"})
        assert not server.gateway.late


async def test_each_record_is_sent_once_however_many_workers_look(tmp_path, up, collector):
    async with serving(tmp_path, pool(up.url, telemetry={"otlp_endpoint": collector.url})) as server:
        await watched(server)
        names = {(await server.chat()).headers["x-interlock-decision-id"] for _ in range(8)}
        await asyncio.gather(*(Exporter(server.gateway).look() for _ in range(4)))
        sent = [
            values(span["attributes"])["interlock.decision.id"]
            for seen in collector.seen
            if seen.path == "/v1/traces"
            for span in spans(seen)
            if "parentSpanId" not in span
        ]
        assert sorted(sent) == sorted(names)
        assert await results(server) == {"sent": 8, "failed": 0, "skipped": 0}


@pytest.mark.parametrize(
    ("reply", "tries"),
    [
        (answer({}, 503), TRIES),
        (answer({}, 400), 1),
        (answer({"partialSuccess": {"rejectedSpans": "2"}}), 1),
        (sse(b"{", end="reset"), TRIES),
    ],
    ids=["busy", "not understood", "taken in part", "breaks off"],
)
async def test_what_a_collector_does_not_take_is_counted_and_fails_no_request(tmp_path, up, reply, tries):
    async with (
        Upstream(reply) as collector,
        serving(tmp_path, pool(up.url, telemetry={"otlp_endpoint": collector.url})) as server,
    ):
        await watched(server)
        assert (await server.chat()).status_code == 200
        await Exporter(server.gateway, pause_s=0.001).look()
        assert len(collector.seen) == tries
        assert await results(server) == {"sent": 0, "failed": 1, "skipped": 0}
        assert [line["records"] for line in server.log if line["event"] == "otlp_failed"] == [1]
        collector.default = TAKEN
        assert (await server.chat()).status_code == 200
        await Exporter(server.gateway).look()
        assert await results(server) == {"sent": 1, "failed": 1, "skipped": 0}


async def test_a_collector_that_is_not_there_or_says_nothing_holds_up_no_request(tmp_path, up):
    gone = f"http://127.0.0.1:{refused_port()}"
    async with serving(tmp_path, pool(up.url, telemetry={"otlp_endpoint": gone})) as server:
        await watched(server)
        await server.chat()
        await Exporter(server.gateway, pause_s=0.001).look()
        assert (await results(server))["failed"] == 1
    folder = tmp_path / "silent"
    folder.mkdir()
    async with (
        Upstream(HANG) as silent,
        serving(folder, pool(up.url, telemetry={"otlp_endpoint": silent.url})) as server,
    ):
        await watched(server)
        await server.chat()
        looking = asyncio.create_task(Exporter(server.gateway).look())
        await until(lambda: silent.seen)
        assert (await server.chat()).status_code == 200
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        assert (await results(server))["failed"] == 1


async def test_strictly_logged_requests_are_not_sent(tmp_path, up, collector):
    config = pool(up.url, telemetry={"otlp_endpoint": collector.url})
    config["policy"] = [{"name": "s", "then": {"logging": "strict"}}]
    async with serving(tmp_path, config) as server:
        await watched(server)
        await server.chat()
        await Exporter(server.gateway).look()
        assert collector.seen == []
        assert await results(server) == {"sent": 0, "failed": 0, "skipped": 1}


async def test_what_piled_up_is_skipped_and_said_to_be(tmp_path, up, collector):
    async with serving(tmp_path, pool(up.url, telemetry={"otlp_endpoint": collector.url})) as server:
        await watched(server)
        store = server.gateway.store
        await server.chat()
        behind = Place(seq=store.counts.newest() - MOST_BEHIND - 1)
        await store.counts.advance("otlp", store.counts.place("otlp"), behind)
        await Exporter(server.gateway).look()
        assert collector.seen == []
        assert (await results(server))["skipped"] == MOST_BEHIND + 1


async def test_without_an_endpoint_nothing_is_followed(tmp_path, up):
    async with serving(tmp_path, pool(up.url)) as server:
        await Exporter(server.gateway).look()
        assert server.gateway.store.counts.place("otlp") is None
