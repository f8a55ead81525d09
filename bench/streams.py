"""What open streams hold in memory, and whether memory stays flat under load.

Memory is PSS: what the process tree has for itself and its share of what it shares. Streams bring an event a
second. The soak mixes plain requests and streams, below what the core can do, and samples the memory.
"""

import socket
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.lab import (
    KEY,
    Line,
    Wrong,
    build,
    chat_body,
    drive,
    free_port,
    interlock,
    tree,
    upstream,
    write_config,
)

STREAMS: Final = 500
MOST_MB: Final = 20
MOST_GROWTH: Final = 0.10
SETTLE_S: Final = 3.0
BURST_S: Final = 5.0


def pss_mb(pid: int) -> float:
    """Megabytes that a process tree holds."""
    total = 0
    for process in tree(pid):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


def open_streams(port: int, count: int, body: bytes) -> list[socket.socket]:
    """Connections on which a stream has begun. Raises Wrong where one is refused."""
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode()
    found = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", port), timeout=10)
        connection.sendall(head + body)
        found.append(connection)
    for connection in found:
        status = connection.recv(4096).partition(b"\r\n")[0]
        if status != b"HTTP/1.1 200 OK":
            raise Wrong(f"a stream was refused: {status.decode()}")
    return found


def close_all(connections: list[socket.socket]) -> None:
    for connection in connections:
        connection.close()
    time.sleep(1)


def measure_streams(port: int, pid: int) -> float:
    """Megabytes that each 1,000 open streams add."""
    body = chat_body("home-tiny", stream=True)
    close_all(open_streams(port, 50, body))  # what a first stream loads is not the streams'
    before = pss_mb(pid)
    connections = open_streams(port, STREAMS, body)
    time.sleep(SETTLE_S)
    after = pss_mb(pid)
    close_all(connections)
    return (after - before) * 1000 / STREAMS


def soak(port: int, pid: int, folder: Path, tools: object, seconds: float) -> list[float]:
    """Megabytes over time, the first after a warm-up."""
    bodies = {}
    for name, stream in (("plain", False), ("burst", True)):
        bodies[name] = folder / f"{name}.json"
        bodies[name].write_bytes(chat_body("mock", stream=stream))
    until = time.monotonic() + seconds
    samples: list[float] = []
    while time.monotonic() < until or len(samples) < 3:
        for name, rate in (("plain", 400), ("burst", 150)):
            drive(tools, port, bodies[name], seconds=BURST_S, connections=32, rate=rate)  # type: ignore[arg-type]
        samples.append(pss_mb(pid))
    return samples[1:]


def measure(soak_s: float = 600.0) -> list[Line]:
    """Open streams, then a soak of some seconds."""
    with tempfile.TemporaryDirectory(prefix="interlock-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        tools = build(folder)
        upstream_port = stack.enter_context(upstream(tools))
        port = free_port()
        process = stack.enter_context(interlock(write_config(folder, upstream_port, port), port))
        held = measure_streams(port, process.pid)
        print(f"{held:.1f} MB for each 1,000 open streams")
        samples = soak(port, process.pid, folder, tools, soak_s)
    third = max(1, len(samples) // 3)
    first, last = statistics.median(samples[:third]), statistics.median(samples[-third:])
    growth = last / first - 1
    print(f"soak of {soak_s:.0f} s: {', '.join(f'{value:.0f}' for value in samples)} MB")
    held_verdict = f"within {MOST_MB} MB" if held <= MOST_MB else f"OVER {MOST_MB} MB"
    flat = f"flat (within {MOST_GROWTH:.0%})" if growth <= MOST_GROWTH else f"GROWS over {MOST_GROWTH:.0%}"
    return [
        Line(name="MB per 1,000 open streams", value=f"{held:.1f}", verdict=held_verdict),
        Line(name=f"memory over a soak of {soak_s:.0f} s", value=f"{growth:+.1%}", verdict=flat),
    ]
