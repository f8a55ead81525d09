"""Executor, breaker, retry budget, limits and deadlines together, in made-up time, from a seed.

`SIM_SEED=N pytest tests/simulation` runs one seed again, the one that a failure names.
"""

import os

import pytest

from tests.simulation.clock import run
from tests.simulation.town import Town, check, town
from tests.simulation.upstreams import KINDS

SEEDS = 500
PER_TEST = 50
LONG = 20_000


def simulate(seed: int) -> Town:
    """One run, checked. Every fifth seed is a total outage."""
    try:
        ran = run(town(seed, outage=seed % 5 == 0))
        check(ran)
    except BaseException:
        print(f"\nSIM_SEED={seed} repeats this run")
        raise
    return ran


def seeds(count: int) -> list[int]:
    """The first seed of each batch; with SIM_SEED only that one."""
    one = os.environ.get("SIM_SEED")
    return [int(one)] if one is not None else list(range(0, count, PER_TEST))


def batch(first: int) -> range:
    return range(first, first + (1 if "SIM_SEED" in os.environ else PER_TEST))


@pytest.mark.parametrize("first", seeds(SEEDS))
def test_every_promise_holds_in_every_weather(first):
    for seed in batch(first):
        simulate(seed)


@pytest.mark.long
@pytest.mark.parametrize("first", seeds(LONG))
def test_every_promise_holds_in_every_weather_for_long(first):
    for seed in batch(first):
        simulate(SEEDS + seed)


def test_a_seed_replays():
    first, second = simulate(1), simulate(1)
    assert first.net.calls == second.net.calls
    assert [caller.settled for caller in first.callers] == [caller.settled for caller in second.callers]


def test_the_weather_leaves_nothing_out():
    """Each behaviour was met, each ending was reached, or the promises above were kept by nobody."""
    runs = [simulate(seed) for seed in range(40)]
    kinds = {call.kind for ran in runs for call in ran.net.calls}
    statuses = {caller.settled[0] for ran in runs for caller in ran.callers}
    executions = [caller.execution for ran in runs for caller in ran.callers if caller.execution is not None]
    outcomes = {attempt.outcome for execution in executions for attempt in execution.attempts}
    rules = {dropped.rule for execution in executions for dropped in execution.skipped}
    assert kinds == set(KINDS)
    assert statuses == {"ok", "failed", "cancelled"}
    assert outcomes >= {
        "ok",
        "timeout",
        "connect_failed",
        "upstream_error",
        "rate_limited",
        "malformed",
        "cancelled",
    }
    assert {"breaker", "rate_limit", "limits", "max_cost_usd"} <= rules
    whys = {dropped.why for execution in executions for dropped in execution.skipped}
    assert any("by what its answers say" in why for why in whys)
