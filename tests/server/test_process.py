"""Real processes: `serve` with one worker and with two, signals, restarts, and a clean end."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
import yaml

from tests.server.harness import pool, until
from tests.server.upstream import Upstream, sse
from tests.server.vendors import ROLE, chat, chat_end, words

RUN = """
import os, pathlib, sys
from interlock.server.serve import serve
say = lambda text: print(text, file=sys.stderr, flush=True)
sys.exit(serve(pathlib.Path(sys.argv[1]), os.environ, say=say))
"""


CLOSED = [{"name": "closed", "when": {"task": "unknown"}, "then": {"deny": "x"}}]
ASK = {"model": "prod", "messages": [{"role": "user", "content": "hi"}]}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(folder, file):
    env = {**os.environ, "ALPHA_KEY": "a", "BETA_KEY": "b"}
    with (folder / "out.jsonl").open("wb") as out, (folder / "err.txt").open("wb") as err:
        return subprocess.Popen([sys.executable, "-c", RUN, str(file)], env=env, stdout=out, stderr=err)


@asynccontextmanager
async def process(folder, config, **server):
    """`serve` as a process of its own, with a client for it, once it is ready."""
    port = free_port()
    file = folder / "interlock.yaml"
    file.write_text(yaml.safe_dump({**config, "server": {**server, "port": port}}, sort_keys=False))
    running = start(folder, file)
    # A connection per request, so that every worker gets some.
    limits = httpx2.Limits(max_keepalive_connections=0)
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx2.AsyncClient(base_url=url, timeout=10, limits=limits, trust_env=False) as client:
            async with asyncio.timeout(50):
                while not await ready(client):
                    assert running.poll() is None, (folder / "err.txt").read_text()
                    await asyncio.sleep(0.05)
            yield running, client
    finally:
        if running.poll() is None:
            running.kill()
        running.wait()


async def ready(client):
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx2.TransportError:
        return False


def refused(client):
    """Whether nobody listens any more: whoever connected would wait for nothing.

    Who was in the queue when the listener closed is reset.
    """
    try:
        socket.create_connection(("127.0.0.1", client.base_url.port), 1).close()
    except (ConnectionRefusedError, ConnectionResetError):
        return True
    return False


async def ended(running):
    await until(lambda: running.poll() is not None, 10)
    return running.returncode


def workers(running):
    """The process ids of a supervisor's workers."""
    text = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text()
    return [int(pid) for pid in text.split()]


async def alias(client):
    return (await client.post("/v1/chat/completions", json=ASK)).headers["x-interlock-alias"]


async def test_every_worker_comes_to_see_a_promote(tmp_path):
    """Each looks four times a second; how long that takes on a busy machine is not for a test to say."""
    async with Upstream(chat()) as up, process(tmp_path, pool(up.url), workers=2) as (running, client):
        assert len(workers(running)) == 2
        assert {await alias(client) for _ in range(10)} == {"prod@1"}
        await client.post("/v1/aliases/prod/promote", json={"to": "small"})
        for _ in range(40):
            seen = {await alias(client) for _ in range(30)}
            if seen == {"prod@2"}:
                break
            await asyncio.sleep(0.25)
        assert seen == {"prod@2"}
        assert {sent.json["model"] for sent in up.seen[-30:]} == {"up-s"}


async def test_a_worker_that_dies_is_replaced_and_callers_hardly_notice(tmp_path):
    async with Upstream(chat()) as up, process(tmp_path, pool(up.url), workers=2) as (running, client):
        before = workers(running)
        os.kill(before[0], signal.SIGKILL)
        assert await alias(client) == "prod@1"
        await until(lambda: len(workers(running)) == 2 and before[0] not in workers(running), 10)
        lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
        assert [line["status"] for line in lines if line["event"] == "worker_died"] == [-signal.SIGKILL]


async def test_workers_end_when_their_supervisor_is_gone(tmp_path):
    async with Upstream(chat()) as up, process(tmp_path, pool(up.url), workers=2) as (running, _):
        pids = workers(running)
        running.kill()
        running.wait()
        await until(lambda: not any(alive(pid) for pid in pids), 10)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("count", [1, 2])
async def test_p7_sigterm_lets_streams_finish_refuses_new_callers_and_ends_with_0(tmp_path, count):
    gate = asyncio.Event()
    held = sse(ROLE, *words("first"), gate, *words(" last"), chat_end())
    async with Upstream(held) as up, process(tmp_path, pool(up.url), workers=count) as (running, client):
        async with client.stream("POST", "/v1/chat/completions", json={**ASK, "stream": True}) as got:
            text = ""
            async for piece in got.aiter_text():
                text += piece
                if "first" in text and not gate.is_set():
                    running.send_signal(signal.SIGTERM)
                    await until(lambda: refused(client))
                    gate.set()
        assert " last" in text
        assert "[DONE]" in text
        assert await ended(running) == 0


@pytest.mark.parametrize("count", [1, 2])
async def test_sighup_reloads_every_worker(tmp_path, count):
    async with Upstream(chat()) as up, process(tmp_path, pool(up.url), workers=count) as (running, client):
        file = tmp_path / "interlock.yaml"
        closed = {**yaml.safe_load(file.read_text()), "policy": CLOSED}
        stat = file.stat()
        file.write_text(yaml.safe_dump(closed, sort_keys=False))
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        running.send_signal(signal.SIGHUP)
        async with asyncio.timeout(30):
            while True:
                got = [(await client.post("/v1/chat/completions", json=ASK)).status_code for _ in range(10)]
                if set(got) == {403}:
                    break


async def test_without_keys_serve_refuses_an_address_that_others_reach(tmp_path):
    with pytest.raises(AssertionError, match="add `keys`"):
        async with process(tmp_path, pool("http://127.0.0.1:9"), host="0.0.0.0"):
            pass


async def test_an_address_in_use_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = tmp_path / "interlock.yaml"
        file.write_text(yaml.safe_dump({**pool("http://127.0.0.1:9"), "server": {"port": port}}))
        assert await ended(start(tmp_path, file)) == 1
        assert f"cannot listen on 127.0.0.1:{port}" in (tmp_path / "err.txt").read_text()
