"""What callers notice of others who misbehave: p99 beside idle connections, half heads and unread streams;
and how long it takes to refuse 100,000 brackets.

Rows C2, C7 and C12 of docs/faults.md, which tests check by the order of events, are checked by the clock
here. Calm and crowded rounds alternate; the figure is the median of their ratios.
"""

import socket
import statistics
import tempfile
import time
import urllib.error
import urllib.request
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
    upstream,
    write_config,
)
from bench.streams import close_all, open_streams

IDLE: Final = 2_000
UNREAD: Final = 50
MOST: Final = 2.0
ROUNDS: Final = 3
RUN_S: Final = 3.0
"""Shorter than a head may take: all of them stand there to the end of a round."""
RATE: Final = 100
BRACKETS: Final = b"[" * 100_000
BOMBS: Final = 9
MOST_BOMB_MS: Final = 50.0
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


def bombs_ms(port: int) -> list[float]:
    """How long a body of nothing but brackets takes to be refused, from its first byte to the answer's."""
    took = []
    for _ in range(BOMBS):
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/chat/completions",
            BRACKETS,
            {"content-type": "application/json", "authorization": f"Bearer {KEY}"},
        )
        begin = time.monotonic()
        try:
            urllib.request.urlopen(asked, timeout=10)
        except urllib.error.HTTPError as refused:
            took.append((time.monotonic() - begin) * 1000)
            if refused.code != 400:
                raise Wrong(f"brackets were answered with {refused.code}") from refused
        else:
            raise Wrong("brackets were answered")
    return took


def measure() -> list[Line]:
    """The p99 of plain requests at a steady rate, crowded against calm; and the refusals of brackets."""
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
        bombs = bombs_ms(port)
        print(f"brackets refused after {', '.join(f'{value:.0f}' for value in bombs)} ms")
    ratio = statistics.median(ratios)
    verdict = f"within {MOST:.0f} x" if ratio < MOST else f"OVER {MOST:.0f} x"
    bomb = statistics.median(bombs)
    refused = f"within {MOST_BOMB_MS:.0f} ms" if bomb < MOST_BOMB_MS else f"OVER {MOST_BOMB_MS:.0f} ms"
    return [
        Line(name="p99 beside idle and unread callers", value=f"{ratio:.2f} x", verdict=verdict),
        Line(name="100,000 brackets refused, ms", value=f"{bomb:.1f}", verdict=refused),
    ]
