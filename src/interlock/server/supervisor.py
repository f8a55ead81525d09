"""Keeps several worker processes on one listening socket: starts them, restarts the dead, passes signals on.

It serves nothing itself and opens no store; a worker that is told to stop finishes its streams first.
"""

import contextlib
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from interlock.server.log import Log

DRAIN_S: Final = 30.0
"""How long streams may go on after SIGTERM."""
_GRACE_S: Final = 5.0
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 10.0
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class Slot:
    """Mutable: one place for a worker. The pause before a restart doubles while workers die young."""

    def __init__(self, command: list[str], descriptor: int) -> None:
        self.command = command
        self.descriptor = descriptor
        self.pause_s = _FIRST_PAUSE_S
        self.start_at = 0.0
        self.started = 0.0
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        # The worker's stdin is its lifeline: it ends when this process does, however that comes.
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            self.command, pass_fds=(self.descriptor,), stdin=subprocess.PIPE
        )
        self.started = time.monotonic()

    def dead(self) -> int | None:
        """The exit status of a worker that has just died."""
        if self.process is None or self.process.poll() is None:
            return None
        status = self.process.returncode
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process = None
        if time.monotonic() - self.started > _LONGEST_PAUSE_S:
            self.pause_s = _FIRST_PAUSE_S
        self.start_at = time.monotonic() + self.pause_s
        self.pause_s = min(2 * self.pause_s, _LONGEST_PAUSE_S)
        return status

    def send(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)


def supervise(config_file: Path, listener: socket.socket, workers: int, log: Log) -> int:
    """Run workers until SIGTERM or SIGINT, then close the listener and let them drain; the exit status."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    command = [
        sys.executable,
        "-m",
        "interlock.server.worker",
        "--config",
        str(config_file),
        "--fd",
        str(listener.fileno()),
    ]
    slots = [Slot(command, listener.fileno()) for _ in range(workers)]
    try:
        while True:
            _start_due(slots)
            found = signal.sigtimedwait(_SIGNALS, 0.1)
            if found is not None and found.si_signo in (signal.SIGTERM, signal.SIGINT):
                return 0
            if found is not None and found.si_signo == signal.SIGHUP:
                for slot in slots:
                    slot.send(signal.SIGHUP)
            _bury(slots, log)
    finally:
        _shut(listener)
        _stop(slots)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _shut(listener: socket.socket) -> None:
    """Refuse callers from now on, in every process that has the socket.

    To close it here is not enough: a worker that is still starting keeps it open, and whoever connects
    would wait for an answer that never comes.
    """
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def _start_due(slots: list[Slot]) -> None:
    now = time.monotonic()
    for slot in slots:
        if slot.process is None and now >= slot.start_at:
            slot.start()


def _bury(slots: list[Slot], log: Log) -> None:
    for slot in slots:
        status = slot.dead()
        if status is not None:
            log.line({"event": "worker_died", "status": status, "restart_in_s": slot.pause_s})


def _stop(slots: list[Slot]) -> None:
    """Let every worker drain, then end what is left. Each by its own process id."""
    running = [slot.process for slot in slots if slot.process is not None]
    for slot in slots:
        slot.send(signal.SIGTERM)
    until = time.monotonic() + DRAIN_S + _GRACE_S
    for process in running:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdin is not None
        process.stdin.close()
