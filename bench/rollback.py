"""How long a rollback takes to reach everybody: four workers under load, until the last request on the old
version.

`interlock alias rollback` is run as a command, again and again between two versions. Each decision is in the
store with its version and the instant at which it was taken; the last one on the old version tells how long
the slowest worker took. Counted from the command's return (below zero is zero: it was over before) and from
its start.
"""

import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import apsw
import yaml
from msgspec import Struct

from bench.lab import (
    CORES,
    KEY,
    Line,
    Tools,
    Wrong,
    build,
    chat_body,
    cpu_us,
    drive,
    free_port,
    interlock,
    running,
    tree,
    upstream,
    write_config,
)

WORKERS: Final = 4
FLIPS: Final = 20
TRIES: Final = 3
MOST_MS: Final = 1000
WATCH_S: Final = 1.5
"""How long after a command's return requests on the old version are looked for."""
RATE: Final = 200
CHUNK_S: Final = 5.0
FEWEST: Final = 20
"""Requests on the new version without which a flip proves nothing."""


class Flip(Struct, frozen=True):
    """One rollback: its start and end as a command, in microseconds since the epoch, and where it led."""

    to: int
    began: int
    returned: int
    ended: int


class Took(Struct, frozen=True):
    """Milliseconds until the last request on the old version.

    Since the change was made, since the command had returned (0: it was over before), since it was called.
    """

    change: float
    end: float
    start: float


class Load(threading.Thread):
    """Sends requests until `over` is set. `fault`: what went wrong."""

    def __init__(self, tools: Tools, port: int, body: Path) -> None:
        super().__init__(daemon=True)
        self._given = tools, port, body
        self.over = threading.Event()
        self.fault: Exception | None = None

    def run(self) -> None:
        try:
            while not self.over.is_set():
                drive(*self._given, seconds=CHUNK_S, connections=64, rate=RATE, fresh=True)
        except Exception as error:  # noqa: BLE001 - it is told where the thread is joined
            self.fault = error

    def end(self) -> None:
        """Raises what went wrong."""
        self.over.set()
        self.join()
        if self.fault is not None:
            raise self.fault


def now_us() -> int:
    return time.time_ns() // 1000


def command(config: Path, *arguments: str) -> Any:
    """Run `interlock alias …` and give its JSON. Raises Wrong where it fails."""
    line = [Path(sys.executable).with_name("interlock"), "alias", *arguments, "--config", config, "--json"]
    with running(line, CORES[-1], env={"INTERLOCK_BENCH_KEY": KEY}) as process:
        said, _ = process.communicate(timeout=30)
    if process.returncode != 0:
        raise Wrong(f"`interlock alias {' '.join(arguments)}` exited with {process.returncode}")
    return json.loads(said)


def flip(config: Path, to: int, watch_s: float) -> Flip:
    """Roll back to a version and go on watching for a while."""
    began = now_us()
    found = command(config, "rollback", "stable", "--to", str(to))
    returned = now_us()
    if found["active"] != to:
        raise Wrong(f"version {found['active']} is active, not {to}")
    time.sleep(watch_s)
    return Flip(to, began, returned, now_us())


def took(store: Path, one: Flip, watch_s: float) -> Took:
    """What the records say of a flip. Raises Wrong where they are too few, or the old version never ended."""
    window = (one.began, one.ended)
    with apsw.Connection(str(store), flags=apsw.SQLITE_OPEN_READONLY) as db:
        rows = db.execute(
            "SELECT created_at, alias_version FROM records "
            "WHERE created_at BETWEEN ? AND ? AND alias = 'stable'",
            window,
        ).fetchall()
        changed: int = db.execute("SELECT max(at) FROM alias_moves WHERE at BETWEEN ? AND ?", window).get
    old = [int(at) for at, version in rows if version != one.to]  # type: ignore[arg-type] # an integer by schema
    if len(rows) - len(old) < FEWEST:
        raise Wrong(f"only {len(rows) - len(old)} requests were decided on version {one.to}")
    last = max(old, default=changed)
    if last > one.ended - 100_000:
        raise Wrong(f"version {3 - one.to} was in use still, {watch_s} s after the rollback's return")
    since_change, since_end, since_start = ((last - at) / 1000 for at in (changed, one.returned, one.began))
    return Took(max(0.0, since_change), max(0.0, since_end), since_start)


class Idle(Wrong):
    """A worker was given nothing to do: the kernel gives connections to whoever is awake."""


def each_worker_worked(before: Sequence[float], after: Sequence[float]) -> None:
    """Raises Idle where one of them sat idle: what it saw when, nobody knows."""
    used = [now - was for was, now in zip(before, after, strict=True)]
    if len(used) != WORKERS or min(used) < max(used) / 20:
        raise Idle(f"the load reached not every worker (CPU us: {', '.join(f'{one:.0f}' for one in used)})")


def measure_flips(folder: Path, tools: Tools, flips: int, watch_s: float) -> list[Took]:
    """Roll back so many times under load."""
    with ExitStack() as stack:
        port = free_port()
        config = write_config(folder, stack.enter_context(upstream(tools)), port)
        settings = yaml.safe_load(config.read_text("utf-8"))
        settings["server"]["workers"] = WORKERS
        config.write_text(yaml.safe_dump(settings, sort_keys=False), "utf-8")
        server = stack.enter_context(interlock(config, port))
        command(config, "promote", "stable", "--to", "mock-large")
        body = folder / "stable.json"
        body.write_bytes(chat_body("stable"))
        load = Load(tools, port, body)
        load.start()
        time.sleep(1.0)
        workers = tree(server.pid)[1:]
        before = [cpu_us(pid) for pid in workers]
        found = [flip(config, 1 + number % 2, watch_s) for number in range(flips)]
        after = [cpu_us(pid) for pid in workers]
        load.end()
    each_worker_worked(before, after)
    return [took(next(folder.glob("*.db")), one, watch_s) for one in found]


def measure(flips: int = FLIPS, watch_s: float = WATCH_S) -> list[Line]:
    """Print how long rollbacks took; returns the lines for the summary."""
    for tries_left in reversed(range(TRIES)):
        with tempfile.TemporaryDirectory(prefix="interlock-bench-") as name:
            folder = Path(name)
            try:
                found = measure_flips(folder, build(folder), flips, watch_s)
                break
            except Idle as fault:
                if not tries_left:
                    raise
                print(f"again: {fault}")
    lines = []
    for since in Took.__struct_fields__:
        values = sorted(getattr(one, since) for one in found)
        print(f"from its {since}: {', '.join(f'{value:.0f}' for value in values)} ms")
        verdict = f"within {MOST_MS} ms" if values[-1] <= MOST_MS else f"OVER {MOST_MS} ms"
        lines.append(
            Line(
                name=f"rollback with {WORKERS} workers, from its {since}, ms",
                value=f"p50 {statistics.median(values):.0f}, max {values[-1]:.0f}",
                verdict="" if since == "start" else verdict,
            )
        )
    return lines
