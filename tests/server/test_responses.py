"""`/v1/responses` over HTTP: kept answers, what goes on from them, and who may have them."""

import json

import pytest

from interlock.store import StoredResponse
from interlock.wiring import now_us
from tests.server.harness import events, keyed, pool, serving
from tests.server.upstream import Upstream, sse
from tests.server.vendors import ROLE, chat, chat_stream, message, words

KEYS = keyed(
    {"id": "a", "key": "key-a"},
    {"id": "ops", "key": "key-ops", "role": "operator"},
    {"id": "low", "key": "key-low", "max_data_class": "internal"},
    {"id": "b", "key": "key-b", "tenant": "other"},
)
A = {"authorization": "Bearer key-a"}
B = {"authorization": "Bearer key-b"}
LOW = {"authorization": "Bearer key-low"}


@pytest.fixture
async def up():
    async with Upstream(chat("Hello")) as upstream:
        yield upstream


def config(up, **sections):
    made = pool(up.url, up.url, keys=KEYS, **sections)
    for provider in made["providers"].values():
        provider["trusted_for"] = "regulated"
    return made


@pytest.fixture
async def server(tmp_path, up):
    async with serving(tmp_path, config(up)) as running:
        yield running


async def ask(server, given="hi", headers=A, **fields):
    body = {"model": "prod", "input": given, **fields}
    return await server.client.post("/v1/responses", json=body, headers=headers)


async def test_a_conversation_goes_on_from_a_kept_answer(up, server):
    first = await ask(server, "hi", instructions="be brief")
    second = await ask(server, "and?", previous_response_id=first.json()["id"])
    third = await ask(server, "so?", previous_response_id=second.json()["id"])
    assert third.status_code == 200
    assert [(m["role"], m["content"]) for m in up.seen[-1].json["messages"]] == [
        ("user", "hi"),
        ("assistant", "Hello"),
        ("user", "and?"),
        ("assistant", "Hello"),
        ("user", "so?"),
    ], "the instructions of an earlier turn are not carried over"
    assert third.json()["previous_response_id"] == second.json()["id"]
    shown = await server.client.get(f"/v1/responses/{third.json()['id']}", headers=A)
    assert shown.json() == third.json()


async def test_calls_and_their_results_go_on_over_turns_and_vendors(up, server):
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
    up.default = chat(None, finish="tool_calls", calls=(call,))
    tools = [{"type": "function", "name": "search", "parameters": {"type": "object", "properties": {}}}]
    first = await ask(server, tools=tools)
    up.default = message("It is 4")
    result = {"type": "function_call_output", "call_id": "c1", "output": "4"}
    second = await ask(server, [result], model="claude", tools=tools, previous_response_id=first.json()["id"])
    assert second.json()["output"][0]["content"][0]["text"] == "It is 4"
    turns = up.seen[-1].json["messages"]
    assert turns[1]["content"] == [{"type": "tool_use", "id": "c1", "name": "search", "input": {}}]
    assert turns[2]["content"] == [{"type": "tool_result", "tool_use_id": "c1", "content": "4"}]


async def test_a_streamed_answer_is_kept_before_its_end_is_sent(up, server):
    up.default = chat_stream("a", "b")
    streamed = await ask(server, stream=True)
    last = events(streamed.text)[-1]
    assert last["type"] == "response.completed"
    shown = await server.client.get(f"/v1/responses/{last['response']['id']}", headers=A)
    assert shown.json() == last["response"]
    up.default = chat("more")
    again = await ask(server, "more", previous_response_id=last["response"]["id"])
    assert again.status_code == 200


async def test_u8_a_stream_that_was_cut_is_not_kept(up, server):
    up.default = sse(ROLE, *words("partly"), end="reset")
    got = events((await ask(server, stream=True)).text)
    assert got[-1]["type"] == "error"
    name = got[0]["response"]["id"]
    assert (await server.client.get(f"/v1/responses/{name}", headers=A)).status_code == 404


async def test_a10_another_tenants_response_is_as_if_absent(up, server):
    name = (await ask(server)).json()["id"]
    for method, path in (
        ("GET", f"/v1/responses/{name}"),
        ("GET", f"/v1/responses/{name}/input_items"),
        ("DELETE", f"/v1/responses/{name}"),
    ):
        theirs = await server.client.request(method, path, headers=B)
        absent = await server.client.request(method, path.replace(name, "resp_0"), headers=B)
        assert theirs.status_code == absent.status_code == 404
        assert theirs.json()["error"]["message"].replace(name, "resp_0") == absent.json()["error"]["message"]
    calls = len(up.seen)
    goes_on = await ask(server, headers=B, previous_response_id=name)
    assert (goes_on.status_code, goes_on.json()["error"]["code"]) == (404, "not_found")
    assert goes_on.json()["error"]["param"] == "previous_response_id"
    assert len(up.seen) == calls
    assert (await server.client.get(f"/v1/responses/{name}", headers=A)).status_code == 200


async def test_what_goes_on_from_a_response_is_never_less_sensitive_nor_freer(tmp_path, up):
    made = config(up, policy=[{"name": "in-eu", "when": {"residency": "eu"}, "then": {"regions": ["eu"]}}])
    async with serving(tmp_path, made) as server:
        said = {**A, "x-interlock-data-class": "confidential", "x-interlock-residency": "eu"}
        first = await ask(server, "hi", headers=said)
        second = await ask(server, "and?", previous_response_id=first.json()["id"])
        third = await ask(server, "so?", previous_response_id=second.json()["id"])
        decision = server.record(third).decision
        assert decision.policy.data_class == "confidential"
        assert decision.signals.residency == ("eu",)
        elsewhere = await ask(server, "x", model="claude", previous_response_id=second.json()["id"])
        assert (elsewhere.status_code, elsewhere.json()["error"]["code"]) == (403, "policy_denied")
        # A key that may not have such data may neither see it nor go on from it.
        name = first.json()["id"]
        assert (await server.client.get(f"/v1/responses/{name}", headers=LOW)).status_code == 404
        assert (await ask(server, headers=LOW, previous_response_id=name)).status_code == 404


async def test_what_was_said_earlier_is_classified_again_with_every_turn(server):
    first = await ask(server, "my card is 4111 1111 1111 1111")
    second = await ask(server, "and?", previous_response_id=first.json()["id"])
    assert server.record(second).decision.policy.data_class == "regulated"
    assert any(finding.kind.startswith("card") for finding in server.record(second).decision.signals.findings)


async def test_a_caller_can_keep_nothing_and_delete_what_was_kept(server):
    unkept = (await ask(server, store=False)).json()
    assert unkept["store"] is False
    assert (await server.client.get(f"/v1/responses/{unkept['id']}", headers=A)).status_code == 404
    kept = (await ask(server)).json()
    follower = (await ask(server, "and?", previous_response_id=kept["id"])).json()
    gone = await server.client.delete(f"/v1/responses/{kept['id']}", headers=A)
    assert gone.json() == {"id": kept["id"], "object": "response", "deleted": True}
    assert (await server.client.delete(f"/v1/responses/{kept['id']}", headers=A)).status_code == 404
    broken = await ask(server, "so?", previous_response_id=follower["id"])
    assert broken.status_code == 404
    assert kept["id"] in broken.json()["error"]["message"]


@pytest.mark.parametrize("logging", ["metadata", "strict"])
async def test_policy_can_forbid_that_answers_are_kept(tmp_path, up, logging):
    made = config(up, policy=[{"name": "no-content", "then": {"logging": logging}}])
    async with serving(tmp_path, made) as server:
        got = (await ask(server, "a secret-canary")).json()
        assert got["store"] is False
        assert (await server.client.get(f"/v1/responses/{got['id']}", headers=A)).status_code == 404
        calls = len(up.seen)
        refused = await ask(server, store=True)
        assert (refused.status_code, refused.json()["error"]["param"]) == (403, "store")
        assert server.record(refused.json()["error"]["decision_id"]).status == "denied"
        assert len(up.seen) == calls
    assert b"secret-canary" not in b"".join(file.read_bytes() for file in tmp_path.glob("interlock.db*"))


@pytest.mark.parametrize(("mode", "unsaid", "asked"), [("asked", False, True), ("never", False, None)])
async def test_an_operator_can_have_fewer_answers_kept(tmp_path, up, mode, unsaid, asked):
    async with serving(tmp_path, config(up, store={"responses": mode})) as server:
        assert (await ask(server)).json()["store"] is unsaid
        got = await ask(server, store=True)
        assert (got.json()["store"] if got.status_code == 200 else None) is asked


async def test_a_kept_answer_is_gone_when_it_is_as_old_as_records_may_get(tmp_path, up):
    async with serving(tmp_path, config(up, telemetry={"retention_days": 2})) as server:
        name = (await ask(server)).json()["id"]
        row = server.gateway.store.get_response(name, "acme", 0)
        assert row is not None
        day = 86_400_000_000
        values = {field: getattr(row, field) for field in row.__struct_fields__}
        old = StoredResponse(**{**values, "id": "resp_old", "created_at": now_us() - 3 * day})
        await server.gateway.store.put_response(old)
        assert (await server.client.get("/v1/responses/resp_old", headers=A)).status_code == 404
        assert (await ask(server, previous_response_id="resp_old")).status_code == 404
        await server.gateway.expire()
        assert server.gateway.store.get_response("resp_old", "acme", 0) is None
        assert server.gateway.store.get_response(name, "acme", 0) is not None


async def test_the_input_of_a_response_is_listed_page_by_page(server):
    first = (await ask(server, "hi")).json()
    part = {"type": "input_text", "text": "and?"}
    second = (
        await ask(server, [{"role": "user", "content": [part]}], previous_response_id=first["id"])
    ).json()
    path = f"/v1/responses/{second['id']}/input_items"
    listed = (await server.client.get(path, headers=A)).json()
    assert [item["role"] for item in listed["data"]] == ["user", "assistant", "user"]
    assert listed["data"][0]["content"] == [part]
    assert (listed["has_more"], listed["first_id"]) == (False, listed["data"][0]["id"])
    page = (await server.client.get(f"{path}?limit=2&order=asc", headers=A)).json()
    assert ([i["role"] for i in page["data"]], page["has_more"]) == (["user", "assistant"], True)
    rest = (await server.client.get(f"{path}?order=asc&after={page['last_id']}", headers=A)).json()
    assert [item["content"] for item in rest["data"]] == [[part]]
    for query in ("limit=0", "limit=x", "order=up", "after=nobody"):
        assert (await server.client.get(f"{path}?{query}", headers=A)).status_code == 400


async def test_a_dry_run_goes_on_from_a_kept_answer_too(server):
    first = (await ask(server, "my card is 4111 1111 1111 1111")).json()
    body = {"model": "prod", "input": "and?", "previous_response_id": first["id"]}
    dry = await server.client.post("/v1/decisions?endpoint=/v1/responses", json=body, headers=A)
    assert dry.json()["policy"]["data_class"] == "regulated"
    assert dry.json()["signals"]["endpoint"] == "/v1/responses"


async def test_a_conversation_that_has_grown_too_large_is_refused(tmp_path, up):
    async with serving(tmp_path, config(up, server={"max_body_mb": 0.02})) as server:
        name = (await ask(server, "x" * 9000)).json()["id"]
        name = (await ask(server, "y" * 5000, previous_response_id=name)).json()["id"]
        refused = await ask(server, "z" * 5000, previous_response_id=name)
        assert (refused.status_code, refused.json()["error"]["code"]) == (413, "request_too_large")


async def test_errors_have_the_shape_of_this_dialect(up, server):
    wrong = await ask(server, tools=[{"type": "custom", "name": "x"}])
    assert wrong.json()["error"]["param"] == "tools[0].type"
    assert (await ask(server, model="nobody")).json()["error"]["code"] == "unknown_model"
    shown = await server.client.get("/v1/responses/resp_0?stream=true", headers=A)
    assert shown.json()["error"]["param"] == "stream"
    assert (await server.client.post("/v1/responses/resp_0", headers=A, json={})).status_code == 405


async def test_a_tool_that_policy_denies_does_not_come_in_by_an_item_of_the_input(tmp_path, up):
    tools = {"search": {"effects": ["read"]}, "deploy": {"effects": ["critical"]}}
    made = config(up, tools=tools, policy=[{"name": "no-deploy", "then": {"deny_tools": ["deploy"]}}])
    made["providers"]["alpha"]["api"] = "responses"
    call = {"type": "function_call", "id": "fc", "call_id": "c", "name": "deploy", "arguments": "{}"}
    body = {"id": "resp_1", "model": "up-1", "status": "completed", "output": [call]}
    async with serving(tmp_path, made) as server:
        up.default = chat()
        up.default.pieces = (json.dumps(body).encode(),)
        item = {
            "type": "additional_tools",
            "role": "developer",
            "tools": [{"type": "function", "name": "deploy"}],
        }
        got = await ask(server, [{"role": "user", "content": "hi"}, item])
        assert (got.status_code, got.json()["error"]["code"]) == (403, "tool_denied")
