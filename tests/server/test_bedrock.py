"""Callers of both dialects against a Bedrock upstream on loopback that checks signatures."""

import json
from typing import Any

import anthropic
import pytest

from interlock.wire.sigv4 import parse_credentials, sign
from tests.aws_frames import BEGIN, METADATA, USAGE, call, delta, exception, stop
from tests.server.harness import CANARY, events, pool, serving
from tests.server.upstream import Reply, Seen, Upstream, answer, sse
from tests.server.vendors import chat, chat_stream

FALLBACK = [{"from": "*", "to": "small", "when": "any"}]
SECRET = f"{CANARY}/secret+key"
ENV = {"AWS_ID": "AKIACANARYCANARY0001", "AWS_SECRET": SECRET, "AWS_TOKEN": "tok/+canary=="}
KEY = f"{ENV['AWS_ID']}:{SECRET}:{ENV['AWS_TOKEN']}"


def bedrock_pool(url: str, other: str = "http://127.0.0.1:9", **sections: Any) -> dict[str, Any]:
    config = pool(other, other, **sections)
    config["providers"]["aws"] = {
        "kind": "bedrock",
        "api_key": "${AWS_ID}:${AWS_SECRET}:${AWS_TOKEN}",
        "endpoints": {"eu-central-1": {"base_url": url}},
    }
    config["models"]["sonnet"] = {
        **config["models"]["gpt"],
        "provider": "aws",
        "upstream": "eu.anthropic.claude:0",
    }
    config["aliases"] = {"prod": "sonnet"}
    return config


def whole(*content: dict[str, Any], reason: str = "end_turn") -> Reply:
    message = {"role": "assistant", "content": list(content)}
    return answer({"output": {"message": message}, "stopReason": reason, "usage": USAGE, "metrics": {}})


def frames(*pieces: bytes, end: str = "whole") -> Reply:
    reply = sse(*pieces, end=end)
    return Reply(200, reply.pieces, reply.kind, (("x-amzn-requestid", "r"),), end)


STREAM = (BEGIN, delta(text="Hel"), delta(text="lo"), stop(), METADATA)


def outcomes(record):
    return [(attempt.model, attempt.outcome) for attempt in record.attempts]


def is_signed(seen: Seen, url: str) -> bool:
    """What AWS does: compute the signature again, from what arrived."""
    at = seen.headers["x-amz-date"]
    instant = f"{at[:4]}-{at[4:6]}-{at[6:11]}:{at[11:13]}:{at[13:15]}Z"
    credentials = parse_credentials(KEY)
    assert credentials is not None
    again = dict(
        sign(
            url + seen.path,
            [("content-type", seen.headers["content-type"])],
            seen.body,
            credentials=credentials,
            region="eu-central-1",
            service="bedrock",
            at=instant,
        )
    )
    return again["authorization"] == seen.headers["authorization"]


async def test_both_dialects_are_answered_whole_and_streamed_by_signed_requests(tmp_path):
    async with Upstream() as up, serving(tmp_path, bedrock_pool(up.url), ENV) as server:
        up.replies = [whole({"text": "Hello"}), whole({"text": "Hello"}), frames(*STREAM), frames(*STREAM)]
        got = await server.chat()
        assert got.json()["choices"][0]["message"]["content"] == "Hello"
        assert got.headers["x-interlock-route"] == "aws/sonnet"
        message = (await server.message()).json()
        assert message["content"] == [{"type": "text", "text": "Hello"}]
        stream = events((await server.chat(stream=True)).text)
        assert stream[-1] == "[DONE]"
        said = [one["choices"][0]["delta"].get("content") or "" for one in stream[:-1] if one["choices"]]
        assert "".join(said) == "Hello"
        last = events((await server.message(stream=True)).text)
        assert last[-1]["type"] == "message_stop"
        assert last[-2]["usage"]["cache_read_input_tokens"] == 4
        assert [seen.path for seen in up.seen[1:3]] == [
            "/model/eu.anthropic.claude%3A0/converse",
            "/model/eu.anthropic.claude%3A0/converse-stream",
        ]
        assert all(is_signed(seen, up.url) for seen in up.seen)
        assert {seen.headers["x-amz-security-token"] for seen in up.seen} == {ENV["AWS_TOKEN"]}
        (attempt,) = server.record(got).attempts
        assert (attempt.input_tokens, attempt.cached_tokens, attempt.output_tokens) == (17, 4, 5)


async def test_an_answer_without_an_id_of_the_vendors_gets_one_that_is_its_own(tmp_path):
    async with Upstream() as up, serving(tmp_path, bedrock_pool(up.url), ENV) as server:
        up.replies = [whole({"text": "x"}), frames(*STREAM), frames(*STREAM)]
        first = await server.chat()
        second = await server.message(stream=True)
        third = await server.chat(stream=True)
        ids = [
            first.json()["id"],
            events(second.text)[0]["message"]["id"],
            events(third.text)[0]["id"],
        ]
        assert ids == [got.headers["x-interlock-decision-id"] for got in (first, second, third)]
        assert len(set(ids)) == 3


async def test_a_bedrock_api_key_is_sent_as_a_bearer_token(tmp_path):
    async with Upstream(whole({"text": "x"})) as up:
        config = bedrock_pool(up.url)
        config["providers"]["aws"] = {"kind": "bedrock", "base_url": up.url, "api_key": "${ALPHA_KEY}"}
        async with serving(tmp_path, config, ENV) as server:
            assert (await server.chat()).status_code == 200
            assert up.seen[0].headers["authorization"] == f"Bearer {CANARY}-alpha"
            assert "x-amz-date" not in up.seen[0].headers


@pytest.mark.parametrize("stream", [False, True])
async def test_u18_a_tool_loop_of_the_anthropic_sdk_brings_calls_and_thoughts_back(tmp_path, stream):
    tools: Any = [{"name": "search", "input_schema": {"type": "object"}}]
    content = (
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}},
        {"toolUse": {"toolUseId": "t1", "name": "search", "input": {"q": "a"}}},
    )
    thought = delta(0, reasoningContent={"text": "hm"}) + delta(0, reasoningContent={"signature": "sig"})
    streamed = frames(BEGIN, thought, call(1, "search", "t1", '{"q":', '"a"}'), stop("tool_use"), METADATA)
    async with Upstream() as up, serving(tmp_path, bedrock_pool(up.url), ENV) as server:
        client: Any = anthropic.AsyncAnthropic(base_url=server.url, api_key="x", max_retries=0)
        messages: list[Any] = [{"role": "user", "content": "hi"}]
        up.replies = [streamed if stream else whole(*content, reason="tool_use"), whole({"text": "done"})]
        asked: dict[str, Any] = {"model": "prod", "max_tokens": 99, "tools": tools}
        if stream:
            async with client.messages.stream(messages=messages, **asked) as run:
                first = await run.get_final_message()
        else:
            first = await client.messages.create(messages=messages, **asked)
        assert first.stop_reason == "tool_use"
        result = {"type": "tool_result", "tool_use_id": first.content[1].id, "content": "found"}
        blocks = [block.to_dict() for block in first.content]
        messages += [{"role": "assistant", "content": blocks}, {"role": "user", "content": [result]}]
        done = await client.messages.create(messages=messages, **asked)
        assert done.content[0].text == "done"
        await client.close()
        _, model, results = up.seen[1].json["messages"]
        assert model["content"] == list(content)
        assert results["content"] == [{"toolResult": {"toolUseId": "t1", "content": [{"text": "found"}]}}]


@pytest.mark.parametrize(
    ("broken", "outcome"),
    [
        (answer({"message": "slow down"}, 429, x_amzn_errortype="ThrottlingException"), "rate_limited"),
        (answer({"message": "x"}, 424, x_amzn_errortype="ModelErrorException"), "upstream_error"),
        (whole(reason="content_filtered"), "content_filtered"),
        (whole({"text": "x"}, reason="malformed_tool_use"), "malformed"),
        (whole(), "malformed"),
    ],
)
async def test_u3_a_failed_answer_falls_back_to_another_wire_format(tmp_path, broken, outcome):
    async with (
        Upstream(broken) as up,
        Upstream(chat("from small")) as other,
        serving(tmp_path, bedrock_pool(up.url, other.url, fallbacks=FALLBACK), ENV) as server,
    ):
        got = await server.chat()
        assert got.json()["model"] == "small"
        tried = outcomes(server.record(got))
        assert (tried[0], tried[-1]) == (("sonnet", outcome), ("small", "ok"))


@pytest.mark.parametrize(
    "broken",
    [
        frames(BEGIN + exception("throttlingException", "slow down")),
        frames(BEGIN + stop("content_filtered") + METADATA),
        frames(BEGIN + stop() + METADATA),
        frames(BEGIN + delta(text="x")[:-1] + b"\0" + stop()),
        frames(b"<html>Bad gateway</html>"),
        frames(BEGIN),
    ],
)
async def test_u9_a_stream_that_fails_before_its_first_word_falls_back(tmp_path, broken):
    async with (
        Upstream(broken) as up,
        Upstream(chat_stream("from small")) as other,
        serving(tmp_path, bedrock_pool(up.url, other.url, fallbacks=FALLBACK), ENV) as server,
    ):
        got = await server.message(stream=True)
        stream = events(got.text)
        assert [one["type"] for one in stream].count("message_start") == 1
        assert stream[-1]["type"] == "message_stop"
        assert got.headers["x-interlock-route"] == "alpha/small"


@pytest.mark.parametrize(
    ("pieces", "end"),
    [
        ((BEGIN, delta(text="half")), "whole"),
        ((BEGIN, delta(text="half")), "reset"),
        ((BEGIN, delta(text="half") + delta(text="more")[:20]), "whole"),
        ((BEGIN, delta(text="half") + exception("modelStreamErrorException", "x")), "whole"),
    ],
)
async def test_u8_a_stream_cut_after_its_first_word_ends_in_one_error_and_is_not_finished(
    tmp_path, pieces, end
):
    async with (
        Upstream(frames(*pieces, end=end)) as up,
        serving(tmp_path, bedrock_pool(up.url, fallbacks=FALLBACK), ENV) as server,
    ):
        stream = events((await server.chat(stream=True)).text)
        assert "[DONE]" not in stream
        assert stream[-1]["error"]["code"] == "upstream_failed"


async def test_a17_no_piece_of_the_access_key_is_in_an_answer_a_record_or_the_log(tmp_path):
    words = f"signed by {ENV['AWS_ID']} with {ENV['AWS_TOKEN']}: {SECRET}"
    async with Upstream() as up, serving(tmp_path, bedrock_pool(up.url), ENV) as server:
        found = []
        for status, code in (
            (403, "InvalidSignatureException"),
            (400, "ValidationException"),
            (503, "ServiceUnavailableException"),
        ):
            up.default = answer({"message": words}, status, x_amzn_errortype=code)
            found.append(await server.chat())
        assert [got.status_code for got in found] == [502, 400, 502]
        shown = "".join(got.text + repr(server.record(got)) for got in found) + server.log_file.read_text()
        for piece in (*ENV.values(), CANARY):
            assert piece not in shown
        sent = json.dumps([[seen.path, seen.headers, seen.body.decode()] for seen in up.seen])
        assert SECRET not in sent


async def test_what_bedrock_cannot_be_asked_is_refused_by_name(tmp_path):
    async with Upstream() as up, serving(tmp_path, bedrock_pool(up.url), ENV) as server:
        got = await server.chat(seed=7)
        assert got.status_code == 400
        assert "`seed` cannot be carried to the bedrock format" in got.json()["error"]["message"]
        assert got.json()["error"]["param"] == "seed"
        assert not up.seen
