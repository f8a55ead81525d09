"""What the benches share: built tools, pinned processes, the CPU that they used, and lines for the summary.

Everything runs on 127.0.0.1 from a temporary folder and ends with the bench. What is measured gets the first
core to itself; upstream, driver and this program share the second.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

HERE: Final = Path(__file__).resolve().parent
CORES: Final = sorted(os.sched_getaffinity(0))
KEY: Final = "ilk-bench-0123456789abcdef0123456789abcdef"
TICK_US: Final = 1_000_000 / os.sysconf("SC_CLK_TCK")

Figures = Mapping[str, Any]


class Line(Struct, frozen=True, kw_only=True):
    """One line of the summary. `verdict`: "" is information, else how the value compares with its bar."""

    name: str
    value: str
    verdict: str = ""


class NotMeasured(Exception):  # noqa: N818 - it is an outcome of a bench, not a fault
    """This machine lacks what a measurement needs; the text says what."""


class Wrong(Exception):  # noqa: N818 - it is an outcome of a bench, not a fault
    """A measurement that must not be believed: something failed while it ran."""


class Tools(Struct, frozen=True):
    """The C programs, built."""

    mock: Path
    load: Path


def build(folder: Path) -> Tools:
    """Compile upstream and driver into a folder."""
    if len(CORES) < 2:
        raise NotMeasured("it needs two cores: one for what is measured, one for the rest")
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise NotMeasured("it needs a C compiler")
    built = Tools(folder / "mock", folder / "load")
    for program in (built.mock, built.load):
        source = HERE / f"{program.name}.c"
        subprocess.run([compiler, "-O2", "-o", program, source], check=True)
    return built


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on just now.

    Below the range that the kernel hands to clients: there, a client that knocks at a port where nobody
    listens yet can be given that very port, is connected to itself, and keeps the server out.
    """
    for port in random.sample(range(20_000, 30_000), k=100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise NotMeasured("no free port was found between 20000 and 30000")


@contextmanager
def running(
    command: Sequence[object], core: int, *, env: Mapping[str, str] | None = None, log: Path | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A program on one core, until the block ends; its stderr goes to `log`."""
    errors = log.open("w") if log is not None else None
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE if log is None else subprocess.DEVNULL,
        stderr=errors,
        text=True,
        env={**os.environ, **(env or {})},
        # Threads inherit the core only if it is set before the program starts, and we start no threads.
        preexec_fn=partial(os.sched_setaffinity, 0, {core}),  # noqa: PLW1509
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for file in (errors, process.stdout):
            if file is not None:
                file.close()


@contextmanager
def upstream(tools: Tools) -> Iterator[int]:
    """The mock upstream; gives its port."""
    with running([tools.mock, "0"], CORES[1]) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


def write_config(folder: Path, upstream_port: int, port: int) -> Path:
    """bench/interlock.yaml with the ports of this run; its store lies beside it."""
    text = (HERE / "interlock.yaml").read_text("utf-8")
    path = folder / "interlock.yaml"
    path.write_text(
        text.replace(":9100/", f":{upstream_port}/").replace("port: 9200", f"port: {port}"), "utf-8"
    )
    return path


@contextmanager
def interlock(config: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """`interlock serve` on the first core, ready."""
    command = Path(sys.executable).with_name("interlock")
    log = config.with_name("interlock.log")
    arguments = [command, "serve", "--config", config]
    with running(arguments, CORES[0], env={"INTERLOCK_BENCH_KEY": KEY}, log=log) as process:
        wait_until_ready(process, port, log)
        yield process


def wait_until_ready(process: subprocess.Popen[Any], port: int, log: Path, *, within_s: float = 20) -> None:
    """Until /readyz answers 200. Raises Wrong with the end of its log if that does not happen."""
    until = time.monotonic() + within_s
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.002)
    raise Wrong(f"interlock did not become ready:\n{log.read_text('utf-8')[-2000:]}")


def wait_until_open(port: int, *, within_s: float = 10) -> None:
    """Until somebody listens on a port of 127.0.0.1."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise Wrong(f"nothing listens on port {port}")


def drive(
    tools: Tools,
    port: int,
    body: Path,
    *,
    seconds: float,
    connections: int,
    rate: float = 0,
    path: str = "/v1/chat/completions",
    fresh: bool = False,
) -> Figures:
    """One run of the driver, from the second core. Raises Wrong if a single request went wrong.

    `fresh`: a connection for each request, so that every worker gets some.
    """
    command = [tools.load, "-p", str(port), "-b", body, "-s", str(seconds), "-c", str(connections)]
    command += ["-u", path]
    command += ["-H", f"authorization: Bearer {KEY}"]
    if fresh:
        command += ["-H", "connection: close"]
    if rate:
        command += ["-r", str(rate)]
    with running(command, CORES[1]) as process:
        output, _ = process.communicate(timeout=seconds + 30)
    figures: Figures = json.loads(output)
    bad = {name: figures[name] for name in ("errors", "not_2xx", "bad_status", "truncated") if figures[name]}
    if bad or not figures["good"]:
        raise Wrong(f"{body.stem} on port {port}: {figures['good']} good answers, {bad}")
    return figures


def tree(pid: int) -> list[int]:
    """A process and everything that it started, down to the last."""
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


def cpu_us(pid: int) -> float:
    """CPU time of a process tree, exact where the kernel keeps it, in clock ticks where it does not."""
    tasks = [task for process in tree(pid) for task in Path(f"/proc/{process}/task").iterdir()]
    return sum(task_cpu_us(task) for task in tasks)


def task_cpu_us(task: Path) -> float:
    """CPU time of one thread."""
    exact = task / "schedstat"
    if exact.exists():
        return int(exact.read_text().split()[0]) / 1000
    fields = (task / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_US


def chat_body(model: str, *, stream: bool = False, text_bytes: int = 900, unseen: bool = False) -> bytes:
    """A chat request with about `text_bytes` of text; with `unseen`, no two have the same."""
    words = "please compare the two offers below and tell me which of them fits our plan better. "
    text = (words * (text_bytes // len(words) + 1))[:text_bytes]
    return msgspec.json.encode(
        {
            "model": model,
            "messages": [
                {"role": "system", "content": "You answer briefly and name your sources."},
                {"role": "user", "content": text + "########" * unseen},
            ],
            "max_tokens": 800,
            "temperature": 0.2,
            **({"stream": True} if stream else {}),
        }
    )
