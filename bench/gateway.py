"""What a request costs next to a plain nginx proxy, in the same run: CPU, added latency, the lag of events.

Each round measures every scenario of every target once, in shuffled order, so that a slow minute of the
machine falls on all of them; the table shows medians. Judge by the ratios: absolute figures belong to one
machine.
"""

import random
import shutil
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import apsw
import msgspec
from msgspec import Struct

from bench.lab import (
    CORES,
    KEY,
    Figures,
    Line,
    NotMeasured,
    Tools,
    Wrong,
    build,
    chat_body,
    cpu_us,
    drive,
    free_port,
    interlock,
    running,
    upstream,
    wait_until_open,
    write_config,
)
from bench.peers import Peer, start_peers

EVENTS: Final = 100
OF_PEERS: Final = ("plain", "burst")
"""The scenarios that other gateways are measured in."""
BARS: Final = {"tensorzero": (0.8, 0.3), "litellm": (1 / 50, 1 / 150)}
"""Our CPU as a share of a peer's, at most: per request, per event."""


class Scenario(Struct, frozen=True, kw_only=True):
    """`direct` measures the upstream without a gateway too, for what is judged by the difference."""

    name: str
    body: bytes
    connections: int
    rate: float = 0
    direct: bool = False
    least_events: int = 0


SCENARIOS: Final = (
    Scenario(name="plain", body=chat_body("mock"), connections=32),
    Scenario(name="unseen", body=chat_body("mock", unseen=True), connections=32),
    Scenario(name="burst", body=chat_body("mock", stream=True), connections=16, least_events=97),
    Scenario(name="padded", body=chat_body("mock-padded", stream=True), connections=16, least_events=97),
    Scenario(
        name="paced", body=chat_body("mock-paced2", stream=True), connections=16, direct=True, least_events=97
    ),
    Scenario(name="steady", body=chat_body("mock"), connections=32, rate=100, direct=True),
)


class Target(Struct, frozen=True):
    """`model` is what it calls the mock's model, where that is not its name. `peer`: another gateway."""

    port: int
    pid: int | None = None
    path: str = "/v1/chat/completions"
    model: str | None = None
    peer: bool = False


class Run(Struct, frozen=True):
    """One run of the driver: what it says, and the CPU microseconds that the target used meanwhile."""

    figures: Figures
    cpu: float


Runs = dict[tuple[str, str], list[Run]]


def start_nginx(stack: ExitStack, folder: Path, upstream_port: int) -> Target:
    """A plain proxy with kept-alive connections, no log and no buffering; one process."""
    command = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if command is None:
        raise NotMeasured("it needs nginx to compare with")
    port = free_port()
    temporary = " ".join(
        f"{name}_temp_path {folder / name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"""
        daemon off; master_process off; pid {folder / "nginx.pid"}; error_log {folder / "nginx.log"};
        events {{ worker_connections 4096; }}
        http {{
            access_log off; {temporary} keepalive_requests 1000000000;
            upstream mock {{
                server 127.0.0.1:{upstream_port}; keepalive 256; keepalive_requests 1000000000;
            }}
            server {{
                listen 127.0.0.1:{port};
                location / {{
                    proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection "";
                    proxy_buffering off; client_max_body_size 10m; client_body_buffer_size 1m;
                }}
            }}
        }}
        """,
        "utf-8",
    )
    log = folder / "nginx.stderr"
    command_line = [command, "-c", config, "-e", folder / "nginx.log"]
    process = stack.enter_context(running(command_line, CORES[0], log=log))
    wait_until_open(port)
    return Target(port, process.pid)


def measure_once(tools: Tools, scenario: Scenario, target: Target, body: Path, seconds: float) -> Run:
    """One scenario against one target. Raises Wrong if an answer was bad or had too few events."""
    before = cpu_us(target.pid) if target.pid is not None else 0.0
    figures = drive(
        tools,
        target.port,
        body,
        seconds=seconds,
        connections=scenario.connections,
        rate=scenario.rate,
        path=target.path,
    )
    after = cpu_us(target.pid) if target.pid is not None else 0.0
    if figures["events"] < scenario.least_events * figures["good"]:
        raise Wrong(f"{scenario.name}: {figures['events']} events in {figures['good']} streams")
    return Run(figures, after - before)


def measure_all(
    tools: Tools, targets: Mapping[str, Target], folder: Path, rounds: int, seconds: float
) -> Runs:
    """Every scenario of every target, `rounds` times after a warm-up, shuffled."""
    bodies = {}
    for scenario in SCENARIOS:
        for name, target in targets.items():
            bodies[scenario.name, name] = folder / f"{scenario.name}-{name}.json"
            bodies[scenario.name, name].write_bytes(_named(scenario.body, target.model))
    pairs = [
        (scenario, name)
        for scenario in SCENARIOS
        for name, target in targets.items()
        if (scenario.direct or target.pid is not None) and (not target.peer or scenario.name in OF_PEERS)
    ]
    runs: Runs = {(scenario.name, name): [] for scenario, name in pairs}
    given_up: set[tuple[str, str]] = set()
    for turn in range(rounds + 1):
        random.shuffle(pairs)
        for scenario, name in pairs:
            length = seconds if turn else 0.4
            if (scenario.name, name) in given_up:
                continue
            try:
                run = measure_once(tools, scenario, targets[name], bodies[scenario.name, name], length)
            except Wrong as fault:
                if not targets[name].peer:
                    raise
                print(f"{name} is left out: {fault}")
                given_up.add((scenario.name, name))
                runs[scenario.name, name] = []
                continue
            if turn:
                runs[scenario.name, name].append(run)
            elif name == "interlock":
                runs.setdefault(("warm-up", name), []).append(run)
    return runs


def _named(body: bytes, model: str | None) -> bytes:
    """A scenario's body under the name that a target knows the model by."""
    return body if model is None else msgspec.json.encode(msgspec.json.decode(body) | {"model": model})


def check_records(runs: Runs, store: Path) -> int:
    """How many records the store holds. Raises Wrong unless it is one for every request that was sent."""
    sent = sum(run.figures["started"] for (_, name), of in runs.items() if name == "interlock" for run in of)
    with apsw.Connection(str(store), flags=apsw.SQLITE_OPEN_READONLY) as connection:
        kept = int(next(connection.execute("SELECT count(*) FROM records"))[0])
    if kept != sent:
        raise Wrong(f"{sent} requests were sent, the store has {kept} records")
    return kept


def median(runs: Sequence[Run], of: str) -> float:
    """The median over rounds: "cpu" is CPU us per request, else NAME.PERCENTILE of the driver's figures."""
    if of == "cpu":
        return statistics.median([run.cpu / float(run.figures["good"]) for run in runs])
    name, percentile = of.split(".")
    return statistics.median([float(run.figures[name][percentile]) for run in runs])


class Row(Struct, frozen=True, kw_only=True):
    """One line of the table. `most` is the ratio to nginx that must be kept; None: it is told, not judged."""

    name: str
    nginx: float
    interlock: float
    most: float | None

    @property
    def ratio(self) -> float:
        return self.interlock / max(self.nginx, 0.001)

    @property
    def verdict(self) -> str:
        if self.most is None:
            return "for information"
        return f"within {self.most:g}x" if self.ratio <= self.most else f"OVER {self.most:g}x"


def table(runs: Runs) -> list[Row]:
    """The comparisons that count, in microseconds."""

    def added(scenario: str, of: str, name: str) -> float:
        return median(runs[scenario, name], of) - median(runs[scenario, "direct"], of)

    def cpu(scenario: str, name: str) -> float:
        return median(runs[scenario, name], "cpu")

    def row(name: str, values: Sequence[float], most: float | None, share: int = 1) -> Row:
        return Row(name=name, nginx=values[0] / share, interlock=values[1] / share, most=most)

    both = ("nginx", "interlock")
    used = {scenario.name: [cpu(scenario.name, name) for name in both] for scenario in SCENARIOS}
    latency = [added("steady", "latency_us.p50", name) for name in both]
    return [
        row("CPU us per request, 1 KB", used["plain"], 8),
        row("the same, no text seen before", used["unseen"], None),
        row("CPU us per event, 100 at once", used["burst"], 7, EVENTS),
        row("the same, padded as OpenAI's are", used["padded"], 7, EVENTS),
        row("CPU us per event, one every 2 ms", used["paced"], None, EVENTS),
        row("added latency us, p50 at 100 a second", latency, 2.5),
        row("CPU us per request at 100 a second", used["steady"], None),
    ]


def against_peers(runs: Runs, peers: Mapping[str, Peer | str]) -> list[Line]:
    """Our CPU as a share of each peer's, in the same run."""
    lines = []
    for name, peer in peers.items():
        for scenario, what, most, share in zip(
            OF_PEERS, ("request", "event"), BARS[name], (1, EVENTS), strict=True
        ):
            label = f"CPU per {what}, as a share of {name}'s"
            if isinstance(peer, str) or not runs[scenario, name]:
                why = peer if isinstance(peer, str) else "it gave bad answers"
                lines.append(Line(name=label, value="not measured", verdict=why))
                continue
            theirs = median(runs[scenario, name], "cpu") / share
            ratio = median(runs[scenario, "interlock"], "cpu") / share / theirs
            verdict = f"within {most:.3g}" if ratio <= most else f"OVER {most:.3g}"
            lines.append(Line(name=label, value=f"{ratio:.4f} (of {theirs:.1f} us)", verdict=f"{verdict}"))
            print(f"{label:45} {lines[-1].value:>24}  {verdict}")
    return lines


def report(runs: Runs, records: int) -> list[Line]:
    """Print the table; returns the lines for the summary."""
    rows = table(runs)
    print(f"{'':38} {'nginx':>9} {'interlock':>10} {'ratio':>7}")
    for row in rows:
        print(f"{row.name:38} {row.nginx:9.2f} {row.interlock:10.2f} {row.ratio:6.1f}x  {row.verdict}")
    lag = {name: median(runs["paced", name], "lag_us.p50") for name in ("direct", "nginx", "interlock")}
    tail = median(runs["steady", "interlock"], "latency_us.p99") - median(
        runs["steady", "direct"], "latency_us.p99"
    )
    extra = lag["interlock"] - lag["direct"]
    print("lag of an event, us, p50: " + ", ".join(f"{name} {value:.0f}" for name, value in lag.items()))
    print(f"added latency at 100 a second, p99: {tail:.0f} us (noise of the machine included)")
    print(f"no errors; the store has a record for each of the {records} requests")
    lines = [
        Line(name=row.name, value=f"{row.interlock:.2f} ({row.ratio:.1f}x nginx)", verdict=row.verdict)
        for row in rows
    ]
    stalls = "within 0.5 ms" if extra <= 500 else "OVER 0.5 ms"
    return [*lines, Line(name="lag us of an event over direct, p50", value=f"{extra:.0f}", verdict=stalls)]


def measure(rounds: int = 5, seconds: float = 1.0) -> list[Line]:
    """Run it all, about a minute by default."""
    with tempfile.TemporaryDirectory(prefix="interlock-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        tools = build(folder)
        upstream_port = stack.enter_context(upstream(tools))
        nginx = start_nginx(stack, folder, upstream_port)
        port = free_port()
        with interlock(write_config(folder, upstream_port, port), port) as process:
            peers = start_peers(stack, folder, upstream_port, KEY)
            targets = {
                "direct": Target(upstream_port),
                "nginx": nginx,
                "interlock": Target(port, process.pid),
                **{
                    name: Target(peer.port, peer.pid, peer.path, peer.model, peer=True)
                    for name, peer in peers.items()
                    if isinstance(peer, Peer)
                },
            }
            runs = measure_all(tools, targets, folder, rounds, seconds)
        records = check_records(runs, folder / "bench.db")
    return report(runs, records) + against_peers(runs, peers)
