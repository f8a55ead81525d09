"""Tools and schemas against a provider that does as it likes: judged before it is asked, and after."""

import pytest

from tests.server.harness import CANARY, pool, serving
from tests.server.upstream import Upstream, answer, sse
from tests.server.vendors import CHAT_USAGE, DONE, ROLE, call, chat, chat_event, event, message

SEARCH = {
    "type": "function",
    "function": {
        "name": "search",
        "parameters": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]},
    },
}
GOOD = '{"q":"x"}'
KEY = f"{CANARY}-alpha"
RUNS = {"type": "code_execution_20250825", "name": "code_execution"}


def used(kind="server_tool_use", **fields):
    return {"type": kind, "id": "srvtoolu_1", "input": {}, **fields}


def used_stream(block):
    head = {"id": "m", "type": "message", "role": "assistant", "model": "up-2", "content": [], "usage": {}}
    sent = [
        {"type": "message_start", "message": head},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]
    return sse(*(event(one, one["type"]) for one in sent))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("need", [{"approval": "required"}, {"effects": ["critical"]}])
async def test_a2_a_tool_that_the_provider_runs_is_not_offered_where_it_would_have_to_wait(
    tmp_path, need, stream
):
    async with Upstream(message()) as up:
        config = pool(up.url, up.url)
        config["tools"]["code_execution"] = {"effects": ["write"], **need}
        async with serving(tmp_path, config) as server:
            got = await server.message(model="claude", tools=[RUNS], stream=stream)
            assert got.status_code == 403
            assert "`code_execution`" in got.text
            assert up.seen == []
            assert server.record(got).status == "denied"
            assert str(server.record(got).error).startswith("approval_required")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("block", "status"),
    [
        (used(name="code_execution"), 200),
        (used(name="bash_code_execution"), 200),
        (used(name="web_search"), 403),
        (used("mcp_tool_use", name="code_execution", server_name="crm"), 403),
    ],
    ids=["offered", "a part of one that is offered", "not offered", "a server that was not offered"],
)
async def test_a2_a_call_that_the_provider_carried_out_is_judged_like_any_other(
    tmp_path, block, status, stream
):
    reply = used_stream(block) if stream else message(content=[block])
    async with Upstream(reply) as up:
        config = pool(up.url, up.url)
        config["tools"]["code_execution"] = {"effects": ["read"]}
        async with serving(tmp_path, config) as server:
            got = await server.message(model="claude", tools=[RUNS], stream=stream)
            assert got.status_code == status
            assert ("srvtoolu_1" in got.text) == (status == 200)


@pytest.mark.parametrize("stream", [False, True])
async def test_a17_a_tool_named_like_the_key_shows_it_to_nobody(tmp_path, stream):
    calls = (call(0, KEY, "{}"),)
    reply = sse(ROLE, chat_event({"tool_calls": [*calls]}), chat_event({}, "tool_calls"), CHAT_USAGE, DONE)
    async with (
        Upstream(reply if stream else chat(None, calls=calls, finish="tool_calls")) as up,
        serving(tmp_path, pool(up.url)) as server,
    ):
        got = await server.chat(tools=[SEARCH], stream=stream)
        assert got.status_code == 403
        assert KEY not in got.text
        assert KEY not in str(server.record(got))


async def test_a17_a_key_cut_short_by_the_provider_is_taken_out_too(tmp_path):
    refusal = answer({"error": {"message": f"bad input near {KEY[:-3]}*** here"}}, 400)
    async with Upstream(refusal) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat()
        assert got.status_code == 400
        assert "bad input near …*** here" in got.text
        assert KEY[:12] not in str(server.record(got))


@pytest.mark.parametrize("stream", [False, True])
async def test_a17_an_answer_that_says_the_key_leaves_without_it(tmp_path, stream):
    reply = (
        sse(ROLE, chat_event({"content": f"it is {KEY}."}), chat_event({}, "stop"), CHAT_USAGE, DONE)
        if stream
        else chat(f"it is {KEY}.", id=KEY)
    )
    async with Upstream(reply) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat(stream=stream)
        assert got.status_code == 200
        assert "it is …." in got.text
        assert KEY not in got.text


ONE, TWO = (call(0, "search", GOOD),), (call(0, "search", GOOD), call(1, "search", GOOD))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("calls", "fields", "says"),
    [
        ((call(0, "search", '{"q":"x","q":"y"}'),), {}, "no JSON object"),
        (ONE, {"tool_choice": "none"}, "asks for none"),
        (TWO, {"parallel_tool_calls": False}, "only one"),
        (ONE, {"tool_choice": {"type": "function", "function": {"name": "deploy"}}}, "asks for `deploy`"),
        (TWO, {}, None),
    ],
    ids=["a key twice", "none allowed", "two for one", "not the forced one", "good"],
)
async def test_a2_a_call_that_is_not_what_was_asked_for_is_withheld(tmp_path, calls, fields, says, stream):
    deploy = {"type": "function", "function": {"name": "deploy"}}
    reply = sse(ROLE, chat_event({"tool_calls": [*calls]}), chat_event({}, "tool_calls"), CHAT_USAGE, DONE)
    async with (
        Upstream(reply if stream else chat(None, calls=calls, finish="tool_calls")) as up,
        serving(tmp_path, pool(up.url)) as server,
    ):
        got = await server.chat(tools=[SEARCH, deploy], stream=stream, **fields)
        if says is None:
            assert got.status_code == 200
            assert server.record(got).status == "ok"
        else:
            assert says in got.text
            assert server.record(got).attempts[0].outcome == "schema_invalid"
            assert str(server.record(got).error).startswith("upstream_failed")


async def test_a_call_against_its_schema_is_passed_on_and_said_in_the_record(tmp_path):
    wrong = (call(0, "search", '{"q":1}'),)
    async with (
        Upstream(chat(None, calls=wrong, finish="tool_calls")) as up,
        serving(tmp_path, pool(up.url)) as server,
    ):
        got = await server.chat(tools=[SEARCH])
        assert got.status_code == 200
        (attempt,) = server.record(got).attempts
        assert attempt.violations == ("tool_arguments: `search` was called against its JSON Schema",)


@pytest.mark.parametrize(
    "schema", [{"type": 5}, {"$ref": "file:///etc/hostname"}, {"$ref": "http://127.0.0.1:9/x"}]
)
async def test_c11_a_schema_that_cannot_be_used_is_the_callers_mistake(tmp_path, schema):
    asked = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    async with Upstream(chat("{}")) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat(response_format=asked)
        assert got.status_code == 400
        assert got.json()["error"]["param"] == "response_format"
        assert up.seen == []
