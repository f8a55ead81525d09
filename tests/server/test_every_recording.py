"""Every recording behind a mock upstream, for callers of every dialect, over sockets (U8, U10).

A vendor's answer is sent as it was recorded, in pieces, whole or cut; the caller reads it with what reads
its own dialect's wire format. In `make test` pieces are small, of another size for each recording, and cuts
stand after each kind of event; `make test-long` sends byte by byte, and cuts after every event.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, Final
from zlib import crc32

import httpx2
import pytest

from interlock.adapters import ADAPTERS
from interlock.types.answer import Answer, Failure
from interlock.types.labels import Dialect, Wire
from tests.adapters import every
from tests.adapters.every import DIALECTS_IN, Recording, read, said_by, said_in
from tests.adapters.recorded import KINDS
from tests.adapters.test_every_recording import ENDS, WIRES, is_answer, kind_of, streams
from tests.server.harness import Running, pool, serving
from tests.server.upstream import Reply, Upstream, sse

PATHS: Final[dict[Dialect, str]] = {
    "openai-chat": "/v1/chat/completions",
    "openai-responses": "/v1/responses",
    "anthropic-messages": "/v1/messages",
}
Places = Callable[[Recording], Sequence[int]]
"""After how many events a stream is cut."""
PROVIDERS: Final[dict[Wire, dict[str, Any]]] = {
    "openai": {"kind": "openai"},
    "openai-responses": {"kind": "openai", "api": "responses"},
    "anthropic": {"kind": "anthropic"},
    "gemini": {"kind": "gemini"},
    "bedrock": {"kind": "bedrock"},
}


@pytest.fixture
async def up():
    async with Upstream() as upstream:
        yield upstream


@pytest.fixture
async def server(tmp_path, up):
    """A model behind every wire format, named for it. Its breaker stays shut, and nothing is tried twice."""
    config = pool(
        up.url,
        up.url,
        resilience={"breaker": {"failures": 1_000_000}},
        latency_classes={"interactive": {"max_attempts": 1}},
    )
    for wire, provider in PROVIDERS.items():
        config["providers"][wire] = {**provider, "base_url": up.url, "api_key": "k"}
        config["models"][wire] = {**config["models"]["gpt"], "provider": wire}
    config["tools"] = {"default": {"effects": ["read"]}}
    async with serving(tmp_path, config) as running:
        yield running


def asked(dialect: Dialect, model: str, tools: tuple[str, ...], *, stream: bool) -> dict[str, Any]:
    """A request that offers these tools, so that calls of them may pass."""
    body: dict[str, Any] = {"model": model, "stream": stream}
    schema = {"type": "object"}
    if dialect == "openai-responses":
        body["input"] = "hi"
        offered: list[dict[str, Any]] = [
            {"type": "function", "name": name, "parameters": schema} for name in tools
        ]
    elif dialect == "openai-chat":
        body["messages"] = [{"role": "user", "content": "hi"}]
        offered = [{"type": "function", "function": {"name": name, "parameters": schema}} for name in tools]
        body |= {"stream_options": {"include_usage": True}} if stream else {}
    else:
        body |= {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 50}
        offered = [{"name": name, "input_schema": schema} for name in tools]
    return {**body, "tools": offered} if tools else body


async def ask(server: Running, one: Recording, dialect: Dialect) -> httpx2.Response:
    body = asked(dialect, one.wire, every.tools_of(one), stream=one.stream)
    return await server.client.post(PATHS[dialect], json=body)


def pieces_of(data: bytes, size: int) -> tuple[bytes, ...]:
    return tuple(data[at : at + size] for at in range(0, len(data), size))


def is_finished(sent: bytes, dialect: Dialect) -> bool:
    return ENDS[dialect] in sent or b"response.incomplete" in sent


@pytest.mark.parametrize("dialect", DIALECTS_IN)
@pytest.mark.parametrize("wire", WIRES)
async def test_a_recorded_answer_is_served_to_a_caller_of_any_dialect(server, up, wire, dialect):
    for one in filter(is_answer, every.wholes(wire)):
        up.default = Reply(200, (one.data,))
        got = await ask(server, one, dialect)
        told = ADAPTERS[wire].decode_answer(one.data)
        assert got.status_code == 200, (one.name, got.text)
        again = ADAPTERS[KINDS[dialect]].decode_answer(got.content)
        if isinstance(again, Answer):
            heard, said = said_by(again), said_by(told)
            assert (heard.text, heard.calls) == (said.text, said.calls), one.name
            assert None in said.usage or heard.usage == said.usage, one.name
        else:
            assert said_by(told).text == "", one.name


async def serve_in_pieces(server: Running, up: Upstream, wire: Wire, dialect: Dialect, size: int) -> None:
    for one in streams(wire):
        odd = 37 + crc32(one.name.encode()) % 50
        up.default = sse(*pieces_of(one.data, size or max(odd, len(one.data) // 200)))
        got = await ask(server, one, dialect)
        assert got.status_code == 200, (one.name, got.text)
        assert is_finished(got.content, dialect), one.name
        again, said = read(KINDS[dialect], got.content), said_in(read(wire, one.data))
        if not isinstance(again[-1], Failure):
            heard = said_in(again)
            assert (heard.text, heard.calls) == (said.text, said.calls), one.name
            assert None in said.usage or heard.usage == said.usage, one.name
        else:  # nothing but what only the vendor's own dialect has a place for
            assert (said.text, said.calls) == ("", ()), one.name


@pytest.mark.parametrize("dialect", DIALECTS_IN)
@pytest.mark.parametrize("wire", WIRES)
async def test_u10_a_recorded_stream_in_small_pieces_is_served_to_a_caller_of_any_dialect(
    server, up, wire, dialect
):
    await serve_in_pieces(server, up, wire, dialect, 0)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("dialect", DIALECTS_IN)
@pytest.mark.parametrize("wire", WIRES)
async def test_u10_a_recorded_stream_byte_by_byte_is_served_to_a_caller_of_any_dialect(
    server, up, wire, dialect
):
    server.client.timeout = 600
    await serve_in_pieces(server, up, wire, dialect, 1)


def after_each_kind(one: Recording) -> Sequence[int]:
    """Before the first event, after the first of each kind, and before the last."""
    first = {kind_of(event): count for count, event in reversed([*enumerate(one.events, start=1)])}
    return sorted({0, len(one.events) - 1, *first.values()} - {len(one.events)})


async def cut_after_events(
    server: Running, up: Upstream, wire: Wire, dialect: Dialect, places: Places
) -> None:
    """An error before the first word, one error event after it; never an end that looks like one."""
    began = False
    for one in streams(wire):
        for count in places(one):
            cut = one.events[:count]
            if not isinstance(read(wire, *cut)[-1], Failure):
                continue  # all that is missing says nothing of the answer
            up.default = sse(*cut, end="whole" if count % 2 else "reset")
            got = await ask(server, one, dialect)
            assert not is_finished(got.content, dialect), (one.name, count)
            assert b"error" in got.content
            if got.status_code == 200:
                began = True
                assert isinstance(read(KINDS[dialect], got.content)[-1], Failure), (one.name, count)
            else:
                assert got.status_code == 502, (one.name, count)
                assert json.loads(got.content)["error"]["code"] == "upstream_failed"
            assert server.record(got).status == "failed"
    assert began


@pytest.mark.parametrize("dialect", DIALECTS_IN)
@pytest.mark.parametrize("wire", WIRES)
async def test_u8_a_recorded_stream_that_is_cut_is_one_error_to_a_caller_of_any_dialect(
    server, up, wire, dialect
):
    await cut_after_events(server, up, wire, dialect, after_each_kind)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("dialect", DIALECTS_IN)
@pytest.mark.parametrize("wire", WIRES)
async def test_u8_a_recorded_stream_that_is_cut_after_any_event_is_one_error_to_a_caller_of_any_dialect(
    server, up, wire, dialect
):
    await cut_after_events(server, up, wire, dialect, lambda one: range(len(one.events)))
