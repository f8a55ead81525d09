"""Control calls: dry runs, records, feedback, models, aliases, and reloads."""

import asyncio

import apsw
import msgspec
import pytest

from interlock.route.decide import encode_decision
from tests.server.harness import keyed, pool, serving, until
from tests.server.upstream import Upstream
from tests.server.vendors import chat

KEYS = keyed(
    {"id": "ann", "key": "key-ann"},
    {"id": "bob", "key": "key-bob"},
    {"id": "eve", "key": "key-eve", "tenant": "globex"},
    {"id": "ops", "key": "key-ops", "role": "operator"},
)
CLOSED = [{"name": "closed", "when": {"task": "unknown"}, "then": {"deny": "maintenance"}}]
ASK = {"model": "prod", "messages": [{"role": "user", "content": "hi"}]}


def bearer(name):
    return {"authorization": f"Bearer key-{name}"}


@pytest.fixture
async def up():
    async with Upstream(chat()) as upstream:
        yield upstream


@pytest.fixture
async def server(tmp_path, up):
    async with serving(tmp_path, pool(up.url, keys=KEYS)) as running:
        yield running


# --- decisions --------------------------------------------------------------------------------


async def test_a_dry_run_answers_the_decision_and_calls_nobody(server, up):
    got = await server.client.post("/v1/decisions", json=ASK, headers=bearer("ann"))
    assert got.status_code == 200
    decision = got.json()
    assert decision["route"]["model"] == "gpt"
    assert decision["why"]["selected_by"] == "alias"
    assert up.seen == []
    record = server.record(decision["id"])
    assert record.status == "dry_run"
    assert encode_decision(record.decision) == got.content


async def test_a_dry_run_that_nobody_may_serve_is_still_200(server):
    headers = {**bearer("ann"), "x-interlock-data-class": "regulated"}
    got = await server.client.post("/v1/decisions", json=ASK, headers=headers)
    assert got.status_code == 200
    assert got.json()["route"] is None
    assert got.json()["why"]["dropped"]


async def test_a_dry_run_reads_the_body_as_the_endpoint_would(server):
    post, body = server.client.post, {**ASK, "max_tokens": 5, "system": "be brief"}
    by_query = await post("/v1/decisions?endpoint=/v1/messages", json=body, headers=bearer("ann"))
    by_header = await post(
        "/v1/decisions", json=body, headers={**bearer("ann"), "anthropic-version": "2023-06-01"}
    )
    for got in (by_query, by_header):
        assert got.json()["signals"]["endpoint"] == "/v1/messages"
    bad = await post("/v1/decisions?endpoint=/v1/else", json=body, headers=bearer("ann"))
    assert (bad.status_code, bad.json()["error"]["code"]) == (400, "invalid_request")


async def test_a_dry_run_leaves_no_mark_on_its_session(server):
    headers = {**bearer("ann"), "x-interlock-session": "s", "x-interlock-data-class": "regulated"}
    await server.client.post("/v1/decisions", json=ASK, headers=headers)
    got = await server.chat(headers={**bearer("ann"), "x-interlock-session": "s"})
    assert got.status_code == 200


async def test_a_record_shows_the_very_bytes_that_were_decided(server):
    name = (await server.chat(headers=bearer("ann"))).headers["x-interlock-decision-id"]
    got = await server.client.get(f"/v1/decisions/{name}", headers=bearer("ann"))
    shown = got.json()
    assert shown["status"] == "ok"
    assert shown["attempts"][0]["outcome"] == "ok"
    assert shown["outcome"] is None
    assert shown["budgets_used"]["max_attempts"] == 1
    row = server.gateway.store.get_record(name)
    assert row.decision in got.content


async def test_a10_another_keys_record_is_as_if_absent(server):
    name = (await server.chat(headers=bearer("ann"))).headers["x-interlock-decision-id"]
    absent = await server.client.get("/v1/decisions/dec_nothing", headers=bearer("ann"))
    for who in ("bob", "eve"):
        got = await server.client.get(f"/v1/decisions/{name}", headers=bearer(who))
        assert (got.status_code, got.json()) == (404, absent.json())
        got = await server.client.post(
            f"/v1/decisions/{name}/outcome", json={"success": True}, headers=bearer(who)
        )
        assert got.status_code == 404
        listed = (await server.client.get("/v1/decisions", headers=bearer(who))).json()
        assert listed == {"data": [], "next": None}
        tricked = await server.client.get("/v1/decisions?key=ann&tenant=acme", headers=bearer(who))
        assert tricked.json()["data"] == []
    assert (await server.client.get(f"/v1/decisions/{name}", headers=bearer("ops"))).status_code == 200


async def test_records_are_listed_newest_first_in_pages(server):
    names = [(await server.chat(headers=bearer("ann"))).headers["x-interlock-decision-id"] for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await server.client.get(f"/v1/decisions?limit=2{cursor}", headers=bearer("ann"))).json()
        seen += [record["decision"]["id"] for record in page["data"]]
        cursor = f"&cursor={page['next']}" if page["next"] else None
    assert seen == names[::-1]


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=x",
        "limit=-1",
        "limit=201",
        "status=fine",
        "since=yesterday",
        "cursor=dec_x",
        "color=red",
    ],
)
async def test_a_bad_filter_is_400_and_names_itself(server, query):
    got = await server.client.get(f"/v1/decisions?{query}", headers=bearer("ops"))
    assert got.status_code == 400
    assert query.partition("=")[0] in got.text


async def test_records_are_filtered(server):
    await server.chat(headers=bearer("ann"))
    await server.chat(headers=bearer("bob"), model="small")
    await server.chat(headers=bearer("bob"), model="nobody")

    async def count(query):
        return len((await server.client.get(f"/v1/decisions?{query}", headers=bearer("ops"))).json()["data"])

    assert await count("") == 3
    assert await count("status=denied") == 1
    assert await count("model=small") == 1
    assert await count("alias=prod") == 1
    assert await count("key=bob") == 2
    assert await count("since=2999-01-01T00:00:00Z") == 0


async def test_feedback_is_kept_and_the_latest_stands(server):
    name = (await server.chat(headers=bearer("ann"))).headers["x-interlock-decision-id"]
    for feedback in (
        {"success": False},
        {"success": True, "score": 0.5, "override": "edit", "labels": {"a": 1}},
    ):
        got = await server.client.post(f"/v1/decisions/{name}/outcome", json=feedback, headers=bearer("ann"))
        assert got.status_code == 200
    assert server.record(name).outcome == {
        "success": True,
        "score": 0.5,
        "override": "edit",
        "labels": {"a": 1},
    }


@pytest.mark.parametrize(
    "feedback", [{"score": 2}, {"override": "shrug"}, {"status": "ok"}, {"success": "yes"}, []]
)
async def test_feedback_of_the_wrong_shape_is_400(server, feedback):
    name = (await server.chat(headers=bearer("ann"))).headers["x-interlock-decision-id"]
    got = await server.client.post(f"/v1/decisions/{name}/outcome", json=feedback, headers=bearer("ann"))
    assert got.status_code == 400
    assert server.record(name).outcome is None


async def test_reading_a_strictly_logged_record_is_itself_recorded(tmp_path, up):
    rules = [{"name": "strict", "then": {"logging": "strict"}}]
    async with serving(tmp_path, pool(up.url, keys=KEYS, policy=rules)) as server:
        name = (await server.chat(headers=bearer("ann"))).headers["x-interlock-decision-id"]
        await server.client.get(f"/v1/decisions/{name}", headers=bearer("ops"))
        rows = server.gateway.store._rows(
            "SELECT actor, action, body FROM control_log ORDER BY seq DESC LIMIT 1"
        )
        assert rows == [("key:acme/ops", "record.read", msgspec.json.encode({"records": [name]}).decode())]


# --- models -----------------------------------------------------------------------------------


async def test_feedback_that_says_nothing_is_refused_and_leaves_the_earlier_one(server):
    name = (await server.chat(headers=bearer("ann"))).headers["x-interlock-decision-id"]
    path = f"/v1/decisions/{name}/outcome"
    await server.client.post(path, json={"success": True}, headers=bearer("ann"))
    silent: tuple[dict[str, object], ...] = ({}, {"success": None}, {"labels": {}})
    for nothing in silent:
        got = await server.client.post(path, json=nothing, headers=bearer("ann"))
        assert (got.status_code, got.json()["error"]["code"]) == (400, "invalid_request")
    assert server.record(name).outcome == {"success": True}


async def test_models_lists_what_a_key_may_ask_for_in_both_shapes(tmp_path, up):
    few = keyed({"id": "few", "key": "key-few", "allow": {"aliases": ["prod"], "models": ["small"]}}, KEYS[0])
    lanes = {"triage": {"match": {"task": "t"}, "models": ["prod"]}}
    async with serving(tmp_path, pool(up.url, keys=few, lanes=lanes)) as server:
        every = (await server.client.get("/v1/models", headers=bearer("ann"))).json()
        assert every["object"] == "list"
        assert [row["id"] for row in every["data"]] == [
            "auto",
            "prod",
            "lane:triage",
            "claude",
            "gpt",
            "small",
        ]
        some = await server.client.get(
            "/v1/models", headers={**bearer("few"), "anthropic-version": "2023-06-01"}
        )
        assert [row["id"] for row in some.json()["data"]] == ["auto", "prod", "small"]
        assert some.json()["has_more"] is False
        assert (await server.chat(headers=bearer("few"), model="gpt")).status_code == 403


async def test_a_model_is_shown_to_those_who_may_ask_for_it_and_as_if_absent_to_others(tmp_path, up):
    allow = {"models": ["small", "alpha/up-1"]}
    few = keyed({"id": "few", "key": "key-few", "allow": allow}, KEYS[0])
    async with serving(tmp_path, pool(up.url, keys=few)) as server:

        async def shown(name, who, **headers):
            path = f"/v1/models/{name}"
            return await server.client.get(path, headers={**bearer(who), **headers})

        got = (await shown("gpt", "ann")).json()
        assert got == {"id": "gpt", "object": "model", "created": 0, "owned_by": "alpha"}
        got = (await shown("prod", "ann", **{"anthropic-version": "2023-06-01"})).json()
        assert (got["type"], got["id"]) == ("model", "prod")
        assert (await shown("alpha%2Fup-1", "few")).json()["id"] == "alpha/up-1"
        hidden, absent = await shown("gpt", "few"), await shown("nobody", "few")
        assert (hidden.status_code, hidden.json()) == (absent.status_code, absent.json())
        assert hidden.json()["error"]["code"] == "unknown_model"
        listed = await server.client.get("/v1/models", headers=bearer("few"))
        assert [row["id"] for row in listed.json()["data"]] == ["alpha/up-1", "small"]


@pytest.mark.parametrize(
    ("query", "names", "more"),
    [
        ("", ["auto", "prod", "claude", "gpt", "small"], False),
        ("limit=2", ["auto", "prod"], True),
        ("limit=2&after_id=prod", ["claude", "gpt"], True),
        ("limit=2&after_id=gpt", ["small"], False),
        ("limit=2&before_id=gpt", ["prod", "claude"], True),
    ],
)
async def test_models_are_paged_as_anthropic_pages_them(server, query, names, more):
    headers = {**bearer("ann"), "anthropic-version": "2023-06-01"}
    got = (await server.client.get(f"/v1/models?{query}", headers=headers)).json()
    assert [row["id"] for row in got["data"]] == names
    assert (got["has_more"], got["first_id"], got["last_id"]) == (more, names[0], names[-1])


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "after_id=nobody", "before_id="])
async def test_a_page_of_models_that_cannot_be_is_refused(server, query):
    headers = {**bearer("ann"), "anthropic-version": "2023-06-01"}
    got = await server.client.get(f"/v1/models?{query}", headers=headers)
    assert (got.status_code, got.json()["error"]["type"]) == (400, "invalid_request_error")


# --- aliases ----------------------------------------------------------------------------------


async def move(server, verb, **body):
    return await server.client.post(f"/v1/aliases/prod/{verb}", json=body, headers=bearer("ops"))


async def test_an_alias_is_promoted_and_rolled_back_and_requests_follow(server, up):
    got = await move(server, "promote", to="small", if_version=1, reason="cheaper")
    assert got.status_code == 200
    assert (got.json()["active"], got.json()["model"]) == (2, "small")
    assert [row["version"] for row in got.json()["versions"]] == [1, 2]
    assert got.json()["versions"][1]["by"] == "key:acme/ops"
    assert (await server.chat(headers=bearer("ann"))).headers["x-interlock-alias"] == "prod@2"
    assert up.seen[-1].json["model"] == "up-s"

    got = await move(server, "rollback", if_version=2)
    assert (got.json()["active"], got.json()["model"]) == (1, "gpt")
    assert (await server.chat(headers=bearer("ann"))).headers["x-interlock-alias"] == "prod@1"
    shown = await server.client.get("/v1/aliases/prod", headers=bearer("ops"))
    assert shown.json() == got.json()
    listed = await server.client.get("/v1/aliases", headers=bearer("ops"))
    (row,) = listed.json()["data"]
    assert (row["name"], row["active"], row["model"], listed.json()["next"]) == ("prod", 1, "gpt", None)


async def test_a_stale_if_version_is_409_and_changes_nothing(server):
    await move(server, "promote", to="small")
    for verb, body in (
        ("promote", {"to": "claude", "if_version": 1}),
        ("rollback", {"to": 1, "if_version": 1}),
    ):
        got = await move(server, verb, **body)
        assert (got.status_code, got.json()["error"]["code"]) == (409, "stale_version")
    assert (await server.client.get("/v1/aliases/prod", headers=bearer("ops"))).json()["active"] == 2


async def test_what_does_not_exist_is_404(server):
    assert (await move(server, "promote", to="nothing")).status_code == 404
    assert (await move(server, "rollback", to=9)).status_code == 404
    for method, path in (("GET", "/v1/aliases/none"), ("POST", "/v1/aliases/none/promote")):
        got = await server.client.request(method, path, json={"to": "small"}, headers=bearer("ops"))
        assert got.status_code == 404


async def test_mass_assignment_to_an_alias_is_refused(server):
    got = await move(server, "promote", to="small", gate="passed")
    assert got.status_code == 400
    assert (await move(server, "promote", to="small", by="root")).status_code == 400


async def test_an_alias_with_a_gate_is_promoted_only_past_it_with_a_reason(tmp_path, up):
    (tmp_path / "suite.yaml").write_text("name: s\ncases: []\n")
    config = pool(
        up.url,
        keys=KEYS,
        evals={"s": {"suite": "./suite.yaml"}},
        gates={"prod": {"suites": ["s"], "checks": [{"metric": "task_success", "at_least": 0.9}]}},
    )
    async with serving(tmp_path, config) as server:
        got = await move(server, "promote", to="small")
        assert (got.status_code, got.json()["error"]["code"]) == (409, "gate_failed")
        assert (await move(server, "promote", to="small", override="")).status_code == 409
        got = await move(server, "promote", to="small", override="vendor outage, INC-7")
        assert got.status_code == 200
        log = server.gateway.store._rows("SELECT body FROM control_log WHERE action = 'alias.promote'")
        assert "vendor outage, INC-7" in log[0][0]


async def test_an_alias_that_moves_in_the_store_is_followed_within_a_second(server):
    store = server.gateway.store
    await store.promote("prod", "small", if_version=None, by="cli", now=1)

    async def moved():
        return (await server.chat(headers=bearer("ann"))).headers["x-interlock-alias"] == "prod@2"

    await until(moved, 1)


# --- reloads ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "providers: [",
        "version: 1\nproviders: {}\nmodels: {}\nsurprise: 1\n",
        "version: 1\nproviders: {a: {kind: openai, base_url: 5}}\nmodels: {}\n",
        "",
    ],
    ids=["syntax", "unknown key", "wrong type", "empty"],
)
async def test_o1_a_bad_reload_keeps_what_runs_and_is_logged_and_counted(server, text):
    before = server.gateway.state
    server.file.write_text(text)
    assert not await server.reloader.reload()
    assert server.gateway.state is before
    assert server.gateway.reloads_failed == 1
    line = server.log[-1]
    assert (line["event"], line["failed"]) == ("reload_failed", 1)
    assert line["problems"]
    assert (await server.chat(headers=bearer("ann"))).status_code == 200


async def test_a_changed_file_is_taken_up_by_itself(server, up):
    server.write(pool(up.url, keys=KEYS, policy=CLOSED))

    async def closed():
        return (await server.chat(headers=bearer("ann"))).status_code == 403

    await until(closed, 3)
    assert server.gateway.reloads == 1


async def test_a_changed_file_is_taken_up_though_the_store_was_locked_when_it_was_looked_at(
    server, up, tmp_path
):
    (file,) = tmp_path.glob("*.db")
    other = apsw.Connection(str(file))
    other.execute("BEGIN IMMEDIATE")
    server.write(pool(up.url, keys=KEYS, policy=CLOSED))
    await until(lambda: server.gateway.reloads_failed, 20)
    other.execute("COMMIT")
    other.close()
    await until(lambda: server.gateway.reloads, 10)
    assert (await server.chat(headers=bearer("ann"))).status_code == 403


async def test_a_key_that_is_taken_out_stops_working_at_the_reload(server, up):
    server.write(pool(up.url, keys=KEYS[1:]))
    assert await server.reloader.reload()
    assert (await server.chat(headers=bearer("ann"))).status_code == 401
    assert (await server.chat(headers=bearer("bob"))).status_code == 200


async def test_a_reload_may_not_open_the_server_to_everybody(server, up):
    server.write(pool(up.url))
    server.reloader._host = "0.0.0.0"
    assert not await server.reloader.reload()
    assert (await server.client.get("/v1/models")).status_code == 401


async def test_requests_under_way_end_under_the_config_they_began_with(tmp_path):
    from tests.server.upstream import Reply

    gate = asyncio.Event()
    whole = chat("late").pieces[0]
    async with Upstream(chat(), Reply(200, (gate, whole))) as up, serving(tmp_path, pool(up.url)) as server:
        asking = asyncio.create_task(server.chat())
        await until(lambda: up.seen)
        server.write(pool("http://127.0.0.1:9", policy=CLOSED))
        assert await server.reloader.reload()
        gate.set()
        assert (await asking).status_code == 200
        assert (await server.chat()).status_code == 403
