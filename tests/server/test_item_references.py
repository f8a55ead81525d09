"""Items of kept answers that a request names: they stand in their places, and are whose they are."""

import json

import pytest

from interlock.server import earlier
from interlock.store import StoredResponse
from interlock.wiring import now_us
from tests.server.harness import events, pool, serving
from tests.server.test_responses import KEYS, LOW, A, B, ask, config
from tests.server.upstream import Upstream, answer
from tests.server.vendors import call, chat, chat_stream, message

TOOLS = [{"type": "function", "name": "search", "parameters": {"type": "object", "properties": {}}}]
DAY = 86_400_000_000


@pytest.fixture
async def up():
    async with Upstream(chat("Hello")) as upstream:
        yield upstream


@pytest.fixture
async def server(tmp_path, up):
    async with serving(tmp_path, config(up)) as running:
        yield running


def user(text):
    return {"role": "user", "content": text}


def named(item):
    """What stands for an item, or for one of an id."""
    return {"type": "item_reference", "id": item if isinstance(item, str) else item["id"]}


def output(got):
    assert got.status_code == 200, got.text
    return got.json()["output"]


def result(call_id, text="4"):
    return {"type": "function_call_output", "call_id": call_id, "output": text}


def refused(got):
    error = got.json()["error"]
    return got.status_code, error["code"], error["param"]


ABSENT = (404, "not_found", "input[0].id")


async def test_an_item_stands_where_its_name_stood(up, server):
    first = output(await ask(server, "hi"))
    up.default = chat("Bye")
    second = output(await ask(server, [user("hi"), named(first[0]), user("and?")]))
    third = await ask(server, [user("hi"), named(first[0]), user("and?"), named(second[0]), user("so?")])
    assert third.status_code == 200
    assert [(m["role"], m["content"]) for m in up.seen[-1].json["messages"]] == [
        ("user", "hi"),
        ("assistant", "Hello"),
        ("user", "and?"),
        ("assistant", "Bye"),
        ("user", "so?"),
    ]


async def test_names_stand_for_their_items_in_the_order_of_the_request(up, server):
    up.default = chat("one")
    one = output(await ask(server))[0]
    up.default = chat("two")
    two = output(await ask(server))[0]
    await ask(server, [named(two), user("x"), named(one), user("y")])
    assert [m["content"] for m in up.seen[-1].json["messages"]] == ["two", "x", "one", "y"]


async def test_a_streamed_item_is_named_as_a_whole_one(up, server):
    up.default = chat_stream("a", "b")
    item = events((await ask(server, stream=True)).text)[-1]["response"]["output"][0]
    up.default = chat("more")
    assert output(await ask(server, [user("hi"), named(item), user("and?")]))
    assert up.seen[-1].json["messages"][1] == {"role": "assistant", "content": "ab"}


async def test_calls_and_thoughts_are_named_through_a_tool_loop(up, server):
    thought = {"type": "thinking", "thinking": "let me see", "signature": "sig"}
    use = {"type": "tool_use", "id": "c1", "name": "search", "input": {}}
    up.default = message(stop="tool_use", content=[thought, {"type": "text", "text": "Wait"}, use])
    items = output(await ask(server, model="claude", tools=TOOLS))
    assert [item["type"] for item in items] == ["reasoning", "message", "function_call"]
    up.default = message("It is 4")
    loop = [user("hi"), *map(named, items), result("c1")]
    said = output(await ask(server, loop, model="claude", tools=TOOLS))
    assert said[0]["content"][0]["text"] == "It is 4"
    turns = up.seen[-1].json["messages"]
    assert turns[1]["content"] == [thought, {"type": "text", "text": "Wait"}, use]
    assert turns[2]["content"] == [{"type": "tool_result", "tool_use_id": "c1", "content": "4"}]


async def test_a_call_goes_on_at_another_vendor(up, server):
    up.default = chat(None, finish="tool_calls", calls=(call(0, "search", "{}"),))
    (item,) = output(await ask(server, tools=TOOLS))
    up.default = message("It is 4")
    loop = [user("hi"), named(item), result(item["call_id"])]
    assert output(await ask(server, loop, model="claude", tools=TOOLS))
    assert up.seen[-1].json["messages"][1]["content"][0]["name"] == "search"


# --- the names that a vendor gives -----------------------------------------------------------------


def vendors(*items):
    return answer({"id": "resp_v", "model": "up-1", "status": "completed", "output": list(items)})


def said(item_id, text="Hello"):
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"id": item_id, "type": "message", "role": "assistant", "status": "completed", "content": [part]}


SEARCHES = [{"type": "web_search"}]
SEARCHED = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search"}}
THOUGHT = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAAAAB"}


@pytest.fixture
async def other(tmp_path, up):
    """A server whose upstream speaks this API itself, and names its items."""
    made = config(up)
    made["providers"]["alpha"]["api"] = "responses"
    async with serving(tmp_path, made) as running:
        yield running


async def test_a_vendors_items_are_found_by_its_names_for_them(up, other):
    up.default = vendors(THOUGHT, SEARCHED, said("msg_1"))
    items = output(await ask(other, tools=SEARCHES))
    assert [item["id"] for item in items] == ["rs_1", "ws_1", "msg_1"]
    assert output(await ask(other, [user("hi"), *map(named, items), user("and?")], tools=SEARCHES))
    sent = up.seen[-1].json["input"]
    assert [item.get("type", "message") for item in sent] == [
        "message",
        "reasoning",
        "web_search_call",
        "message",
        "message",
    ]
    assert sent[1]["encrypted_content"] == "gAAAAAB"
    assert sent[2] == SEARCHED


async def test_a_name_that_a_vendor_gave_twice_is_not_guessed_at(up, other):
    up.default = vendors(said("msg_1", "one"))
    kept = (await ask(other)).json()["id"]
    up.default = vendors(said("msg_1", "two"))
    await ask(other)
    got = await ask(other, [named("msg_1"), user("and?")])
    assert refused(got) == (400, "invalid_request", "input[0].id")
    assert "store: false" in got.json()["error"]["hint"]
    await other.client.delete(f"/v1/responses/{kept}", headers=A)
    assert (await ask(other, [named("msg_1"), user("and?")])).status_code == 200
    assert up.seen[-1].json["input"][0]["content"] == "two"


async def test_the_same_name_of_another_tenants_item_is_neither_found_nor_in_the_way(up, other):
    up.default = vendors(said("msg_1", "theirs"))
    await ask(other, headers=B)
    assert refused(await ask(other, [named("msg_1"), user("and?")])) == ABSENT
    up.default = vendors(said("msg_1", "ours"))
    await ask(other)
    assert (await ask(other, [named("msg_1"), user("and?")])).status_code == 200
    assert up.seen[-1].json["input"][0]["content"] == "ours"


async def test_what_an_answer_names_itself_is_not_followed(up, server):
    body = json.dumps({"output": [named("msg_9"), said("msg_1")]}).encode()
    row = StoredResponse(
        id="resp_1", tenant="acme", created_at=now_us(), data_class="public", input=b"[]", body=body
    )
    await server.gateway.store.put_response(row, ("msg_9", "msg_1"))
    assert refused(await ask(server, [named("msg_9"), user("and?")])) == ABSENT
    went_on = await ask(server, "and?", previous_response_id="resp_1")
    assert refused(went_on) == (400, "invalid_request", "input")
    assert up.seen == []


# --- whose items they are ------------------------------------------------------------------------


async def test_a10_another_tenants_item_is_as_if_absent(up, server):
    name = output(await ask(server))[0]["id"]
    absent = f"msg_{'p' * 29}"
    calls = len(up.seen)
    theirs = await ask(server, [named(name)], headers=B)
    nobodys = await ask(server, [named(absent)], headers=B)
    assert refused(theirs) == ABSENT
    assert theirs.text.replace(name, absent) == nobodys.text
    assert len(up.seen) == calls


async def test_a_key_that_may_not_have_such_data_does_not_get_it_by_a_name(up, other):
    secret = {**A, "x-interlock-data-class": "confidential"}
    up.default = vendors(said("msg_1", "secret"))
    await ask(other, headers=secret)
    assert refused(await ask(other, [named("msg_1")], headers=LOW)) == ABSENT
    up.default = vendors(said("msg_1", "for all"))
    await ask(other, headers=LOW)
    assert (await ask(other, [named("msg_1"), user("x")], headers=LOW)).status_code == 200
    assert up.seen[-1].json["input"][0]["content"] == "for all"


async def test_an_own_name_is_no_way_to_data_above_the_keys_class(server):
    item = output(await ask(server, headers={**A, "x-interlock-data-class": "confidential"}))[0]
    assert refused(await ask(server, [named(item)], headers=LOW)) == ABSENT


async def test_a_request_is_as_sensitive_and_bound_as_each_answer_that_it_names(tmp_path, up):
    made = config(up, policy=[{"name": "in-eu", "when": {"residency": "eu"}, "then": {"regions": ["eu"]}}])
    async with serving(tmp_path, made) as server:
        secret = output(await ask(server, headers={**A, "x-interlock-data-class": "confidential"}))[0]
        bound = output(await ask(server, headers={**A, "x-interlock-residency": "eu"}))[0]
        got = await ask(server, [named(bound), named(secret), user("and?")])
        decision = server.record(got).decision
        assert decision.policy.data_class == "confidential"
        assert decision.signals.residency == ("eu",)
        elsewhere = await ask(server, [named(bound), user("and?")], model="claude")
        assert (elsewhere.status_code, elsewhere.json()["error"]["code"]) == (403, "policy_denied")
        # Also where only what goes on from it is named, or goes on from it.
        last = await ask(server, [named(output(got)[0]), user("so?")])
        assert server.record(last).decision.signals.residency == ("eu",)
        after = await ask(server, "so?", previous_response_id=got.json()["id"])
        assert server.record(after).decision.policy.data_class == "confidential"


async def test_what_a_named_item_says_is_classified_again(up, server):
    up.default = chat("card 4111 1111 1111 1111")
    item = output(await ask(server))[0]
    up.default = chat("Hello")
    got = await ask(server, [user("hi"), named(item), user("and?")])
    assert server.record(got).decision.policy.data_class == "regulated"
    body = {"model": "prod", "input": [named(item)]}
    dry = await server.client.post("/v1/decisions?endpoint=/v1/responses", json=body, headers=A)
    assert dry.json()["policy"]["data_class"] == "regulated"


# --- where there is none -------------------------------------------------------------------------


@pytest.mark.parametrize("item", ["msg_1", "", "_", "msg_" + "a" * 29, "rs_" + "p" * 500, "ü" * 70])
async def test_a_name_of_nothing_is_refused_with_its_place(server, item):
    got = await ask(server, [user("hi"), named(item)])
    if not item:
        assert refused(got) == (400, "invalid_request", "input[1].id")
        return
    assert refused(got) == (404, "not_found", "input[1].id")
    assert f"Item with id '{item[:64]}" in got.json()["error"]["message"]
    assert len(got.text) < 600


async def test_a_place_that_an_answer_does_not_have_is_nothing(server):
    item = output(await ask(server))[0]
    assert refused(await ask(server, [named(item["id"][:-1] + "h")])) == ABSENT
    assert refused(await ask(server, [named("fc" + item["id"][3:])])) == ABSENT


async def test_items_go_with_their_response(up, other):
    up.default = vendors(said("msg_1"))
    kept = (await ask(other)).json()["id"]
    up.default = vendors(said("msg_2"))
    assert (await ask(other, [named("msg_1"), user("x")])).status_code == 200
    assert (await other.client.delete(f"/v1/responses/{kept}", headers=A)).json()["deleted"] is True
    assert refused(await ask(other, [named("msg_1"), user("x")])) == ABSENT
    assert other.gateway.store.holders("msg_1", "acme", "regulated", 0) == ()
    assert (await ask(other, [named("msg_2"), user("x")])).status_code == 200


async def test_an_own_items_name_goes_with_its_response_too(server):
    kept = (await ask(server)).json()
    await server.client.delete(f"/v1/responses/{kept['id']}", headers=A)
    assert refused(await ask(server, [named(kept["output"][0]), user("x")])) == ABSENT


async def test_items_are_gone_when_they_are_as_old_as_records_may_get(tmp_path, up):
    made = config(up, telemetry={"retention_days": 2})
    async with serving(tmp_path, made) as server:
        store = server.gateway.store
        got = await ask(server)
        row = store.get_response(got.json()["id"], "acme", 0)
        assert row is not None
        old = StoredResponse(
            id="resp_" + "0" * 26,
            tenant="acme",
            created_at=now_us() - 3 * DAY,
            data_class="public",
            input=row.input,
            body=json.dumps({"output": [said("msg_1"), said("msg_" + "g" * 29)]}).encode(),
        )
        await store.put_response(old, ("msg_1",))
        for name in ("msg_1", "msg_" + "g" * 29):
            assert refused(await ask(server, [named(name)])) == ABSENT
        await server.gateway.expire()
        assert store.holders("msg_1", "acme", "regulated", 0) == ()
        assert (await ask(server, [named(output(got)[0]), user("x")])).status_code == 200


@pytest.mark.parametrize(
    ("sections", "fields"),
    [
        ({"store": {"responses": "never"}}, {}),
        ({"store": {"responses": "asked"}}, {}),
        ({}, {"store": False}),
        ({"policy": [{"name": "no-content", "then": {"logging": "metadata"}}]}, {}),
    ],
)
async def test_where_answers_are_not_kept_a_name_is_refused_with_what_to_do(tmp_path, up, sections, fields):
    async with serving(tmp_path, config(up, **sections)) as server:
        item = output(await ask(server, **fields))[0]
        got = await ask(server, [named(item), user("and?")], **fields)
        assert refused(got) == ABSENT
        assert "store: false" in got.json()["error"]["hint"]
        told = "no answers are kept here" in got.json()["error"]["hint"]
        assert told == (sections.get("store") == {"responses": "never"})
        itself = await ask(server, [item, user("and?")], **fields)
        assert itself.status_code == 200


async def test_an_item_stands_in_a_conversation_once(up, server):
    first = await ask(server)
    item = output(first)[0]
    twice = (400, "invalid_request", "input[1].id")
    calls = len(up.seen)
    assert refused(await ask(server, [named(item), named(item)])) == twice
    assert refused(await ask(server, [item, named(item)])) == twice
    got = await ask(server, [user("x"), named(item)], previous_response_id=first.json()["id"])
    assert refused(got) == twice
    assert f"Duplicate item found with id '{item['id']}'" in got.json()["error"]["message"]
    assert len(up.seen) == calls


async def test_names_go_with_an_answer_that_the_request_goes_on_from(up, server):
    up.default = chat("one")
    one = (await ask(server, "first")).json()
    up.default = chat("two")
    two = output(await ask(server, "second"))[0]
    mixed = await ask(server, [named(two), user("x")], previous_response_id=one["id"])
    assert mixed.json()["previous_response_id"] == one["id"]
    assert [m["content"] for m in up.seen[-1].json["messages"]] == ["first", "one", "two", "x"]
    await ask(server, "y", previous_response_id=mixed.json()["id"])
    assert [m["content"] for m in up.seen[-1].json["messages"]] == ["first", "one", "two", "x", "two", "y"]


async def test_the_input_of_a_response_shows_the_items_that_were_named(server):
    item = output(await ask(server))[0]
    got = (await ask(server, [user("hi"), named(item), user("and?")])).json()
    path = f"/v1/responses/{got['id']}/input_items?order=asc"
    listed = (await server.client.get(path, headers=A)).json()["data"]
    assert [one["role"] for one in listed] == ["user", "assistant", "user"]
    assert listed[1] == item


async def test_a_conversation_of_names_that_has_grown_too_large_is_refused(tmp_path, up):
    async with serving(tmp_path, config(up, server={"max_body_mb": 0.02})) as server:
        up.default = chat("x" * 9000)
        items = [output(await ask(server))[0] for _ in range(3)]
        assert (await ask(server, [*map(named, items[:2]), user("x")])).status_code == 200
        got = await ask(server, [*map(named, items), user("x")])
        assert refused(got) == (413, "request_too_large", "input[2].id")


async def test_items_of_so_many_answers_are_too_many(up, server, monkeypatch):
    monkeypatch.setattr(earlier, "MOST_TURNS", 2)
    items = [output(await ask(server))[0] for _ in range(3)]
    assert (await ask(server, [*map(named, items[:2]), user("x")])).status_code == 200
    got = await ask(server, [*map(named, items), user("x")])
    assert refused(got) == (413, "request_too_large", "input[2].id")
    assert "over 2 answers" in got.json()["error"]["message"]


@pytest.mark.parametrize("item", [{"id": 5}, {"id": "msg_1", "role": "user"}, {}])
async def test_a_name_is_an_id_and_nothing_else(server, item):
    got = await ask(server, [{"type": "item_reference", **item}])
    assert got.status_code == 400
    assert got.json()["error"]["param"].startswith("input[0].")


async def test_a_name_need_not_say_its_type(up, server):
    item = output(await ask(server))[0]
    for given in ({"id": item["id"]}, {"type": None, "id": item["id"]}):
        assert (await ask(server, [given, user("x")])).status_code == 200
        assert up.seen[-1].json["messages"][0] == {"role": "assistant", "content": "Hello"}


async def test_a_request_that_names_items_is_not_gone_over_again(tmp_path, up):
    async with serving(tmp_path, pool(up.url, up.url, keys=KEYS)) as server:
        item = output(await ask(server))[0]
        for _ in range(3):
            assert (await ask(server, [named(item), user("x")], store=False)).status_code == 200
            assert (server.gateway.lately.request, server.gateway.lately.wanted) == ((), True)
        await ask(server, "x", store=False)
        assert server.gateway.lately.request
