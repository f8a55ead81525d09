"""Every async test here runs on both loops that Interlock can be started with.

`localhost.pem` is a self-signed certificate for localhost and 127.0.0.1, good for a hundred years; it
was made for these tests (`openssl req -x509 -newkey ec`), and nothing else trusts it.
"""

import asyncio
import ssl
from pathlib import Path

import pytest
import uvloop

HERE = Path(__file__).parent
CERTIFICATE = HERE / "localhost.pem"


def pytest_asyncio_loop_factories(config, item):
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


def serving_context() -> ssl.SSLContext:
    """What an upstream serves TLS with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, HERE / "localhost.key")
    context.set_alpn_protocols(["http/1.1"])
    return context


@pytest.fixture
def serving() -> ssl.SSLContext:
    return serving_context()
