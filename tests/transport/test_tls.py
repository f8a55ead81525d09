"""TLS: verified by default, and the same behaviour above it."""

import asyncio
import ssl
from typing import Any

import pytest

from interlock.mock import Answering, Mock
from interlock.transport import Response, Transport, TransportError
from interlock.transport.http1 import Http1Transport, _verifying_context
from tests.transport.conftest import CERTIFICATE
from tests.transport.test_http1 import soon
from tests.transport.upstream import Flood, answer, chunked, scripted


@pytest.fixture
async def client():
    client = Http1Transport(ssl_context=ssl.create_default_context(cafile=str(CERTIFICATE)))
    yield client
    await client.close()


async def post(client: Transport, url: str, body: bytes = b"{}", **more: Any) -> Response:
    return await client.send(url, (), body, **{"connect_by": soon(), "first_byte_by": soon(), **more})


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_a_trusted_upstream_is_talked_to_and_its_connection_kept(client, serving, host):
    served = []

    async def handler(peer):
        while True:
            request = await peer.request()
            served.append(peer.number)
            await peer.send(answer(request.body))

    async with scripted(handler, tls=serving) as port:
        for size in (2, 1_000_000, 2):
            response = await post(client, f"https://{host}:{port}/", b"x" * size)
            assert await response.read(size, soon()) == b"x" * size
    assert served == [1, 1, 1]


async def test_u1_a_certificate_that_nobody_vouches_for_is_connect_failed(serving):
    client = Http1Transport()

    async def handler(peer):
        raise AssertionError("nothing may be sent to an unverified upstream")

    async with scripted(handler, tls=serving) as port:
        with pytest.raises(TransportError) as error:
            await post(client, f"https://localhost:{port}/")
    assert error.value.outcome == "connect_failed"
    assert "CERTIFICATE_VERIFY_FAILED" in error.value.detail
    await client.close()


async def test_u1_a_certificate_for_another_name_is_connect_failed(client, serving):
    async with scripted(lambda peer: peer.gone(), tls=serving) as port:
        with pytest.raises(TransportError) as error:
            await post(client, f"https://127.0.0.2:{port}/")
    assert error.value.outcome == "connect_failed"


async def test_u1_an_upstream_without_tls_is_connect_failed(client):
    async def handler(peer):
        await peer.reader.read(100)
        await peer.send(answer(b"plain"))

    async with scripted(handler) as port:
        with pytest.raises(TransportError) as error:
            await post(client, f"https://localhost:{port}/")
    assert error.value.outcome == "connect_failed"


async def test_u1_an_upstream_that_lets_the_handshake_fail_is_connect_failed(client):
    async with Mock(Answering()) as mock:
        with pytest.raises(TransportError) as error:
            await post(client, f"https://localhost:{mock.port}/")
    assert error.value.outcome == "connect_failed"


async def test_u2_a_handshake_that_stalls_is_a_timeout(client):
    async with scripted(lambda peer: peer.reader.read(-1)) as port:
        with pytest.raises(TransportError) as error:
            await post(client, f"https://localhost:{port}/", connect_by=soon(0.05))
    assert error.value.outcome == "timeout"


def test_the_default_context_verifies_and_takes_its_roots_from_ssl_cert_file(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    context = _verifying_context.__wrapped__()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert (("commonName", "localhost"),) in [entry["subject"][0] for entry in context.get_ca_certs()]


async def test_u8_a_stream_cut_under_tls_is_cut(client, serving):
    async def handler(peer):
        await peer.request()
        await peer.send(chunked(b"data: 1\n\n", end=False))

    async with scripted(handler, tls=serving) as port:
        response = await post(client, f"https://localhost:{port}/")
        assert await response.chunk(soon()) == b"data: 1\n\n"
        with pytest.raises(TransportError) as error:
            await response.chunk(soon())
        assert (error.value.outcome, error.value.detail) == ("upstream_error", "cut")


async def test_a_stale_tls_connection_is_replaced_once(client, serving):
    seen = []

    async def handler(peer):
        await peer.request()
        seen.append(peer.number)
        await peer.send(answer(b"ok"))
        await peer.request()

    async with scripted(handler, tls=serving) as port:
        for _ in range(2):
            response = await post(client, f"https://localhost:{port}/")
            assert await response.read(10, soon()) == b"ok"
    assert seen == [1, 2]


async def test_c1_cancelling_under_tls_closes_the_socket(client, serving):
    gone = asyncio.Event()
    asked = asyncio.Event()

    async def handler(peer):
        await peer.request()
        asked.set()
        assert await peer.gone()
        gone.set()

    async with scripted(handler, tls=serving) as port:
        task = asyncio.ensure_future(post(client, f"https://localhost:{port}/"))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gone.wait()


async def test_c2_a_slow_reader_holds_the_upstream_back_under_tls(client, serving):
    flood = Flood()

    async with scripted(flood, tls=serving) as port:
        response = await post(client, f"https://localhost:{port}/")
        assert await flood.at_rest() < 16_000_000
        received = 0
        while data := await response.chunk(soon()):
            received += len(data)
        assert received == Flood.SIZE
