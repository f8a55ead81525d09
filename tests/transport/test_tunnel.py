"""Calls through an HTTP proxy, which is here a double on loopback: what it sees, and every way it fails."""

import asyncio
import base64
import ssl
from contextlib import suppress
from typing import Any

import pytest

from interlock.transport import Response, Transport, TransportError
from interlock.transport.http1 import Http1Transport
from interlock.transport.tunnel import MAX_HEAD
from interlock.types.proxy import Proxy
from tests.transport.conftest import CERTIFICATE
from tests.transport.proxy import ESTABLISHED, proxying
from tests.transport.test_http1 import soon, until
from tests.transport.test_keep_alive import Counting, open_sockets
from tests.transport.upstream import Flood, Peer, answer, chunked, scripted

KEY = ("authorization", "Bearer sk-canary-upstream")


@pytest.fixture
async def client():
    client = Http1Transport(ssl_context=ssl.create_default_context(cafile=str(CERTIFICATE)))
    yield client
    await client.close()


async def post(client: Transport, url: str, proxy: Proxy | None, **more: Any) -> Response:
    more = {"connect_by": soon(), "first_byte_by": soon(), **more}
    return await client.send(url, (KEY,), b"{}", proxy=proxy, **more)


async def fetch(client: Transport, url: str, proxy: Proxy | None) -> bytes:
    return await (await post(client, url, proxy)).read(1000, soon())


async def failure(client: Transport, url: str, proxy: Proxy, **more: Any) -> tuple[str, str]:
    with pytest.raises(TransportError) as error:
        await post(client, url, proxy, **more)
    return error.value.outcome, error.value.detail


async def test_a_plain_upstream_is_reached_through_one_tunnel_that_is_kept(client):
    upstream = Counting()
    async with scripted(upstream) as port, proxying() as proxy:
        for _ in range(5):
            assert await fetch(client, f"http://127.0.0.1:{port}/v1", proxy.at()) == b"ok"
    assert upstream.served == [1] * 5
    assert proxy.lines == [f"CONNECT 127.0.0.1:{port} HTTP/1.1"]
    assert proxy.asked[0].head == (
        b"CONNECT 127.0.0.1:%d HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n\r\n" % (port, port)
    )


async def test_a_tls_upstream_is_verified_through_the_tunnel_and_the_proxy_sees_nothing_of_a_call(
    client, serving
):
    seen = []

    async def handler(peer):
        while True:
            seen.append(await peer.request())
            await peer.send(answer(b"a secret answer"))

    async with scripted(handler, tls=serving) as port, proxying() as proxy:
        for _ in range(3):
            got = await fetch(client, f"https://localhost:{port}/v1/chat", proxy.at("ann:pass word"))
            assert got == b"a secret answer"
    assert [request.headers["authorization"] for request in seen] == [KEY[1]] * 3
    assert proxy.lines == [f"CONNECT localhost:{port} HTTP/1.1"]
    [sent] = proxy.upwards
    assert sent[0] == 22, "a TLS handshake is the first thing in the tunnel"
    assert b"canary" not in proxy.asked[0].head + sent
    assert b"/v1/chat" not in proxy.asked[0].head + sent


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_bodies_of_any_size_go_through_one_tunnel_whole(client, serving, scheme):
    async def handler(peer):
        while True:
            await peer.send(answer((await peer.request()).body[::-1]))

    async with scripted(handler, tls=serving if scheme == "https" else None) as port, proxying() as proxy:
        for size in (0, 2, 3_000_000, 64 * 1024 + 1, 2):
            body = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
            response = await client.send(
                f"{scheme}://localhost:{port}/",
                (),
                body,
                connect_by=soon(),
                first_byte_by=soon(),
                proxy=proxy.at(),
            )
            assert await response.read(size, soon()) == body[::-1]
    assert len(proxy.asked) == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("credentials", ["ann:pass:wörd", "token"])
async def test_credentials_are_shown_to_the_proxy_and_never_to_the_upstream(
    client, serving, scheme, credentials
):
    seen = []

    async def handler(peer):
        seen.append(await peer.request())
        await peer.send(answer(b"ok"))

    async with scripted(handler, tls=serving if scheme == "https" else None) as port, proxying() as proxy:
        assert await fetch(client, f"{scheme}://localhost:{port}/", proxy.at(credentials)) == b"ok"
    kind, _, value = proxy.asked[0].headers["proxy-authorization"].partition(" ")
    whole = credentials if ":" in credentials else f"{credentials}:"
    assert (kind, base64.b64decode(value).decode()) == ("Basic", whole)
    assert value.encode() not in seen[0].head
    assert set(seen[0].headers) == {"host", "accept-encoding", "authorization", "content-length"}


async def no(peer: Peer) -> None:
    await peer.send(answer(b"no", 403))


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://[::1]:8080/x", "[::1]:8080"),
        ("http://api.example.com/x", "api.example.com:80"),
        ("https://api.example.com/x", "api.example.com:443"),
    ],
)
async def test_the_proxy_is_asked_for_host_and_port_and_resolves_the_name_itself(client, url, asked):
    async with scripted(Counting()) as port, proxying(no, to=port) as proxy:
        assert await failure(client, url, proxy.at()) == ("connect_failed", "the proxy answered 403")
    [request] = proxy.asked
    assert (request.line, request.headers["host"]) == (f"CONNECT {asked} HTTP/1.1", asked)


HEADS = {
    "plain": ESTABLISHED,
    "1.0, with headers": b"HTTP/1.0 200 OK\r\nvia: x\r\nproxy-agent: y/1\r\n\r\n",
    "no reason": b"HTTP/1.1 200 \r\n\r\n",
    "another 2xx": b"HTTP/1.1 204 Fine\r\n\r\n",
    "a length that means nothing": b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n",
    "chunks that mean nothing": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    "behind an interim answer": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
async def test_the_proxys_answer_may_come_in_any_pieces(client, head):
    async def handler(peer):
        cut = peer.number - 1
        await peer.request()
        await peer.send_apart(head[:cut], head[cut:])
        await peer.request()
        await peer.send(answer(b"ok", headers={"connection": "close"}))

    async with scripted(handler) as port:
        proxy = Proxy(host="127.0.0.1", port=port)
        for _ in range(len(head) + 1):
            assert await fetch(client, "http://up.example/", proxy) == b"ok"


async def test_the_proxys_answer_may_come_byte_by_byte_and_tls_still_follows(client, serving):
    async def drip(peer):
        await peer.send_apart(*(ESTABLISHED[at : at + 1] for at in range(len(ESTABLISHED))))

    async with scripted(Counting(), tls=serving) as port, proxying(drip) as proxy:
        assert await fetch(client, f"https://localhost:{port}/", proxy.at()) == b"ok"


REFUSALS = {
    b"HTTP/1.1 407 Who are you\r\nproxy-authenticate: Basic\r\ncontent-length: 9\r\n\r\ncanary...": (
        "the proxy answered 407: it wants credentials"
    ),
    b"HTTP/1.1 403 canary\r\ncontent-encoding: gzip\r\n\r\n": "the proxy answered 403",
    b"HTTP/1.1 502 Bad Gateway\r\n\r\n": "the proxy answered 502",
    b"HTTP/1.1 302 Found\r\nlocation: http://canary/\r\n\r\n": "the proxy answered 302",
    b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n": "the proxy answered 101",
    b"": "the proxy hung up",
    b"HTTP/1.1 20": "the proxy hung up",
    b"HTTP/1.1 200 OK\r\nvia: canary\r\n": "the proxy hung up",
    b"SSH-2.0-canary\r\n": "the proxy gave an answer that is not HTTP",
    b"\x15\x03\x01\x00\x02\x02\x16": "the proxy gave an answer that is not HTTP",
    b"HTTP/1.1 canary\r\n\r\n": "the proxy gave an answer that is not HTTP",
    b"HTTP/1.1 200 OK\n\n": "the proxy gave an answer that is not HTTP",
    b"HTTP/2.0 200 OK\r\n\r\n": "the proxy gave an answer that is not HTTP",
    b"RTSP/1.0 200 OK\r\n\r\n": "the proxy gave an answer that is not HTTP",
    b"HTTP/1.1 200 OK\r\nca nary\r\n\r\n": "the proxy gave an answer that is not HTTP",
    ESTABLISHED + b"x": "the proxy sent bytes of its own into the tunnel",
    ESTABLISHED + answer(b"smuggled"): "the proxy sent bytes of its own into the tunnel",
    b"HTTP/1.1 200 OK\r\nx: %b\r\n\r\n" % (b"x" * MAX_HEAD): (
        f"the proxy gave an answer with a head over {MAX_HEAD} bytes"
    ),
    b"HTTP/1.1 100 Continue\r\n\r\n" * 1000: f"the proxy gave an answer with a head over {MAX_HEAD} bytes",
}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(("said", "detail"), REFUSALS.items(), ids=range(len(REFUSALS)))
async def test_u1_a_proxy_that_opens_no_tunnel_is_connect_failed_and_says_why(client, said, detail, scheme):
    sockets = open_sockets()

    async def handler(peer):
        await peer.request()
        await peer.send(said)
        if not detail.endswith("hung up"):
            assert await peer.gone()

    async with scripted(handler) as port:
        proxy = Proxy(host="127.0.0.1", port=port)
        assert await failure(client, f"{scheme}://up.example/", proxy) == ("connect_failed", detail)
        assert not client._pool._open
    await until(lambda: open_sockets() <= sockets)


SHORT = {said: detail for said, detail in REFUSALS.items() if len(said) < 200 and ESTABLISHED not in said}


@pytest.mark.parametrize(("said", "detail"), SHORT.items(), ids=range(len(SHORT)))
async def test_u1_what_a_proxy_refuses_with_may_come_byte_by_byte(client, said, detail):
    async def handler(peer):
        await peer.request()
        await peer.send_apart(*(said[at : at + 1] for at in range(len(said))))

    async with scripted(handler) as port:
        found = await failure(client, "https://up.example/", Proxy(host="127.0.0.1", port=port))
    assert found == ("connect_failed", detail)


async def test_u1_a_proxy_that_wants_other_credentials_says_so_and_they_are_in_no_error(client):
    async def handler(peer):
        await peer.request()
        await peer.send(answer(b"", 407))

    secret = base64.b64encode(b"ann:canary").decode()
    async with scripted(handler) as port:
        proxy = Proxy(host="127.0.0.1", port=port, authorization=f"Basic {secret}")
        with pytest.raises(TransportError) as error:
            await post(client, "https://up.example/", proxy)
    assert error.value.detail == "the proxy answered 407: it does not take the credentials"
    assert secret not in repr((error.value, proxy, client._pool._idle))


async def test_u1_a_proxy_that_resets_is_connect_failed(client):
    async def handler(peer):
        await peer.request()
        peer.reset()

    async with scripted(handler) as port:
        outcome, detail = await failure(client, "https://up.example/", Proxy(host="127.0.0.1", port=port))
    assert outcome == "connect_failed"
    assert detail.startswith("the proxy hung up")


async def test_u1_a_proxy_that_is_not_there_is_told_from_an_upstream_that_is_not_there(client):
    async with scripted(Counting()) as port:
        pass
    outcome, detail = await failure(client, "https://up.example/", Proxy(host="127.0.0.1", port=port))
    assert outcome == "connect_failed"
    assert detail.startswith("the proxy cannot be reached: ConnectionRefusedError")


async def test_u1_a_certificate_for_another_name_is_refused_behind_a_proxy_too(client, serving):
    async with scripted(lambda peer: peer.gone(), tls=serving) as port, proxying(to=port) as proxy:
        outcome, detail = await failure(client, "https://up.example/", proxy.at())
    assert outcome == "connect_failed"
    assert "CERTIFICATE_VERIFY_FAILED" in detail


async def test_u1_a_proxy_that_unwraps_tls_by_itself_is_not_trusted_with_a_request(client):
    """It answers in plain text what should be a handshake."""

    async def handler(peer):
        await peer.request()
        await peer.send(ESTABLISHED)
        first = await peer.reader.read(65536)
        assert first[0] == 22
        await peer.send(answer(b"plain"))
        rest = await peer.reader.read(-1)
        assert b"canary" not in first + rest

    async with scripted(handler) as port:
        outcome, _ = await failure(client, "https://localhost/", Proxy(host="127.0.0.1", port=port))
    assert outcome == "connect_failed"


async def test_u1_a_proxy_that_hangs_up_in_the_handshake_is_connect_failed(client):
    async def handler(peer):
        await peer.request()
        await peer.send(ESTABLISHED)
        await peer.reader.read(65536)

    sockets = open_sockets()
    async with scripted(handler) as port:
        outcome, _ = await failure(client, "https://localhost/", Proxy(host="127.0.0.1", port=port))
        assert outcome == "connect_failed"
    await until(lambda: open_sockets() <= sockets)


STAGES = {"no answer": b"", "half a head": ESTABLISHED[:20], "no handshake": ESTABLISHED}
"""How far a proxy goes before it says nothing more."""


@pytest.mark.parametrize("said", STAGES.values(), ids=STAGES)
async def test_u2_a_tunnel_that_does_not_stand_in_time_is_a_timeout_and_leaves_no_socket(client, said):
    sockets = open_sockets()

    async def handler(peer):
        await peer.request()
        await peer.send(said)
        await peer.reader.read(-1)

    async with scripted(handler) as port:
        proxy = Proxy(host="127.0.0.1", port=port)
        found = await failure(client, "https://up.example/", proxy, connect_by=soon(0.05))
        assert found == ("timeout", "not connected through the proxy in time")
        await until(lambda: open_sockets() <= sockets + 1)  # the proxy's own, on which it listens


@pytest.mark.parametrize("said", STAGES.values(), ids=STAGES)
async def test_c1_cancelling_while_the_tunnel_is_made_closes_its_socket(client, said):
    asked, gone = asyncio.Event(), asyncio.Event()
    sockets = open_sockets()

    async def handler(peer):
        await peer.request()
        await peer.send(said)
        if said == ESTABLISHED:
            await peer.reader.readexactly(1)
        asked.set()
        with suppress(ConnectionError):
            await peer.reader.read(-1)
        gone.set()

    async with scripted(handler) as port:
        call = asyncio.ensure_future(post(client, "https://up.example/", Proxy(host="127.0.0.1", port=port)))
        await asked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await gone.wait()
        assert client._pool.busy == 0
    await until(lambda: open_sockets() <= sockets)


@pytest.mark.parametrize("turns", range(12))
async def test_c1_cancelled_after_any_number_of_turns_nothing_stays_and_the_next_call_is_well(
    client, serving, turns
):
    sockets = open_sockets()
    async with scripted(Counting(), tls=serving) as port, proxying() as proxy:
        url = f"https://localhost:{port}/"
        call = asyncio.ensure_future(fetch(client, url, proxy.at()))
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert await fetch(client, url, proxy.at()) == b"ok"
        await client.close()
    await until(lambda: open_sockets() <= sockets)


async def test_a_client_that_is_closed_while_a_tunnel_is_made_opens_no_connection(client):
    asked, go = asyncio.Event(), asyncio.Event()

    async def greet(peer):
        asked.set()
        await go.wait()
        await peer.send(ESTABLISHED)

    upstream = Counting()
    sockets = open_sockets()
    async with scripted(upstream) as port, proxying(greet) as proxy:
        call = asyncio.ensure_future(post(client, f"http://127.0.0.1:{port}/", proxy.at()))
        await asked.wait()
        await client.close()
        go.set()
        with pytest.raises(TransportError, match="closed"):
            await call
    assert upstream.served == []
    await until(lambda: open_sockets() <= sockets)


async def test_a_connection_is_shared_only_by_calls_through_the_same_proxy_with_the_same_credentials(client):
    upstream = Counting()
    async with scripted(upstream) as port, proxying() as one, proxying() as two:
        ways = [one.at(), two.at(), None, one.at("ann:x"), one.at("bob:x")]
        for _ in range(3):
            for way in ways:
                await fetch(client, f"http://127.0.0.1:{port}/", way)
    assert upstream.served == [1, 2, 3, 4, 5] * 3
    assert (len(one.asked), len(two.asked)) == (3, 1)


async def test_a_stale_tunnel_is_replaced_once(client):
    seen = []

    async def handler(peer):
        await peer.request()
        seen.append(peer.number)
        await peer.send(answer(b"ok"))
        await peer.request()

    async with scripted(handler) as port, proxying() as proxy:
        for _ in range(2):
            assert await fetch(client, f"http://127.0.0.1:{port}/", proxy.at()) == b"ok"
    assert seen == [1, 2]
    assert len(proxy.asked) == 2


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "through a proxy"])
async def test_u8_a_stream_that_is_reset_breaks_through_a_proxy_as_it_does_without(
    client, serving, scheme, proxied
):
    heard = asyncio.Event()

    async def handler(peer):
        await peer.request()
        await peer.send(chunked(b"data: 1\n\n", end=False))
        await heard.wait()
        peer.reset()

    async with scripted(handler, tls=serving if scheme == "https" else None) as port, proxying() as proxy:
        response = await post(client, f"{scheme}://localhost:{port}/", proxy.at() if proxied else None)
        assert await response.chunk(soon()) == b"data: 1\n\n"
        heard.set()
        with pytest.raises(TransportError) as error:
            await response.chunk(soon())
        assert (error.value.outcome, error.value.detail) == ("upstream_error", "cut")
    assert not client._pool._open


async def test_c2_a_slow_reader_holds_the_upstream_back_through_a_proxy(client):
    flood = Flood()

    async with scripted(flood) as port, proxying() as proxy:
        response = await post(client, f"http://127.0.0.1:{port}/", proxy.at())
        assert await flood.at_rest() < 24_000_000
        received = 0
        while data := await response.chunk(soon()):
            received += len(data)
        assert received == Flood.SIZE


async def test_two_hundred_calls_at_once_get_their_own_answers_through_the_proxy(client, serving):
    async def handler(peer):
        while True:
            request = await peer.request()
            await peer.send(answer(request.headers["x-number"].encode()))

    async with scripted(handler, tls=serving) as port, proxying() as proxy:

        async def call(number: int) -> None:
            response = await client.send(
                f"https://localhost:{port}/",
                (("x-number", str(number)),),
                b"",
                connect_by=soon(),
                first_byte_by=soon(),
                proxy=proxy.at(),
            )
            assert await response.read(100, soon()) == str(number).encode()

        await asyncio.gather(*(call(number) for number in range(200)))
        before = len(proxy.asked)
        await asyncio.gather(*(call(number) for number in range(200)))
        assert len(proxy.asked) == before
