"""`interlock serve`: checks what must hold before anything listens, binds, and runs the workers."""

import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from interlock import local_models
from interlock.config import load
from interlock.errors import InterlockError
from interlock.release.pool import follow_pool
from interlock.server.exposure import check_exposure
from interlock.server.log import Log
from interlock.server.supervisor import supervise
from interlock.server.worker import run_worker
from interlock.wiring import open_store

BACKLOG: Final = 2048


class ServeError(InterlockError):
    """The server cannot start; `hint` says what an operator can do."""

    def __init__(self, problem: str, *, hint: str = "") -> None:
        self.problem = problem
        self.hint = hint
        super().__init__(f"{problem}\nhint: {hint}" if hint else problem)


def serve(config_file: Path, env: Mapping[str, str], *, say: Callable[[str], None] = lambda _: None) -> int:
    """Serve until SIGTERM or SIGINT; the exit status. `say` is told what a person should know.

    Raises ConfigError, StoreError, ServeError, LocalModelError before anything listens.
    """
    loaded = load(config_file, env)
    config = loaded.config
    check_exposure(config, config.server.host, config_file)
    for warning in loaded.warnings:
        say(str(warning))
    store = open_store(loaded)
    try:
        follow_pool(store, config, loaded.path)
    finally:
        store.close()
    with bind(config.server.host, config.server.port) as listener:
        models = local_models.start(config, say=say)
        try:
            host, port = listener.getsockname()[:2]
            say(f"listening on http://{f'[{host}]' if ':' in host else host}:{port}")
            if config.server.workers > 1:
                return supervise(config_file, listener, config.server.workers, Log())
            return run_worker(loaded, env, listener, Log())
        finally:
            models.stop()


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ServeError where the address cannot be had."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServeError(f"`{host}` is no address to listen on: {error}", hint="set `server.host`") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ServeError(
            f"cannot listen on {host}:{port}: {error.strerror}", hint="set `server.port` to a free port"
        ) from None
    return listener
