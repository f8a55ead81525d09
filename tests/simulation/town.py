"""One seeded run: a config, upstreams in changing weather, many callers at once, and what must hold of it.

Everything is drawn from the seed: `town(7)` is the same run on every machine.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from interlock.config.checked import Config, Deployment, Lane, Model, Provider, Secrets
from interlock.config.written import Breaker, BudgetLimits, Fallback, Limits, Price, Resilience, RetryBudget
from interlock.execute.deadlines import DEADLINE_S
from interlock.execute.executor import Execution
from interlock.execute.plan import LEAST_S, MOST_CALLS, Step
from interlock.execute.setting import Services, Setting
from interlock.resilience.health import Health
from interlock.route.decide import decide
from interlock.types.decision import Decision
from interlock.types.labels import DATA_CLASSES, DataClass
from interlock.types.record import Status
from interlock.types.request import Message, Request, Text
from interlock.types.signals import Signals
from interlock.types.world import World
from interlock.wiring import setting
from tests.simulation.upstreams import DOWN, KINDS, Call, Net, Upstream

TRUST: dict[str, DataClass] = {"ann": "internal", "ben": "confidential", "cat": "regulated"}
"""What each provider may see. `cat` runs the last resort, and a second model."""
LASTS_S = 60.0
SLACK_S = 0.1


@dataclass
class Stream:
    """Where a stream of one caller goes."""

    data: bytes = b""
    begun: int = 0
    at: float | None = None

    async def begin(self, step: Step, attempt: int) -> None:
        self.begun += 1

    async def write(self, data: bytes) -> None:
        self.at = self.at or asyncio.get_running_loop().time()
        self.data += data


@dataclass
class Caller:
    """One request and what became of it. `settled` counts how often an end was written down."""

    name: str
    decision: Decision
    stream: Stream | None
    came: float = 0.0
    ended: float = 0.0
    leaves_after: float | None = None
    execution: Execution | None = None
    settled: list[Status] = field(default_factory=list)


@dataclass
class Town:
    """A finished run."""

    seed: int
    config: Config
    health: Health
    setting: Setting
    net: Net
    callers: list[Caller]
    began: float
    ended: float

    def calls_of(self, caller: Caller) -> list[Call]:
        return [call for call in self.net.calls if call.request == caller.name]


async def town(seed: int, *, outage: bool = False) -> Town:
    """Let callers come and go for a while. With `outage` every upstream is down all the time."""
    chance = Random(seed)
    began = asyncio.get_running_loop().time()
    config = _config(chance)
    net = Net({host: _upstream(host, began, chance, outage=outage) for host in TRUST}, Random(seed + 1))
    health = Health()
    made = setting(config, Secrets(), World(), health)
    services = Services(
        transport=net,
        now=lambda: "2026-11-26T10:00:00.000000Z",
        epoch_s=lambda: 1,
        fresh=lambda: "0123456789abcdef",
        draw=Random(seed + 2).random,
        count=lambda text, _: len(text.split()),
    )
    callers = [_caller(number, made, chance) for number in range(chance.randint(8, 24))]
    await asyncio.gather(*(_live(caller, made, services, chance) for caller in callers))
    return Town(seed, config, health, made, net, callers, began, asyncio.get_running_loop().time())


async def _live(caller: Caller, made: Setting, services: Services, chance: Random) -> None:
    """What the server does with a request, as far as the executor can see."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(chance.uniform(0, LASTS_S))
    caller.came = loop.time()
    text = f"{caller.name} please"
    request = Request(
        dialect="openai-chat",
        model="main",
        messages=(Message(role="user", parts=(Text(text=text),)),),
        stream=caller.stream is not None,
        include_usage=True,
    )
    execution = caller.execution = Execution(request, caller.decision, made, services, caller.came)
    work = execution.run_stream(caller.stream) if caller.stream is not None else execution.run_whole()
    task = asyncio.ensure_future(work)
    leaving = loop.call_later(caller.leaves_after, task.cancel) if caller.leaves_after is not None else None
    status: Status | None = None
    try:
        await task
    except asyncio.CancelledError:
        status = "cancelled"
    if leaving is not None:
        leaving.cancel()
    caller.settled.append(status or execution.status)
    caller.ended = loop.time()
    if status is None and caller.stream is not None and caller.stream.begun:
        caller.stream.data += execution.ending()
    execution.release()


def _caller(number: int, made: Setting, chance: Random) -> Caller:
    signals = Signals(
        model="main",
        input_tokens=10,
        data_class=chance.choice(["public", "internal", "confidential", "regulated"]),
        latency_class=chance.choice(["interactive", "background", "batch"]),
        deadline_ms=chance.choice([None, None, 60, 900, 5000]),
        max_cost_usd=chance.choice([None, None, 0.00005, 0.0003]),
        max_output_tokens=chance.choice([None, 20]),
    )
    decision = decide(
        id=f"dec_{number}",
        now="2026-11-26T10:00:00.000000Z",
        signals=signals,
        snapshot=made.snapshot,
        world=made.world,
        world_hash="w",
        draw=0.5,
    )
    stream = Stream() if chance.random() < 0.5 else None
    leaves = chance.uniform(0, 6) if chance.random() < 0.15 else None
    return Caller(f"r{number}", decision, stream, leaves_after=leaves)


def _config(chance: Random) -> Config:
    limits = Limits(concurrency=2, requests_per_minute=12) if chance.random() < 0.3 else None
    price = Price(input=2, output=10)
    return Config(
        providers={
            name: Provider(
                name=name,
                kind="openai",
                vendor=name,
                trusted_for=trust,
                limits=limits if name == "ann" else None,
                deployments=(Deployment(id=name, provider=name, base_url=f"http://{name}/v1"),),
            )
            for name, trust in TRUST.items()
        },
        models={
            name: Model(
                name=name, provider=provider, upstream=f"up-{name}", price=price, max_output_tokens=50
            )
            for name, provider in {"a": "ann", "b": "ben", "c": "cat", "d": "cat"}.items()
        },
        aliases={"main": "a"},
        default_model="main",
        lanes=(
            Lane(
                name="work",
                match={"task": "unknown"},
                models=("a",),
                hedge_after_ms=chance.choice([None, 300, 1500]),
            ),
        ),
        fallbacks=(
            Fallback(from_="*", to="c", when="not_permitted"),
            Fallback(from_="a", to="b", when="timeout_or_5xx"),
            Fallback(from_="a", to="b", when="rate_limit"),
            Fallback(from_="*", to="c", when="any"),
            Fallback(from_="c", to="d", when="timeout_or_5xx"),
        ),
        latency_classes={
            "interactive": BudgetLimits(deadline_ms=8000, first_token_ms=2000, max_attempts=3),
            "background": BudgetLimits(deadline_ms=30_000, max_attempts=chance.choice([1, 2, 5])),
        },
        resilience=Resilience(
            breaker=Breaker(failures=chance.choice([2, 5]), window_s=30, open_s=chance.choice([2, 10])),
            retry_budget=RetryBudget(ratio=0.1, min_per_s=chance.choice([0, 1])),
        ),
    )


def _upstream(host: str, began: float, chance: Random, *, outage: bool) -> Upstream:
    if outage:
        return Upstream(host, [(began, dict.fromkeys(DOWN, 1.0))])
    weather = []
    for part in range(4):
        kinds = chance.sample(KINDS, 3)
        mix = dict.fromkeys(kinds, 1.0)
        mix["ok"] = chance.choice([0.0, 1.0, 9.0]) or mix.get("ok", 0.0)
        weather.append((began + part * LASTS_S / 4, mix if any(mix.values()) else {"ok": 1.0}))
    return Upstream(host, weather)


# --- what must hold -----------------------------------------------------------------------------


def check(ran: Town) -> None:
    """Every promise that one run must keep. Raises AssertionError, naming the caller."""
    for caller in ran.callers:
        _check_caller(ran, caller)
    _check_upstreams(ran)


def _check_caller(ran: Town, caller: Caller) -> None:
    execution, calls, budgets = caller.execution, ran.calls_of(caller), caller.decision.budgets
    deadline_s = DEADLINE_S if budgets.deadline_ms is None else budgets.deadline_ms / 1000
    assert execution is not None
    assert len(caller.settled) == 1, f"{caller.name} was settled {caller.settled}"
    status = caller.settled[0]
    assert len(execution.attempts) == len(calls), f"{caller.name}: a call without an attempt, or the reverse"
    assert len(calls) <= (budgets.max_attempts or MOST_CALLS), f"{caller.name} called too often"
    for call in calls:
        allowed = DATA_CLASSES.index(TRUST[call.host]) >= DATA_CLASSES.index(
            caller.decision.signals.data_class
        )
        assert allowed, f"{caller.name} went to {call.host}"
        assert call.at <= caller.came + deadline_s - LEAST_S, f"{caller.name} was tried at the last moment"
    assert caller.ended <= caller.came + deadline_s + SLACK_S, f"{caller.name} outlasted its deadline"
    if budgets.max_cost_usd is not None and execution.cost_usd is not None:
        assert execution.cost_usd <= budgets.max_cost_usd + 1e-9, f"{caller.name} spent too much"
    if status == "ok":
        answered = [attempt for attempt in execution.attempts if attempt.outcome == "ok"]
        assert len(answered) == 1, f"{caller.name} is ok with {len(answered)} answers"
    if status == "failed":
        assert execution.error is not None
        assert execution.error.retry_after_s is None or 1 <= execution.error.retry_after_s <= 600
    if caller.stream is not None:
        _check_stream(caller, status, calls)


def _check_stream(caller: Caller, status: Status, calls: list[Call]) -> None:
    stream = caller.stream
    assert stream is not None
    assert stream.begun <= 1, f"{caller.name} saw two preambles"
    assert stream.data.count(b'"role":"assistant"') == stream.begun, f"{caller.name} saw two preambles"
    done, broken = stream.data.count(b"data: [DONE]"), stream.data.count(b'"error":')
    if stream.begun and status != "cancelled":
        assert done + broken == 1, f"{caller.name} has {done} ends and {broken} errors"
        assert bool(done) is (status == "ok"), f"{caller.name} ended as {status}"
        assert stream.data.endswith(b"data: [DONE]\n\n") or b'"error":' in stream.data.splitlines()[-2]
    if stream.at is not None:
        assert all(call.at <= stream.at for call in calls), (
            f"{caller.name} was tried again after its first byte"
        )


def _check_upstreams(ran: Town) -> None:
    rules = ran.config.resilience.retry_budget
    firsts = Counter(host for host, _, _ in {(call.host, call.request, call.model) for call in ran.net.calls})
    for host, calls in Counter(call.host for call in ran.net.calls).items():
        most = (1 + rules.ratio) * firsts[host] + rules.min_per_s * (ran.ended - ran.began + 1)
        assert calls <= most, f"{host} got {calls} calls for {firsts[host]} first ones"
    assert all(answer.closed or not answer.pieces for answer in ran.net.answers), "an answer was left open"
    for place, destination in ran.setting.destinations.items():
        assert not destination.health.breaker.probing, f"a probe of {place} never came back"
        slots = destination.upstream.slots
        assert (slots.taken, slots.waiting) == (0, 0), f"a place at {place} was never given back"
