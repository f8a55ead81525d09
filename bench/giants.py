"""How long others wait beside a giant body, of every shape that is dear in its own way.

Row C15 of docs/faults.md, of which tests check that no step over a large request runs on the loop, is
checked by the clock here. What is left are calls into C that hold the interpreter: ten megabytes of JSON
are read in one.
"""

import json
import random
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from bench.lab import CORES, KEY, Line, Wrong, build, free_port, interlock, running, upstream, write_config

ROUNDS: Final = 3
MOST_MS: Final = 50
CALM_S: Final = 0.3
"""Before and behind each body, so that no wait is missed."""

PING: Final = """
import socket, sys, time
while True:
    at = time.monotonic()
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10) as one:
        one.sendall(b"GET /healthz HTTP/1.1\\r\\nhost: 127.0.0.1\\r\\nconnection: close\\r\\n\\r\\n")
        while one.recv(4096):
            pass
    print(at, time.monotonic(), flush=True, file=sys.stderr)
    time.sleep(0.004)
"""
"""Asks /healthz over and over, in a process of its own, and says from when to when it waited."""

_random: Final = random.Random(1)
_WORDS: Final = ["".join(_random.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(20_000)]


def prose(size: int) -> str:
    return " ".join(_random.choices(_WORDS, k=size // 8))


def said(content: Any, count: int = 1) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}] * count}


def offered(count: int) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"q": {"type": "string"}}}
    return {
        "tools": [
            {"type": "function", "function": {"name": f"t{place}", "parameters": schema}}
            for place in range(count)
        ]
    }


GIANTS: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "1 MB of prose, the first": lambda: said(prose(1_000_000)),
    "180,000 messages": lambda: said("hello there", 180_000),
    "100,000 parts": lambda: said([{"type": "text", "text": "hello there"}] * 100_000),
    "10,000 tools": lambda: {**said("hello there"), **offered(10_000)},
    "9 MB of prose": lambda: said(prose(9_000_000)),
}


def ask(port: int, fields: dict[str, Any]) -> tuple[float, float]:
    """Have a body answered; from when to when. Raises Wrong."""
    body = json.dumps({"model": "mock", **fields}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {KEY}\r\n"
        f"content-type: application/json\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), 60) as one:
        one.sendall(head.encode() + body)
        got = one.recv(64)
        while one.recv(65536):
            pass
    if not got.startswith(b"HTTP/1.1 200"):
        raise Wrong(f"a body of {len(body)} bytes was answered with {got!r}")
    return begin, time.monotonic()


@contextmanager
def pinging(port: int, log: Path) -> Iterator[Callable[[float, float], float]]:
    """Somebody else who asks meanwhile; gives the longest wait, in ms, that overlaps two instants."""
    with running([sys.executable, "-c", PING, str(port)], CORES[1], log=log):

        def longest(begin: float, end: float) -> float:
            waits = [tuple(map(float, line.split())) for line in log.read_text().splitlines()[:-1]]
            return max(((b - a) * 1000 for a, b in waits if b >= begin and a <= end), default=0.0)

        yield longest


def measure() -> list[Line]:
    """The longest wait of others, of all rounds, by the giant that they stood beside."""
    with tempfile.TemporaryDirectory(prefix="interlock-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        port = free_port()
        file = write_config(folder, stack.enter_context(upstream(build(folder))), port)
        config = yaml.safe_load(file.read_text("utf-8"))
        del (
            config["policy"],
            config["latency_classes"],
            config["lanes"],
        )  # all of these are beyond what they allow
        for model in config["models"].values():
            model["context_tokens"] = 100_000_000
        file.write_text(yaml.safe_dump(config), "utf-8")
        stack.enter_context(interlock(file, port))
        longest = stack.enter_context(pinging(port, folder / "pings"))
        worst: dict[str, float] = {}
        for _ in range(ROUNDS):
            for giant, make in GIANTS.items():
                fields = make()
                time.sleep(CALM_S)
                begin, end = ask(port, fields)
                time.sleep(CALM_S)
                worst[giant] = max(worst.get(giant, 0.0), longest(begin, end))
                print(
                    f"{giant}: answered in {(end - begin) * 1000:.0f} ms, others waited {worst[giant]:.0f} ms"
                )
    return [
        Line(
            name=f"others beside {giant}, ms",
            value=f"{wait:.0f}",
            verdict=f"within {MOST_MS} ms" if wait <= MOST_MS else f"OVER {MOST_MS} ms",
        )
        for giant, wait in worst.items()
    ]
