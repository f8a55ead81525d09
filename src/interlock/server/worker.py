"""One serving process: an event loop, a gateway, a listener, and a tick that notices what has changed.

Run by `serve` in its own process, or by the supervisor as `python -m interlock.server.worker`.
"""

import argparse
import asyncio
import gc
import itertools
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import uvloop

from interlock.classify import tokens
from interlock.config import load
from interlock.config.loading import Loaded
from interlock.errors import InterlockError, StoreError
from interlock.server.afterwards import follow_releases
from interlock.server.app import Application
from interlock.server.gateway import make_gateway
from interlock.server.http1 import Listener
from interlock.server.log import Log
from interlock.server.noticing import notice
from interlock.server.pages import use_large_pages
from interlock.server.rehearsal import Rehearsal
from interlock.server.reload import Reloader
from interlock.server.supervisor import DRAIN_S
from interlock.server.watch import watch
from interlock.server.webhooks import tell

TICK_S: Final = 0.25
ROLLOUTS_EVERY: Final = 2
"""In ticks: rollouts are looked at twice a second."""
OWED_EVERY: Final = 4
"""In ticks: once a second what could not be written is tried again."""
EXPIRE_EVERY: Final = 14_400
"""In ticks: about once an hour records older than `telemetry.retention_days` are deleted."""


def run_worker(
    loaded: Loaded, env: Mapping[str, str], listener: socket.socket, log: Log, *, lifeline: bool = False
) -> int:
    """Serve on a listening socket until SIGTERM or SIGINT, then drain; the exit status.

    With `lifeline` the end of stdin says that the parent is gone, and ends this too.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work(loaded, env, listener, log, lifeline=lifeline))
    return 0


def calm_collector() -> None:
    """Let the garbage collector run less often, and never over what was made at start.

    A request makes a few hundred values without a cycle among them; looking through all of them
    every 700 costs several per cent of the CPU and finds nothing. While it looks everybody waits, so it
    never looks at more than a hundred thousand values but in its seldom last pass.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 5, 80)


async def _work(
    loaded: Loaded, env: Mapping[str, str], listener: socket.socket, log: Log, *, lifeline: bool
) -> None:
    host: str = listener.getsockname()[0]
    gateway = make_gateway(loaded, log)
    upstreams = [model.upstream for model in loaded.config.models.values()]
    tokens.load(upstreams)
    calm_collector()
    use_large_pages()
    reloader = Reloader(gateway, loaded, env, host)
    server, rehearsal = Listener(Application(gateway)), Rehearsal(gateway)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def drain() -> None:
        gateway.draining = True
        stop.set()
        if lifeline:
            loop.remove_reader(sys.stdin.fileno())  # at its end it is readable for ever

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, drain)
    loop.add_signal_handler(signal.SIGHUP, reloader.ask)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    if lifeline:
        loop.add_reader(sys.stdin.fileno(), drain)
    beside: list[asyncio.Task[None]] = [
        asyncio.create_task(tick(reloader)),
        asyncio.create_task(watch(gateway)),
        asyncio.create_task(tell(gateway)),
        asyncio.create_task(notice(gateway.noticer, gateway.say, gateway.fault)),
        asyncio.create_task(follow_releases(gateway, loaded.path)),
    ]
    try:
        await asyncio.sleep(0)  # a signal that came while this process was starting is heard now
        if not stop.is_set():
            await server.start(listener)
            beside.append(asyncio.create_task(make_tables(upstreams)))
        await stop.wait()
        await server.stop(DRAIN_S)
    finally:
        rehearsal.close()
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        await gateway.close()


async def make_tables(upstreams: list[str]) -> None:
    """Have the first long text of the process counted as fast as the second.

    Not at once: it takes a core for a while, on which somebody waits to hear that the server is ready.
    """
    await asyncio.sleep(TICK_S)
    await asyncio.to_thread(tokens.make_tables, upstreams)


async def tick(reloader: Reloader) -> None:
    """A few times a second: has an alias moved, has the file changed, what do rollouts do?

    And once in a while: which records are too old to keep?
    """
    gateway = reloader.gateway
    clock = asyncio.get_running_loop().time
    due = clock()
    for count in itertools.count():
        late_s = clock() - due
        try:
            if count % EXPIRE_EVERY == 0:
                await gateway.expire()
            await reloader.look()
            gateway.measure(clock(), late_s)
            if count % ROLLOUTS_EVERY == 0 and await gateway.controller.look():
                gateway.refresh_world()
            await gateway.mirrors.flush()
            if count % OWED_EVERY == 0 and gateway.store.writer.owes:
                with suppress(StoreError):  # it is in the log already
                    await gateway.store.writer.caught_up()
        except Exception as error:  # noqa: BLE001 - a fault in one tick must not end all of them
            gateway.fault("tick", error)
        due = clock() + TICK_S
        await asyncio.sleep(TICK_S)


def main() -> int:
    """A worker of the supervisor: its socket is inherited, its stdin closes when its parent is gone."""
    arguments = argparse.ArgumentParser(prog="interlock.server.worker")
    arguments.add_argument("--config", type=Path, required=True)
    arguments.add_argument("--fd", type=int, required=True)
    given = arguments.parse_args()
    try:
        loaded = load(given.config, os.environ)
        return run_worker(loaded, os.environ, socket.socket(fileno=given.fd), Log(), lifeline=True)
    except InterlockError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the supervisor's terminal
        return 2


if __name__ == "__main__":
    sys.exit(main())
