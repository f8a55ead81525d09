"""Requests gone over again to keep the process warm: by the same code, and nobody ever sees one of them."""

import asyncio
import gc
from collections.abc import Awaitable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from interlock.resilience.health import TargetHealth
from interlock.server import rehearsal
from interlock.server.http1 import connection
from interlock.server.lately import MOST
from interlock.server.rehearsal import Stage
from interlock.transport.outbox import Outbox
from tests.server.harness import Running, keyed, pool, serving, until
from tests.server.test_http1 import Echo, Wire
from tests.server.test_metrics import value
from tests.server.upstream import Upstream, answer
from tests.server.vendors import chat, message

EMBEDDED = answer(
    {
        "object": "list",
        "model": "up-1",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}],
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    }
)


async def some_at_once(server: Running, ask: Any) -> list[Any]:
    """Requests that follow each other closely, again and again until one of them was gone over."""
    asked, before = [], server.rehearsal.count
    for _ in range(200):
        asked += [await ask() for _ in range(3)]
        await asyncio.sleep(0.01)
        if server.rehearsal.count > before + 3:
            return asked
    raise AssertionError("nothing was gone over")


async def test_requests_that_follow_each_other_closely_are_gone_over_in_between(tmp_path):
    async with Upstream(chat("Hello")) as up, serving(tmp_path, pool(up.url)) as server:
        await some_at_once(server, server.chat)


async def test_nothing_of_it_is_seen_upstream_in_the_store_in_the_log_or_in_any_figure(tmp_path):
    async with Upstream(chat("Hello")) as up, serving(tmp_path, pool(up.url)) as server:
        asked = await some_at_once(server, server.chat)
        names = sorted(got.headers["x-interlock-decision-id"] for got in asked)
        assert len(up.seen) == len(asked)
        assert server.gateway.load.in_flight == 0
        await until(lambda: sorted(row.id for row in server.gateway.store.each_record()) == names)
        await until(lambda: sorted(line["decision"] for line in server.log if "decision" in line) == names)
        figures = (await server.client.get("/metrics")).text
        assert value(figures, "interlock_attempts_total") == len(asked)


async def test_the_health_of_a_target_is_not_told(tmp_path, monkeypatch):
    told: list[TargetHealth] = []
    seen = TargetHealth.is_well

    def is_well(self, now):
        told.append(self)
        return seen(self, now)

    monkeypatch.setattr(TargetHealth, "is_well", is_well)
    async with Upstream(chat("Hello")) as up, serving(tmp_path, pool(up.url)) as server:
        asked = await some_at_once(server, server.chat)
        live = server.gateway.state.setting.destinations["gpt", None].health
        assert sum(one is live for one in told) == len(asked)
        assert any(one is not live for one in told)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/embeddings"])
async def test_each_kind_of_whole_answer_is_gone_over(tmp_path, path):
    bodies: dict[str, dict[str, Any]] = {
        "/v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
        "/v1/messages": {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9},
        "/v1/responses": {"input": "hi", "store": False},
        "/v1/embeddings": {"input": ["hi"]},
    }
    said = EMBEDDED if path == "/v1/embeddings" else message("Hi") if path == "/v1/messages" else chat("Hi")
    async with Upstream(said) as up:
        config = pool(up.url, up.url)
        model = "claude" if path == "/v1/messages" else "gpt"
        if path == "/v1/embeddings":
            config["models"]["gpt"]["capabilities"] = ["embeddings"]
        async with serving(tmp_path, config) as server:

            async def ask():
                got = await server.client.post(path, json={"model": model, **bodies[path]})
                assert got.status_code == 200, got.text
                return got

            asked = await some_at_once(server, ask)
            assert len(up.seen) == len(asked)


async def kept(server: Running, ask: Awaitable[Any]) -> tuple[Any, tuple[bytes, ...], bytes]:
    """The answer to a request, its reads, and what upstream said: none is let go of while it lasts."""
    server.rehearsal.close()
    lately = server.gateway.lately
    lately.wanted = True
    got = await ask
    assert lately.request
    return got, lately.request, lately.answer


async def test_it_comes_to_the_answer_that_the_caller_got(tmp_path):
    async with Upstream(chat("Hello")) as up, serving(tmp_path, pool(up.url)) as server:
        got, request, said = await kept(server, server.chat("What is it?"))
        answers: list[bytes] = []
        faults: list[Any] = []
        loop = asyncio.get_running_loop()
        stage = Stage(server.gateway, loop, answers.append, faults.append)
        for number in range(1, 4):  # the first is parsed, a later one has a head that is known
            stage.play(server.gateway.state, request, said)
            await until(partial(_has, answers, number))
        stage.close()
        for whole in answers:
            head, _, body = whole.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert body == got.content
        assert (faults, len(up.seen)) == ([], 1)


def _has(answers, number):
    return len(answers) == number


async def test_a_request_that_comes_alone_is_gone_over_by_nobody(tmp_path):
    async with Upstream(chat("Hello")) as up, serving(tmp_path, pool(up.url)) as server:
        await server.chat()
        await until(lambda: server.gateway.lately.wanted)
        await asyncio.sleep(0.05)
        assert server.rehearsal.count == 0


async def test_what_was_gone_over_is_not_held_any_longer(tmp_path):
    async with Upstream(chat("Hello")) as up, serving(tmp_path, pool(up.url)) as server:
        await some_at_once(server, server.chat)
        lately = server.gateway.lately
        await until(lambda: (lately.request, lately.answer, lately.wanted) == ((), b"", True))


def _stages():
    return [one for one in gc.get_objects() if isinstance(one, Stage)]


async def test_neither_a_key_nor_an_answer_nor_an_old_config_is_held_where_nobody_follows(tmp_path):
    async with Upstream(chat("Hello")) as up, serving(tmp_path, pool(up.url)) as server:
        await some_at_once(server, server.chat)
        await until(lambda: server.gateway.lately.request == ())
        await asyncio.sleep(0)
        gc.collect()
        assert _stages() == []


async def test_the_dearer_one_is_the_longer_none_follows(tmp_path, monkeypatch):
    monkeypatch.setattr(rehearsal, "REST", 1e9)
    monkeypatch.setattr(rehearsal, "LONGEST_S", 1e9)
    async with Upstream(chat("Hi")) as up, serving(tmp_path, pool(up.url)) as server:
        for _ in range(100):
            await server.chat()
            await asyncio.sleep(0.005)
        assert server.rehearsal.count == 1


STRICT: dict[str, Any] = {
    "policy": [{"name": "s", "when": {"task": "unknown"}, "then": {"logging": "strict"}}]
}


@pytest.mark.parametrize(
    ("sections", "text", "headers", "said"),
    [
        pytest.param(STRICT, "hi", {}, chat("Hi"), id="logged strictly"),
        pytest.param({}, "hi", {"x-interlock-session": "s"}, chat("Hi"), id="of a session"),
        pytest.param({}, "hi " * MOST, {}, chat("Hi"), id="large"),
        pytest.param({}, "hi", {}, chat("Hi " * MOST), id="largely answered"),
        pytest.param({}, "hi", {}, answer({"error": {"message": "no"}}, 400), id="failed"),
        pytest.param({"server": {"keep_warm": False}}, "hi", {}, chat("Hi"), id="turned off"),
    ],
)
async def test_nothing_is_kept_of_a_request_that_is(tmp_path, sections, text, headers, said):
    async with Upstream(said) as up, serving(tmp_path, pool(up.url, **sections)) as server:
        for _ in range(3):
            await server.chat(text, headers=headers)
            assert (server.gateway.lately.request, server.gateway.lately.wanted) == ((), True)
        assert server.rehearsal.count == 0


async def test_a_kept_response_and_a_stream_are_not_gone_over(tmp_path):
    async with Upstream(chat("Hi")) as up, serving(tmp_path, pool(up.url)) as server:
        for _ in range(3):
            got = await server.client.post("/v1/responses", json={"model": "gpt", "input": "x"})
            assert got.status_code == 200
            await server.chat(stream=True)
            assert (server.gateway.lately.request, server.rehearsal.count) == ((), 0)


async def test_a_request_that_would_not_be_let_in_any_more_is_let_go_of(tmp_path):
    one, other = {"id": "app", "key": "${KEY_ONE}"}, {"id": "other", "key": "${KEY_OTHER}"}
    env = {"KEY_ONE": "key-one", "KEY_OTHER": "key-other"}
    async with (
        Upstream(chat("Hi")) as up,
        serving(tmp_path, pool(up.url, keys=keyed(one, other)), env) as server,
    ):
        _, request, said = await kept(server, server.chat(headers={"authorization": "Bearer key-one"}))
        answers: list[bytes] = []
        stage = Stage(server.gateway, asyncio.get_running_loop(), answers.append, print)
        stage.play(server.gateway.state, request, said)
        await until(lambda: len(answers) == 1)
        server.write(pool(up.url, keys=keyed(other)))
        assert await server.reloader.reload()
        stage.play(server.gateway.state, request, said)
        await until(lambda: len(answers) == 2)
        stage.close()
        assert [one[:13] for one in answers] == [b"HTTP/1.1 200 ", b"HTTP/1.1 401 "]
        assert len(up.seen) == 1


async def test_a_request_is_not_gone_over_under_a_config_that_would_have_it_logged_strictly(tmp_path):
    async with Upstream(chat("Hi")) as up, serving(tmp_path, pool(up.url)) as server:
        server.write(pool(up.url, **STRICT))
        assert await server.reloader.reload()
        strict = server.gateway.state
        server.write(pool(up.url))
        await until(lambda: server.gateway.state is not strict)
        for _ in range(10):
            await some_at_once(server, server.chat)
            await server.chat()
            plain, server.gateway.state = server.gateway.state, strict
            await until(lambda: server.gateway.lately.request == ())
            server.gateway.state = plain
        assert server.gateway.lately.wanted
        assert not [line for line in server.log if line["event"] == "rehearsal_failed"]


async def test_what_takes_long_is_not_gone_over_again(tmp_path, monkeypatch):
    monkeypatch.setattr(rehearsal, "LONGEST_S", -1.0)
    async with Upstream(chat("Hi")) as up, serving(tmp_path, pool(up.url)) as server:
        for _ in range(200):
            before = server.rehearsal.count
            for _ in range(4):
                await server.chat()
            await asyncio.sleep(0.04)
            assert server.rehearsal.count - before <= 4, "once after each, and no more"
            if server.rehearsal.count > 0:
                return
        raise AssertionError("nothing was gone over")


async def test_a_fault_that_only_a_rehearsal_has_ends_it_and_costs_one_line(tmp_path, monkeypatch):
    def broken(self, row, *, since):
        raise ZeroDivisionError

    monkeypatch.setattr(rehearsal.Nowhere, "note_row", broken)
    async with Upstream(chat("Hi")) as up, serving(tmp_path, pool(up.url)) as server:
        for _ in range(200):
            assert (await server.chat()).status_code == 200
            if not server.gateway.lately.wanted and server.gateway.lately.taken is None:
                break
        await until(lambda: any(line["event"] == "rehearsal_failed" for line in server.log))
        for _ in range(3):
            assert (await server.chat()).status_code == 200
        said = [line for line in server.log if line["event"] == "rehearsal_failed"]
        assert len(said) == 1
        assert said[0]["error"] == "ZeroDivisionError"
        assert server.rehearsal.count == 0
        assert "fault" not in {line["event"] for line in server.log}


async def test_real_requests_in_the_middle_of_it_get_their_own_answers(tmp_path):
    def echo(seen):
        return chat(seen.json["messages"][0]["content"])

    async with Upstream(echo) as up, serving(tmp_path, pool(up.url)) as server:

        async def ask(number):
            text = f"number {number}"
            got = await server.chat(text)
            assert got.json()["choices"][0]["message"]["content"] == text

        for number in range(300):
            await asyncio.gather(*(ask(f"{number}/{place}") for place in range(1 + number % 3)))
            await asyncio.sleep(0.001 * (number % 5))
        assert server.rehearsal.count > 0


async def test_it_is_over_when_it_is_closed(tmp_path):
    async with Upstream(chat("Hi")) as up, serving(tmp_path, pool(up.url)) as server:
        await some_at_once(server, server.chat)
        server.rehearsal.close()
        count = server.rehearsal.count
        for _ in range(5):
            await server.chat()
        await asyncio.sleep(0.03)
        assert (server.rehearsal.count, server.gateway.lately.request) == (count, ())


NAME = some.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12).map(lambda name: f"x{name}")
VALUE = some.text(
    some.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=20
)


@given(some.dictionaries(NAME, VALUE, max_size=5), some.binary(max_size=50), some.booleans())
def test_a_request_can_be_written_as_it_might_have_come(headers, body, closing):
    async def taken(*reads: bytes) -> tuple[Any, ...]:
        calls: list[tuple[Any, ...]] = []
        app = Echo()

        async def serve(call):
            calls.append((call.method, call.target, dict(call.headers), call.body, call.reads()))
            call.respond(200, "", b"")

        app.serve = serve  # type: ignore[method-assign]
        loop = asyncio.get_running_loop()
        wire = connection.Connection(loop, app, set(), Outbox(loop))
        wire.connection_made(Wire())
        for data in reads:
            wire.data_received(data)
        await until(lambda: calls)
        return calls[0]

    async def both() -> None:
        lines = "".join(f"{name}: {text}\r\n" for name, text in headers.items())
        if closing:
            lines += "connection: close\r\n"
        head = f"POST /p?q=1 HTTP/1.1\r\nhost: h\r\n{lines}content-length: {len(body)}\r\n\r\n"
        first = await taken(head.encode("latin-1"), body)
        second = await taken(*first[-1])
        kept = {name: text for name, text in first[2].items() if name != "connection"}
        assert second[:4] == (*first[:2], kept, first[3])

    asyncio.run(both())


@pytest.mark.parametrize("header", ["expect: 100-continue", "upgrade: h2c"])
async def test_a_request_that_takes_more_than_a_head_and_a_body_is_not_written_again(header):
    app, loop = Echo(), asyncio.get_running_loop()
    found = []

    async def serve(call):
        found.append(call.reads())
        call.respond(200, "", b"")

    app.serve = serve  # type: ignore[method-assign]
    wire = connection.Connection(loop, app, set(), Outbox(loop))
    wire.connection_made(Wire())
    wire.data_received(f"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n{header}\r\n\r\nx".encode())
    await until(lambda: found)
    assert found == [()]


def test_a_rehearsal_has_nothing_of_a_store_but_what_a_plain_request_asks_of_it():
    nowhere = rehearsal.Nowhere()
    with pytest.raises(AttributeError):
        nowhere.get_record("dec_x")
    with pytest.raises(AttributeError):
        nowhere.writer.row("", ())
