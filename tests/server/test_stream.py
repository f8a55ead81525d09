"""Streams, end to end: what leaves when, how each fault ends, and that the record comes first."""

import asyncio
import gc
import json
import socket
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import httptools
import httpx2
import msgspec
import pytest

from interlock.errors import StoreError
from tests.server.harness import events, pool, serving, until
from tests.server.upstream import HANG, Upstream, answer, sse
from tests.server.vendors import (
    DONE,
    ROLE,
    call,
    chat_end,
    chat_event,
    chat_stream,
    event,
    message_stream,
    words,
)

FALLBACK = [{"from": "*", "to": "small", "when": "timeout_or_5xx"}]


def said(text):
    """The text that a chat stream's events add up to."""
    deltas = [
        event["choices"][0]["delta"] for event in events(text) if event != "[DONE]" and event.get("choices")
    ]
    return "".join(delta.get("content") or "" for delta in deltas)


async def test_a_stream_flows_and_ends_once(tmp_path):
    async with Upstream(chat_stream("Hel", "lo")) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat(stream=True)
        assert got.status_code == 200
        assert got.headers["content-type"].startswith("text/event-stream")
        assert got.headers["x-interlock-route"] == "alpha/gpt"
        assert got.headers["x-interlock-attempts"] == "1"
        assert "x-interlock-cost-usd" not in got.headers
        assert said(got.text) == "Hello"
        assert got.text.count("[DONE]") == 1
        assert {event["model"] for event in events(got.text) if event != "[DONE]"} == {"gpt"}
        record = server.record(got)
        assert record.status == "ok"
        assert record.attempts[0].output_tokens == 7
        assert record.attempts[0].ttft_ms is not None


async def test_usage_is_always_asked_upstream_and_shown_to_whom_asked(tmp_path):
    async with Upstream(chat_stream("x")) as up, serving(tmp_path, pool(up.url)) as server:
        plain = await server.chat(stream=True)
        asked = await server.chat(stream=True, stream_options={"include_usage": True})
        assert all(seen.json["stream_options"] == {"include_usage": True} for seen in up.seen)
        assert not any(event != "[DONE]" and event.get("usage") for event in events(plain.text))
        assert [
            event["usage"]["completion_tokens"] for event in events(asked.text)[:-1] if event.get("usage")
        ] == [7]


@pytest.mark.parametrize("model", ["gpt", "claude"])
async def test_both_dialects_stream_from_both_wire_formats(tmp_path, model):
    async with (
        Upstream(chat_stream("He", "y")) as one,
        Upstream(message_stream("He", "y")) as two,
        serving(tmp_path, pool(one.url, two.url)) as server,
    ):
        assert said((await server.chat(stream=True, model=model)).text) == "Hey"
        got = events((await server.message(stream=True, model=model)).text)
        assert [event["type"] for event in got].count("message_start") == 1
        assert got[-1]["type"] == "message_stop"
        assert "".join(event["delta"].get("text", "") for event in got if "delta" in event) == "Hey"


async def test_the_first_words_do_not_wait_for_the_last(tmp_path):
    gate = asyncio.Event()
    held = sse(ROLE, *words("first"), gate, *words(" second"), chat_end())
    async with (
        Upstream(held) as up,
        serving(tmp_path, pool(up.url)) as server,
        server.client.stream("POST", "/v1/chat/completions", json=body()) as got,
    ):
        text = ""
        async for piece in got.aiter_text():
            text += piece
            if "first" in text:
                gate.set()
        assert said(text) == "first second"


async def test_the_record_is_committed_before_the_terminal_event_arrives(tmp_path):
    async with Upstream(chat_stream("x")) as up, serving(tmp_path, pool(up.url)) as server:
        for _ in range(10):
            async with server.client.stream("POST", "/v1/chat/completions", json=body()) as got:
                text = ""
                async for piece in got.aiter_text():
                    text += piece
                    if "[DONE]" in text:
                        assert server.record(got.headers["x-interlock-decision-id"]).status == "ok"
                assert "[DONE]" in text


JSON = {"type": "json_object"}
_ELSEWHERE = (asyncio.AbstractEventLoop, ModuleType, FunctionType, type)
TOOLS = [{"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}]


@pytest.mark.parametrize(
    ("fields", "held"),
    [
        ({}, 0),
        ({"tools": TOOLS}, 0),
        ({"user": "somebody"}, 1),
        ({"response_format": {"type": "json_object"}}, 1),
    ],
    ids=["plain", "with tools", "may be asked again", "will be judged by it"],
)
async def test_what_was_asked_is_held_to_the_first_word_and_then_only_where_it_is_needed(
    tmp_path, fields, held
):
    begin, end = asyncio.Event(), asyncio.Event()
    paused = sse(ROLE, begin, *words("first"), end, *words(" second"), chat_end())
    asked = [{"role": "user", "content": "Is a zebra white or black?"}]
    async with Upstream(paused) as up, serving(tmp_path, pool(up.url)) as server:

        def open_it() -> AbstractAsyncContextManager[httpx2.Response]:
            return server.client.stream("POST", "/v1/chat/completions", json=body(messages=asked, **fields))

        async def read() -> None:
            async with open_it() as got:
                async for _ in got.aiter_text():
                    begun.set()

        begun = asyncio.Event()
        reading = asyncio.ensure_future(read())
        await until(lambda: len(up.seen) == 1)
        assert words_held("zebra")
        begin.set()
        await begun.wait()
        assert len(words_held("zebra")) == held
        assert not [value for value in in_reach() if isinstance(value, httptools.HttpRequestParser)]
        end.set()
        await reading


def words_held(word):
    """The strings and bytes with a word in them that whoever serves a connection can reach."""
    return [
        value
        for value in in_reach()
        if (isinstance(value, str) and word in value)
        or (isinstance(value, bytes | bytearray) and word.encode() in value)
    ]


def in_reach():
    """Every value that whoever serves a connection can reach, but by way of the loop, on which all are."""
    seen: dict[int, Any] = {}
    left: list[Any] = [task.get_coro() for task in asyncio.all_tasks() if "Desk" in repr(task.get_coro())]
    while left:
        value = left.pop()
        if id(value) in seen or isinstance(value, _ELSEWHERE):
            continue
        seen[id(value)] = value
        if isinstance(value, msgspec.Struct):  # some have no part in garbage collection
            left += msgspec.structs.astuple(value)
        else:
            left += gc.get_referents(value)
    return list(seen.values())


def body(**fields):
    return {"model": "prod", "stream": True, "messages": [{"role": "user", "content": "hi"}], **fields}


# --- before the first content -----------------------------------------------------------------


async def test_u9_a_failure_after_the_preamble_falls_back_and_one_preamble_is_seen(tmp_path):
    broken = sse(ROLE, end="reset")
    async with (
        Upstream(chat_stream("Hello"), broken) as up,
        serving(tmp_path, pool(up.url, fallbacks=FALLBACK)) as server,
    ):
        got = await server.chat(stream=True)
        assert said(got.text) == "Hello"
        roles = [
            event
            for event in events(got.text)
            if event != "[DONE]" and event["choices"][0]["delta"].get("role")
        ]
        assert len(roles) == 1
        assert got.headers["x-interlock-route"] == "alpha/small"
        assert got.headers["x-interlock-attempts"] == "2"


async def test_a_stream_that_fails_before_it_begins_is_an_ordinary_error(tmp_path):
    async with (
        Upstream(answer({"error": {"message": "no"}}, 500)) as up,
        serving(tmp_path, pool(up.url)) as server,
    ):
        got = await server.chat(stream=True)
        assert got.status_code == 502
        assert got.json()["error"]["code"] == "upstream_failed"
        assert got.headers["content-type"] == "application/json"


async def test_u2_no_first_event_within_its_time_falls_back(tmp_path):
    config = pool(
        "", fallbacks=FALLBACK, latency_classes={"interactive": {"first_token_ms": 150, "deadline_ms": 9000}}
    )
    async with Upstream(chat_stream("late"), HANG) as up:
        config["providers"]["alpha"]["base_url"] = f"{up.url}/v1"
        async with serving(tmp_path, config) as server:
            got = await server.chat(stream=True)
            assert said(got.text) == "late"
            assert [attempt.outcome for attempt in server.record(got).attempts] == ["timeout", "ok"]


async def test_u13_an_empty_stream_falls_back(tmp_path):
    async with (
        Upstream(chat_stream("full"), sse(ROLE, chat_end())) as up,
        serving(tmp_path, pool(up.url, fallbacks=FALLBACK)) as server,
    ):
        got = await server.chat(stream=True)
        assert said(got.text) == "full"
        assert server.record(got).attempts[0].outcome == "malformed"


# --- after it ---------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("end", ["reset", "whole"])
async def test_u8_a_cut_stream_ends_in_one_error_event_and_no_end(tmp_path, count, end):
    cut = sse(ROLE, *words(*["w"] * count), end=end)
    async with (
        Upstream(chat_stream("never"), cut) as up,
        serving(tmp_path, pool(up.url, fallbacks=FALLBACK)) as server,
    ):
        got = await server.chat(stream=True)
        assert said(got.text) == "w" * count
        assert "[DONE]" not in got.text
        last = events(got.text)[-1]["error"]
        assert last["code"] == "upstream_failed"
        assert last["decision_id"] == got.headers["x-interlock-decision-id"]
        assert got.text.count('"error"') == 1
        assert len(up.seen) == 1
        record = server.record(got)
        assert record.status == "failed"
        assert record.attempts[0].output_tokens


async def test_u8_in_anthropics_dialect_too(tmp_path):
    whole = message_stream("one", "two")
    cut = sse(*whole.pieces[:3], end="reset")
    async with Upstream(cut) as up, serving(tmp_path, pool(up.url, up.url)) as server:
        got = await server.message(stream=True, model="claude")
        kinds = [event["type"] for event in events(got.text)]
        assert kinds.count("error") == 1
        assert kinds[-1] == "error"
        assert "message_stop" not in kinds


async def test_u8_the_connection_is_closed_after_a_failed_stream(tmp_path):
    cut = sse(ROLE, *words("w"), end="reset")
    async with Upstream(cut) as up, serving(tmp_path, pool(up.url)) as server:
        raw = json.dumps(body()).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: %d\r\n\r\n" % len(
            raw
        )
        writer.write(head + raw)
        whole = await asyncio.wait_for(reader.read(), 5)
        assert whole.endswith(b"0\r\n\r\n")
        assert b"[DONE]" not in whole
        writer.close()


async def test_u11_a_malformed_event_is_never_forwarded(tmp_path):
    torn = sse(
        ROLE,
        *words("ok "),
        b'data: {"choices": [{"delta": {"content": "evil\n\n',
        *words("after"),
        chat_end(),
    )
    async with Upstream(torn) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat(stream=True)
        assert said(got.text) == "ok "
        assert "evil" not in got.text
        assert events(got.text)[-1]["error"]["code"] == "upstream_failed"


async def test_u2_a_stream_that_never_begins_falls_back_without_any_budget(tmp_path, monkeypatch):
    monkeypatch.setattr("interlock.execute.deadlines.FIRST_EVENT_S", 0.2)
    async with (
        Upstream(chat_stream("from small"), HANG) as up,
        serving(tmp_path, pool(up.url, fallbacks=FALLBACK)) as server,
    ):
        got = await server.chat(stream=True)
        assert said(got.text) == "from small"
        attempts = server.record(got).attempts
        assert [(attempt.model, attempt.outcome) for attempt in attempts] == [
            ("gpt", "timeout"),
            ("small", "ok"),
        ]


async def test_u12_a_stalled_stream_ends_at_the_deadline(tmp_path):
    stalled = sse(ROLE, *words("w"), end="hang")
    async with Upstream(stalled) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat(stream=True, headers={"x-interlock-deadline-ms": "200"})
        assert events(got.text)[-1]["error"]["code"] == "deadline_exceeded"
        await asyncio.wait_for(up.seen[0].gone.wait(), 2)


async def test_u12_a_stream_of_which_nothing_was_seen_leaves_the_next_model_its_time(tmp_path, monkeypatch):
    """It has begun, so `first_token_ms` is kept; but all that has come is its preamble."""
    monkeypatch.setattr("interlock.execute.deadlines.RESERVE", 0.9)
    silent = sse(ROLE, end="hang")
    config = pool("", fallbacks=FALLBACK)
    async with Upstream(chat_stream("from small"), silent) as up:
        config["providers"]["alpha"]["base_url"] = f"{up.url}/v1"
        async with serving(tmp_path, config) as server:
            got = await server.chat(stream=True, headers={"x-interlock-deadline-ms": "4000"})
            assert said(got.text) == "from small"
            attempts = server.record(got).attempts
            assert [(one.model, one.outcome) for one in attempts] == [("gpt", "timeout"), ("small", "ok")]


async def test_u12_an_idle_stream_is_cut_before_its_deadline(tmp_path, monkeypatch):
    monkeypatch.setattr("interlock.execute.calls.IDLE_S", 0.1)
    stalled = sse(ROLE, *words("w"), end="hang")
    async with Upstream(stalled) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat(stream=True)
        assert "error" in events(got.text)[-1]
        assert server.record(got).attempts[0].outcome == "timeout"


async def test_u14_a_stream_without_end_is_cut(tmp_path, monkeypatch):
    """What is held of an answer is bounded; what comes with it and is not held may be many times as much."""
    monkeypatch.setattr("interlock.execute.calls.MOST_STREAM", 10_000)
    monkeypatch.setattr("interlock.execute.calls.LOOK_EVERY", 1_000)
    beside = event({**json.loads(chat_event({"content": "w"})[6:]), "padding": "x" * 1000})
    endless, padded = (
        sse(ROLE, *words(*["x" * 1000] * 100), end="hang"),
        sse(ROLE, *[beside] * 100, chat_end()),
    )
    async with Upstream(endless, padded) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat(stream=True)
        assert said(got.text) == "w" * 100
        got = await server.chat(stream=True)
        assert events(got.text)[-1]["error"]["code"] == "upstream_failed"
        assert 10_000 <= len(said(got.text)) < 100_000
        assert server.record(got).attempts[0].outcome == "malformed"
        await asyncio.wait_for(up.seen[1].gone.wait(), 2)


# --- tools ------------------------------------------------------------------------------------


def tool(name):
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


def calling(*deltas):
    return sse(
        ROLE,
        *words("let me see"),
        *(chat_event({"tool_calls": [delta]}) for delta in deltas),
        chat_end("tool_calls"),
    )


async def test_parallel_tool_calls_arrive_whole(tmp_path):
    reply = calling(
        call(0, "search", ""),
        {"index": 0, "function": {"arguments": '{"q":'}},
        call(1, "search", ""),
        {"index": 1, "function": {"arguments": '{"q":2}'}},
        {"index": 0, "function": {"arguments": "1}"}},
    )
    async with Upstream(reply) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat(stream=True, tools=[tool("search")])
        arguments: dict[int, str] = {}
        for event in events(got.text)[:-1]:
            for delta in event["choices"][0]["delta"].get("tool_calls") or []:
                arguments[delta["index"]] = arguments.get(delta["index"], "") + delta["function"]["arguments"]
        assert arguments == {0: '{"q":1}', 1: '{"q":2}'}
        assert server.record(got).attempts[0].tool_calls == 2


@pytest.mark.parametrize(("name", "code"), [("pay", "approval_required"), ("shell", "tool_denied")])
async def test_a2_a_streamed_call_that_may_not_be_made_is_held_back(tmp_path, name, code):
    rules = [{"name": "ask", "then": {"require_approval": ["pay"]}}]
    async with (
        Upstream(calling(call(0, name, '{"iban": "DE31337"}'))) as up,
        serving(tmp_path, pool(up.url, policy=rules)) as server,
    ):
        got = await server.chat(stream=True, tools=[tool("pay"), tool("search")])
        assert said(got.text) == "let me see"
        assert "31337" not in got.text
        assert "tool_calls" not in got.text
        assert events(got.text)[-1]["error"]["code"] == code
        assert server.record(got).status == "denied"


async def test_a_stream_that_breaks_the_schema_does_not_end_as_a_success(tmp_path):
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    async with Upstream(chat_stream("no json")) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat(stream=True, response_format=schema)
        assert "[DONE]" not in got.text
        assert '"code":"upstream_failed"' in got.text
        record = server.record(got)
        assert (record.status, record.attempts[0].outcome) == ("failed", "schema_invalid")
        assert record.validation is not None
        assert record.validation.verdict == "failed"


# --- callers ----------------------------------------------------------------------------------


async def test_c1_a_caller_that_leaves_in_the_middle_cancels_the_upstream(tmp_path):
    held = sse(ROLE, *words("one two three"), end="hang")
    async with (
        Upstream(held) as up,
        serving(tmp_path, pool(up.url)) as server,
        server.client.stream("POST", "/v1/chat/completions", json=body()) as got,
    ):
        name = got.headers["x-interlock-decision-id"]
        async for piece in got.aiter_text():
            if "three" in piece:
                break
        await asyncio.wait_for(up.seen[0].gone.wait(), 2)
        await until(lambda: server.gateway.store.get_record(name))
        record = server.record(name)
        assert record.status == "cancelled"
        assert record.attempts[0].outcome == "cancelled"
        assert record.attempts[0].output_tokens
        assert record.attempts[0].usage_estimated


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def test_c1_many_random_disconnects_leave_no_task_and_no_socket_behind(tmp_path):
    async with (
        Upstream(sse(ROLE, *words(*["word "] * 50), end="hang")) as up,
        serving(tmp_path, pool(up.url)) as server,
    ):
        await server.client.get("/healthz")  # opens what the test itself keeps open
        before, sockets = len(asyncio.all_tasks()), open_files()

        async def leave(after: float) -> None:
            try:
                async with asyncio.timeout(after):
                    await server.chat(stream=True)
            except (TimeoutError, httpx2.HTTPError):
                pass

        await asyncio.gather(*(leave(0.003 * number) for number in range(30)))
        for seen in up.seen:
            await asyncio.wait_for(seen.gone.wait(), 2)
        for _ in range(200):
            if len(asyncio.all_tasks()) <= before and open_files() <= sockets:
                break
            await asyncio.sleep(0.01)
        assert len(asyncio.all_tasks()) <= before
        assert open_files() <= sockets


async def test_c2_a_caller_that_stops_reading_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("interlock.server.http1.connection.WRITE_S", 0.2)
    flood = sse(ROLE, *words(*["x" * 60_000] * 400), end="hang")
    async with Upstream(flood) as up, serving(tmp_path, pool(up.url)) as server:
        raw = json.dumps(body()).encode()
        sock = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
        sock.setblocking(False)
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: %d\r\n\r\n" % len(
            raw
        )
        await asyncio.get_running_loop().sock_sendall(sock, head + raw)
        await until(lambda: up.seen)
        await asyncio.wait_for(up.seen[0].gone.wait(), 5)
        sock.close()
        await until(lambda: server.gateway.store.list_records()[0])
        rows = server.gateway.store.list_records()[0]
        assert rows[0].status == "cancelled"


async def test_a14_text_that_looks_like_events_stays_text(tmp_path):
    forged = "\n\ndata: [DONE]\n\nevent: error\ndata: {}\r\n\r\n"
    async with Upstream(chat_stream(forged, "!")) as up, serving(tmp_path, pool(up.url)) as server:
        got = await server.chat(stream=True)
        assert said(got.text) == forged + "!"
        assert [event for event in events(got.text) if event == "[DONE]"] == ["[DONE]"]
        assert DONE.decode().strip() in got.text


async def test_p7_a_stream_that_outlasts_the_drain_ends_with_an_error_and_is_recorded(tmp_path):
    held = sse(ROLE, *words("first"), end="hang")
    async with Upstream(held) as up:
        asking: asyncio.Task[str]
        async with serving(tmp_path, pool(up.url)) as server:
            store = server.gateway.store
            seen = []

            async def ask() -> str:
                text = ""
                async with (
                    httpx2.AsyncClient(base_url=server.url, timeout=10, trust_env=False) as client,
                    client.stream("POST", "/v1/chat/completions", json=body()) as got,
                ):
                    async for piece in got.aiter_text():
                        text += piece
                        seen.append(piece)
                return text

            asking = asyncio.create_task(ask())
            await until(lambda: seen)
            server.stop()
            text = await asking
            assert events(text)[-1]["error"]["code"] == "overloaded"
            assert "[DONE]" not in text
            assert [row.status for row in store.list_records()[0]] == ["failed"]


async def test_p2_a_stream_whose_record_is_not_safe_does_not_look_finished(tmp_path, monkeypatch):
    def disk_full(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    async with Upstream(chat_stream("Hello")) as up, serving(tmp_path, pool(up.url)) as server:
        monkeypatch.setattr(server.gateway.store, "note_row", lambda *_, **__: False)
        monkeypatch.setattr(server.gateway.store, "put_row", disk_full)
        got = await server.chat(stream=True)
        assert said(got.text) == "Hello"
        assert "[DONE]" not in got.text
        assert events(got.text)[-1]["error"]["code"] == "overloaded"


async def test_a_fault_of_ours_in_the_middle_ends_the_stream_with_a_word_and_a_record(tmp_path, monkeypatch):
    async with (
        Upstream(sse(ROLE, *words("one"), chat_end())) as up,
        serving(tmp_path, pool(up.url)) as server,
    ):

        def broken(*_: object) -> None:
            raise RuntimeError("oops")

        monkeypatch.setattr("interlock.execute.trial.Trial.judged", broken)
        got = await server.chat(stream=True)
        assert said(got.text) == "one"
        assert events(got.text)[-1]["error"]["code"] == "internal"
        assert server.record(got).status == "failed"
        assert [line["error"] for line in server.log if line["event"] == "fault"] == ["RuntimeError"]
