"""What deciding costs: CPU of `classify` and `decide` for one request, and how it grows with the prompt.

No server, no network, no store: the pure half alone, under the config of the other benches (ten models,
twenty rules), on a decoded request.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Final

from bench.lab import HERE, KEY, Line, Wrong, chat_body
from interlock.classify import classify
from interlock.config import load
from interlock.config.checked import Config
from interlock.dialects.openai_chat import decode_request
from interlock.route.decide import decide, encode_decision, hash_world
from interlock.route.snapshot import snapshot
from interlock.types.decision import Decision
from interlock.types.signals import Signals
from interlock.types.world import World

SIZES_KB: Final = (1, 4, 16, 64, 256)
SAMPLES: Final = 41
# A prompt four times as long may cost this much more. Linear is 4; the rest is room for the machine's noise.
MOST_GROWTH: Final = 6.0


def microseconds(act: Callable[[], object], calls: int) -> float:
    """CPU us of one call: the median over samples of the mean over calls."""
    samples = []
    for _ in range(SAMPLES):
        start = time.process_time_ns()
        for _ in range(calls):
            act()
        samples.append((time.process_time_ns() - start) / calls / 1000)
    return statistics.median(samples)


def classifier(config: Config, size_kb: int) -> Callable[[], Signals]:
    """`classify` of a request of a size, ready to be called again and again."""
    caller = next(key.caller for key in config.keys if key.caller.key == "bench")
    request = decode_request(chat_body("stable", text_bytes=size_kb * 1024 - 120), {})
    return partial(classify, request, caller, config, endpoint="/v1/chat/completions", hour_utc=9)


def decider(config: Config, signals: Signals) -> Callable[[], Decision]:
    """`decide` of these signals, ready to be called again and again. Raises Wrong if nobody may serve."""
    world = World()
    judge = partial(
        decide,
        id="dec_bench",
        now="2026-11-24T09:00:00.000000Z",
        signals=signals,
        snapshot=snapshot(config),
        world=world,
        world_hash=hash_world(world),
        draw=0.5,
    )
    decision = judge()
    if decision.route is None:
        raise Wrong(f"the request was refused: {encode_decision(decision).decode()}")
    return judge


def measure() -> list[Line]:
    """Print the costs by size of prompt; returns the lines for the summary."""
    config = load(HERE / "interlock.yaml", {"INTERLOCK_BENCH_KEY": KEY}).config
    classifying, deciding = {}, {}
    print(f"{'prompt':>8} {'classify us':>12} {'decide us':>10} {'together':>9}")
    for size in SIZES_KB:
        look = classifier(config, size)
        judge = decider(config, look())
        calls = max(3, 200 // size)
        classifying[size], deciding[size] = microseconds(look, calls), microseconds(judge, calls)
        together = classifying[size] + deciding[size]
        print(f"{size:5} KB {classifying[size]:12.1f} {deciding[size]:10.1f} {together:9.1f}")
    growth = max(classifying[large] / classifying[small] for small, large in pairwise(SIZES_KB))
    return [
        Line(name="classify and decide, CPU us for 1 KB", value=f"{classifying[1] + deciding[1]:.0f}"),
        Line(
            name="classify, most growth for 4x the prompt",
            value=f"{growth:.1f}x",
            verdict="linear" if growth <= MOST_GROWTH else "OVER linear",
        ),
    ]
