"""How long `interlock serve` takes from its command line to its first yes on /readyz: on a new store, and
after it was killed under load (row P1 of docs/faults.md).
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Timer
from typing import Final

from bench.lab import Line, Wrong, build, chat_body, drive, free_port, interlock, upstream, write_config

STARTS: Final = 5
MOST_MS: Final = 1000
CRASHES: Final = 3
MOST_AFTER_CRASH_MS: Final = 5000
LOAD_S: Final = 3.0
"""Of a run of requests in whose middle the server is killed."""


def measure() -> list[Line]:
    """Start it several times; the median counts."""
    return [_line("start until ready, ms", _new(), MOST_MS, statistics.median), _after_crashes()]


def _new() -> list[float]:
    """On a new store each time."""
    took = []
    for _ in range(STARTS):
        with tempfile.TemporaryDirectory(prefix="interlock-bench-") as folder:
            port = free_port()
            config = write_config(Path(folder), free_port(), port)
            took.append(_start_ms(config, port))
    return took


def _after_crashes() -> Line:
    """On the store of one that was killed in the middle of its work, again and again; the longest counts."""
    took = []
    with tempfile.TemporaryDirectory(prefix="interlock-bench-") as name:
        folder = Path(name)
        tools = build(folder)
        body = folder / "plain.json"
        body.write_bytes(chat_body("mock"))
        with upstream(tools) as above:
            port = free_port()
            config = write_config(folder, above, port)
            for _ in range(CRASHES):
                with interlock(config, port) as process:
                    crash = Timer(LOAD_S / 2, process.kill)
                    crash.start()
                    with suppress(Wrong):  # it breaks off, as it shall
                        drive(tools, port, body, seconds=LOAD_S, connections=8)
                    crash.join()
                    process.wait()
                took.append(_start_ms(config, port))
    return _line("start after kill -9, ms", took, MOST_AFTER_CRASH_MS, max)


def _start_ms(config: Path, port: int) -> float:
    begin = time.monotonic()
    with interlock(config, port):
        return (time.monotonic() - begin) * 1000


def _line(name: str, took: list[float], most_ms: float, of: Callable[[list[float]], float]) -> Line:
    print(f"{name}: {', '.join(f'{value:.0f}' for value in took)}")
    value = of(took)
    verdict = f"within {most_ms:.0f} ms" if value <= most_ms else f"OVER {most_ms:.0f} ms"
    return Line(name=name, value=f"{value:.0f}", verdict=verdict)
