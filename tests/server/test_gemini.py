"""Callers of both dialects against a Gemini upstream on loopback: answers, tool loops, faults, its key."""

import asyncio
import json
from typing import Any

import anthropic
import openai
import pytest

from tests.server.google import call, chunk, error, gemini_pool, streamed, whole
from tests.server.harness import CANARY, events, serving, until
from tests.server.upstream import HANG, Upstream, sse
from tests.server.vendors import chat, chat_stream

TOOLS = [{"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}]
FALLBACK = [{"from": "*", "to": "small", "when": "any"}]


def outcomes(record):
    return [(attempt.model, attempt.outcome) for attempt in record.attempts]


async def test_both_dialects_are_answered_whole_and_streamed(tmp_path):
    async with Upstream() as up, serving(tmp_path, gemini_pool(up.url)) as server:
        up.replies = [whole({"text": "Hello"}), whole({"text": "Hello"})]
        got = await server.chat()
        assert got.json()["choices"][0]["message"]["content"] == "Hello"
        assert got.headers["x-interlock-route"] == "gamma/gem"
        assert (await server.message()).json()["content"] == [{"type": "text", "text": "Hello"}]
        up.replies = [streamed({"text": "Hel"}, {"text": "lo"}) for _ in range(2)]
        stream = events((await server.chat(stream=True)).text)
        assert stream[-1] == "[DONE]"
        said = [one["choices"][0]["delta"].get("content") or "" for one in stream[:-1] if one["choices"]]
        assert "".join(said) == "Hello"
        stream = events((await server.message(stream=True)).text)
        assert stream[-1]["type"] == "message_stop"
        assert stream[-2]["usage"]["output_tokens"] == 7
        paths = [seen.path for seen in up.seen]
        assert paths[0] == paths[1] == "/v1beta/models/gemini-3-pro:generateContent"
        assert paths[2] == paths[3] == "/v1beta/models/gemini-3-pro:streamGenerateContent?alt=sse"
        assert {seen.headers["x-goog-api-key"] for seen in up.seen} == {f"{CANARY}-alpha"}
        record = server.record(got)
        (attempt,) = record.attempts
        assert (attempt.input_tokens, attempt.output_tokens, attempt.reasoning_tokens) == (11, 7, 3)


@pytest.mark.parametrize("stream", [False, True])
async def test_u18_a_tool_loop_of_the_openai_sdk_brings_calls_and_signature_back(tmp_path, stream):
    calls = (call("search", "c2ln", q="a"), call("search", q="b"))
    async with Upstream() as up, serving(tmp_path, gemini_pool(up.url)) as server:
        client: Any = openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0)
        messages: list[Any] = [{"role": "user", "content": "hi"}]
        up.replies = [streamed(*calls) if stream else whole(*calls), whole({"text": "done"})]
        if stream:
            async with client.chat.completions.stream(model="prod", messages=messages, tools=TOOLS) as run:
                first = (await run.get_final_completion()).choices[0]
        else:
            first = (
                await client.chat.completions.create(model="prod", messages=messages, tools=TOOLS)
            ).choices[0]
        assert first.finish_reason == "tool_calls"
        made = first.message.tool_calls
        assert [one.id for one in made] == ["call_R1_0", "call_R1_1"]
        messages.append(first.message.model_dump(exclude_none=True, exclude={"parsed"}))
        for one in reversed(made):  # results may come in any order
            content = json.loads(one.function.arguments)["q"]
            messages.append({"role": "tool", "tool_call_id": one.id, "content": content})
        for one in messages[1].get("tool_calls", ()):
            one["function"].pop("parsed_arguments", None)
            one.pop("index", None)
        done = await client.chat.completions.create(model="prod", messages=messages, tools=TOOLS)
        assert done.choices[0].message.content == "done"
        await client.close()
        _, model, results = up.seen[1].json["contents"]
        assert model["parts"] == list(calls)
        assert [one["functionResponse"]["response"] for one in results["parts"]] == [
            {"output": "a"},
            {"output": "b"},
        ]


@pytest.mark.parametrize("stream", [False, True])
async def test_u18_a_tool_loop_of_the_anthropic_sdk_brings_calls_and_signature_back(tmp_path, stream):
    tools = [{"name": "search", "input_schema": {"type": "object"}}]
    said = ({"text": "Let me see."}, call("search", "c2ln", q="a"))
    async with Upstream() as up, serving(tmp_path, gemini_pool(up.url)) as server:
        client: Any = anthropic.AsyncAnthropic(base_url=server.url, api_key="x", max_retries=0)
        messages: list[Any] = [{"role": "user", "content": "hi"}]
        up.replies = [streamed(*said) if stream else whole(*said), whole({"text": "done"})]
        asked = {"model": "prod", "max_tokens": 99, "tools": tools}
        if stream:
            async with client.messages.stream(messages=messages, **asked) as run:
                first = await run.get_final_message()
        else:
            first = await client.messages.create(messages=messages, **asked)
        assert first.stop_reason == "tool_use"
        assert first.content[0].text == "Let me see."
        (use,) = (block for block in first.content if block.type == "tool_use")
        result = {"type": "tool_result", "tool_use_id": use.id, "content": use.input["q"]}
        blocks = [block.to_dict() for block in first.content]
        messages += [{"role": "assistant", "content": blocks}, {"role": "user", "content": [result]}]
        done = await client.messages.create(messages=messages, **asked)
        assert done.content[0].text == "done"
        await client.close()
        _, model, results = up.seen[1].json["contents"]
        assert model["parts"] == list(said)
        assert results["parts"][0]["functionResponse"]["response"] == {"output": "a"}


@pytest.mark.parametrize(
    ("broken", "outcome"),
    [
        (error(429, "RESOURCE_EXHAUSTED", "slow down"), "rate_limited"),
        (error(503, "UNAVAILABLE", "overloaded"), "upstream_error"),
        (whole(finish="SAFETY"), "content_filtered"),
        (whole({"text": "x"}, finish="MALFORMED_FUNCTION_CALL"), "malformed"),
        (whole(), "malformed"),
        (whole({"text": "", "thoughtSignature": "c2ln"}), "malformed"),
    ],
)
async def test_u3_a_failed_answer_falls_back_to_another_wire_format(tmp_path, broken, outcome):
    async with (
        Upstream(broken) as up,
        Upstream(chat("from small")) as other,
        serving(tmp_path, gemini_pool(up.url, other.url, fallbacks=FALLBACK)) as server,
    ):
        got = await server.chat()
        assert got.json()["model"] == "small"
        tried = outcomes(server.record(got))
        assert (tried[0], tried[-1]) == (("gem", outcome), ("small", "ok"))


@pytest.mark.parametrize(
    "broken",
    [
        sse(chunk(finish="SAFETY")),
        sse(b"data: {\r\n\r\n"),
        sse(chunk({"text": ""})),
        sse(b'data: {"promptFeedback":{"blockReason":"SAFETY"}}\r\n\r\n'),
        error(500, "INTERNAL", "x"),
    ],
)
async def test_u9_a_stream_that_fails_before_its_first_word_falls_back(tmp_path, broken):
    async with (
        Upstream(broken) as up,
        Upstream(chat_stream("from small")) as other,
        serving(tmp_path, gemini_pool(up.url, other.url, fallbacks=FALLBACK)) as server,
    ):
        got = await server.message(stream=True)
        stream = events(got.text)
        assert [one["type"] for one in stream].count("message_start") == 1
        assert stream[-1]["type"] == "message_stop"
        assert got.headers["x-interlock-route"] == "alpha/small"


@pytest.mark.parametrize("end", ["whole", "reset"])
async def test_u8_a_stream_cut_after_its_first_word_ends_in_one_error_and_is_not_finished(tmp_path, end):
    async with (
        Upstream(sse(chunk({"text": "half"}), end=end)) as up,
        serving(tmp_path, gemini_pool(up.url, fallbacks=FALLBACK)) as server,
    ):
        got = await server.chat(stream=True)
        stream = events(got.text)
        assert "[DONE]" not in stream
        assert stream[-1]["error"]["code"] == "upstream_failed"
        record = server.record(got)
        assert record.status == "failed"
        (attempt,) = record.attempts
        assert (attempt.input_tokens, attempt.usage_estimated) == (11, True)


async def test_c1_a_caller_that_leaves_takes_the_upstream_with_it(tmp_path):
    async with Upstream(HANG) as up, serving(tmp_path, gemini_pool(up.url)) as server:
        task = asyncio.create_task(server.chat())
        await until(lambda: up.seen)
        task.cancel()
        await asyncio.wait_for(up.seen[0].gone.wait(), 2)


async def test_a17_the_key_is_in_no_answer_no_record_and_no_log(tmp_path):
    words = f"key={CANARY}-alpha is not valid"
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
    async with Upstream() as up, serving(tmp_path, gemini_pool(up.url)) as server:
        found = []
        for up.default in (
            error(400, "INVALID_ARGUMENT", words, info),
            error(400, "INVALID_ARGUMENT", words),
            whole({"text": words}),
        ):
            found.append(await server.chat())
        refused, bad, echoed = found
        assert refused.status_code == 502
        assert "not valid" not in refused.text
        assert bad.status_code == 400
        assert "is not valid" in bad.text
        for got in (refused, bad, echoed):
            assert CANARY not in got.text
            assert CANARY not in repr(server.record(got))
        assert CANARY not in server.log_file.read_text()


async def test_what_gemini_cannot_be_asked_is_refused_by_name_or_goes_to_a_model_that_can(tmp_path):
    async with (
        Upstream(whole({"text": "x"})) as up,
        Upstream(chat("from small")) as other,
        serving(tmp_path, gemini_pool(up.url, other.url)) as server,
    ):
        got = await server.chat(logit_bias={"1": 5})
        assert got.status_code == 400
        assert "`logit_bias` cannot be carried to the gemini format" in got.json()["error"]["message"]
        config = gemini_pool(up.url, other.url, fallbacks=FALLBACK)
        server.write(config)
        assert await server.reloader.reload()
        got = await server.chat(logit_bias={"1": 5})
        assert got.json()["model"] == "small"
        assert not up.seen
