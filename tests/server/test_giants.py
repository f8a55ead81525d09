"""What large requests cost the others: the loop does no more for one of eight times as many parts (row C15).

Steps are counted, not seconds: the lines of our own code that run on the loop's thread while a request is
answered. A step over all of a request in another thread is not among them.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from interlock.server import noticing, webhooks, worker
from interlock.server.http1 import listener
from tests.server.harness import pool, serving
from tests.server.upstream import Upstream
from tests.server.vendors import chat, chat_stream, message, message_stream

FEW, MANY = 1_200, 9_600
SLACK = 2_500
"""Lines: a body of eight times the bytes comes in more pieces."""


@pytest.fixture(autouse=True)
def _no_clockwork(monkeypatch):
    """What runs by the clock would be counted too, and runs the more often the busier the machine is."""
    for module in (listener, noticing, webhooks):
        monkeypatch.setattr(module, "LOOK_S", 3600.0)
    monkeypatch.setattr(worker, "TICK_S", 3600.0)


@contextmanager
def counting_lines():
    """The lines of the package that this thread has run, by where they stand."""
    lines: Counter[str] = Counter()

    def line(frame: FrameType, event: str, _: Any) -> Any:
        lines[f"{frame.f_code.co_filename.rpartition('interlock/')[2]}:{frame.f_code.co_name}"] += 1
        return line

    def call(frame: FrameType, event: str, _: Any) -> Any:
        return line if "/src/interlock/" in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        yield lines
    finally:
        sys.settrace(before)


def tool(number: int, *, strict: bool = False) -> dict[str, Any]:
    schema = {"type": "object", "properties": {f"q{number % 50}": {"type": "string"}}}
    function = {"name": f"t{number}", "parameters": schema, "strict": strict}
    return {"type": "function", "function": function}


def result(number: int) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "c", "content": f"[{number}] https://example.com/{number}"}


ASKED = {"role": "user", "content": "hi"}
CALLED = {
    "role": "assistant",
    "tool_calls": [{"id": "c", "type": "function", "function": {"name": "t1", "arguments": "{}"}}],
}
SHAPES: dict[str, Callable[[int], dict[str, Any]]] = {
    "messages": lambda n: {"messages": [ASKED] * n},
    "parts": lambda n: {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi there"}] * n}]
    },
    "parts to another wire": lambda n: {
        "model": "claude",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi there"}] * n}],
    },
    "tools": lambda n: {"messages": [ASKED], "tools": [tool(i) for i in range(n)]},
    "strict tools to another wire": lambda n: {
        "model": "claude",
        "messages": [ASKED],
        "tools": [tool(i, strict=True) for i in range(n)],
    },
    "results": lambda n: {"messages": [ASKED, CALLED, *map(result, range(n))], "tools": [tool(1)]},
    "sources to be cited": lambda n: {
        "model": "lane:cited",
        "messages": [ASKED, CALLED, *map(result, range(n))],
    },
    "unknown fields": lambda n: {"messages": [ASKED], "other": [{"name": f"this is {i}"} for i in range(n)]},
}


def config(up: str, other: str) -> dict[str, Any]:
    found = pool(up, other, lanes={"cited": {"models": ["gpt"], "output": {"citations": "required"}}})
    found["store"] = {"url": "sqlite:///interlock.db", "responses": "default"}
    found["tools"] = {"default": {"effects": ["read"]}}
    for model in found["models"].values():
        model["context_tokens"] = 100_000_000
    return found


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("shape", SHAPES)
async def test_c15_the_loop_takes_no_more_steps_for_eight_times_as_much(tmp_path, shape, stream):
    steps = {}
    said = "it is so [1]"
    async with (
        Upstream(chat_stream(said) if stream else chat(said)) as up,
        Upstream(message_stream(said) if stream else message(said)) as other,
        serving(tmp_path, config(up.url, other.url)) as server,
    ):
        for count in (FEW, FEW, MANY):  # what only a first request does is no matter here
            body = json.dumps({"model": "gpt", "stream": stream, **SHAPES[shape](count)}).encode()
            with counting_lines() as lines:
                got = await server.client.post("/v1/chat/completions", content=body)
            assert got.status_code == 200, got.text[:300]
            steps[count] = lines
    more = steps[MANY] - steps[FEW]
    assert more.total() < SLACK, more.most_common(8)


ELSEWHERE: dict[str, tuple[str, Callable[[int], dict[str, Any]]]] = {
    "counted": (
        "/v1/messages/count_tokens",
        lambda n: {"messages": [{"role": "user", "content": "hi there"}] * n},
    ),
    "kept": (
        "/v1/responses",
        lambda n: {"input": [{"role": "user", "content": "hi there"}] * n, "store": True},
    ),
}


@pytest.mark.parametrize("case", ELSEWHERE)
async def test_c15_the_loop_takes_no_more_steps_for_what_is_counted_kept_and_gone_on_from(tmp_path, case):
    path, make = ELSEWHERE[case]
    steps = {}
    async with Upstream(chat()) as up, serving(tmp_path, config(up.url, up.url)) as server:
        for count in (FEW, FEW, MANY):
            with counting_lines() as lines:
                got = await server.client.post(path, json={"model": "gpt", **make(count)})
                assert got.status_code == 200, got.text[:300]
                if case == "kept":
                    more = {"model": "gpt", "input": "go on", "previous_response_id": got.json()["id"]}
                    assert (await server.client.post(path, json=more)).status_code == 200
            steps[count] = lines
    grown = steps[MANY] - steps[FEW]
    assert grown.total() < SLACK, grown.most_common(8)
