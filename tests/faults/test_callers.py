"""C1, C2 against a real server: callers that leave, and callers that do not read."""

import asyncio
import json
import random
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from interlock.mock import Answering, Behaviour, Hang, Mock, Rule, Script, When
from interlock.mock.moves import Repeat
from interlock.store import Store
from tests.faults.served import config, served
from tests.mock.raw import chat, exchange, messages
from tests.server.harness import until

PAUSE_S = 0.004
# A stream ends only if it is cancelled.
SLOW = Answering(
    Script(
        rules=(Rule(when=When(stream=False), then=Behaviour(delay_s=0.05)),),
        default=Behaviour(text=" ".join(["word"] * 40), pause_s=PAUSE_S, end="hang"),
    )
)


@pytest.fixture
def gateway(tmp_path):
    with served(tmp_path, config()) as running:
        yield running


async def leave(port: int, data: bytes, after: float, *, hard: bool) -> None:
    """Send a request, read for a while, and be gone: in order, or with a reset."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        async with asyncio.timeout(after):
            while await reader.read(4096):
                pass
    except TimeoutError:
        pass
    if hard:
        writer.transport.abort()
    else:
        writer.close()


async def leave_at_random(gateway, how_many: int, seed: int) -> None:
    """Callers leave before, during and after their answers; nothing of them stays behind."""
    draw = random.Random(seed)
    async with Mock(SLOW, port=gateway.upstream) as mock:
        assert (await exchange(gateway.port, chat(model="chat")))[0].startswith(b"HTTP/1.1 200 ")
        base = gateway.sockets - mock.open
        for _ in range(how_many // 50 or 1):
            makes = [(chat, "chat"), (messages, "chat"), (chat, "claude"), (messages, "claude")]
            asked = [draw.choice(makes) for _ in range(min(50, how_many))]
            await asyncio.gather(
                *(
                    leave(
                        gateway.port,
                        make(model=model, stream=draw.random() < 0.8, keep=True),
                        draw.uniform(0, 0.4),
                        hard=draw.random() < 0.5,
                    )
                    for make, model in asked
                )
            )
        await until(lambda: mock.busy == 0, 10)
        # What is kept for the next request to the upstream is no leak; those are counted out.
        await until(lambda: gateway.sockets - mock.open <= base, 10)
        assert (await exchange(gateway.port, chat(model="chat")))[0].startswith(b"HTTP/1.1 200 ")
        asked_upstream = len(mock.received)
    gateway.stop()
    assert gateway.ended() == 0
    store = Store.open(gateway.folder / "interlock.db", now=lambda: 0)
    try:
        statuses = Counter(record.status for record in store.each_record())
    finally:
        store.close()
    assert set(statuses) <= {"ok", "cancelled"}
    assert statuses["cancelled"] > how_many / 10
    assert sum(statuses.values()) >= asked_upstream, "whatever was asked of an upstream was settled"
    assert "Traceback" not in gateway.errors
    assert not [line for line in gateway.log if line["event"] == "fault"]


async def test_c1_random_disconnects_leave_no_socket_behind_and_are_settled_once(gateway):
    await leave_at_random(gateway, 100, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 6))
async def test_c1_500_random_disconnects_leave_no_socket_behind(gateway, seed):
    await leave_at_random(gateway, 500, seed)


def event(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return f"data: {json.dumps(body)}\n\n".encode()


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def flood(size: int, events: int):
    """A plan that streams events of a size as fast as they are taken."""
    piece = event("x" * size)
    return (HEAD, Repeat(b"%x\r\n%b\r\n" % (len(piece), piece), events), Hang())


def stalled(port: int) -> socket.socket:
    """A caller that asks for a stream and reads nothing, with as small a buffer as the kernel gives."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port))
    sock.sendall(chat(model="chat", stream=True, keep=True))
    return sock


def in_the_kernel(*ports: int) -> int:
    """Bytes that wait in the kernel on connections of these ports, either side, either direction."""
    waiting = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if {int(address.partition(":")[2], 16) for address in (local, remote)} & set(ports):
            waiting += sum(int(queue, 16) for queue in queues.split(":"))
    return waiting


async def standing_still(measure: Callable[[], int]) -> int:
    """A figure once it has stopped to change."""
    seen = [-1, measure()]
    while seen[-1] != seen[-2]:
        await asyncio.sleep(0.25)
        seen.append(measure())
    return seen[-1]


@pytest.mark.parametrize("size", [4_000, 100_000], ids=["small events", "large events"])
async def test_c2_a_caller_that_does_not_read_holds_its_upstream_back(gateway, size):
    """Of what the upstream has sent, at most 1 MB a stream lies in the gateway; the rest in the kernel."""
    streams = 6
    usual = Answering(Script(default=Behaviour(text="fine")))

    def plan(request):
        return usual(request) if b"another" in request.body else flood(size, 10**9)

    async with Mock(plan, port=gateway.upstream) as mock:
        callers = [stalled(gateway.port) for _ in range(streams)]
        try:
            await until(lambda: len(mock.received) == streams, 10)
            sent = await standing_still(lambda: mock.sent)
            assert sent - in_the_kernel(gateway.port, gateway.upstream) < streams * 1_000_000
            got, _ = await exchange(
                gateway.port, b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", quiet=0.1
            )
            assert got.startswith(b"HTTP/1.1 200 ")
            for stream in (False, True):  # others are served to their end while these six still stand
                words = [{"role": "user", "content": "another"}]
                got, _ = await exchange(gateway.port, chat(model="chat", stream=stream, messages=words))
                assert got.startswith(b"HTTP/1.1 200 ")
                assert b"fine" in got
                assert (b"[DONE]" in got) == stream
            assert len(mock.received) == streams + 2
            assert not any(request.gone.is_set() for request in mock.received[:streams])
        finally:
            for sock in callers:
                sock.close()
        await until(lambda: all(request.gone.is_set() for request in mock.received[:streams]), 10)


async def test_c2_a_caller_that_reads_slowly_gets_every_byte(gateway):
    """Slow is not stalled: what was held back comes, in order, to its end."""
    text = " ".join(f"{number:04d}" for number in range(6000))
    answering = Answering(Script(default=Behaviour(text=text)))
    async with Mock(answering, port=gateway.upstream):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", gateway.port))
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, chat(model="chat", stream=True))
        got = b""
        while piece := await loop.sock_recv(sock, 65536):
            got += piece
            if len(got) < 20_000:
                await asyncio.sleep(0.02)
        sock.close()
    words = [line for line in got.split(b"\n") if line.startswith(b"data: {")]
    said = "".join(
        choice["delta"].get("content") or "" for line in words for choice in json.loads(line[6:])["choices"]
    )
    assert said == text
    assert b"data: [DONE]" in got
