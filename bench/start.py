"""How long `interlock serve` takes from its command line to its first yes on /readyz."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from bench.lab import Line, free_port, interlock, write_config

STARTS: Final = 5
MOST_MS: Final = 1000


def measure() -> list[Line]:
    """Start it several times on a new store; the median counts."""
    took = []
    for _ in range(STARTS):
        with tempfile.TemporaryDirectory(prefix="interlock-bench-") as folder:
            port = free_port()
            config = write_config(Path(folder), free_port(), port)
            begin = time.monotonic()
            with interlock(config, port):
                took.append((time.monotonic() - begin) * 1000)
    middle = statistics.median(took)
    print(f"ready after {', '.join(f'{value:.0f}' for value in took)} ms")
    verdict = f"within {MOST_MS} ms" if middle <= MOST_MS else f"OVER {MOST_MS} ms"
    return [Line(name="start until ready, ms", value=f"{middle:.0f}", verdict=verdict)]
