"""The edge: routes, keys, roles, bodies. Everything that is refused before anybody thinks."""

import asyncio
import json
import socket
import threading
from typing import Any

import pytest

from interlock.classify import classify
from interlock.config import load
from interlock.errors import ConfigError
from interlock.server.content import content_of
from interlock.server.exposure import check_exposure
from interlock.server.http1.connection import Connection
from interlock.server.routes import ROUTES
from tests.server.harness import keyed, pool, serving, until
from tests.server.upstream import HANG, Reply, Upstream
from tests.server.vendors import chat

KEYS = keyed(
    {"id": "user", "key": "key-user"},
    {"id": "other", "key": "key-other"},
    {"id": "foreign", "key": "key-foreign", "tenant": "globex"},
    {"id": "approver", "key": "key-approver", "role": "approver"},
    {"id": "operator", "key": "key-operator", "role": "operator"},
    {"id": "admin", "key": "key-admin", "role": "admin"},
    {"id": "old", "key": "key-old", "expires": "2020-01-01T00:00:00Z"},
)


def bearer(name):
    return {"authorization": f"Bearer key-{name}"}


@pytest.fixture
async def server(tmp_path):
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url, keys=KEYS)) as running:
        yield running


async def raw(server, data, *, wait=3.0):
    """Send bytes, and read until the server closes or nothing comes any more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    got = b""
    closed = False
    try:
        writer.write(data)
        async with asyncio.timeout(wait):
            while piece := await reader.read(65536):
                got += piece
            closed = True
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return got, closed


# --- routes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/v1/nothing",
        "/v1/chat/completions/",
        "//v1/chat/completions",
        "/v1/chat%2fcompletions",
        "/V1/chat/completions",
        "/v1/chat/completions;x",
        "/v1/../v1/aliases",
        "/v1/aliases/prod/promote/x",
        "/healthz/v1/aliases",
        "/v1/decisions/",
    ],
)
async def test_c11_only_the_exact_path_is_a_route(server, path):
    got, _ = await raw(
        server,
        b"POST %b HTTP/1.1\r\nhost: x\r\nx-api-key: key-admin\r\nconnection: close\r\n\r\n" % path.encode(),
    )
    assert got.startswith(b"HTTP/1.1 404"), got
    assert b'"not_found"' in got


async def test_c11_a_wrong_method_is_405_and_names_the_right_one(server):
    got = await server.client.get("/v1/chat/completions", headers=bearer("user"))
    assert (got.status_code, got.headers["allow"]) == (405, "POST")
    assert got.json()["error"]["code"] == "method_not_allowed"


async def test_c11_errors_have_the_shape_of_the_callers_dialect(server):
    openai = (await server.client.get("/v1/nothing", headers=bearer("user"))).json()
    assert set(openai) == {"error"}
    anthropic = await server.client.get("/v1/messages", headers=bearer("user"))
    assert anthropic.json()["type"] == "error"
    by_header = await server.client.get(
        "/v1/nothing", headers={**bearer("user"), "anthropic-version": "2023-06-01"}
    )
    assert by_header.json()["type"] == "error"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"model": "prod"},
        {"model": 5, "messages": []},
        {"model": "prod", "messages": "hi"},
        {"model": "prod", "messages": [{"role": "user", "content": "hi"}], "max_tokens": -1},
        {"model": "prod", "messages": [{"role": "user", "content": "hi"}], "api_base": "http://evil"},
    ],
)
async def test_c11_a_body_of_the_wrong_shape_is_400(server, body):
    for path in ("/v1/chat/completions", "/v1/messages"):
        got = await server.client.post(path, json=body, headers=bearer("user"))
        assert (got.status_code, got.json()["error"]["code"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"model": "a", "model": "b"}', b'{"a": NaN}', b"\xff{}", b"[" * 100_000]
)
async def test_c7_c8_a_body_that_is_no_plain_json_object_is_400(server, body):
    headers = {**bearer("user"), "content-type": "application/json"}
    got = await server.client.post("/v1/chat/completions", content=body, headers=headers)
    assert (got.status_code, got.json()["error"]["code"]) == (400, "invalid_request")


# --- keys and roles ---------------------------------------------------------------------------

BAD = [
    {},
    {"authorization": "Bearer wrong"},
    {"authorization": "Bearer key-use"},
    {"authorization": "Bearer key-userx"},
    {"authorization": "Basic key-user"},
    {"authorization": "key-user"},
    {"authorization": "Bearer key-old"},
    {"authorization": "Bearer ' OR 1=1 --"},
    {"authorization": "Bearer " + "x" * 60_000},
    {"x-api-key": ""},
    {"x_api_key": "key-admin"},
    {"authorization": "Bearer key-user", "x-api-key": "key-other"},
]


@pytest.mark.parametrize("credential", BAD, ids=range(len(BAD)))
async def test_c13_every_route_refuses_every_bad_credential_alike(server, credential):
    answers = set()
    for route in ROUTES:
        if route.role is not None:
            path = route.name.replace("{id}", "dec_x").replace("{name}", "prod")
            got = await server.client.request(route.method, path, headers=credential)
            assert got.status_code == 401, route
            answers.add(json.dumps({**got.json(), "type": ""}.get("error", {}).get("message")))
    assert len(answers) == 1


async def test_c13_non_ascii_and_doubled_credentials_are_401(server):
    for lines in (
        b"authorization: Bearer k\xe9y",
        b"authorization: Bearer key-user\r\nauthorization: Bearer key-admin",
        b"x-api-key: \x80\xff",
        b"authorization: Bearer ",
        b"authorization:",
    ):
        got, _ = await raw(
            server, b"GET /v1/models HTTP/1.1\r\nhost: x\r\n%b\r\nconnection: close\r\n\r\n" % lines
        )
        assert got.startswith(b"HTTP/1.1 401"), got


async def test_a_key_works_as_bearer_and_as_x_api_key_and_as_both(server):
    for headers in (bearer("user"), {"x-api-key": "key-user"}, {**bearer("user"), "x-api-key": "key-user"}):
        assert (await server.client.get("/v1/models", headers=headers)).status_code == 200


@pytest.mark.parametrize("role", ["user", "approver", "operator", "admin"])
async def test_a20_roles_and_routes(server, role):
    ranks = ["user", "approver", "operator", "admin"]
    for route in ROUTES:
        if route.role is None:
            continue
        path = route.name.replace("{id}", "dec_x").replace("{name}", "prod")
        got = await server.client.request(route.method, path, headers=bearer(role))
        allowed = ranks.index(role) >= ranks.index(route.role)
        assert (got.status_code == 403) is not allowed, route
        assert got.status_code != 401


async def test_a13_headers_that_claim_an_identity_are_ignored(server):
    claims = {
        "x-role": "admin",
        "x-tenant": "globex",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-user": "root",
    }
    got = await server.client.get("/v1/aliases", headers={**bearer("user"), **claims})
    assert got.status_code == 403
    got = await server.chat(headers={**bearer("user"), **claims})
    assert server.record(got).decision.signals.tenant == "acme"


async def test_health_needs_no_key_and_everything_else_does(server):
    assert (await server.client.get("/healthz")).status_code == 200
    assert (await server.client.get("/readyz")).status_code == 200
    assert (await server.client.get("/nothing")).status_code == 401
    server.gateway.draining = True
    assert (await server.client.get("/readyz")).status_code == 503


async def test_without_keys_only_this_machine_and_no_web_page_may_call(tmp_path):
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url)) as server:
        get = server.client.get
        assert (await get("/v1/models")).status_code == 200
        assert (await get("/v1/models", headers={"origin": server.url})).status_code == 200
        for headers in (
            {"origin": "https://evil.example"},
            {"origin": "null"},
            {"origin": "http://127.0.0.1:1"},
            {"host": "evil.example"},
            {"host": "127.0.0.1.evil.example"},
            {"host": "[::1"},
            {"host": ""},
            {"host": "evil.example@localhost"},
            {"host": "localhost#evil.example"},
            {"host": "[::1%25evil.example]"},
            {"origin": server.url.replace("http:", "https:")},
            {"sec-fetch-site": "cross-site"},
        ):
            got = await get("/v1/models", headers=headers)
            assert got.status_code in (400, 403), headers
        assert (await server.chat(headers={"authorization": "Bearer anything"})).status_code == 200


def test_without_keys_the_server_does_not_start_on_another_address(tmp_path):
    file = tmp_path / "interlock.yaml"
    file.write_text(json.dumps(pool("http://127.0.0.1:1")))
    config = load(file, {"ALPHA_KEY": "a", "BETA_KEY": "b"}).config
    for host in ("127.0.0.1", "::1", "localhost", "127.8.8.8"):
        check_exposure(config, host, file)
    for host in ("0.0.0.0", "::", "192.168.1.4", "gateway.example"):
        with pytest.raises(ConfigError, match="loopback"):
            check_exposure(config, host, file)


# --- bodies -----------------------------------------------------------------------------------

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer key-user\r\n"


async def test_c3_a_body_over_the_limit_is_413_and_the_connection_closes(server, monkeypatch):
    monkeypatch.setattr("interlock.server.http1.connection.LINGER_S", 0.1)
    declared = HEAD + b"content-length: 11000000\r\n\r\n"
    got, closed = await raw(server, declared)
    assert got.startswith(b"HTTP/1.1 413")
    assert b'"request_too_large"' in got
    assert closed

    chunk = b"%x\r\n%b\r\n" % (1_000_000, b" " * 1_000_000)
    got, closed = await raw(server, HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunk * 11)
    assert got.startswith(b"HTTP/1.1 413")
    assert closed


async def test_c3_a_lying_content_length_makes_no_second_request(server, monkeypatch):
    monkeypatch.setattr("interlock.server.http1.connection.LINGER_S", 0.1)
    smuggled = b'{"model":"prod"}GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer key-user\r\n\r\n'
    got, _ = await raw(server, HEAD + b"content-length: 20000000\r\n\r\n" + smuggled)
    assert got.count(b"HTTP/1.1") == 1
    assert got.startswith(b"HTTP/1.1 413")


async def test_c5_a_compressed_body_is_415(server):
    for coding in ("gzip", "deflate", "br", "zstd", "gzip, gzip"):
        got = await server.chat(headers={**bearer("user"), "content-encoding": coding})
        assert (got.status_code, got.json()["error"]["code"]) == (415, "unsupported_media_type")


async def test_a_body_of_another_type_is_415(server):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        got = await server.chat(headers={**bearer("user"), "content-type": kind})
        assert got.status_code == 415
    fine = await server.chat(headers={**bearer("user"), "content-type": "application/json; charset=utf-8"})
    assert fine.status_code == 200


@pytest.mark.parametrize(
    "lines",
    [
        b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        b"content-length: +5\r\n\r\nhello",
        b"x-y : z\r\n\r\n",
    ],
)
async def test_c4_an_ambiguous_request_is_400_and_the_connection_closes(server, lines):
    got, closed = await raw(server, HEAD + lines)
    assert got.startswith(b"HTTP/1.1 400"), got
    assert got.count(b"HTTP/1.1 4") == 1
    assert closed


async def test_c12_a_head_that_drips_loses_its_connection(tmp_path, monkeypatch):
    monkeypatch.setattr("interlock.server.http1.connection.HEAD_S", 0.15)
    monkeypatch.setattr("interlock.server.http1.listener.LOOK_S", 0.05)
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url)) as server:
        got, closed = await raw(server, b"GET /healthz HT")
        assert (got, closed) == (b"", True)
        assert (await server.client.get("/healthz")).status_code == 200
        await asyncio.sleep(0.3)
        assert (await server.client.get("/healthz")).status_code == 200


async def test_c12_a_body_that_drips_is_408(tmp_path, monkeypatch):
    monkeypatch.setattr("interlock.server.http1.connection.BODY_S", 0.1)
    monkeypatch.setattr("interlock.server.http1.connection.LINGER_S", 0.1)
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url)) as server:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 50\r\n\r\n{"
        got, closed = await raw(server, head)
        assert got.startswith(b"HTTP/1.1 408")
        assert closed


async def test_a_socket_sends_small_pieces_at_once(server, monkeypatch):
    """TCP_NODELAY on the accepted side: an event must never wait for an acknowledgement."""
    seen = []

    class Looking(Connection):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            seen.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr("interlock.server.http1.listener.Connection", Looking)
    await raw(server, b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert seen
    assert all(seen)


async def test_c15_a_giant_body_does_not_stall_the_others(tmp_path, monkeypatch):
    """It is classified, and masked for its record, in another thread: while it is, the loop answers."""
    on_the_loop = []

    def noting(work):
        def noted(*arguments, **named):
            on_the_loop.append((work.__name__, threading.current_thread() is threading.main_thread()))
            return work(*arguments, **named)

        return noted

    monkeypatch.setattr("interlock.server.judge.classify", noting(classify))
    monkeypatch.setattr("interlock.server.gateway.content_of", noting(content_of))
    masked = {"content": "redacted"}
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url, telemetry=masked)) as server:
        await server.chat()
        known = server.gateway.state.memory.known
        await server.chat(messages=[{"role": "user", "content": "a@b.cc " * 6_000}])
        assert server.gateway.state.memory.known <= known, "and is not remembered"
    assert on_the_loop == [
        ("classify", True),
        ("content_of", True),
        ("classify", False),
        ("content_of", False),
    ]


async def test_a_name_has_a_length(tmp_path):
    async with Upstream(chat()) as up, serving(tmp_path, pool(up.url)) as server:
        for body in (
            {"model": "m" * 300},
            {"tools": [{"type": "function", "function": {"name": "t" * 300}}]},
        ):
            got = await server.chat(**body)
            assert got.status_code == 400
            assert len(got.content) < 1000
        assert up.seen == []


async def test_p8_large_bodies_beyond_their_limit_are_503_unread_and_small_ones_are_served(tmp_path):
    gate = asyncio.Event()

    def reply(_):
        piece = chat().pieces[0]
        assert isinstance(piece, bytes)
        return Reply(200, (gate, piece))

    large = "x " * 60_000
    async with Upstream(reply) as up:
        config = pool(up.url, server={"max_bodies_mb": 0.2})
        config["models"]["gpt"]["context_tokens"] = 1_000_000
        async with serving(tmp_path, config) as server:
            first = asyncio.create_task(server.chat(large))
            await until(lambda: up.seen)
            load = server.gateway.load
            assert 120_000 < load.held < 121_000
            second = await server.chat(large)
            assert (second.status_code, second.json()["error"]["code"]) == (503, "overloaded")
            assert int(second.headers["retry-after"]) > 0
            small = asyncio.create_task(server.chat("hi"))
            gate.set()
            assert [got.status_code for got in await asyncio.gather(first, small)] == [200, 200]
            assert load.held == 0
            assert (await server.chat(large)).status_code == 200


async def test_p8_one_body_is_always_let_in_and_one_that_is_left_unfinished_counts_no_longer(tmp_path):
    async with Upstream(chat()) as up:
        config = pool(up.url, server={"max_bodies_mb": 0.1})
        config["models"]["gpt"]["context_tokens"] = 1_000_000
        async with serving(tmp_path, config) as server:
            port = int(server.url.rpartition(":")[2])
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            head = "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 5000000\r\n\r\n{"
            writer.write(head.encode())
            await until(lambda: server.gateway.load.held == 5_000_000)
            writer.close()
            await until(lambda: server.gateway.load.held == 0)
            assert (await server.chat("x " * 120_000)).status_code == 200

            async def in_chunks():
                yield b"{"

            got = await server.client.post(
                "/v1/chat/completions", content=in_chunks(), headers={"content-type": "application/json"}
            )
            assert got.status_code == 400
            assert server.gateway.load.held == 0


async def test_c1_a_caller_that_leaves_before_what_it_sent_can_be_refused_is_no_fault(tmp_path):
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    async with Upstream(HANG) as up, serving(tmp_path, pool(up.url)) as server:
        port = int(server.url.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        body = json.dumps({"model": "prod", "messages": [{"role": "user", "content": "hi"}]}).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: %d\r\n\r\n"
        writer.write(head % len(body) + body + b"this is no request\r\n\r\n")
        await until(lambda: up.seen)
        writer.close()
        await until(lambda: len([line for line in server.log if line["event"] == "request"]) == 2)
        assert [line["status"] for line in server.log if line["event"] == "request"] == [499, 499]
        assert faults == []


async def test_c1_a_caller_that_leaves_while_its_record_is_written_is_logged_as_gone(tmp_path, monkeypatch):
    async with Upstream(chat("Hello")) as up, serving(tmp_path, pool(up.url)) as server:
        store, writing, left = server.gateway.store, asyncio.Event(), asyncio.Event()
        put_row = store.put_row

        async def slowly(row, **how):
            writing.set()
            await left.wait()
            await put_row(row, **how)

        monkeypatch.setattr(store, "note_row", lambda *_, **__: False)
        monkeypatch.setattr(store, "put_row", slowly)
        port = int(server.url.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        body = json.dumps({"model": "prod", "messages": [{"role": "user", "content": "hi"}]}).encode()
        head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: %d\r\n\r\n"
        writer.write(head % len(body) + body)
        await writing.wait()
        writer.close()
        await asyncio.sleep(0.05)
        left.set()
        await until(lambda: [line for line in server.log if line["event"] == "request"])
        (line,) = [line for line in server.log if line["event"] == "request"]
        assert (line["status"], line["outcome"]) == (499, "ok")


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/healthz", {}),
        ("HEAD", "/readyz", {}),
        ("GET", "/v1/models", bearer("user")),
        ("DELETE", "/v1/responses/resp_1", bearer("user")),
    ],
)
async def test_p8_what_needs_no_body_has_none_held_for_it(server, method, path, headers):
    """Whoever asks, with a key or without: neither a declared body nor one in chunks fills the memory."""

    async def in_chunks():
        for _ in range(20):
            yield b"x" * 10_000

    for content in (b"x" * 200_000, in_chunks()):
        got = await server.client.request(method, path, headers=headers, content=content)
        assert got.status_code == 413
        assert method == "HEAD" or f"{method} needs no body" in got.text
    small = await server.client.request(method, path, headers=headers, content=b"x" * 1_000)
    assert small.status_code in (200, 404)


def posted(body, more=b"", *, length=None, method=b"POST"):
    size = len(body) if length is None else length
    start = b"%b /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\n" % method
    return start + b"%bcontent-length: %d\r\n\r\n%b" % (more, size, body)


def chunked(body, more=b""):
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\n%btransfer-encoding: chunked\r\n\r\n"
        % more
    )
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


async def sent(server, data, *, wait=0.3):
    """What is answered to these bytes, until the connection closes or nothing more is said for a while."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    got = b""
    try:
        writer.write(data)
        while piece := await asyncio.wait_for(reader.read(65536), wait):
            got += piece
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.transport.abort()
    return got


BIG = b'{"model":"prod","messages":[{"role":"user","content":"%b"}]}' % (b"a" * 150_000)


async def test_p8_a_body_in_chunks_counts_what_has_come_of_it(tmp_path):
    """Callers that send next to nothing do not shut out the large requests of others."""
    async with Upstream(chat()) as up:
        config = pool(up.url, server={"max_body_mb": 1, "max_bodies_mb": 0.7})
        config["models"]["gpt"]["context_tokens"] = 1_000_000
        async with serving(tmp_path, config) as server:
            port, load = int(server.url.rpartition(":")[2]), server.gateway.load
            opened = [(await asyncio.open_connection("127.0.0.1", port))[1] for _ in range(3)]
            for writer in opened:
                writer.write(chunked(b"{}")[:-5])
            assert (await sent(server, posted(BIG))).startswith(b"HTTP/1.1 200")
            assert load.held == 0
            piece = b"%x\r\n%b\r\n" % (60_000, b"x" * 60_000)
            for writer in opened[:2]:
                writer.write(piece * 4)
            await until(lambda: load.held >= 480_000)
            assert load.held <= 620_000, "what has come, and a quarter"
            assert (await sent(server, chunked(BIG))).startswith(b"HTTP/1.1 503")
            assert (await sent(server, posted(BIG))).startswith(b"HTTP/1.1 503")
            for writer in opened:
                writer.close()
            await until(lambda: load.held == 0)


async def test_p8_a_whole_body_counts_its_own_bytes(tmp_path):
    async with Upstream(HANG) as up:
        config = pool(up.url, server={"max_body_mb": 1})
        config["models"]["gpt"]["context_tokens"] = 1_000_000
        async with serving(tmp_path, config) as server:
            asking = asyncio.create_task(sent(server, chunked(BIG), wait=5))
            await until(lambda: up.seen)
            assert server.gateway.load.held == len(BIG)
            asking.cancel()
            await until(lambda: server.gateway.load.held == 0)


@pytest.mark.parametrize(
    "data",
    [
        posted(BIG)[:5_000],
        chunked(BIG)[:140_000],
        posted(BIG) * 2,
        chunked(BIG) * 2,
        posted(BIG) + posted(BIG)[:9_000],
        chunked(BIG) + chunked(BIG)[:140_000],
        posted(BIG) * 12,
        chunked(BIG) * 12,
        chunked(b"{}") * 70,
        posted(BIG, b"connection: close\r\n") + posted(BIG),
        posted(BIG, b"connection: upgrade\r\nupgrade: h2c\r\n") + posted(BIG),
        posted(BIG, b"connection: upgrade\r\nupgrade: h2c\r\n")[:9_000],
        chunked(BIG, b"connection: upgrade\r\nupgrade: h2c\r\n"),
        posted(BIG, b"expect: 100-continue\r\n"),
        posted(BIG, b"content-type: text/plain\r\n"),
        posted(BIG, method=b"PUT"),
        posted(BIG, method=b"CONNECT"),
        posted(b"{}", length=5_000_000),
        posted(b"", b"content-length: 0000150000\r\n", length=150_000),
        chunked(b"a" * 1_200_000),
        chunked(BIG)[:-7] + b"zzzz\r\n",
        chunked(BIG)[:-2] + b"content-length: 3\r\n\r\n",
        posted(BIG) + b"\x00\x01garbage\r\n\r\n",
        chunked(BIG) + posted(b"{}", length=5_000_000),
    ],
)
async def test_p8_however_a_large_request_ends_nothing_of_it_counts_any_longer(tmp_path, data):
    async with serving(
        tmp_path, pool("http://127.0.0.1:9", server={"max_body_mb": 1, "max_bodies_mb": 3})
    ) as server:
        await sent(server, data, wait=0.2)
        await until(lambda: server.gateway.load.held == 0)
        await sent(server, data, wait=0.01)  # and left at once
        await until(lambda: not server.gateway.load.held)
        assert (await sent(server, chunked(b"{}"))).startswith(b"HTTP/1.1 400")


async def test_a_large_request_that_asks_to_upgrade_is_served_like_any_other(tmp_path):
    async with Upstream(chat()) as up:
        config = pool(up.url)
        config["models"]["gpt"]["context_tokens"] = 1_000_000
        async with serving(tmp_path, config) as server:
            got = await sent(
                server, posted(BIG, b"connection: upgrade\r\nupgrade: h2c\r\n") + posted(BIG), wait=3
            )
            assert got.startswith(b"HTTP/1.1 200")
            assert got.count(b"HTTP/1.1") == 1
            assert server.gateway.load.held == 0
            assert [line["status"] for line in server.log if "status" in line] == [200]
