"""`GET /metrics`: what is counted, by whom, and that the alert rules ask for what is really given."""

import asyncio
import re

import pytest
import yaml
from msgspec.structs import replace

from interlock.config.written import Check
from interlock.live import exposition
from interlock.live.exposition import METRICS, additions, render, routes_of, series
from interlock.live.routes import RouteKey
from interlock.rollout.after import After
from interlock.rollout.watch import blank_of
from interlock.server.export import Exporter
from interlock.server.following import PATIENCE_US
from interlock.server.metrics import count_up, scraped
from interlock.server.noticing import Seen, keep
from interlock.server.watch import OwnCounts
from interlock.store import Store, rollouts, watches
from interlock.store.alerts import Alert
from interlock.store.watches import StoredWatch
from interlock.wiring import now_us
from tests.data import ROOT
from tests.live.given import attempt, decision, record
from tests.server.harness import pool, serving, until
from tests.server.test_live import ANN, DEPLOY, KEYS, OPS, SCHEMA
from tests.server.upstream import HANG, Upstream, answer, refused_port, sse
from tests.server.vendors import ROLE, call, chat, chat_end, words

SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? ([-+0-9.e]+|NaN)$")
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


@pytest.fixture
async def up():
    async with Upstream(chat()) as upstream:
        yield upstream


@pytest.fixture
async def server(tmp_path, up):
    gone = f"http://127.0.0.1:{refused_port()}"
    async with serving(tmp_path, pool(up.url, keys=KEYS, telemetry={"otlp_endpoint": gone})) as running:
        await until(lambda: running.gateway.store.counts.place("otlp"))
        yield running


def read(text):
    """Every sample: its name, its labels, its value. Every line must be one, or a comment."""
    found = []
    for line in text.splitlines():
        if not line.startswith("# "):
            sample = SAMPLE.fullmatch(line)
            assert sample, line
            name, labels, number = sample.groups()
            found.append((name, dict(LABEL.findall(labels or "")), float(number)))
    return found


def value(text, name, **labels):
    return sum(v for n, has, v in read(text) if n == name and labels.items() <= has.items())


async def metrics(server):
    got = await server.client.get("/metrics", headers=OPS)
    assert got.status_code == 200
    assert got.headers["content-type"] == exposition.CONTENT_TYPE
    return got.text


async def scrape(store, now):
    return (await asyncio.to_thread(scraped, store, now)).decode()


def after_a_release(store):
    """A guardrail that is breached, as whoever watches keeps it, with its alert."""
    check = Check(metric="error_rate", at_most=0.1)
    finding = replace(blank_of(check), verdict="breach", why="x")
    alert = Alert(kind="guardrail", alias="prod", version=1, what="error_rate", why="x")
    watch = StoredWatch(alias="prod", version=1, after=After(findings=(finding,)))

    def work(db):
        token = rollouts.take_lease(db, "test", 1, 0)
        assert token is not None
        watches.keep(db, watch, (alert,), "alert", token=token, now=0, pool={}, pinned=None)

    store.writer.run(work)


async def everything(server, up):
    """Traffic of which every metric has something to say."""
    stream = sse(ROLE, *words("Hel", "lo"), chat_end())
    up.replies = [
        chat(),
        answer({"error": {"message": "no"}}, 400),
        chat('{"b": 1}'),
        chat('{"a": 1}'),
        chat(None, finish="tool_calls", calls=(call(0, "search", "{}"),)),
        stream,
    ]
    name = (await server.chat(headers=ANN)).headers["x-interlock-decision-id"]
    await server.chat(headers=ANN)
    await server.chat(headers=ANN, response_format=SCHEMA)
    await server.chat(headers=ANN, response_format=SCHEMA)
    await server.chat(headers=ANN, tools=DEPLOY)
    await server.chat(headers=ANN, stream=True)
    await server.client.post(f"/v1/decisions/{name}/outcome", json={"override": "reask"}, headers=ANN)
    await asyncio.to_thread(keep, server.gateway.store, Seen(name, "edit"))
    after_a_release(server.gateway.store)
    await Exporter(server.gateway, pause_s=0.001).look()
    await until(lambda: any("otlp" in name for name in server.gateway.store.counts.values()))
    server.file.write_text("nonsense: [")
    await server.reloader.reload()
    server.gateway.log.dropped += 1
    breaker = server.gateway.state.setting.destinations["small", None].health.breaker
    for _ in range(5):
        breaker.fail(0.0, probe=False, alone=True)
    await until(lambda: server.gateway.outages.counts)
    breaker.succeed(1.0, probe=True)
    await OwnCounts().tell(server.gateway)


async def test_counters_say_what_has_been_served(server, up):
    await everything(server, up)
    text = await metrics(server)
    route = {"alias": "prod", "alias_version": "1", "provider": "alpha", "model": "gpt", "arm": "stable"}
    assert value(text, "interlock_requests_total", status="ok", **route) == 3
    assert value(text, "interlock_request_seconds_count", **route) == 3
    assert value(text, "interlock_first_token_seconds_count", **route) == 1
    assert value(text, "interlock_schema_checked_total", **route) == 2
    assert value(text, "interlock_schema_invalid_total", **route) == 1
    assert value(text, "interlock_denied_tool_calls_total", **route) == 1
    assert value(text, "interlock_overrides_total", override="reask", **route) == 1
    assert value(text, "interlock_reasks_total", noticed="edit", **route) == 1
    assert value(text, "interlock_validation_failed_total", **route) == 2
    assert value(text, "interlock_alerts_total", alias="prod", alias_version="1", did="alerted") == 1
    assert value(text, "interlock_breached", alias="prod", alias_version="1", what="error_rate") == 1
    assert value(text, "interlock_reloads_total", result="failed") == 1
    assert value(text, "interlock_log_lines_dropped_total") == 1
    small = {"provider": "alpha", "model": "small", "endpoint": ""}
    assert value(text, "interlock_breakers_opened_total", **small) == 1
    assert value(text, "interlock_records_not_counted_yet") == 0


async def test_two_scrapes_count_each_record_once(server):
    await server.chat(headers=ANN)
    first, second = await asyncio.gather(metrics(server), metrics(server))
    assert value(first, "interlock_requests_total") == value(second, "interlock_requests_total") == 1
    await server.chat(headers=ANN)
    assert value(await metrics(server), "interlock_requests_total") == 2


async def test_workers_that_count_at_the_same_time_count_each_record_once(server):
    for _ in range(20):
        await server.chat(headers=ANN)
    stores = [Store.open(server.gateway.store.path, now=now_us) for _ in range(4)]
    try:
        await asyncio.gather(*(asyncio.to_thread(count_up, store, now_us()) for store in stores))
    finally:
        for store in stores:
            store.close()
    assert value(await metrics(server), "interlock_requests_total") == 20


async def test_metrics_are_for_operators(server):
    assert (await server.client.get("/metrics", headers=ANN)).status_code == 403
    assert (await server.client.get("/metrics")).status_code == 401


async def test_on_loopback_without_keys_metrics_need_none(tmp_path, up):
    async with serving(tmp_path, pool(up.url)) as server:
        assert (await server.client.get("/metrics")).status_code == 200


STRICT = [{"name": "s", "then": {"logging": "strict"}}]


async def test_a_strictly_logged_request_is_counted_when_it_ends_and_only_then(tmp_path):
    held = asyncio.Event()
    async with (
        Upstream(sse(ROLE, *words("Hel"), held, *words("lo"), chat_end())) as up,
        serving(tmp_path, pool(up.url, policy=STRICT)) as server,
    ):
        asking = asyncio.create_task(server.chat(stream=True))
        store = server.gateway.store
        await until(store.counts.newest)
        before = await scrape(store, now_us())
        assert value(before, "interlock_requests_total") == 0
        assert value(before, "interlock_records_not_counted_yet") == 1
        held.set()
        await asking
        after = await scrape(store, now_us())
        assert value(after, "interlock_requests_total", status="ok") == 1
        assert value(after, "interlock_requests_total") == 1
        assert value(after, "interlock_records_not_counted_yet") == 0


async def test_a_request_that_its_machine_cut_short_is_unfinished_after_a_while(tmp_path):
    async with Upstream(HANG) as up, serving(tmp_path, pool(up.url, policy=STRICT)) as server:
        asking = asyncio.create_task(server.chat())
        await until(server.gateway.store.counts.newest)
        text = await scrape(server.gateway.store, now_us() + PATIENCE_US + 1_000_000)
        assert value(text, "interlock_requests_total", status="unfinished") == 1
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


def test_labels_are_bounded_however_many_versions_there_are():
    many = [
        record(decision=decision(alias_version=number)) for number in range(1, 2 * exposition.MOST_ROUTES)
    ]
    added = additions(many, frozenset())
    assert len(routes_of(added)) == exposition.MOST_ROUTES + 1
    assert sum(
        amount for name, amount in added.items() if name.startswith("interlock_requests_total{")
    ) == len(many)
    again = additions([record(decision=decision(alias_version=1)), many[-1]], routes_of(added))
    assert routes_of(again) <= routes_of(added)


def test_no_label_says_who_asked():
    asked = decision(tenant="acme-secret", key="key-secret", session="session-secret", team="team-secret")
    assert "secret" not in render(additions([record(decision=asked)], frozenset())).decode()


def test_a_label_value_is_escaped_as_the_format_says():
    odd = RouteKey(alias='a"b\\c\nd')
    (found,) = read(render({series("interlock_fallbacks_total", {}, odd): 1}).decode())
    assert found[1]["alias"] == r"a\"b\\c\nd"


def test_buckets_rise_and_end_with_all_of_them():
    slow = [record(budgets_used={"deadline_ms": ms}) for ms in (50.0, 700.0, 4000.0, 500_000.0)]
    text = render(additions(slow, frozenset())).decode()
    buckets = [(has["le"], v) for n, has, v in read(text) if n == "interlock_request_seconds_bucket"]
    assert [float(bound) for bound, _ in buckets] == [*exposition.BUCKETS_S, float("inf")]
    assert [count for _, count in buckets] == sorted(count for _, count in buckets)
    assert (buckets[0][1], buckets[-1][1]) == (1, 4)
    assert value(text, "interlock_request_seconds_sum") == pytest.approx(504.75)


def test_an_unknown_cost_is_counted_as_unknown_and_not_as_nothing():
    text = render(additions([record(cost_usd=None, attempts=(attempt(),))], frozenset())).decode()
    assert value(text, "interlock_cost_unknown_total") == 1
    assert "interlock_cost_usd_total{" not in text


# --- alert rules --------------------------------------------------------------------------------

RULES = yaml.safe_load((ROOT / "docs" / "alerts.yaml").read_text("utf-8"))
EXPRESSIONS = {rule["alert"]: rule["expr"] for group in RULES["groups"] for rule in group["rules"]}


async def test_alert_rules_ask_for_metrics_and_labels_that_are_really_given(server, up):
    await everything(server, up)
    given: dict[str, set[str]] = {}
    for name, labels, _ in read(await metrics(server)):
        given.setdefault(name, set()).update(labels)
    for alert, expression in EXPRESSIONS.items():
        names = re.findall(r"interlock_[a-z_]+", expression)
        assert names, alert
        for name, matchers in re.findall(r"(interlock_[a-z_]+)(?:\{([^}]*)\})?", expression):
            assert name in given, f"{alert}: nothing is called {name}"
            wanted = set(re.findall(r"([a-z_]+)=", matchers))
            assert wanted <= given[name], f"{alert}: {name} has no {wanted - given[name]}"
        for group in re.findall(r"by \(([^)]*)\)", expression):
            wanted = {label.strip() for label in group.split(",")}
            for name in names:
                assert wanted <= given[name], f"{alert}: {name} has no {wanted - given[name]}"


async def test_every_metric_that_is_documented_is_given_and_every_one_given_is_documented(server, up):
    await everything(server, up)
    text = await metrics(server)
    described = re.findall(r"^# TYPE ([a-z_]+) ([a-z]+)$", text, re.MULTILINE)
    assert [(name, metric.kind) for name, metric in METRICS.items()] == described
    plain = {
        re.sub(r"_(bucket|sum|count)$", "", name) if "seconds" in name else name for name, _, _ in read(text)
    }
    assert plain <= METRICS.keys()
    page = (ROOT / "docs" / "watch-your-routes.md").read_text("utf-8")
    assert [name for name in METRICS if f"`{name}`" not in page] == []
