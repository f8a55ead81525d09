"""`interlock serve` as a process of its own, looked at from outside: its sockets, its memory, its words.

Nothing here knows how the server is built. The upstream is a mock in the process of the test, at a
port that is known before either starts.
"""

import json
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

RUN = """
import os, pathlib, resource, sys
if files := int(sys.argv[2]):
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
if memory := int(sys.argv[3]):
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
from interlock.server.serve import serve
say = lambda text: print(text, file=sys.stderr, flush=True)
sys.exit(serve(pathlib.Path(sys.argv[1]), os.environ, say=say))
"""
START_S = 30
"""How long a start may take on a busy machine before the test gives up."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def config(**sections: Any) -> dict[str, Any]:
    """A config whose providers are one mock at a free port; `chat` and `claude` are its models."""
    upstream = free_port()
    entry = {"price": {"input": 1.0, "output": 1.0}, "context_tokens": 1_000_000}
    return {
        "providers": {
            "mock": {"kind": "openai", "base_url": f"http://127.0.0.1:{upstream}/v1", "regions": ["eu"]},
            "other": {"kind": "anthropic", "base_url": f"http://127.0.0.1:{upstream}", "regions": ["eu"]},
        },
        "models": {"chat": {"provider": "mock", **entry}, "claude": {"provider": "other", **entry}},
        "default": {"model": "chat"},
        "store": {"url": "sqlite:///interlock.db"},
        "server": {"port": free_port()},
        **sections,
    }


class Served:
    """A running server. `log` is what it has written to stdout, where that is a file.

    `upstream` is the port at which it looks for its provider.
    """

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], port: int, upstream: int) -> None:
        self.folder = folder
        self.process = process
        self.port = port
        self.upstream = upstream

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "out.jsonl").read_text().splitlines()]

    @property
    def errors(self) -> str:
        return (self.folder / "err.txt").read_text()

    @property
    def sockets(self) -> int:
        """How many sockets it holds."""
        found = 0
        for link in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                found += link.readlink().name.startswith("socket:")
            except FileNotFoundError:  # closed while we looked
                continue
        return found

    def line(self, answer: bytes) -> dict[str, Any]:
        """The log's line of the request that got this answer: its decision's id is in a header."""
        name = answer.partition(b"x-interlock-decision-id: ")[2].partition(b"\r\n")[0].decode()
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found[:] = [line for line in self.log if line.get("decision") == name]
            return bool(found)

        wait_for(look, 10)
        return found[0]

    @property
    def memory(self) -> int:
        """Bytes of its own that lie in memory."""
        text = Path(f"/proc/{self.process.pid}/statm").read_text()
        resident, shared = (int(word) for word in text.split()[1:3])
        return (resident - shared) * resource.getpagesize()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def ended(self, within: float = 60) -> int:
        """Its exit status, once it has ended."""
        return self.process.wait(within)


@contextmanager
def served(
    folder: Path,
    settings: Mapping[str, Any],
    *,
    files: int | None = None,
    memory: int | None = None,
    stdout: int | None = None,
) -> Iterator[Served]:
    """Start it and wait until it is ready. `stdout`: where its log goes.

    `files` is how many it may open, `memory` how many bytes it may have of its own: the kernel sees to both.
    """
    (folder / "interlock.yaml").write_text(yaml.safe_dump(dict(settings), sort_keys=False))
    port = settings["server"]["port"]
    process = start(folder, files=files, memory=memory, stdout=stdout)
    upstream = int(settings["providers"]["other"]["base_url"].rpartition(":")[2])
    running = Served(folder, process, port, upstream)
    try:
        wait_for(lambda: is_ready(port) or process.poll() is not None, START_S)
        assert process.poll() is None, running.errors
        yield running
    finally:
        if process.poll() is None:
            running.kill()


def start(
    folder: Path, *, files: int | None = None, memory: int | None = None, stdout: int | None = None
) -> subprocess.Popen[bytes]:
    """The process, without waiting for it."""

    with (folder / "out.jsonl").open("ab") as out, (folder / "err.txt").open("ab") as err:
        return subprocess.Popen(
            [sys.executable, "-c", RUN, str(folder / "interlock.yaml"), str(files or 0), str(memory or 0)],
            stdin=subprocess.DEVNULL,
            stdout=out if stdout is None else stdout,
            stderr=err,
        )


def is_ready(port: int) -> bool:
    """Whether a server at a port says that it is ready."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as sock:
            sock.sendall(b"GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
            return sock.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def wait_for(condition: Callable[[], object], within: float) -> None:
    """Wait for something that another process brings about; a failure where it does not."""
    until = time.monotonic() + within
    while not condition():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.02)
