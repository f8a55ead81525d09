"""Runs the demo: local models, a gateway in a process of its own, then every scenario, then a replay.

Every process it starts is ended by its own id, also after an error or a Ctrl-C.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NoReturn

import msgspec
from msgspec import Struct

from interlock import config, local_models
from interlock.demo.ask import Gateway, Reply
from interlock.demo.folder import KEYS, Ports, fresh_keys, write
from interlock.demo.judge import judge
from interlock.demo.scenarios import SCENARIOS, Scenario
from interlock.demo.show import Screen
from interlock.errors import InterlockError
from interlock.types.record import Record

READY_WITHIN_S: Final = 30.0
STOP_WITHIN_S: Final = 15.0


class DemoError(InterlockError):
    """The demo itself could not run; `hint` says what to do."""

    def __init__(self, problem: str, *, hint: str = "") -> None:
        self.problem = problem
        self.hint = hint
        super().__init__(problem)


class Result(Struct, frozen=True, kw_only=True):
    """How one scenario ended. `problems` is empty where it ended as expected."""

    scenario: Scenario
    reply: Reply
    record: Record | None
    problems: tuple[str, ...]


class Verified(Struct, frozen=True):
    """What `interlock replay --verify` said of the demo's store."""

    decisions: int
    differing: tuple[str, ...]


def run(screen: Screen, *, keep: bool, models_module: str = "interlock.local_models") -> bool:
    """The whole demo; true where every request ended as its scenario expects and every decision replays.

    With `keep` the gateway and the models stay up until Ctrl-C. `models_module` is what the models'
    processes run. Raises DemoError, LocalModelError.
    """
    folder = Path(tempfile.mkdtemp(prefix="interlock-demo-"))
    keys = fresh_keys()
    env = {**os.environ, **keys}
    with ExitStack() as stack:
        stack.enter_context(_ended_by_sigterm())
        ports = stack.enter_context(_free_ports())
        file = write(folder, ports, os.environ, keys)
        loaded = config.load(file, env)
        screen.introduce(file)
        with screen.working("starting the models") as say:
            models = local_models.start(loaded.config, say=say, module=models_module)
        stack.callback(models.stop)
        with screen.working("starting the gateway"):
            process = stack.enter_context(_gateway_process(file, env))
            gateway = Gateway(ports.server, {"app": keys[KEYS[0]], "visitor": keys[KEYS[1]]})
            _wait_ready(gateway, process, folder / "server.log")
        results = list(_go_through(screen, gateway, loaded.config.aliases))
        with screen.working("computing every decision again"):
            verified = _verify(file, env)
        screen.summarise(results, verified, folder)
        if keep:
            screen.keeping(ports.server, folder)
            _until_interrupted()
    return not verified.differing and all(not result.problems for result in results)


def _go_through(screen: Screen, gateway: Gateway, aliases: Mapping[str, str]) -> Iterator[Result]:
    wanted = [scenario for scenario in SCENARIOS if scenario.needs is None or os.environ.get(scenario.needs)]
    for number, scenario in enumerate(wanted, 1):
        with screen.working(f"{number} of {len(wanted)}: {scenario.name}"):
            reply = gateway.send(scenario)
            record = gateway.record(scenario, reply.decision_id) if reply.decision_id is not None else None
        problems = judge(scenario.expect, reply, record)
        result = Result(scenario=scenario, reply=reply, record=record, problems=problems)
        screen.show(number, result, aliases)
        yield result


def _verify(file: Path, env: Mapping[str, str]) -> Verified:
    """The decisions of the demo's store, computed again by the command that an operator would use."""
    done = subprocess.run(  # noqa: S603 - our own interpreter and command
        [*_interlock("replay"), "--verify", "--json", "--config", str(file)],
        env=env,
        capture_output=True,
        check=False,
        timeout=60,
    )
    if done.returncode > 1:
        raise DemoError(f"`interlock replay --verify` failed: {done.stderr.decode(errors='replace').strip()}")
    lines = [msgspec.json.decode(line) for line in done.stdout.splitlines()]
    return Verified(len(lines), tuple(line["id"] for line in lines if not line["equal"]))


def _interlock(command: str) -> list[str]:
    return [sys.executable, "-m", "interlock.cli", command]


@contextmanager
def _gateway_process(file: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """`interlock serve` as a process of its own; its words go to `server.log` beside the config."""
    with (file.parent / "server.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and command
            [*_interlock("serve"), "--config", str(file)],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_ready(gateway: Gateway, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + READY_WITHIN_S
    while not gateway.ready():
        if process.poll() is not None or time.monotonic() > until:
            lines = log.read_text("utf-8", "replace").splitlines()
            said = next((line for line in lines if line.startswith("error: ")), "it said nothing")
            raise DemoError(f"the gateway did not become ready: {said}", hint=f"see {log}")
        time.sleep(0.05)


@contextmanager
def _free_ports() -> Iterator[Ports]:
    """Four free loopback ports. The one for `gone` stays bound, so that nobody can listen there."""
    with ExitStack() as stack:
        bound = []
        for _ in range(4):
            one = stack.enter_context(socket.socket())
            one.bind(("127.0.0.1", 0))
            bound.append(one)
        numbers = [one.getsockname()[1] for one in bound]
        for one in bound[:3]:
            one.close()
        yield Ports(onprem=numbers[0], abroad=numbers[1], server=numbers[2], gone=numbers[3])


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Lets SIGTERM unwind the stack, so that the processes we started are ended."""

    def unwind(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _until_interrupted() -> None:
    try:
        signal.pause()
    except KeyboardInterrupt:
        return
