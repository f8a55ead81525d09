"""What one call through `interlock.transport` costs this process: CPU microseconds, best of some rounds.

    python bench/transport.py [--calls 20000] [--rounds 5] [--loop uvloop|asyncio]

The upstream is a process of its own, so that only the client's side is counted, loop and system
calls included. `unary` is a 1 KB request with a 1 KB answer; `burst` is 100 events in one write;
`paced` is one event per write, each awaited, so that it holds a whole wake-up of the loop per event.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import uvloop

from interlock.transport import Response
from interlock.transport.http1 import Http1Transport

LOOPS = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}
HEADERS = (("authorization", "Bearer sk-bench"), ("content-type", "application/json"), ("x-request-id", "r"))
BODY = b"x" * 1024
EVENTS = 100
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":" token"}}]}\n\n'
CHUNK = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)
HEAD = (
    b"HTTP/1.1 200 OK\r\ndate: Tue, 24 Nov 2026 09:00:00 GMT\r\nserver: bench\r\n"
    b"x-request-id: req_0123456789\r\nopenai-processing-ms: 12\r\nx-ratelimit-remaining-requests: 9999\r\n"
)
STREAM = HEAD + b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
WHOLE = {
    b"/unary": HEAD + b"content-type: application/json\r\ncontent-length: 1024\r\n\r\n" + b"y" * 1024,
    b"/burst": STREAM + CHUNK * EVENTS + b"0\r\n\r\n",
}


class Upstream(asyncio.Protocol):
    """Trusts the client of this file: a request is complete once the bytes of one have come."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        head, found, body = self.data.partition(b"\r\n\r\n")
        if found and len(body) >= len(BODY):
            self.data = b""
            path = head.split(b" ", 2)[1]
            if path in WHOLE:
                self.transport.write(WHOLE[path])  # type: ignore[attr-defined]  # uvloop's own class
            else:
                self.pace(STREAM, EVENTS)

    def pace(self, data: bytes, left: int) -> None:
        self.transport.write(data if left else data + b"0\r\n\r\n")  # type: ignore[attr-defined]  # as above
        if left:
            asyncio.get_running_loop().call_later(0.001, self.pace, CHUNK, left - 1)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until the parent leaves


async def drain(response: Response) -> None:
    while await response.chunk(asyncio.get_running_loop().time() + 30):
        pass


async def read(response: Response) -> None:
    await response.read(1 << 20, asyncio.get_running_loop().time() + 30)


async def measure(
    client: Http1Transport, url: str, take: Callable[[Response], Awaitable[None]], calls: int, at_once: int
) -> float:
    """CPU seconds for `calls` calls, `at_once` of them at any time."""
    loop = asyncio.get_running_loop()

    async def work(count: int) -> None:
        for _ in range(count):
            now = loop.time()
            await take(await client.send(url, HEADERS, BODY, connect_by=now + 3, first_byte_by=now + 10))

    await asyncio.gather(*(work(2) for _ in range(at_once)))
    started = time.process_time()
    await asyncio.gather(*(work(calls // at_once) for _ in range(at_once)))
    return time.process_time() - started


async def run(port: int, calls: int, rounds: int) -> None:
    client = Http1Transport()
    url = f"http://127.0.0.1:{port}"
    plan = {
        "unary, 1 at once": ("/unary", read, calls // 4, 1, 1),
        "unary, 32 at once": ("/unary", read, calls, 32, 1),
        "burst, per stream": ("/burst", drain, calls // 4, 16, 1),
        "burst, per event": ("/burst", drain, calls // 4, 16, EVENTS),
        "paced, per event": ("/paced", drain, 128, 16, EVENTS),
    }
    for name, (path, take, count, at_once, per) in plan.items():
        spent = [await measure(client, url + path, take, count, at_once) for _ in range(rounds)]
        print(f"{name:20} {min(spent) / count / per * 1e6:8.2f} us CPU")
    await client.close()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--calls", type=int, default=20_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--loop", choices=LOOPS, default="uvloop")
    options.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1] if chosen.serve else cores[0]})
    with asyncio.Runner(loop_factory=LOOPS[chosen.loop]) as runner:
        if chosen.serve:
            runner.run(serve())
            return
        command = [sys.executable, __file__, "--serve"]
        os.sched_setaffinity(0, set(cores))
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as upstream:
            assert upstream.stdout is not None
            port = int(upstream.stdout.readline())
            os.sched_setaffinity(0, {cores[0]})
            runner.run(run(port, chosen.calls, chosen.rounds))
            assert upstream.stdin is not None
            upstream.stdin.close()


if __name__ == "__main__":
    main()
