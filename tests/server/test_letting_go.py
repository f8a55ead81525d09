"""What is held for a request is let go of with its end, by itself: nothing waits for the garbage collector.

It comes by when so many objects were made, however large they are: failures of long requests would fill the
memory before.
"""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from interlock.errors import StoreError
from interlock.execute.executor import Execution
from interlock.execute.flow import Flow
from interlock.execute.trial import Trial
from interlock.types.request import Request
from tests.server.harness import pool, serving, until
from tests.server.upstream import Reply, Upstream, answer, sse
from tests.server.vendors import CHAT_USAGE, DONE, ROLE, call, chat, chat_event, chat_stream

HELD = (Execution, Flow, Request, Trial)


def held() -> list[Any]:
    return [one for one in gc.get_objects() if isinstance(one, HELD)]


@asynccontextmanager
async def all_let_go_of() -> AsyncIterator[None]:
    """What the block made is gone soon after it, with the garbage collector away."""
    gc.collect()
    before = held()
    known = set(map(id, before))
    gc.disable()
    try:
        yield
        await until(lambda: all(id(one) in known for one in held()), 5)
    finally:
        gc.enable()


BROKEN: dict[str, Reply] = {
    "refused": answer({"error": {"message": "no", "type": "invalid_request_error"}}, 400),
    "failed": answer({}, 500),
    "limited": answer({}, 429),
    "reset": Reply(200, (b'{"id',), end="reset"),
    "no answer": answer({"choices": []}),
    "a stream that is reset": sse(ROLE, chat_event({"content": "so "}), end="reset"),
    "a stream that stops": sse(ROLE, chat_event({"content": "so "})),
    "a stream that is none": sse(b"data: {\n\n"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN.keys())
async def test_a_request_that_failed_is_let_go_of(tmp_path, reply, stream):
    async with (
        Upstream(reply) as up,
        serving(tmp_path, pool(up.url)) as server,
        all_let_go_of(),
    ):
        await server.chat(stream=stream)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("calls", [False, True], ids=["words", "a call"])
async def test_a_request_that_was_answered_is_let_go_of(tmp_path, calls, stream):
    made = (call(0, "search", "{}"),)
    whole = chat(None, calls=made, finish="tool_calls") if calls else chat("so")
    parts = (ROLE, chat_event({"tool_calls": list(made)}), chat_event({}, "tool_calls"), CHAT_USAGE, DONE)
    streamed = sse(*parts) if calls else chat_stream("so")
    tools = [{"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}]
    asked: dict[str, Any] = {"tools": tools} if calls else {}
    async with (
        Upstream(streamed if stream else whole) as up,
        serving(tmp_path, pool(up.url)) as server,
        all_let_go_of(),
    ):
        got = await server.chat(stream=stream, **asked)
        assert got.status_code == 200
        server.rehearsal.close()
        server.gateway.lately.forget()


async def test_a_request_that_nobody_may_serve_is_let_go_of(tmp_path):
    nobody = [{"name": "none", "when": {"task": "denied"}, "then": {"deny": "no"}}]
    async with (
        Upstream() as up,
        serving(tmp_path, pool(up.url, policy=nobody)) as server,
        all_let_go_of(),
    ):
        got = await server.chat(headers={"x-interlock-task": "denied"})
        assert got.status_code == 403


@pytest.mark.parametrize("stream", [False, True])
async def test_p2_a_request_that_could_not_be_recorded_is_let_go_of(tmp_path, stream, monkeypatch):
    async def full(*_: Any, **__: Any) -> None:
        raise StoreError("the disk is full")

    reply = chat_stream("so") if stream else chat("so")
    async with Upstream(reply) as up, serving(tmp_path, pool(up.url)) as server:
        monkeypatch.setattr(server.gateway.store, "note_row", lambda *_, **__: False)
        monkeypatch.setattr(server.gateway.store, "put_row", full)
        async with all_let_go_of():
            assert "overloaded" in (await server.chat(stream=stream)).text


async def test_c1_a_request_whose_caller_has_left_is_let_go_of(tmp_path):
    waits = sse(ROLE, chat_event({"content": "so "}), asyncio.Event())
    async with (
        Upstream(waits) as up,
        serving(tmp_path, pool(up.url)) as server,
        all_let_go_of(),
    ):
        body = {"model": "prod", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
        async with server.client.stream("POST", "/v1/chat/completions", json=body) as got:
            assert got.status_code == 200
