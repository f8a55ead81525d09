"""What callers notice of others who misbehave: p99 beside idle connections, half heads and unread streams.

Rows C2 and C12 of docs/faults.md, which tests check by the order of events, are checked by the clock here.
Calm and crowded rounds alternate; the figure is the median of their ratios.
"""

import socket
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from bench.lab import Line, build, chat_body, drive, free_port, interlock, upstream, write_config
from bench.streams import close_all, open_streams

IDLE: Final = 1_000
UNREAD: Final = 50
MOST: Final = 2.0
ROUNDS: Final = 3
RUN_S: Final = 3.0
"""Shorter than a head may take: all of them stand there to the end of a round."""
RATE: Final = 100
HALF_A_HEAD: Final = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\nx-a: "


def crowd(port: int) -> list[socket.socket]:
    """Connections that say nothing or stop in the middle of a head, and streams that nobody reads."""
    found = open_streams(port, UNREAD, chat_body("home-tiny", stream=True))
    for number in range(IDLE):
        connection = socket.create_connection(("127.0.0.1", port), timeout=10)
        if number % 2:
            connection.sendall(HALF_A_HEAD)
        found.append(connection)
    return found


def measure() -> list[Line]:
    """The p99 of plain requests at a steady rate, crowded against calm."""
    with tempfile.TemporaryDirectory(prefix="interlock-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        tools = build(folder)
        port = free_port()
        stack.enter_context(interlock(write_config(folder, stack.enter_context(upstream(tools)), port), port))
        body = folder / "plain.json"
        body.write_bytes(chat_body("mock"))
        ratios = []
        for _ in range(ROUNDS):
            calm = drive(tools, port, body, seconds=RUN_S, connections=8, rate=RATE)["latency_us"]["p99"]
            others = crowd(port)
            crowded = drive(tools, port, body, seconds=RUN_S, connections=8, rate=RATE)["latency_us"]["p99"]
            close_all(others)
            ratios.append(crowded / calm)
            print(f"p99 {calm:.0f} us alone, {crowded:.0f} us beside {len(others)} connections")
    ratio = statistics.median(ratios)
    verdict = f"within {MOST:.0f} x" if ratio < MOST else f"OVER {MOST:.0f} x"
    return [Line(name="p99 beside idle and unread callers", value=f"{ratio:.2f} x", verdict=verdict)]
